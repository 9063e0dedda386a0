// A planned network brought to life: its arena, its layers, and the way parameters come in.

import Glibc
import PSKernels
import PSModel
import PSParameters

/// One layer and the tensors it owns, node after node.
struct PlacedLayer {
    let work: any Layer
    let tensors: [Node.Tensors]
}

/// One layer's weights on their way from the canonical form into those its kernels multiply by.
private struct Preparation {
    let name: String
    let parameters: LayerParameters
    let hasNorm: Bool
    let hasGamma: Bool
    let items: Int
    let prepare: (_ item: Int, _ canonical: UnsafePointer<Float>) -> Void
}

/// Memory, threads and layers, shared by the two kinds of network.
final class NetworkMemory {
    let plan: NetworkPlan
    let arena: Arena
    let context: KernelContext
    /// In the order they run.
    private(set) var layers: [PlacedLayer] = []
    /// Where each tensor of the layout goes; nil for those this network does not use: the auxiliary head's in inference,
    /// running statistics in training, unless batch norm goes by them.
    private var targets: [UnsafeMutablePointer<Float>?]
    private var preparations: [Preparation] = []
    /// Whether weights came since they were prepared last.
    private var isStale = true

    init(plan: NetworkPlan, threads: Int) throws(NetworkError) {
        self.plan = plan
        arena = try Arena(floats: plan.arena.floatCount)
        do throws(KernelError) {
            context = try KernelContext(
                threads: threads, scratch: arena.base + plan.arena.offset(plan.scratch),
                scratchFloats: plan.scratchFloats)
        } catch {
            throw .kernel(error)
        }
        targets = [UnsafeMutablePointer<Float>?](repeating: nil, count: plan.description.layout.tensors.count)
        for node in plan.nodes where node.isUsed {
            passThrough(node)
            if let layer = makeLayer(node) { layers.append(layer) }
        }
    }

    /// The output of a node.
    func map(_ node: Int) -> FeatureMap { map(plan.nodes[node].output!, plan.nodes[node].node.shape) }

    /// The gradient of a node's output.
    func gradient(_ node: Int) -> FeatureMap? {
        plan.nodes[node].outputGradient.map { map($0, plan.nodes[node].node.shape) }
    }

    // MARK: what comes in

    /// Takes the images of a batch; missing ones are zeros, for the plan is made for full batches.
    /// What torchvision's `transform_input` does: ImageNet's mean and deviation of each channel out, 0.5 and 0.5 in.
    private static func transform(_ values: UnsafeMutablePointer<Float>, count: Int) {
        let channels: [(scale: Float, shift: Float)] = [
            (0.229 / 0.5, (0.485 - 0.5) / 0.5), (0.224 / 0.5, (0.456 - 0.5) / 0.5), (0.225 / 0.5, (0.406 - 0.5) / 0.5),
        ]
        for index in 0..<count {
            let (scale, shift) = channels[index % 3]
            values[index] = values[index] * scale + shift
        }
    }

    func takeImages(_ images: UnsafePointer<Float>, count: Int) {
        let input = map(0)
        let perImage = input.height * input.width * input.channels
        context.pool.run(plan.batch) { image, _ in
            let target = input.base + image * perImage
            if image < count {
                target.update(from: images + image * perImage, count: perImage)
                if plan.description.settings.transformInput { NetworkMemory.transform(target, count: perImage) }
            } else {
                target.update(repeating: 0, count: perImage)
            }
        }
    }

    /// Takes the canonical values of one slice.
    func load(elements: Range<Int>, from values: UnsafePointer<Float>) {
        let layout = plan.description.layout
        guard let slice = layout.slices.first(where: { $0.range == elements }) else {
            preconditionFailure("elements \(elements) are not a slice of the layout")
        }
        for piece in slice.pieces {
            let source = values + (piece.range.lowerBound - elements.lowerBound)
            let first = piece.range.lowerBound - layout.offsets[piece.tensor]
            guard let target = targets[piece.tensor] else { continue }
            (target + first).update(from: source, count: piece.range.count)
        }
        isStale = true
    }

    /// Brings the weights loaded last into the forms training multiplies by.
    func prepareWeights(_ clock: LayerClock) {
        guard isStale else { return }
        isStale = false
        if clock.isRunning {
            for layer in preparations {
                clock.measure(layer.name, .weights, "weights") {
                    context.pool.run(layer.items) { item, _ in layer.prepare(item, layer.parameters.canonical) }
                }
            }
            return
        }
        // All layers in one loop, so that small ones do not leave threads without work.
        let items = preparations.indices.flatMap { layer in
            (0..<preparations[layer].items).map { (layer, $0) }
        }
        context.pool.run(items.count) { index, _ in
            let (layer, item) = items[index]
            preparations[layer].prepare(item, preparations[layer].parameters.canonical)
        }
    }

