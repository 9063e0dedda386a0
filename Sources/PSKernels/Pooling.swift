// Max and average pooling, and the mean over a whole map.

import CKernels

/// The sizes of one pooling layer.
package struct PoolShape: Sendable, Hashable {
    package let batch: Int
    package let channels: Int
    package let inputPixels: Int
    package let outputPixels: Int
    let windowSizes: [Int]

    /// - Parameters: extents as (rows, columns); `output` decides between floor and ceil.
    package init(
        batch: Int, channels: Int, input: (Int, Int), output: (Int, Int), kernel: (Int, Int), stride: (Int, Int),
        padding: (Int, Int)
    ) {
        precondition(padding.0 < kernel.0 && padding.1 < kernel.1, "a window must not lie in the padding alone")
        self.batch = batch
        self.channels = channels
        inputPixels = batch * input.0 * input.1
        outputPixels = batch * output.0 * output.1
        windowSizes = [
            input.0, input.1, output.0, output.1, kernel.0, kernel.1, stride.0, stride.1, padding.0, padding.1,
        ]
    }

    var window: engine_window {
        let s = windowSizes.map { Int32($0) }
        return engine_window(
            input_height: s[0], input_width: s[1], output_height: s[2], output_width: s[3], kernel_height: s[4],
            kernel_width: s[5], stride_height: s[6], stride_width: s[7], padding_height: s[8], padding_width: s[9])
    }

    /// - Parameter taps: `outputPixels * channels` bytes that remember which tap won; nil in inference.
    package func maxForward(
        _ x: FeatureMap, to y: FeatureMap, taps: UnsafeMutablePointer<UInt8>?, context: KernelContext
    ) {
        precondition(windowSizes[4] * windowSizes[5] <= 256, "a tap must fit a byte")
        let window = window
        let cut = passCut(pixels: outputPixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            var window = window
            engine_max_pool(
                &window, x.base, x.pixelStride, y.base, y.pixelStride, cut[item].lowerBound, cut[item].count, channels,
                taps)
        }
    }

    package func maxBackward(
        outputGradient: FeatureMap, taps: UnsafePointer<UInt8>, inputGradient: FeatureMap, accumulate: Bool,
        context: KernelContext
    ) {
        let window = window
        let cut = passCut(pixels: inputPixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            var window = window
            engine_max_pool_gradient(
                &window, outputGradient.base, outputGradient.pixelStride, taps, inputGradient.base,
                inputGradient.pixelStride, cut[item].lowerBound, cut[item].count, channels, accumulate ? 1 : 0)
        }
    }

    /// - Parameter countBorder: whether the padding's zeros count as elements of the mean.
    package func averageForward(_ x: FeatureMap, to y: FeatureMap, countBorder: Bool, context: KernelContext) {
        let window = window
        let cut = passCut(pixels: outputPixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            var window = window
            engine_average_pool(
                &window, countBorder ? 1 : 0, x.base, x.pixelStride, y.base, y.pixelStride, cut[item].lowerBound,
                cut[item].count, channels)
        }
    }

    package func averageBackward(
        outputGradient: FeatureMap, inputGradient: FeatureMap, countBorder: Bool, accumulate: Bool,
        context: KernelContext
    ) {
        let window = window
        let cut = passCut(pixels: inputPixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            var window = window
            engine_average_pool_gradient(
                &window, countBorder ? 1 : 0, outputGradient.base, outputGradient.pixelStride, inputGradient.base,
                inputGradient.pixelStride, cut[item].lowerBound, cut[item].count, channels, accumulate ? 1 : 0)
        }
    }

    /// The window that covers a whole map, whose mean is the global average.
    package static func global(batch: Int, height: Int, width: Int, channels: Int) -> PoolShape {
        PoolShape(
            batch: batch, channels: channels, input: (height, width), output: (1, 1), kernel: (height, width),
            stride: (height, width), padding: (0, 0))
    }
}
