// One convolution's kernels, whichever algorithm the plan gives it.

import PSKernels
import PSPlanning

/// The directions a kernel is made for; the forms of the weights it needs follow from them.
package enum ConvolutionKernel: Hashable {
    case direct(DirectConvolution)
    case winograd(WinogradConvolution)

    package init(_ shape: ConvolutionShape, _ algorithm: ConvolutionAlgorithm) {
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
        }
    }

    /// Floats of the weights as `forward` takes them.
    package var weightFloats: Int {
        switch self {
        case .direct(let kernel): kernel.weightFloats
        case .winograd(let kernel): kernel.weightFloats
        }
    }

    /// Floats of the weights as `backward` takes them.
    package var gradientWeightFloats: Int {
        switch self {
        case .direct(let kernel): kernel.gradientWeightFloats
        case .winograd(let kernel): kernel.gradientWeightFloats
        }
    }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        switch self {
        case .direct(let kernel): kernel.scratchFloats
        case .winograd(let kernel): kernel.scratchFloats
        }
    }

    /// Floats of memory for the parts of the weight gradient.
    package var partFloats: Int {
        switch self {
        case .direct(let kernel): kernel.partFloats
        case .winograd(let kernel): kernel.partFloats
        }
    }

    /// The weights are prepared in items that do not depend on each other.
    package var prepareItems: Int {
        switch self {
        case .direct(let kernel): kernel.layout.prepareItems
        case .winograd(let kernel): kernel.prepareItems
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
        }
    }

    /// Forward's work items.
    package var itemCount: Int {
        switch self {
        case .direct(let kernel): kernel.itemCount
        case .winograd(let kernel): kernel.itemCount
        }
    }

    /// What one work item writes.
    package func part(ofItem item: Int) -> (pixels: Range<Int>, channels: Range<Int>) {
        switch self {
        case .direct(let kernel): (kernel.pixels(ofItem: item), 0..<kernel.shape.outputChannels)
        case .winograd(let kernel): (kernel.pixels(ofItem: item), kernel.channels(ofItem: item))
        }
    }

    /// output = input * weights; with a bias max(that + bias, 0).
    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, bias: UnsafePointer<Float>?,
        context: KernelContext, finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void
    ) {
        switch self {
        case .direct(let kernel):
            let channels = 0..<output.channels
            kernel.forward(input: input, weights: weights, output: output, context: context) { item, pixels in
                if let bias { Bias.addAndRectify(bias, to: output, pixels: pixels) }
                finish(item, pixels, channels)
            }
        case .winograd(let kernel):
            kernel.forward(
                input: input, weights: weights, output: output, bias: bias, context: context, finish: finish)
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
        }
    }
}
