// Makes the layers of a plan over the arena's memory.

import PSKernels
import PSModel
import PSParameters

extension NetworkMemory {
    private func scale(_ place: Placement) -> UnsafeMutablePointer<Float>? {
        place.norm?.region.map { base($0) + place.channelOffset }
    }

    private func shift(_ place: Placement) -> UnsafeMutablePointer<Float>? {
        place.norm?.region.map { base($0) + place.normChannels + place.channelOffset }
    }

    /// A stage's map as its readers see it.
    private func read(_ stage: Int) -> InputMap {
        let place = plan.stages[stage].output!
        guard let norm = place.norm else { return InputMap(map(stage)) }
        let identity = base(plan.identity)
        return InputMap(
            map(stage),
            norm: InputMap.Norm(
                scale: scale(place) ?? identity, shift: shift(place) ?? identity + plan.identityChannels,
                floor: norm.floor))
    }

    /// Readers of a concat normalise all of its channels; those of a pool beside convolutions stay what they are.
    func passThrough(_ stage: StagePlan) {
        guard stage.stage.epilogue == nil, stage.stage.work != .concat, stage.stage.work != .relu,
            let place = stage.output, let scale = scale(place), let shift = shift(place)
        else { return }
        scale.update(repeating: 1, count: stage.stage.shape.channels)
        shift.update(repeating: 0, count: stage.stage.shape.channels)
    }

    func makeLayer(_ plan: StagePlan) -> PlacedLayer? {
        let layer: any Layer
        let (stage, index) = (plan.stage, plan.index)
        switch plan.kernel {
        case .none: return nil
        case .convolution(let kernels): layer = makeConvolution(plan, kernels)
        case .pointwise(let kernels): return makePointwise(plan, kernels)
        case .dense(let kernels): layer = makeDense(plan, kernels)
        case .maxPool(let shape, let taps):
            let bytes = taps.map { UnsafeMutableRawPointer(base($0)).assumingMemoryBound(to: UInt8.self) }
            layer = makePlain(plan, .max(shape, taps: bytes))
        case .averagePool(let shape, let countBorder):
            layer = makePlain(plan, .average(shape, countBorder: countBorder))
        case .adaptivePool(let pool): layer = makePlain(plan, .adaptive(pool))
        case .add(let scale, let rectifies):
            layer = SumLayer(
                name: stage.name, factor: scale, floor: rectifies ? 0 : -.infinity, inputs: plan.sources.map(read),
                output: map(index), outputGradient: gradient(index), inputGradients: plan.sources.map(gradient),
                accumulates: plan.accumulates)
        case .relu:
            layer = ReLULayer(
                name: stage.name, input: read(plan.sources[0]), outputGradient: gradient(index),
                inputGradient: gradient(plan.sources[0]), accumulates: plan.accumulates[0])
        case .localResponseNorm(let norm): layer = makePlain(plan, .responseNorm(norm))
        case .dropout(let probability, let stream):
            layer = DropoutLayer(
                name: stage.name, stream: stream, probability: Float(probability), input: read(plan.sources[0]),
                output: map(index), outputGradient: gradient(index), inputGradient: gradient(plan.sources[0]),
                accumulates: plan.accumulates[0])
        }
        return PlacedLayer(work: layer, stages: [stage])
    }

