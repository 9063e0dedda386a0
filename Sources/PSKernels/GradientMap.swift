// The gradient of a convolution's output as a kernel reads it.

import CKernels

/// A gradient together with what its readers do to each value on the way in.
///
/// What is stored is the gradient of the map that readers saw, after batch norm and ReLU. With d that gradient where the
/// ReLU was open and else 0, the gradient of what the convolution wrote is
/// scale * d + slope * (x - mean) + offset per channel: batch norm's backward, without a pass of its own.
package struct GradientMap {
    package struct Norm {
        /// What the convolution wrote.
        package let x: FeatureMap
        package let state: BatchNormState

        package init(x: FeatureMap, state: BatchNormState) {
            self.x = x
            self.state = state
        }
    }

    package let map: FeatureMap
    /// Nil where the values are the convolution's own gradient.
    package let norm: Norm?

    package init(_ map: FeatureMap, norm: Norm? = nil) {
        self.map = map
        self.norm = norm
    }

    /// The convolution's own gradient at some pixels, all channels, `stride` floats from one to the next; `target` may be
    /// the map itself.
    func read(_ pixels: Range<Int>, into target: UnsafeMutablePointer<Float>, stride: Int) {
        let first = pixels.lowerBound
        guard let norm else {
            for pixel in pixels {
                (target + (pixel - first) * stride).update(from: map.pixel(pixel), count: map.channels)
            }
            return
        }
        let state = norm.state
        engine_norm_gradient(
            map.pixel(first), map.pixelStride, norm.x.pixel(first), norm.x.pixelStride, target, stride, pixels.count,
            map.channels, state.scale, state.shift, state.floor, state.mean, state.slope, state.offset)
    }

    /// The convolution's own gradient, in place.
    package func materialised(_ context: KernelContext) -> GradientMap {
        guard norm != nil else { return self }
        let cut = passCut(pixels: map.pixels, channels: map.channels)
        context.pool.run(cut.pieces) { item, _ in
            read(cut[item], into: map.pixel(cut[item].lowerBound), stride: map.pixelStride)
        }
        return GradientMap(map)
    }
}
