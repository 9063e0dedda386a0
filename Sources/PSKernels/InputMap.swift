// A map as a kernel reads it.

import CKernels

/// A map together with what its readers do to each value on the way in.
///
/// A convolution's output is stored as it was before batch norm or bias; whoever reads it takes
/// max(x * scale + shift, floor) for x. That saves the pass and the memory of a second map. Outside the map lie zeros,
/// after the norm.
package struct InputMap {
    /// Per channel; `map.channels` values each.
    package struct Norm {
        package let scale: UnsafePointer<Float>
        package let shift: UnsafePointer<Float>
        /// 0 where a ReLU follows, else minus infinity.
        package let floor: Float

        package init(scale: UnsafePointer<Float>, shift: UnsafePointer<Float>, floor: Float = 0) {
            self.scale = scale
            self.shift = shift
            self.floor = floor
        }
    }

    package let map: FeatureMap
    /// Nil for maps that are read as they are: images, pooled and already normalised ones.
    package let norm: Norm?

    package init(_ map: FeatureMap, norm: Norm? = nil) {
        self.map = map
        self.norm = norm
    }

    /// Some of the channels.
    func channels(_ range: Range<Int>) -> InputMap {
        InputMap(
            map.channels(range),
            norm: norm.map {
                Norm(scale: $0.scale + range.lowerBound, shift: $0.shift + range.lowerBound, floor: $0.floor)
            })
    }

    /// Of the norm; without one it is not looked at.
    var floor: Float { norm?.floor ?? 0 }

    /// Some pixels as a matrix, all their channels or some: the map itself, or normalised into `scratch`, `stride` floats
    /// from one pixel to the next.
    package func read(
        _ pixels: Range<Int>, channels wanted: Range<Int>? = nil, into scratch: UnsafeMutablePointer<Float>, stride: Int
    ) -> (left: UnsafePointer<Float>, stride: Int) {
        let channels = wanted ?? 0..<map.channels
        let from = map.pixel(pixels.lowerBound) + channels.lowerBound
        guard let norm else { return (UnsafePointer(from), map.pixelStride) }
        engine_normalise(
            from, map.pixelStride, scratch, stride, pixels.count, channels.count, norm.scale + channels.lowerBound,
            norm.shift + channels.lowerBound, norm.floor)
        return (UnsafePointer(scratch), stride)
    }
}
