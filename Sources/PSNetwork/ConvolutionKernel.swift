// One convolution's kernels, whichever algorithm the plan gives it.

import PSKernels
import PSPlanning

/// The directions a kernel is made for; the forms of the weights it needs follow from them.
package enum ConvolutionKernel: Hashable {
    case direct(DirectConvolution)
    case winograd(WinogradConvolution)
    case depthwise(DepthwiseConvolution)
    case grouped(GroupedConvolution)

    /// - Parameters:
    ///   - shape: its input channels are those of a group, its output channels all.
    ///   - algorithm: of several groups it is always direct.
    package init(_ shape: ConvolutionShape, groups: Int = 1, _ algorithm: ConvolutionAlgorithm) {
        if groups > 1 {
            let part = ConvolutionShape(
                batch: shape.batch, window: shape.window, inputChannels: shape.inputChannels,
                outputChannels: shape.outputChannels / groups)
            let isDepthwise = part.inputChannels == 1 && part.outputChannels == 1
            self =
                isDepthwise
                ? .depthwise(DepthwiseConvolution(shape)) : .grouped(GroupedConvolution(part, groups: groups))
            return
        }
        switch algorithm {
        case .direct: self = .direct(DirectConvolution(shape))
        case .winograd(let tile):
            // Plans are checked against the model before a network is made of them.
            guard let kernel = WinogradConvolution(shape, tile: tile) else {
                preconditionFailure("no \(algorithm) for \(shape)")
            }
            self = .winograd(kernel)
        }
    }

    /// As timings name it; plans say "direct" and "winograd-6".
    package var name: String {
        switch self {
        case .direct: "im2col"
        case .winograd(let kernel): kernel.scheme.name
        case .depthwise: "depthwise"
        case .grouped: "im2col by groups"
        }
    }

    /// Floats of the weights as `forward` takes them.
    package var weightFloats: Int {
        switch self {
        case .direct(let kernel): kernel.weightFloats
        case .winograd(let kernel): kernel.weightFloats
        case .depthwise(let kernel): kernel.weightFloats
        case .grouped(let kernel): kernel.weightFloats
        }
    }

    /// Floats of the weights as `backward` takes them.
    package var gradientWeightFloats: Int {
        switch self {
        case .direct(let kernel): kernel.gradientWeightFloats
        case .winograd(let kernel): kernel.gradientWeightFloats
        case .depthwise(let kernel): kernel.gradientWeightFloats
        case .grouped(let kernel): kernel.gradientWeightFloats
        }
    }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        switch self {
        case .direct(let kernel): kernel.scratchFloats
        case .winograd(let kernel): kernel.scratchFloats
        case .depthwise(let kernel): kernel.scratchFloats
        case .grouped(let kernel): kernel.scratchFloats
        }
    }

    /// Floats of memory for the parts of the weight gradient.
    package var partFloats: Int {
        switch self {
        case .direct(let kernel): kernel.partFloats
        case .winograd(let kernel): kernel.partFloats
        case .depthwise(let kernel): kernel.partFloats
        case .grouped(let kernel): kernel.partFloats
        }
    }

    /// The weights are prepared in items that do not depend on each other.
    package var prepareItems: Int {
        switch self {
        case .direct(let kernel): kernel.layout.prepareItems
        case .winograd(let kernel): kernel.prepareItems
        case .depthwise: 1
        case .grouped(let kernel): kernel.prepareItems
        }
    }

    /// One item of bringing the canonical weights into the forms `forward` and `backward` multiply by.
    package func prepare(
        item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>?,
        gradientWeights: UnsafeMutablePointer<Float>?
    ) {
        switch self {
        case .direct(let kernel):
            kernel.layout.prepare(item: item, canonical: canonical, forward: weights, backward: gradientWeights)
        case .winograd(let kernel):
            kernel.prepare(item: item, canonical: canonical, weights: weights, gradientWeights: gradientWeights)
        case .depthwise(let kernel):
            kernel.prepare(canonical: canonical, weights: weights, gradientWeights: gradientWeights)
        case .grouped(let kernel):
            kernel.prepare(item: item, canonical: canonical, weights: weights, gradientWeights: gradientWeights)
        }
    }

    /// Forward's work items.
    package var itemCount: Int {
        switch self {
        case .direct(let kernel): kernel.itemCount
        case .winograd(let kernel): kernel.itemCount
        case .depthwise(let kernel): kernel.itemCount
        case .grouped(let kernel): kernel.itemCount
        }
    }

    /// What one work item writes.
    package func part(ofItem item: Int) -> (pixels: Range<Int>, channels: Range<Int>) {
        switch self {
        case .direct(let kernel): (kernel.pixels(ofItem: item), 0..<kernel.shape.outputChannels)
        case .winograd(let kernel): (kernel.pixels(ofItem: item), kernel.channels(ofItem: item))
        case .depthwise(let kernel): (kernel.pixels(ofItem: item), 0..<kernel.shape.outputChannels)
        case .grouped(let kernel): (kernel.pixels(ofItem: item), kernel.channels(ofItem: item))
        }
    }

    /// output = input * weights; with a bias max(that + bias, floor).
    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, bias: UnsafePointer<Float>?,
        floor: Float, context: KernelContext,
        finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void
    ) {
        switch self {
        case .direct(let kernel):
            let channels = 0..<output.channels
            kernel.forward(input: input, weights: weights, output: output, context: context) { item, pixels in
                if let bias { Bias.add(bias, floor: floor, to: output, pixels: pixels) }
                finish(item, pixels, channels)
            }
        case .winograd(let kernel):
            kernel.forward(
                input: input, weights: weights, output: output, bias: bias, floor: floor, context: context,
                finish: finish)
        case .depthwise(let kernel):
            let channels = 0..<output.channels
            kernel.forward(input: input, weights: weights, output: output, context: context) { item, pixels in
                if let bias { Bias.add(bias, floor: floor, to: output, pixels: pixels) }
                finish(item, pixels, channels)
            }
        case .grouped(let kernel):
            kernel.forward(input: input, weights: weights, output: output, context: context) { item, pixels in
                let channels = kernel.channels(ofItem: item)
                if let bias {
                    Bias.add(
                        bias + channels.lowerBound, floor: floor, to: output.channels(channels), pixels: pixels)
                }
                finish(item, pixels, channels)
            }
        }
    }

    /// Both gradients; `gradientWeights` and `inputGradient` are nil together.
    ///
    /// - Returns: the data gradient's share of the time, 0 to 1.
    package func backward(
        input: InputMap, outputGradient: GradientMap, gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) -> Double {
        switch self {
        case .direct(let kernel):
            kernel.backward(
                input: input, outputGradient: outputGradient, gradientWeights: gradientWeights,
                inputGradient: inputGradient, accumulate: accumulate, parts: parts, canonical: canonical,
                context: context)
        case .winograd(let kernel):
            kernel.backward(
                input: input, outputGradient: outputGradient, gradientWeights: gradientWeights,
                inputGradient: inputGradient, accumulate: accumulate, parts: parts, canonical: canonical,
                context: context)
        case .depthwise(let kernel):
            kernel.backward(
                input: input, outputGradient: outputGradient, gradientWeights: gradientWeights,
                inputGradient: inputGradient, accumulate: accumulate, parts: parts, canonical: canonical,
                context: context)
        case .grouped(let kernel):
            kernel.backward(
                input: input, outputGradient: outputGradient, gradientWeights: gradientWeights,
                inputGradient: inputGradient, accumulate: accumulate, parts: parts, canonical: canonical,
                context: context)
        }
    }
}