    /// The same for inference, with batch norm's scale folded into the weights.
    func prepareFoldedWeights() {
        guard isStale else { return }
        isStale = false
        let folded = base(plan.workspace)
        for layer in preparations {
            if layer.hasNorm { layer.parameters.fold(hasGamma: layer.hasGamma, into: folded) }
            let source = layer.hasNorm ? folded : layer.parameters.canonical
            context.pool.run(layer.items) { item, _ in layer.prepare(item, source) }
        }
    }

    // MARK: layers

    private func base(_ region: Int) -> UnsafeMutablePointer<Float> { arena.base + plan.arena.offset(region) }

    private func map(_ place: Placement, _ shape: MapShape) -> FeatureMap {
        FeatureMap(
            base: base(place.region) + place.channelOffset, batch: plan.batch, height: shape.height,
            width: shape.width, channels: shape.channels, pixelStride: place.pixelStride)
    }

    /// A map of its own, without neighbours.
    private func map(region: Int, _ shape: MapShape) -> FeatureMap {
        FeatureMap(
            base: base(region), batch: plan.batch, height: shape.height, width: shape.width, channels: shape.channels)
    }

    private func scale(_ place: Placement) -> UnsafeMutablePointer<Float>? {
        place.norm.map { base($0) + place.channelOffset }
    }

    private func shift(_ place: Placement) -> UnsafeMutablePointer<Float>? {
        place.norm.map { base($0) + place.normChannels + place.channelOffset }
    }

    /// A node's map as its readers see it.
    private func read(_ node: Int) -> InputMap {
        let place = plan.nodes[node].output!
        guard let scale = scale(place), let shift = shift(place) else { return InputMap(map(node)) }
        return InputMap(map(node), norm: InputMap.Norm(scale: scale, shift: shift))
    }

    /// Readers of a concat normalise all of its channels; those of a pool beside convolutions stay what they are.
    private func passThrough(_ nodePlan: NodePlan) {
        if case .convolution = nodePlan.node.operation { return }
        guard nodePlan.node.operation != .concat, let place = nodePlan.output, let scale = scale(place),
            let shift = shift(place)
        else { return }
        scale.update(repeating: 1, count: nodePlan.node.shape.channels)
        shift.update(repeating: 0, count: nodePlan.node.shape.channels)
    }

    private func makeLayer(_ nodePlan: NodePlan) -> PlacedLayer? {
        let node = nodePlan.node
        guard let source = nodePlan.source else { return nil }
        let layer: any Layer
        switch nodePlan.kernel {
        case .none: return nil
        case .convolution(let kernels): layer = makeConvolution(nodePlan, kernels, source)
        case .pointwise(let kernels): return makePointwise(nodePlan, kernels, source)
        case .dense(let kernels):
            let parameters = makeParameters(
                node, kernels.members[0].parameters, gradientWeights: kernels.gradientWeights)
            prepare(node, parameters, kernels, member: 0)
            layer = DenseLayer(
                name: node.name, kernels: kernels, tensors: node.tensors, layout: plan.description.layout,
                parameters: parameters, input: read(source), output: map(node.index),
                outputGradient: gradient(node.index), inputGradient: gradient(source),
                accumulates: nodePlan.accumulates, workspace: base(plan.workspace))
        case .maxPool(let shape, let taps):
            let bytes = taps.map { UnsafeMutableRawPointer(base($0)).assumingMemoryBound(to: UInt8.self) }
            layer = makePool(nodePlan, shape, .max(taps: bytes))
        case .averagePool(let shape, let countBorder):
            layer = makePool(nodePlan, shape, .average(countBorder: countBorder))
        case .dropout(let probability):
            precondition(plan.nodes[source].output!.norm == nil, "\(node.name): dropout reads maps as they are")
            layer = DropoutLayer(
                name: node.name, node: node.index, probability: Float(probability), input: map(source),
                output: map(node.index),
                outputGradient: gradient(node.index), inputGradient: gradient(source),
                accumulates: nodePlan.accumulates)
        }
        return PlacedLayer(work: layer, tensors: [node.tensors])
    }

