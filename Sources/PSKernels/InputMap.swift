// A map as a kernel reads it.

import CKernels

/// A map together with what its readers do to each value on the way in.
///
/// A convolution's output is stored as it was before batch norm; whoever reads it takes max(x * scale + shift, 0) for
/// x. That saves the pass and the memory of a second map. Outside the map lie zeros, after the norm.
package struct InputMap {
    /// Per channel; `map.channels` values each.
    package struct Norm {
        package let scale: UnsafePointer<Float>
        package let shift: UnsafePointer<Float>

        package init(scale: UnsafePointer<Float>, shift: UnsafePointer<Float>) {
            self.scale = scale
            self.shift = shift
        }
    }

    package let map: FeatureMap
    /// Nil for maps that are read as they are: images, pooled and already normalised ones.
    package let norm: Norm?

    package init(_ map: FeatureMap, norm: Norm? = nil) {
        self.map = map
        self.norm = norm
    }

    /// Some pixels as a matrix, all their channels or some: the map itself, or normalised into `scratch`, `stride` floats
    /// from one pixel to the next.
    func read(
        _ pixels: Range<Int>, channels wanted: Range<Int>? = nil, into scratch: UnsafeMutablePointer<Float>, stride: Int
    ) -> (left: UnsafePointer<Float>, stride: Int) {
        let channels = wanted ?? 0..<map.channels
        let from = map.pixel(pixels.lowerBound) + channels.lowerBound
        guard let norm else { return (UnsafePointer(from), map.pixelStride) }
        engine_scale_relu(
            from, map.pixelStride, scratch, stride, pixels.count, channels.count, norm.scale + channels.lowerBound,
            norm.shift + channels.lowerBound)
        return (UnsafePointer(scratch), stride)
    }
}
