// Placement: where maps and their gradients lie, how long they are needed, and what their readers do to them.

import PSKernels
import PSModel

extension NetworkPlan {
    /// Gives every stage its output and, in training, its gradient; a concat's branches get slices of it.
    mutating func placeMaps() {
        for index in stages.indices.reversed()
        where stages[index].isUsed && !stages[index].isTakenOver && stages[index].output == nil
            && stages[index].stage.work != .relu
        {
            placeMap(index)
        }
        for index in stages.indices where stages[index].isUsed && stages[index].stage.work == .relu { placeView(index) }
        for index in stages.indices where stages[index].isUsed {
            stages[index].accumulates = stages[index].sources.map { source in
                // Backward meets a map's last layer first.
                readers(source).map { stages[$0].leader }.max() != stages[index].leader
            }
        }
    }

    private mutating func placeMap(_ index: Int) {
        let stage = stages[index].stage
        let isConcat = stage.work == .concat
        let members = isConcat ? stage.inputs : [index]
        let channels = stage.shape.channels
        let stride = paddedStride(channels)
        let floats = batch * stage.shape.pixels * stride
        let norm = floor(members, stage.name).map {
            Placement.Norm(region: arena.reserve(floats: 2 * channels, lifetime: wholeStep), floor: $0)
        }
        let output = arena.reserve(floats: floats, lifetime: outputLifetime(index, members))
        let gradient = gradientLifetime(index, members).map { arena.reserve(floats: floats, lifetime: $0) }
        func place(_ target: Int, _ offset: Int) {
            stages[target].output = Placement(
                region: output, channelOffset: offset, pixelStride: stride, norm: norm, normChannels: channels)
            stages[target].outputGradient = gradient.map {
                Placement(region: $0, channelOffset: offset, pixelStride: stride, norm: nil, normChannels: channels)
            }
        }
        place(index, 0)
        guard isConcat else { return }
        var offset = 0
        for branch in members {
            precondition(
                stages[branch].output == nil && stages[branch].stage.work != .concat
                    && stages[branch].stage.work != .relu && readers(branch) == [index],
                "\(stages[branch].stage.name): a branch of a concat has a map of its own and feeds nothing else")
            place(branch, offset)
            offset += stages[branch].stage.shape.channels
        }
    }

    /// A ReLU that nothing took along: the map before it, read with a floor of 0; its gradient is its own.
    private mutating func placeView(_ index: Int) {
        let shape = stages[index].stage.shape
        let source = stages[stages[index].sources[0]].output!
        stages[index].output = Placement(
            region: source.region, channelOffset: source.channelOffset, pixelStride: source.pixelStride,
            norm: Placement.Norm(region: source.norm?.region, floor: 0), normChannels: source.normChannels)
        guard mode == .training else { return }
        let stride = paddedStride(shape.channels)
        let first = readers(index).map(backwardTime).min()!
        let gradient = arena.reserve(
            floats: batch * shape.pixels * stride, lifetime: first...backwardTime(index))
        stages[index].outputGradient = Placement(
            region: gradient, channelOffset: 0, pixelStride: stride, norm: nil, normChannels: shape.channels)
    }

    /// The floor of those who read a map of these stages; nil if they read it as it is.
    private func floor(_ members: [Int], _ name: String) -> Float? {
        guard mode == .training else { return nil }
        let floors = Set(members.compactMap { stages[$0].stage.epilogue?.floor })
        guard let floor = floors.first else { return nil }
        precondition(
            floors.count == 1
                && members.allSatisfy { stages[$0].stage.epilogue != nil || floor < 0 || isNeverNegative($0) },
            "\(name): its readers would clip some of its values at 0")
        return floor
    }

    /// Whether a reader's ReLU changes nothing.
    private func isNeverNegative(_ index: Int) -> Bool {
        switch stages[index].stage.work {
        case .convolution(_, _, let epilogue): epilogue.rectifies
        case .add(_, let rectifies): rectifies
        case .maxPool, .averagePool, .adaptiveAveragePool, .localResponseNorm, .dropout, .concat:
            stages[index].stage.inputs.allSatisfy(isNeverNegative)
        case .relu: true
        case .input, .dense: false
        }
    }

    /// Pixels 8 KB apart would all fall into the same few cache sets.
    private func paddedStride(_ channels: Int) -> Int { channels % 2048 == 0 ? channels + 16 : channels }

    private func outputLifetime(_ index: Int, _ members: [Int]) -> ClosedRange<Int> {
        let first = members.map(forwardTime).min()!
        var last = lastRead(index)
        if mode == .training {
            for member in members {
                switch stages[member].stage.work {
                // The backward of a norm reads what its convolution wrote, that of a sum where its ReLU was open.
                case .convolution, .add(_, rectifies: true): last = max(last, backwardTime(member))
                default: break
                }
            }
        }
        // Logits are read after the step.
        if heads.contains(index) { last = 2 * stages.count }
        return first...last
    }

    /// When the last reader of a map looks at it.
    private func lastRead(_ index: Int) -> Int {
        var last = index
        for reader in readers(index) {
            switch stages[reader].stage.work {
            case .convolution, .dense, .localResponseNorm:
                last = max(last, mode == .training ? backwardTime(reader) : forwardTime(reader))
            case .relu: last = max(last, lastRead(reader), mode == .training ? backwardTime(reader) : 0)
            default: last = max(last, forwardTime(reader))
            }
        }
        return last
    }

    private func gradientLifetime(_ index: Int, _ members: [Int]) -> ClosedRange<Int>? {
        guard mode == .training, stages[index].stage.work != .input else { return nil }
        // The gradient of logits is there as soon as the loss is.
        let first = readers(index).map(backwardTime).min() ?? stages.count
        return first...members.map(backwardTime).max()!
    }
}
