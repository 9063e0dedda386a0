// A batch of feature maps in memory, and how work over its pixels is cut.

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

    package func pixel(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * pixelStride }
}

/// 0..<count cut into `pieces` ranges whose lengths differ by at most one.
///
/// A cut is always a function of a layer's shape, never of the number of threads: it decides in which order numbers are
/// added, and so the bits of every result.
package struct EvenCut: Sendable, Hashable {
    package let count: Int
    package let pieces: Int

    package init(_ count: Int, pieces: Int) {
        precondition(count > 0 && pieces > 0)
        self.count = count
        self.pieces = min(pieces, count)
    }

    /// The fewest pieces of at most `limit` each.
    package init(_ count: Int, atMost limit: Int) {
        self.init(count, pieces: (count + limit - 1) / max(limit, 1))
    }

    package subscript(_ piece: Int) -> Range<Int> { count * piece / pieces..<count * (piece + 1) / pieces }

    /// The longest piece.
    package var longest: Int { (count + pieces - 1) / pieces }
}

/// 0..<count cut into ranges of exactly `size`, the last one shorter. Like `EvenCut`, a function of a shape alone.
package struct BlockCut: Sendable, Hashable {
    package let count: Int
    package let size: Int

    package init(_ count: Int, size: Int) {
        precondition(count > 0 && size > 0)
        self.count = count
        self.size = size
    }

    package var pieces: Int { (count + size - 1) / size }

    package subscript(_ piece: Int) -> Range<Int> { piece * size..<min(count, (piece + 1) * size) }
}

/// How passes over a map's pixels are cut: into pieces of about 64K floats, which stay in a core's cache, but at least
/// sixteen of them where there are that many pixels.
package func passCut(pixels: Int, channels: Int) -> EvenCut {
    EvenCut(pixels, pieces: max((pixels * channels + 65535) / 65536, min(16, (pixels + 15) / 16)))
}
