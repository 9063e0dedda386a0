// PyTorch's adaptive average pool: as many windows as the output has pixels, of whatever size covers the map.

import CKernels
import PSPlanning

/// The sizes of one such layer.
package struct AdaptivePool: Sendable, Hashable {
    package let shape: PoolShape

    /// - Parameter window: only its input and output extents count.
    package init(batch: Int, channels: Int, window: SlidingWindow) {
        shape = PoolShape(batch: batch, channels: channels, window: window)
    }

    package func forward(_ x: InputMap, to y: FeatureMap, context: KernelContext) {
        let cut = passCut(pixels: shape.outputPixels, channels: shape.channels)
        context.pool.run(cut.pieces) { item, _ in
            var raw = shape.window.raw
            engine_adaptive_pool(
                &raw, x.map.base, x.map.pixelStride, x.norm?.scale, x.norm?.shift, x.floor, y.base, y.pixelStride,
                cut[item].lowerBound, cut[item].count, shape.channels)
        }
    }

    /// - Parameter inputGradient: overwritten, or added to if `accumulate`.
    package func backward(
        outputGradient: FeatureMap, inputGradient: FeatureMap, accumulate: Bool, context: KernelContext
    ) {
        let cut = passCut(pixels: shape.inputPixels, channels: shape.channels)
        context.pool.run(cut.pieces) { item, _ in
            var raw = shape.window.raw
            engine_adaptive_pool_gradient(
                &raw, outputGradient.base, outputGradient.pixelStride, inputGradient.base, inputGradient.pixelStride,
                cut[item].lowerBound, cut[item].count, shape.channels, accumulate ? 1 : 0)
        }
    }
}
