// A batch of feature maps in memory.

/// NHWC float32 memory that someone else owns: pixel p of the batch starts at `base + p * pixelStride`, its channels
/// one behind the other. A branch of a concat has a stride larger than its channels.
package struct FeatureMap {
    package let base: UnsafeMutablePointer<Float>
    package let batch: Int
    package let height: Int
    package let width: Int
    package let channels: Int
    package let pixelStride: Int

    package init(
        base: UnsafeMutablePointer<Float>, batch: Int, height: Int, width: Int, channels: Int, pixelStride: Int? = nil
    ) {
        self.base = base
        self.batch = batch
        self.height = height
        self.width = width
        self.channels = channels
        self.pixelStride = pixelStride ?? channels
        precondition(self.pixelStride >= channels)
    }

    /// Pixels of the whole batch.
    package var pixels: Int { batch * height * width }

    /// Some of the channels.
    package func channels(_ range: Range<Int>) -> FeatureMap {
        FeatureMap(
            base: base + range.lowerBound, batch: batch, height: height, width: width, channels: range.count,
            pixelStride: pixelStride)
    }

    package func pixel(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * pixelStride }
}
