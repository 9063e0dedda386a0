// Max and average pooling, and the mean over a whole map.

import CKernels
import PSModel
import PSPlanning

/// The sizes of one pooling layer.
package struct PoolShape: Sendable, Hashable {
    package let batch: Int
    package let channels: Int
    package let window: SlidingWindow

    /// - Parameter window: its output extent decides between floor and ceil.
    package init(batch: Int, channels: Int, window: SlidingWindow) {
        precondition(
            window.padding.height < window.kernel.height && window.padding.width < window.kernel.width,
            "a window must not lie in the padding alone")
        self.batch = batch
        self.channels = channels
        self.window = window
    }

    /// The window that covers a whole map, whose mean is the global average.
    package static func global(batch: Int, map: Extent, channels: Int) -> PoolShape {
        PoolShape(batch: batch, channels: channels, window: SlidingWindow(input: map, kernel: map))
    }

    package var inputPixels: Int { batch * window.input.area }
    package var outputPixels: Int { batch * window.output.area }

    /// - Parameter taps: `outputPixels * channels` bytes that remember which tap won; nil in inference.
    package func maxForward(
        _ x: InputMap, to y: FeatureMap, taps: UnsafeMutablePointer<UInt8>?, context: KernelContext
    ) {
        precondition(window.kernel.area <= 256, "a tap must fit a byte")
        let cut = passCut(pixels: outputPixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            var raw = window.raw
            engine_max_pool(
                &raw, x.map.base, x.map.pixelStride, x.norm?.scale, x.norm?.shift, x.floor, y.base, y.pixelStride,
                cut[item].lowerBound, cut[item].count, channels, taps)
        }
    }

    /// Gives each output's gradient to the input whose value it was. Inputs that won nowhere get zero.
    ///
    /// - Parameters:
    ///   - taps: as `maxForward` wrote them.
    ///   - inputGradient: overwritten, or added to if `accumulate`.
    package func maxBackward(
        outputGradient: FeatureMap, taps: UnsafePointer<UInt8>, inputGradient: FeatureMap, accumulate: Bool,
        context: KernelContext
    ) {
        let cut = passCut(pixels: inputPixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            var raw = window.raw
            engine_max_pool_gradient(
                &raw, outputGradient.base, outputGradient.pixelStride, taps, inputGradient.base,
                inputGradient.pixelStride, cut[item].lowerBound, cut[item].count, channels, accumulate ? 1 : 0)
        }
    }

    /// How the work of `averageForward` is cut: output pixels.
    package var averageCut: EvenCut { passCut(pixels: outputPixels, channels: channels) }

    /// - Parameters:
    ///   - countBorder: whether the padding's zeros count as elements of the mean.
    ///   - finish: called for each piece of `averageCut` when its pixels of y are final, on the thread that made them.
    package func averageForward(
        _ x: InputMap, to y: FeatureMap, countBorder: Bool, context: KernelContext,
        finish: (_ piece: Int, _ pixels: Range<Int>) -> Void = { _, _ in }
    ) {
        let cut = averageCut
        context.pool.run(cut.pieces) { item, _ in
            var raw = window.raw
            engine_average_pool(
                &raw, countBorder ? 1 : 0, x.map.base, x.map.pixelStride, x.norm?.scale, x.norm?.shift, x.floor, y.base,
                y.pixelStride, cut[item].lowerBound, cut[item].count, channels)
            finish(item, cut[item])
        }
    }

    /// Shares each output's gradient among the inputs of its window.
    ///
    /// - Parameters:
    ///   - inputGradient: overwritten, or added to if `accumulate`.
    ///   - countBorder: as for `averageForward`.
    package func averageBackward(
        outputGradient: FeatureMap, inputGradient: FeatureMap, countBorder: Bool, accumulate: Bool,
        context: KernelContext
    ) {
        precondition(min(window.output.area, window.kernel.area) <= 256, "too many windows over one pixel")
        let cut = passCut(pixels: inputPixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            var raw = window.raw
            engine_average_pool_gradient(
                &raw, countBorder ? 1 : 0, outputGradient.base, outputGradient.pixelStride, inputGradient.base,
                inputGradient.pixelStride, cut[item].lowerBound, cut[item].count, channels, accumulate ? 1 : 0)
        }
    }
}
