// A convolution with batch norm and ReLU. Its map is stored as the convolution wrote it: readers normalise.

import PSKernels
import PSModel
import PSParameters
import PSPlanning

struct ConvolutionLayer: Layer {
    let name: String
    let kernels: ConvolutionKernels
    let parameters: LayerParameters
    let input: InputMap
    let output: FeatureMap
    let inputGradient: FeatureMap?
    let accumulates: Bool
    /// Nil in inference, where batch norm is folded into the weights.
    let norm: NormUnit?
    let workspace: UnsafeMutablePointer<Float>

    func forward(_ step: StepEnvironment) {
        guard let norm else { preconditionFailure("\(name): a network for inference has no training step") }
        let kernel = kernels.forward
        let moments = workspace
        step.clock.measure(name, .forward, kernel.name, flops: kernels.flops) {
            kernel.forward(
                input: input, weights: parameters.weights, output: output, bias: nil, context: step.context
            ) { item, pixels, channels in
                // What the item wrote is still in this core's cache.
                BatchNorm.partMoments(
                    output, pixels: pixels, channels: channels, moments: moments + item * 2 * output.channels)
            }
            norm.finish(
                moments, parts: kernel.itemCount,
                part: {
                    let part = kernel.part(ofItem: $0)
                    return (part.pixels.count, part.channels)
                }, step)
        }
    }

    func backward(_ step: StepEnvironment) {
        guard let norm else { preconditionFailure("\(name): a network for inference has no backward") }
        let outputGradient = norm.backward(parts: workspace, step)
        let kernel = kernels.backward
        step.clock.measureBackward(
            name, kernel.name, flops: kernels.flops, hasDataGradient: parameters.gradientWeights != nil
        ) {
            kernel.backward(
                input: input, outputGradient: outputGradient, gradientWeights: parameters.gradientWeights,
                inputGradient: inputGradient, accumulate: accumulates,
                parts: workspace, canonical: step.gradients + norm.layout.offsets[norm.tensors.weight!],
                context: step.context)
        }
    }

    func infer(_ context: KernelContext) {
        kernels.forward.forward(
            input: input, weights: parameters.weights, output: output, bias: parameters.foldedBias, context: context
        ) { _, _, _ in }
    }
}
