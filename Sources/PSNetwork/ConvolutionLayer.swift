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
        guard let norm, let outputGradient = norm.gradient else {
            preconditionFailure("\(name): a network for inference has no backward")
        }
        norm.backward(parts: workspace, step)
        kernels.backward.backward(
            name: name, flops: kernels.flops, input: input, outputGradient: outputGradient,
            gradientWeights: parameters.gradientWeights, inputGradient: inputGradient, accumulate: accumulates,
            parts: workspace, canonical: step.gradients + norm.layout.offsets[norm.tensors.weight!], step)
    }

    func infer(_ context: KernelContext) {
        kernels.forward.forward(
            input: input, weights: parameters.weights, output: output, bias: parameters.second, context: context
        ) { _, _, _ in }
    }
}

extension ConvolutionKernel {
    /// Both gradients; `inputGradient` and `gradientWeights` are nil together.
    func backward(
        name layer: String, flops: Double, input: InputMap, outputGradient: FeatureMap,
        gradientWeights: UnsafePointer<Float>?, inputGradient: FeatureMap?, accumulate: Bool,
        parts: UnsafeMutablePointer<Float>, canonical: UnsafeMutablePointer<Float>, _ step: StepEnvironment
    ) {
        switch self {
        case .direct(let kernel):
            step.clock.measure(layer, .weightGradient, name, flops: flops) {
                kernel.weightGradient(
                    input: input, outputGradient: outputGradient, parts: parts, canonical: canonical,
                    context: step.context)
            }
            guard let gradientWeights, let inputGradient else { return }
            step.clock.measure(layer, .dataGradient, name, flops: flops) {
                kernel.dataGradient(
                    outputGradient: outputGradient, weights: gradientWeights, inputGradient: inputGradient,
                    accumulate: accumulate, context: step.context)
            }
        }
    }
}
