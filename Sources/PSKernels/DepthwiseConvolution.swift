// Convolutions of one kernel a channel: no matrix product, loops over lines of the map.

import CKernels
import PSPlanning

/// How one depthwise convolution is computed, in all three directions. Its weights are laid out tap after tap, the
/// channels of a tap one behind the other.
package struct DepthwiseConvolution: ConvolutionKernel {
    package let shape: ConvolutionShape
    /// Forward's work items: lines, rows of output pixels counted over the batch.
    private let lines: EvenCut
    /// The weight gradient's, each of which adds up a gradient of its own.
    private let chunks: EvenCut
    /// The data gradient's, where it is another walk along lines, and where it is scattered.
    private let inputLines: EvenCut
    private let images: EvenCut

    package init(_ shape: ConvolutionShape) {
        precondition(shape.inputChannels == 1)
        self.shape = shape
        let window = shape.window
        func cut(lines: Int, width: Int) -> EvenCut {
            EvenCut(lines, pieces: max(16, lines * width * shape.outputChannels / 65536))
        }
        lines = cut(lines: shape.batch * window.output.height, width: window.output.width)
        inputLines = cut(lines: shape.batch * window.input.height, width: window.input.width)
        chunks = EvenCut(shape.batch * window.output.height, pieces: 16)
        images = EvenCut(shape.batch, pieces: 16)
    }

    private var channels: Int { shape.outputChannels }
    package var name: String { "depthwise" }

    /// Whether the data gradient is itself such a convolution, of the output's gradient with the kernel turned round.
    private var mirrored: SlidingWindow? { shape.window.mirrored }

    package var weightFloats: Int { shape.taps * channels }
    package var gradientWeightFloats: Int { weightFloats }
    package var partFloats: Int { chunks.pieces * weightFloats }
    package var scratchFloats: Int { 0 }
    package var itemCount: Int { lines.pieces }

    package func pixels(ofItem item: Int) -> Range<Int> {
        let width = shape.window.output.width
        return lines[item].lowerBound * width..<lines[item].upperBound * width
    }

    package func channels(ofItem item: Int) -> Range<Int> { 0..<channels }

    /// They are few.
    package var prepareItems: Int { 1 }

    package func prepare(
        item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>?,
        gradientWeights: UnsafeMutablePointer<Float>?
    ) {
        for tap in 0..<shape.taps {
            let turned = mirrored == nil ? tap : shape.taps - 1 - tap
            for channel in 0..<channels {
                let value = canonical[channel * shape.taps + tap]
                weights?[tap * channels + channel] = value
                gradientWeights?[turned * channels + channel] = value
            }
        }
    }

    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, bias: UnsafePointer<Float>?, floor: Float,
        context: KernelContext, finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void
    ) {
        precondition(input.map.channels == channels && output.channels == channels)
        context.pool.run(lines.pieces) { item, _ in
            var raw = shape.window.raw
            engine_depthwise(
                &raw, input.map.base, input.map.pixelStride, input.norm?.scale, input.norm?.shift, input.floor, weights,
                output.base, output.pixelStride, lines[item].lowerBound, lines[item].count, channels, 0)
            let pixels = pixels(ofItem: item)
            if let bias { Bias.add(bias, floor: floor, to: output, pixels: pixels) }
            finish(item, pixels, 0..<channels)
        }
    }

    @discardableResult
    package func backward(
        input: InputMap, outputGradient: GradientMap, gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) -> Double {
        let start = ContinuousClock.now
        let gradient = outputGradient.materialised(context).map
        addWeightGradient(input: input, gradient: gradient, parts: parts, canonical: canonical, context)
        guard let gradientWeights, let inputGradient else { return 0 }
        let middle = ContinuousClock.now
        if let mirrored {
            context.pool.run(inputLines.pieces) { item, _ in
                var raw = mirrored.raw
                engine_depthwise(
                    &raw, gradient.base, gradient.pixelStride, nil, nil, 0, gradientWeights, inputGradient.base,
                    inputGradient.pixelStride, inputLines[item].lowerBound, inputLines[item].count, channels,
                    accumulate ? 1 : 0)
            }
        } else {
            scatter(gradient, gradientWeights, inputGradient, accumulate, context)
        }
        let end = ContinuousClock.now
        return (end - middle) / (end - start)
    }

    private func addWeightGradient(
        input: InputMap, gradient: FeatureMap, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, _ context: KernelContext
    ) {
        context.pool.run(chunks.pieces) { item, _ in
            var raw = shape.window.raw
            engine_depthwise_weight_gradient(
                &raw, input.map.base, input.map.pixelStride, input.norm?.scale, input.norm?.shift, input.floor,
                gradient.base, gradient.pixelStride, chunks[item].lowerBound, chunks[item].count, channels,
                parts + item * weightFloats)
        }
        engine_add_parts(parts, weightFloats, chunks.pieces, weightFloats)
        for tap in 0..<shape.taps {
            for channel in 0..<channels { canonical[channel * shape.taps + tap] = parts[tap * channels + channel] }
        }
    }

    private func scatter(
        _ gradient: FeatureMap, _ weights: UnsafePointer<Float>, _ inputGradient: FeatureMap, _ accumulate: Bool,
        _ context: KernelContext
    ) {
        let area = shape.window.input.area
        context.pool.run(images.pieces) { item, _ in
            if !accumulate {
                for pixel in images[item].lowerBound * area..<images[item].upperBound * area {
                    inputGradient.pixel(pixel).update(repeating: 0, count: channels)
                }
            }
            var raw = shape.window.raw
            engine_depthwise_scatter(
                &raw, gradient.base, gradient.pixelStride, weights, inputGradient.base, inputGradient.pixelStride,
                images[item].lowerBound, images[item].count, channels)
        }
    }
}
