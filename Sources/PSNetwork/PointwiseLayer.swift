// The 1x1 convolutions that read one map, computed together, each with what follows it; and the dense layer of a head.

import PSKernels
import PSModel
import PSParameters
import PSPlanning

/// One of them. Where the model has an average pool before the convolution, the layer pools the products instead, which
/// are fewer: both are linear, so the result is the same.
struct PointwiseMember {
    let name: String
    let parameters: LayerParameters
    /// Where the products go: the output, or before a pool memory of their own.
    let product: FeatureMap
    /// Of the products, where they are pooled.
    let productGradient: FeatureMap?
    let pool: (shape: PoolShape, countBorder: Bool)?
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let epilogue: Epilogue
    /// Where its weights' gradient lies in the flat vector.
    let weightOffset: Int
    /// Nil in inference, where batch norm is folded into the weights, and where readers have nothing to do.
    let reader: ReaderUnit?
}

extension PointwiseMember {
    /// In inference, what follows the product.
    fileprivate func addFoldedBias(_ pixels: Range<Int>) {
        if epilogue.shift == .none { return }
        Bias.add(parameters.foldedBias, floor: epilogue.floor, to: output, pixels: pixels)
    }
}

struct PointwiseLayer: Layer {
    let name: String
    let kernels: PointwiseKernels
    let members: [PointwiseMember]
    let input: InputMap
    /// All members' weights for the data gradient; nil where the input is the images, and in inference.
    let gradientWeights: UnsafeMutablePointer<Float>?
    let inputGradient: FeatureMap?
    let accumulates: Bool
    let workspace: UnsafeMutablePointer<Float>

    func forward(_ step: StepEnvironment) {
        let group = kernels.group
        step.clock.measure(name, .forward, "1x1", flops: kernels.flops) {
            var moments: [UnsafeMutablePointer<Float>] = []
            var free = workspace
            for member in members {
                moments.append(free)
                free += 2 * member.output.channels * group.chunks.pieces
            }
            group.forward(
                input: input, weights: members.map { UnsafePointer($0.parameters.weights) },
                outputs: members.map(\.product), context: step.context
            ) { chunk, pixels in
                for (member, moments) in zip(members, moments)
                where member.pool == nil && member.reader?.wantsMoments == true {
                    let channels = member.output.channels
                    BatchNorm.partMoments(
                        member.output, pixels: pixels, channels: 0..<channels, moments: moments + chunk * 2 * channels)
                }
            }
            for (member, moments) in zip(members, moments) where member.pool == nil {
                let channels = 0..<member.output.channels
                member.reader?.finish(
                    moments, parts: group.chunks.pieces, part: { (group.chunks[$0].count, channels) }, step)
            }
        }
        for member in members where member.pool != nil { poolForward(member, step) }
    }

    private func poolForward(_ member: PointwiseMember, _ step: StepEnvironment) {
        guard let pool = member.pool else { return }
        step.clock.measure(member.name, .forward, "average pool") {
            let moments = workspace
            let channels = 0..<member.output.channels
            pool.shape.averageForward(
                InputMap(member.product), to: member.output, countBorder: pool.countBorder, context: step.context
            ) { piece, pixels in
                guard member.reader?.wantsMoments == true else { return }
                BatchNorm.partMoments(
                    member.output, pixels: pixels, channels: channels, moments: moments + piece * 2 * channels.count)
            }
            let cut = pool.shape.averageCut
            member.reader?.finish(moments, parts: cut.pieces, part: { (cut[$0].count, channels) }, step)
        }
    }

    func backward(_ step: StepEnvironment) {
        let gradients = members.map { outputGradient($0, step) }
        step.clock.measureBackward(name, "1x1", flops: kernels.flops, hasDataGradient: gradientWeights != nil) {
            kernels.group.backward(
                input: input, outputGradients: gradients, gradientWeights: gradientWeights,
                inputGradient: inputGradient, accumulate: accumulates,
                parts: workspace,
                canonical: members.map { step.gradients + $0.weightOffset },
                context: step.context)
        }
    }

    /// The gradient of a member's products.
    private func outputGradient(_ member: PointwiseMember, _ step: StepEnvironment) -> GradientMap {
        guard let outputGradient = member.outputGradient else {
            preconditionFailure("\(name): a network for inference has no backward")
        }
        let gradient = member.reader?.backward(parts: workspace, step) ?? GradientMap(outputGradient)
        guard let pool = member.pool, let productGradient = member.productGradient else { return gradient }
        step.clock.measure(member.name, .dataGradient, "average pool") {
            pool.shape.averageBackward(
                outputGradient: gradient.materialised(step.context).map, inputGradient: productGradient,
                countBorder: pool.countBorder, accumulate: false, context: step.context)
        }
        return GradientMap(productGradient)
    }

    func infer(_ context: KernelContext) {
        kernels.group.forward(
            input: input, weights: members.map { UnsafePointer($0.parameters.weights) },
            outputs: members.map(\.product), context: context
        ) { _, pixels in
            for member in members where member.pool == nil {
                member.addFoldedBias(pixels)
            }
        }
        for member in members {
            guard let pool = member.pool else { continue }
            pool.shape.averageForward(
                InputMap(member.product), to: member.output, countBorder: pool.countBorder, context: context
            ) { _, pixels in member.addFoldedBias(pixels) }
        }
    }
}

/// output = input * weights^T + bias, one pixel an image.
struct DenseLayer: Layer {
    let name: String
    let kernels: PointwiseKernels
    let tensors: Node.Tensors
    let layout: ParameterLayout
    let parameters: LayerParameters
    let input: InputMap
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool
    let workspace: UnsafeMutablePointer<Float>

    func forward(_ step: StepEnvironment) {
        step.clock.measure(name, .forward, "dense", flops: kernels.flops) { infer(step.context) }
    }

    func infer(_ context: KernelContext) {
        kernels.group.forward(
            input: input, weights: [UnsafePointer(parameters.weights)], outputs: [output], context: context)
        Bias.add(parameters.bias, to: output)
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient else { preconditionFailure("\(name): a network for inference has no backward") }
        Bias.gradient(outputGradient: outputGradient, into: step.gradients + layout.offsets[tensors.bias!])
        step.clock.measureBackward(
            name, "dense", flops: kernels.flops, hasDataGradient: parameters.gradientWeights != nil
        ) {
            kernels.group.backward(
                input: input, outputGradients: [GradientMap(outputGradient)],
                gradientWeights: parameters.gradientWeights,
                inputGradient: inputGradient, accumulate: accumulates,
                parts: workspace, canonical: [step.gradients + layout.offsets[tensors.weight!]], context: step.context)
        }
    }
}
