// A convolution with what follows it. Its map is stored as the convolution wrote it: readers normalise.

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
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool
    let epilogue: Epilogue
    /// Where its weights' gradient lies in the flat vector.
    let weightOffset: Int
    /// Nil in inference, where batch norm is folded into the weights, and where readers have nothing to do.
    let reader: ReaderUnit?
    let workspace: UnsafeMutablePointer<Float>

    func forward(_ step: StepEnvironment) {
        let kernel = kernels.forward
        let moments = workspace
        step.clock.measure(name, .forward, kernel.name, flops: kernels.flops) {
            kernel.forward(
                input: input, weights: parameters.weights, output: output, context: step.context
            ) { item, pixels, channels in
                guard let reader, reader.wantsMoments else { return }
                // What the item wrote is still in this core's cache.
                BatchNorm.partMoments(
                    output, pixels: pixels, channels: channels, moments: moments + item * 2 * output.channels)
            }
            reader?.finish(
                moments, parts: kernel.itemCount,
                part: { (kernel.pixels(ofItem: $0).count, kernel.channels(ofItem: $0)) }, step)
        }
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient else { preconditionFailure("\(name): a network for inference has no backward") }
        let gradient = reader?.backward(parts: workspace, step) ?? GradientMap(outputGradient)
        let kernel = kernels.backward
        step.clock.measureBackward(
            name, kernel.name, flops: kernels.flops, hasDataGradient: parameters.gradientWeights != nil
        ) {
            kernel.backward(
                input: input, outputGradient: gradient, gradientWeights: parameters.gradientWeights,
                inputGradient: inputGradient, accumulate: accumulates,
                parts: workspace, canonical: step.gradients + weightOffset,
                context: step.context)
        }
    }

    func infer(_ context: KernelContext) {
        kernels.forward.forward(
            input: input, weights: parameters.weights, output: output,
            bias: epilogue.shift == .none ? nil : parameters.foldedBias, floor: epilogue.floor, context: context
        ) { _, _, _ in }
    }
}
