// The choice of kernels, and the memory they ask for.

import PSKernels
import PSModel
import PSPlanning

extension NetworkPlan {
    mutating func planKernels(_ index: Int) {
        let stage = stages[index].stage
        switch stage.work {
        case .input, .concat: break
        case .convolution(let window, let groups, let epilogue):
            if !isPointwise(index) {
                stages[index].kernel = .convolution(planConvolution(index, window, groups: groups, epilogue))
            } else if stages[index].leader == index {
                stages[index].kernel = .pointwise(planPointwise(index))
            }
        case .dense: stages[index].kernel = .dense(planPointwise(index))
        case .maxPool(let window):
            let taps =
                mode == .inference
                ? nil
                : arena.reserve(
                    floats: (batch * stage.shape.elements + 3) / 4, lifetime: index...backwardTime(index))
            stages[index].kernel = .maxPool(poolShape(stage, window), taps: taps)
        case .averagePool(let window, let border):
            if !stages[index].isTakenOver {
                stages[index].kernel = .averagePool(poolShape(stage, window), countBorder: border == .counted)
            }
        case .adaptiveAveragePool: stages[index].kernel = adaptivePool(stage)
        case .add(let scale, let rectifies): stages[index].kernel = .add(scale: scale, rectifies: rectifies)
        case .relu: stages[index].kernel = .relu
        case .localResponseNorm(let norm):
            stages[index].kernel = .localResponseNorm(norm)
            scratchFloats = max(scratchFloats, norm.scratchFloats(channels: stage.shape.channels))
        case .dropout(let probability, let stream):
            stages[index].kernel = .dropout(probability: probability, stream: stream)
            scratchFloats = max(scratchFloats, stage.shape.channels)
        }
    }

    private func adaptivePool(_ stage: Stage) -> StageKernel {
        let map = stages[stage.inputs[0]].stage.shape
        if stage.shape.pixels == 1 {
            return .averagePool(
                PoolShape.global(batch: batch, map: map.extent, channels: map.channels), countBorder: false)
        }
        let window = SlidingWindow(input: map.extent, kernel: 1, output: stage.shape.extent)
        return .adaptivePool(AdaptivePool(batch: batch, channels: map.channels, window: window))
    }

    private func needsDataGradient(_ index: Int) -> Bool {
        mode == .training && stages[stages[index].sources[0]].stage.work != .input
    }

    private mutating func reserveParameters(
        outputChannels: Int, perOutput: Int, weightFloats: Int, gradientWeightFloats: Int?
    ) -> ParameterRegions {
        ParameterRegions(
            outputChannels: outputChannels, perOutput: perOutput,
            canonical: arena.reserve(floats: outputChannels * perOutput, lifetime: wholeStep),
            weights: arena.reserve(floats: weightFloats, lifetime: wholeStep),
            gradientWeights: gradientWeightFloats.map { arena.reserve(floats: $0, lifetime: wholeStep) },
            vectors: arena.reserve(floats: LayerParameters.vectorCount * outputChannels, lifetime: wholeStep))
    }

    private mutating func planConvolution(
        _ index: Int, _ window: Window, groups: Int, _ epilogue: Epilogue
    ) -> ConvolutionKernels {
        let stage = stages[index].stage
        let shape = ConvolutionShape(
            batch: batch, window: slidingWindow(stage, window),
            inputChannels: stages[stage.inputs[0]].stage.shape.channels / groups,
            outputChannels: stage.shape.channels)
        let choice = engine[stage.name]
        let forward = shape.kernel(choice.forward, groups: groups)
        let backward = shape.kernel(choice.backward, groups: groups)
        let kernels = ConvolutionKernels(
            forward: forward, backward: backward,
            parameters: reserveParameters(
                outputChannels: shape.outputChannels, perOutput: shape.depth, weightFloats: forward.weightFloats,
                gradientWeightFloats: needsDataGradient(index) ? backward.gradientWeightFloats : nil),
            flops: 2 * Double(batch) * Double(stage.macs))
        scratchFloats = max(scratchFloats, forward.scratchFloats)
        switch mode {
        case .training:
            scratchFloats = max(scratchFloats, backward.scratchFloats)
            workspaceFloats = max(
                workspaceFloats, backward.partFloats, forward.itemCount * 2 * stage.shape.channels,
                BatchNorm.partFloats(pixels: batch * stage.shape.pixels, channels: stage.shape.channels))
        case .inference:
            if case .norm = epilogue.shift {
                workspaceFloats = max(workspaceFloats, shape.outputChannels * shape.depth)
            }
        }
        return kernels
    }

    private mutating func planPointwise(_ leader: Int) -> PointwiseKernels {
        let members = stages.indices.filter { stages[$0].isUsed && stages[$0].leader == leader }
        let pixels = batch * stages[leader].stage.shape.pixels
        let inputChannels = stages[stages[leader].sources[0]].stage.shape.channels
        let group = PointwiseGroup(
            pixels: pixels, inputChannels: inputChannels,
            outputChannels: members.map { stages[$0].stage.shape.channels })
        var planned: [PointwiseKernels.Member] = []
        for (position, member) in members.enumerated() {
            let stage = stages[member].stage
            let parameters = reserveParameters(
                outputChannels: stage.shape.channels, perOutput: inputChannels,
                weightFloats: group.weightFloats(member: position), gradientWeightFloats: nil)
            planned.append(
                PointwiseKernels.Member(
                    stage: member, parameters: parameters, pool: planTakenPool(member, leader: leader)))
            switch mode {
            case .training:
                workspaceFloats = max(
                    workspaceFloats, BatchNorm.partFloats(pixels: pixels, channels: stage.shape.channels))
            case .inference: workspaceFloats = max(workspaceFloats, stage.shape.channels * inputChannels)
            }
        }
        scratchFloats = max(scratchFloats, group.scratchFloats)
        if mode == .training {
            let channels = group.outputChannels.reduce(0, +)
            workspaceFloats = max(workspaceFloats, group.partFloats, group.chunks.pieces * 2 * channels)
        }
        return PointwiseKernels(
            group: group, members: planned,
            gradientWeights: needsDataGradient(leader)
                ? arena.reserve(floats: group.gradientWeightFloats, lifetime: wholeStep) : nil,
            flops: 2 * Double(batch) * Double(members.reduce(0) { $0 + stages[$1].stage.macs }))
    }

    /// The average pool that a member takes over, with memory for the products it pools.
    private mutating func planTakenPool(
        _ member: Int, leader: Int
    ) -> (shape: PoolShape, countBorder: Bool, product: Int, gradient: Int?)? {
        let stage = stages[member].stage
        let pool = stages[stage.inputs[0]]
        guard pool.isTakenOver, case .averagePool(let window, let border) = pool.stage.work else { return nil }
        let floats = batch * stage.shape.elements
        let shape = PoolShape(
            batch: batch, channels: stage.shape.channels, window: slidingWindow(pool.stage, window))
        let backward = backwardTime(leader)
        workspaceFloats = max(workspaceFloats, shape.averageCut.pieces * 2 * stage.shape.channels)
        return (
            shape, border == .counted, arena.reserve(floats: floats, lifetime: leader...leader),
            mode == .training ? arena.reserve(floats: floats, lifetime: backward...backward) : nil
        )
    }

    private func poolShape(_ stage: Stage, _ window: Window) -> PoolShape {
        PoolShape(batch: batch, channels: stage.shape.channels, window: slidingWindow(stage, window))
    }
}
