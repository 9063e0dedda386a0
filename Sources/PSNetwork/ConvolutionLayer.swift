// A convolution with batch norm and ReLU, and the dense layer, which shares its products.

import PSKernels
import PSModel
import PSParameters

/// The weights of a convolution or dense layer in the engine's layouts, and its per-channel vectors.
struct LayerParameters {
    let layout: WeightLayout
    let weights: UnsafeMutablePointer<Float>
    /// The matrix of the data gradient; nil where none is needed.
    let gradientWeights: UnsafeMutablePointer<Float>?
    let scale: UnsafeMutablePointer<Float>
    /// Batch norm's shift, or a dense layer's bias.
    let bias: UnsafeMutablePointer<Float>
    let runningMean: UnsafeMutablePointer<Float>
    let runningVariance: UnsafeMutablePointer<Float>
    let norm: BatchNormState

    init(kernels: ConvolutionKernels, base: (Int) -> UnsafeMutablePointer<Float>) {
        layout = kernels.layout
        weights = base(kernels.weights)
        gradientWeights = kernels.gradientWeights.map(base)
        let channels = kernels.layout.outputChannels
        scale = base(kernels.vectors)
        bias = scale + channels
        runningMean = scale + 2 * channels
        runningVariance = scale + 3 * channels
        norm = BatchNormState(base: scale + 4 * channels, channels: channels)
    }
}

struct ConvolutionLayer: Layer {
    let kernels: ConvolutionKernels
    let tensors: Node.Tensors
    let layout: ParameterLayout
    let parameters: LayerParameters
    let input: FeatureMap
    let output: FeatureMap
    /// Nil in inference, where batch norm works in place.
    let preactivation: FeatureMap?
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool
    let workspace: UnsafeMutablePointer<Float>

    /// Batch norm's learned scale, where there is one.
    private var gamma: UnsafeMutablePointer<Float>? { tensors.scale == nil ? nil : parameters.scale }

    func forward(_ step: StepEnvironment) {
        guard let preactivation else { preconditionFailure("a network for inference has no training step") }
        let plan = kernels.forward
        let moments = workspace
        let channels = output.channels
        plan.forward(input: input, weights: parameters.weights, output: preactivation, context: step.context) {
            chunk, pixels in
            // The chunk is still in this core's cache.
            BatchNorm.chunkMoments(preactivation, pixels: pixels, moments: moments + chunk * 2 * channels)
        }
        BatchNorm.finishMoments(
            moments, chunkPixels: { plan.pixels(ofChunk: $0).count }, chunks: plan.chunkCount, channels: channels,
            gamma: gamma, beta: parameters.bias, epsilon: batchNormEpsilon, unbiased: step.unbiasedVariance,
            state: parameters.norm, batchMean: step.gradients + layout.offsets[tensors.runningMean!],
            batchVariance: step.gradients + layout.offsets[tensors.runningVariance!])
        BatchNorm.apply(preactivation, state: parameters.norm, to: output, context: step.context)
    }

    func backward(_ step: StepEnvironment) {
        guard let preactivation, let outputGradient else {
            preconditionFailure("a network for inference has no backward")
        }
        BatchNorm.backward(
            gradient: outputGradient, x: preactivation, state: parameters.norm, parts: workspace,
            gammaGradient: tensors.scale.map { step.gradients + layout.offsets[$0] },
            betaGradient: step.gradients + layout.offsets[tensors.bias!], context: step.context)
        kernels.weightGradient.compute(
            input: input, outputGradient: outputGradient, parts: workspace,
            canonical: step.gradients + layout.offsets[tensors.weight!], context: step.context)
        guard let plan = kernels.dataGradient, let weights = parameters.gradientWeights, let inputGradient else {
            return
        }
        plan.compute(
            outputGradient: outputGradient, weights: weights, inputGradient: inputGradient, accumulate: accumulates,
            context: step.context)
    }

    func infer(_ context: KernelContext) {
        BatchNorm.runningScale(
            mean: parameters.runningMean, variance: parameters.runningVariance, channels: output.channels,
            gamma: gamma, beta: parameters.bias, epsilon: batchNormEpsilon, state: parameters.norm)
        kernels.forward.forward(input: input, weights: parameters.weights, output: output, context: context) {
            _, pixels in
            BatchNorm.apply(output, pixels: pixels, state: parameters.norm, to: output)
        }
    }
}

/// output = input * weights^T + bias, one pixel an image.
struct DenseLayer: Layer {
    let kernels: ConvolutionKernels
    let tensors: Node.Tensors
    let layout: ParameterLayout
    let parameters: LayerParameters
    let input: FeatureMap
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool
    let workspace: UnsafeMutablePointer<Float>

    func forward(_ step: StepEnvironment) { infer(step.context) }

    func infer(_ context: KernelContext) {
        kernels.forward.forward(input: input, weights: parameters.weights, output: output, context: context)
        Bias.add(parameters.bias, to: output)
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient else { preconditionFailure("a network for inference has no backward") }
        Bias.gradient(outputGradient: outputGradient, into: step.gradients + layout.offsets[tensors.bias!])
        kernels.weightGradient.compute(
            input: input, outputGradient: outputGradient, parts: workspace,
            canonical: step.gradients + layout.offsets[tensors.weight!], context: step.context)
        guard let plan = kernels.dataGradient, let weights = parameters.gradientWeights, let inputGradient else {
            return
        }
        plan.compute(
            outputGradient: outputGradient, weights: weights, inputGradient: inputGradient, accumulate: accumulates,
            context: step.context)
    }
}