    private func makeConvolution(_ stage: StagePlan, _ kernels: ConvolutionKernels) -> ConvolutionLayer {
        let source = stage.sources[0]
        let parameters = makeParameters(stage.stage, kernels.parameters)
        let (forward, backward) = (kernels.forward, kernels.backward)
        // One algorithm for both directions prepares both forms of the weights together.
        let isShared = forward.isSame(as: backward)
        preparations.append(
            Preparation(
                name: stage.stage.name, parameters: parameters, epilogue: stage.stage.epilogue ?? Epilogue(),
                hasGamma: stage.stage.tensors.scale != nil,
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
            name: stage.stage.name, kernels: kernels, parameters: parameters, input: read(source),
            output: map(stage.index), outputGradient: gradient(stage.index), inputGradient: gradient(source),
            accumulates: stage.accumulates[0], epilogue: stage.stage.epilogue ?? Epilogue(),
            weightOffset: weightOffset(stage.stage), reader: makeReader(stage.stage, parameters),
            workspace: base(plan.workspace))
    }

    private func makePointwise(_ leader: StagePlan, _ kernels: PointwiseKernels) -> PlacedLayer {
        var members: [PointwiseMember] = []
        for (position, member) in kernels.members.enumerated() {
            let stage = plan.stages[member.stage].stage
            let parameters = makeParameters(stage, member.parameters, gradientWeights: kernels.gradientWeights)
            prepare(stage, parameters, kernels, member: position)
            let output = map(stage.index)
            members.append(
                PointwiseMember(
                    name: stage.name, parameters: parameters,
                    product: member.pool.map { map(region: $0.product, stage.shape) } ?? output,
                    productGradient: member.pool?.gradient.map { map(region: $0, stage.shape) },
                    pool: member.pool.map { ($0.shape, $0.countBorder) }, output: output,
                    outputGradient: gradient(stage.index), epilogue: stage.epilogue ?? Epilogue(),
                    weightOffset: weightOffset(stage), reader: makeReader(stage, parameters)))
        }
        let stages = kernels.members.map { plan.stages[$0.stage].stage }
        let source = leader.sources[0]
        let layer = PointwiseLayer(
            name: groupName(stages.map(\.name)), kernels: kernels, members: members, input: read(source),
            gradientWeights: kernels.gradientWeights.map(base), inputGradient: gradient(source),
            accumulates: leader.accumulates[0], workspace: base(plan.workspace))
        return PlacedLayer(work: layer, stages: stages)
    }

    /// A map of its own, without neighbours.
    private func map(region: Int, _ shape: MapShape) -> FeatureMap {
        FeatureMap(
            base: base(region), batch: plan.batch, height: shape.height, width: shape.width, channels: shape.channels)
    }

    /// "Mixed_5b.branch1x1 + branch5x5_1": the first in full, the others without the block's name.
    private func groupName(_ names: [String]) -> String {
        let block = names[0].split(separator: ".").dropLast().joined(separator: ".")
        return
            ([names[0]]
            + names.dropFirst().map { $0.hasPrefix(block + ".") ? String($0.dropFirst(block.count + 1)) : $0 })
            .joined(separator: " + ")
    }

    private func makeDense(_ stage: StagePlan, _ kernels: PointwiseKernels) -> DenseLayer {
        let parameters = makeParameters(
            stage.stage, kernels.members[0].parameters, gradientWeights: kernels.gradientWeights)
        prepare(stage.stage, parameters, kernels, member: 0)
        return DenseLayer(
            name: stage.stage.name, kernels: kernels, tensors: stage.stage.tensors, layout: plan.description.layout,
            parameters: parameters, input: read(stage.sources[0]), output: map(stage.index),
            outputGradient: gradient(stage.index), inputGradient: gradient(stage.sources[0]),
            accumulates: stage.accumulates[0], workspace: base(plan.workspace))
    }

    private func makeReader(_ stage: Stage, _ parameters: LayerParameters) -> ReaderUnit? {
        let place = plan.stages[stage.index].output!
        guard let epilogue = stage.epilogue, let scale = scale(place), let shift = shift(place) else { return nil }
        return ReaderUnit(
            stage: stage, epilogue: epilogue, layout: plan.description.layout, parameters: parameters,
            map: map(stage.index), gradient: gradient(stage.index),
            state: BatchNormState(
                scale: scale, shift: shift, floor: epilogue.floor, vectors: parameters.norm,
                channels: stage.shape.channels))
    }

    private func makePlain(_ stage: StagePlan, _ kind: PlainLayer.Kind) -> PlainLayer {
        PlainLayer(
            name: stage.stage.name, kind: kind, input: read(stage.sources[0]), output: map(stage.index),
            outputGradient: gradient(stage.index), inputGradient: gradient(stage.sources[0]),
            accumulates: stage.accumulates[0])
    }

    private func weightOffset(_ stage: Stage) -> Int { plan.description.layout.offsets[stage.tensors.weight!] }

    private func makeParameters(
        _ stage: Stage, _ regions: ParameterRegions, gradientWeights: Int? = nil
    ) -> LayerParameters {
        let parameters = LayerParameters(regions, gradientWeights: gradientWeights, base: base)
        var tensors = [
            (stage.tensors.weight, parameters.canonical), (stage.tensors.scale, parameters.gamma),
            (stage.tensors.bias, parameters.bias), (stage.innerBias, parameters.innerBias),
        ]
        if plan.mode == .inference || plan.description.settings.batchNorm == .frozen {
            tensors.append((stage.tensors.runningMean, parameters.runningMean))
            tensors.append((stage.tensors.runningVariance, parameters.runningVariance))
        }
        for (tensor, target) in tensors {
            if let tensor { targets[tensor] = target }
        }
        return parameters
    }

    private func prepare(_ stage: Stage, _ parameters: LayerParameters, _ kernels: PointwiseKernels, member: Int) {
        let group = kernels.group
        preparations.append(
            Preparation(
                name: stage.name, parameters: parameters, epilogue: stage.epilogue ?? Epilogue(),
                hasGamma: stage.tensors.scale != nil, items: group.prepareItems(member: member)
            ) { item, canonical in
                group.prepare(
                    member: member, item: item, canonical: canonical, weights: parameters.weights,
                    gradientWeights: parameters.gradientWeights)
            })
    }
}