    private func makeConvolution(
        _ nodePlan: NodePlan, _ kernels: ConvolutionKernels, _ source: Int
    ) -> ConvolutionLayer {
        let node = nodePlan.node
        let parameters = makeParameters(node, kernels.parameters)
        let (forward, backward) = (kernels.forward, kernels.backward)
        // One algorithm for both directions prepares both forms of the weights together.
        let isShared = forward == backward
        preparations.append(
            Preparation(
                name: node.name, parameters: parameters, hasNorm: true, hasGamma: node.tensors.scale != nil,
                items: forward.prepareItems
                    + (isShared || parameters.gradientWeights == nil ? 0 : backward.prepareItems)
            ) { item, canonical in
                if item < forward.prepareItems {
                    forward.prepare(
                        item: item, canonical: canonical, weights: parameters.weights,
                        gradientWeights: isShared ? parameters.gradientWeights : nil)
                } else {
                    backward.prepare(
                        item: item - forward.prepareItems, canonical: canonical, weights: nil,
                        gradientWeights: parameters.gradientWeights)
                }
            })
        return ConvolutionLayer(
            name: node.name, kernels: kernels, parameters: parameters, input: read(source), output: map(node.index),
            inputGradient: gradient(source), accumulates: nodePlan.accumulates, norm: makeNorm(node, parameters),
            workspace: base(plan.workspace))
    }

    private func makePointwise(_ nodePlan: NodePlan, _ kernels: PointwiseKernels, _ source: Int) -> PlacedLayer {
        var members: [PointwiseMember] = []
        for (position, member) in kernels.members.enumerated() {
            let node = plan.nodes[member.node].node
            let parameters = makeParameters(node, member.parameters, gradientWeights: kernels.gradientWeights)
            prepare(node, parameters, kernels, member: position)
            let output = map(node.index)
            members.append(
                PointwiseMember(
                    parameters: parameters,
                    product: member.pool.map { map(region: $0.product, node.shape) } ?? output,
                    productGradient: member.pool?.gradient.map { map(region: $0, node.shape) },
                    pool: member.pool.map { ($0.shape, $0.countBorder) }, output: output,
                    norm: makeNorm(node, parameters)))
        }
        let names = kernels.members.map { plan.nodes[$0.node].node.name }
        let layer = PointwiseLayer(
            name: groupName(names), kernels: kernels, members: members, input: read(source),
            gradientWeights: kernels.gradientWeights.map(base), inputGradient: gradient(source),
            accumulates: nodePlan.accumulates, workspace: base(plan.workspace))
        return PlacedLayer(work: layer, tensors: kernels.members.map { plan.nodes[$0.node].node.tensors })
    }

    /// "Mixed_5b.branch1x1 + branch5x5_1": the first in full, the others without the block's name.
    private func groupName(_ names: [String]) -> String {
        let block = names[0].split(separator: ".").dropLast().joined(separator: ".")
        return
            ([names[0]]
            + names.dropFirst().map { $0.hasPrefix(block + ".") ? String($0.dropFirst(block.count + 1)) : $0 })
            .joined(separator: " + ")
    }

    private func makeNorm(_ node: Node, _ parameters: LayerParameters) -> NormUnit? {
        let place = plan.nodes[node.index].output!
        guard let scale = scale(place), let shift = shift(place) else { return nil }
        return NormUnit(
            name: node.name, tensors: node.tensors, layout: plan.description.layout, parameters: parameters,
            map: map(node.index), gradient: gradient(node.index),
            state: BatchNormState(
                scale: scale, shift: shift, vectors: parameters.norm, channels: node.shape.channels))
    }

    private func makePool(_ nodePlan: NodePlan, _ shape: PoolShape, _ kind: PoolLayer.Kind) -> PoolLayer {
        let source = nodePlan.source!
        return PoolLayer(
            name: nodePlan.node.name, shape: shape, kind: kind, input: read(source), output: map(nodePlan.node.index),
            outputGradient: gradient(nodePlan.node.index), inputGradient: gradient(source),
            accumulates: nodePlan.accumulates)
    }

    private func makeParameters(
        _ node: Node, _ regions: ParameterRegions, gradientWeights: Int? = nil
    ) -> LayerParameters {
        let parameters = LayerParameters(regions, gradientWeights: gradientWeights, base: base)
        var tensors = [
            (node.tensors.weight, parameters.canonical), (node.tensors.scale, parameters.gamma),
            (node.tensors.bias, parameters.bias),
        ]
        if plan.mode == .inference || plan.description.settings.batchNorm == .frozen {
            tensors.append((node.tensors.runningMean, parameters.runningMean))
            tensors.append((node.tensors.runningVariance, parameters.runningVariance))
        }
        for (tensor, target) in tensors {
            if let tensor { targets[tensor] = target }
        }
        return parameters
    }

    private func prepare(_ node: Node, _ parameters: LayerParameters, _ kernels: PointwiseKernels, member: Int) {
        let group = kernels.group
        preparations.append(
            Preparation(
                name: node.name, parameters: parameters, hasNorm: node.operation != .dense,
                hasGamma: node.tensors.scale != nil, items: group.prepareItems(member: member)
            ) { item, canonical in
                group.prepare(
                    member: member, item: item, canonical: canonical, weights: parameters.weights,
                    gradientWeights: parameters.gradientWeights)
            })
    }
}
