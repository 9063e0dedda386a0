// Where every value of a network lies, how long it lives, and which kernels compute it: a function of the model, the
// batch, the mode and the job's choice of algorithms.

import PSKernels
import PSModel
import PSPlanning

/// Where a node's map lies: a region, or a slice of the region of the concat it feeds.
struct Placement {
    let region: Int
    let channelOffset: Int
    let pixelStride: Int
    /// The region of what readers of the whole map apply to it, all scales and then all shifts; nil if they read it as
    /// it is.
    let norm: Int?
    /// Channels of the whole map.
    let normChannels: Int
}

/// One node's places and kernels.
struct NodePlan {
    let node: Node
    /// False for nodes that the wanted outputs do not depend on.
    var isUsed = true
    /// The node whose layer computes this one: itself, or the first of the 1x1 convolutions of the same map.
    var leader: Int
    /// The node whose map it reads; for a 1x1 convolution behind an average pool, what the pool reads.
    var source: Int?
    /// An average pool that the layer of the 1x1 convolution behind it takes over: it has no map and no layer.
    var isTakenOver = false
    var output: Placement?
    var outputGradient: Placement?
    /// Whether another node has written the gradient of the source before this one's turn.
    var accumulates = false
    var kernel = NodeKernel.none
}

/// The kernels of one layer with the regions they own.
enum NodeKernel {
    case none
    case convolution(ConvolutionKernels)
    case pointwise(PointwiseKernels)
    case dense(PointwiseKernels)
    /// `taps` remembers in bytes which tap won.
    case maxPool(PoolShape, taps: Int?)
    case averagePool(PoolShape, countBorder: Bool)
    case dropout(probability: Double)
}

/// The regions of a convolution's or dense layer's parameters.
struct ParameterRegions {
    let outputChannels: Int
    /// Weights of one output channel.
    let perOutput: Int
    let canonical: Int
    let weights: Int
    /// Nil where the input is the images, and in inference.
    let gradientWeights: Int?
    /// `LayerParameters.vectorCount` vectors.
    let vectors: Int
}

struct ConvolutionKernels {
    let forward: ConvolutionKernel
    let backward: ConvolutionKernel
    let parameters: ParameterRegions
    /// Floating-point operations of one direction, two a multiply-add.
    let flops: Double
}

struct PointwiseKernels {
    struct Member {
        let node: Int
        let parameters: ParameterRegions
        /// Where the node has an average pool before it that is taken after it: the pool, and memory for the products.
        let pool: (shape: PoolShape, countBorder: Bool, product: Int, gradient: Int?)?
    }

    let group: PointwiseGroup
    let members: [Member]
    /// All members' weights for the data gradient; nil where the input is the images, and in inference.
    let gradientWeights: Int?
    let flops: Double
}

/// The plan of a whole network.
struct NetworkPlan {
    enum Mode { case training, inference }

    let description: ModelDescription
    let batch: Int
    let mode: Mode
    private(set) var nodes: [NodePlan]
    private(set) var arena = ArenaPlan()
    /// Memory one kernel after the other works in.
    private(set) var workspace = 0
    /// Floats of `KernelContext`'s scratch, one thread.
    private(set) var scratchFloats = 64
    /// Region of the threads' scratch memory.
    private(set) var scratch = 0
    private let engine: EnginePlan

    init(
        description: ModelDescription, batch: Int, threads: Int, mode: Mode, engine: EnginePlan
    ) throws(NetworkError) {
        precondition(batch > 0 && threads > 0)
        self.description = description
        self.batch = batch
        self.mode = mode
        self.engine = engine
        nodes = description.nodes.map { NodePlan(node: $0, leader: $0.index, source: $0.inputs.first) }
        markUsed()
        if mode == .training { try checkBatchNorms() }
        takeOverPools()
        groupPointwise()
        placeMaps()
        var workspaceFloats = 64
        for index in nodes.indices where nodes[index].isUsed { planKernels(index, &workspaceFloats) }
        workspace = arena.reserve(floats: workspaceFloats, lifetime: wholeStep)
        scratch = arena.reserve(floats: threads * scratchFloats, lifetime: wholeStep)
        arena.place()
    }

    // MARK: the graph

    private mutating func markUsed() {
        guard mode == .inference else { return }
        for index in nodes.indices.reversed() {
            nodes[index].isUsed =
                index == description.logits || nodes.contains { $0.isUsed && $0.node.inputs.contains(index) }
        }
    }

    private func checkBatchNorms() throws(NetworkError) {
        for plan in nodes {
            if case .convolution = plan.node.operation, batch * plan.node.shape.pixels == 1 {
                throw .singleValueBatchNorm(layer: plan.node.name, batch: batch)
            }
        }
    }

    /// An average pool that keeps the map's size and whose one reader is a 1x1 convolution with fewer outputs than
    /// inputs is cheaper behind it.
    private mutating func takeOverPools() {
        for index in nodes.indices where nodes[index].isUsed && isPointwise(index) {
            let pool = nodes[index].node.inputs[0]
            guard case .averagePool(let window, _) = nodes[pool].node.operation, window.stride.area == 1,
                let source = nodes[pool].source, consumers(pool) == [index]
            else { continue }
            let (before, after) = (nodes[source].node.shape, nodes[pool].node.shape)
            guard before == after, nodes[index].node.shape.channels < before.channels else { continue }
            nodes[pool].isTakenOver = true
            nodes[index].source = source
        }
    }

    private mutating func groupPointwise() {
        for index in nodes.indices where nodes[index].isUsed && isPointwise(index) {
            let first = nodes.indices.first {
                nodes[$0].isUsed && isPointwise($0) && nodes[$0].source == nodes[index].source
            }
            nodes[index].leader = first!
        }
    }

    private func isPointwise(_ index: Int) -> Bool {
        guard case .convolution(let window) = nodes[index].node.operation else { return false }
        return slidingWindow(nodes[index].node, window).isPointwise
    }

    /// Readers of a node's map, in the order of the graph.
    private func consumers(_ node: Int) -> [Int] {
        nodes.indices.filter {
            nodes[$0].isUsed && !nodes[$0].isTakenOver
                && (nodes[$0].source == node
                    || nodes[$0].node.operation == .concat && nodes[$0].node.inputs.contains(node))
        }
    }

    // MARK: time

    /// The layer of node i runs forward at i and backward at 2n - i, the losses are taken at n.
    private var wholeStep: ClosedRange<Int> { 0...2 * nodes.count }
    private func forwardTime(_ node: Int) -> Int { nodes[node].leader }
    private func backwardTime(_ node: Int) -> Int { 2 * nodes.count - nodes[node].leader }

    // MARK: maps

    /// Gives every node its output and, in training, its gradient; a concat's branches get slices of it.
    private mutating func placeMaps() {
        for index in nodes.indices.reversed()
        where nodes[index].isUsed && !nodes[index].isTakenOver && nodes[index].output == nil {
            let node = nodes[index].node
            let members = node.operation == .concat ? node.inputs : [index]
            let channels = node.shape.channels
            let stride = paddedStride(channels)
            let floats = batch * node.shape.pixels * stride
            let isNormed = mode == .training && members.contains { isConvolution($0) }
            let norm = isNormed ? arena.reserve(floats: 2 * channels, lifetime: wholeStep) : nil
            let output = arena.reserve(floats: floats, lifetime: outputLifetime(index, members))
            let gradient = gradientLifetime(index, members).map { arena.reserve(floats: floats, lifetime: $0) }
            func place(_ target: Int, _ offset: Int) {
                nodes[target].output = Placement(
                    region: output, channelOffset: offset, pixelStride: stride, norm: norm, normChannels: channels)
                nodes[target].outputGradient = gradient.map {
                    Placement(
                        region: $0, channelOffset: offset, pixelStride: stride, norm: nil, normChannels: channels)
                }
            }
            place(index, 0)
            guard node.operation == .concat else { continue }
            var offset = 0
            for branch in members {
                precondition(
                    nodes[branch].output == nil && nodes[branch].node.operation != .concat
                        && consumers(branch) == [index],
                    "\(nodes[branch].node.name): a branch of a concat feeds nothing else")
                precondition(
                    !isNormed || isConvolution(branch) || isNormalisedPool(branch),
                    "\(nodes[branch].node.name): readers of the concat would clip its values at 0")
                place(branch, offset)
                offset += nodes[branch].node.shape.channels
            }
        }
        for index in nodes.indices where nodes[index].isUsed {
            guard let source = nodes[index].source else { continue }
            // Backward meets a map's last layer first.
            let last = consumers(source).map { nodes[$0].leader }.max()
            nodes[index].accumulates = last != nodes[index].leader
        }
    }

    private func isConvolution(_ node: Int) -> Bool {
        if case .convolution = nodes[node].node.operation { true } else { false }
    }

    /// Pools of what ReLUs let through: no value is below 0, so that a reader's ReLU changes nothing.
    private func isNormalisedPool(_ node: Int) -> Bool {
        switch nodes[node].node.operation {
        case .maxPool, .averagePool, .globalAveragePool:
            let source = nodes[node].source!
            return isConvolution(source) || isNormalisedPool(source)
                || nodes[source].node.operation == .concat
                    && nodes[source].node.inputs.allSatisfy { isConvolution($0) || isNormalisedPool($0) }
        default: return false
        }
    }

    /// Pixels 8 KB apart would all fall into the same few cache sets.
    private func paddedStride(_ channels: Int) -> Int { channels % 2048 == 0 ? channels + 16 : channels }

    private func outputLifetime(_ index: Int, _ members: [Int]) -> ClosedRange<Int> {
        let first = members.map(forwardTime).min()!
        var last = index
        for consumer in consumers(index) {
            let readsInBackward =
                switch nodes[consumer].node.operation {
                case .convolution, .dense: mode == .training
                default: false
                }
            last = max(last, readsInBackward ? backwardTime(consumer) : forwardTime(consumer))
        }
        // Batch norm's backward reads what its convolution wrote.
        if mode == .training {
            for member in members where isConvolution(member) { last = max(last, backwardTime(member)) }
        }
        // Logits are read after the step.
        if index == description.logits || index == description.auxiliaryLogits { last = 2 * nodes.count }
        return first...last
    }

    private func gradientLifetime(_ index: Int, _ members: [Int]) -> ClosedRange<Int>? {
        guard mode == .training, nodes[index].node.operation != .input else { return nil }
        // The gradient of logits is there as soon as the loss is.
        let first = consumers(index).map(backwardTime).min() ?? nodes.count
        return first...members.map(backwardTime).max()!
    }

    // MARK: kernels

    private mutating func planKernels(_ index: Int, _ workspaceFloats: inout Int) {
        let node = nodes[index].node
        switch node.operation {
        case .input, .concat: break
        case .convolution(let window):
            if isPointwise(index) {
                if nodes[index].leader == index {
                    nodes[index].kernel = .pointwise(planPointwise(index, &workspaceFloats))
                }
            } else {
                nodes[index].kernel = .convolution(planConvolution(index, window, &workspaceFloats))
            }
        case .dense:
            precondition(nodes[node.inputs[0]].node.shape.pixels == 1, "\(node.name): a dense layer reads one pixel")
            nodes[index].kernel = .dense(planPointwise(index, &workspaceFloats))
        case .maxPool(let window):
            let shape = poolShape(node, window)
            let taps =
                mode == .inference
                ? nil
                : arena.reserve(
                    floats: (batch * node.shape.elements + 3) / 4, lifetime: index...backwardTime(index))
            nodes[index].kernel = .maxPool(shape, taps: taps)
        case .averagePool(let window, let border):
            if !nodes[index].isTakenOver {
                nodes[index].kernel = .averagePool(poolShape(node, window), countBorder: border == .counted)
            }
        case .globalAveragePool:
            let map = nodes[node.inputs[0]].node.shape
            let shape = PoolShape.global(
                batch: batch, map: Extent(map.height, map.width), channels: map.channels)
            nodes[index].kernel = .averagePool(shape, countBorder: false)
        case .dropout(let probability):
            nodes[index].kernel = .dropout(probability: probability)
        }
    }

    private func needsDataGradient(_ index: Int) -> Bool {
        mode == .training && nodes[nodes[index].source!].node.operation != .input
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
        _ index: Int, _ window: Window, _ workspaceFloats: inout Int
    ) -> ConvolutionKernels {
        let node = nodes[index].node
        let shape = ConvolutionShape(
            batch: batch, window: slidingWindow(node, window),
            inputChannels: nodes[node.inputs[0]].node.shape.channels, outputChannels: node.shape.channels)
        let choice = engine[node.name]
        let forward = ConvolutionKernel(shape, choice.forward)
        let backward = ConvolutionKernel(shape, choice.backward)
        let kernels = ConvolutionKernels(
            forward: forward, backward: backward,
            parameters: reserveParameters(
                outputChannels: shape.outputChannels, perOutput: shape.depth, weightFloats: forward.weightFloats,
                gradientWeightFloats: needsDataGradient(index) ? backward.gradientWeightFloats : nil),
            flops: 2 * Double(batch) * Double(node.macs))
        scratchFloats = max(scratchFloats, forward.scratchFloats)
        switch mode {
        case .training:
            scratchFloats = max(scratchFloats, backward.scratchFloats)
            workspaceFloats = max(
                workspaceFloats, backward.partFloats, forward.itemCount * 2 * node.shape.channels,
                BatchNorm.partFloats(pixels: batch * node.shape.pixels, channels: node.shape.channels))
        case .inference:
            workspaceFloats = max(workspaceFloats, shape.outputChannels * shape.depth)
        }
        return kernels
    }

    private mutating func planPointwise(_ leader: Int, _ workspaceFloats: inout Int) -> PointwiseKernels {
        let members = nodes.indices.filter { nodes[$0].isUsed && nodes[$0].leader == leader }
        let pixels = batch * nodes[leader].node.shape.pixels
        let inputChannels = nodes[nodes[leader].source!].node.shape.channels
        let group = PointwiseGroup(
            pixels: pixels, inputChannels: inputChannels, outputChannels: members.map { nodes[$0].node.shape.channels })
        var planned: [PointwiseKernels.Member] = []
        for (position, member) in members.enumerated() {
            let node = nodes[member].node
            let parameters = reserveParameters(
                outputChannels: node.shape.channels, perOutput: inputChannels,
                weightFloats: group.weightFloats(member: position), gradientWeightFloats: nil)
            var pool: (shape: PoolShape, countBorder: Bool, product: Int, gradient: Int?)?
            if nodes[member].source != node.inputs[0],
                case .averagePool(let window, let border) = nodes[node.inputs[0]].node.operation
            {
                let floats = pixels * node.shape.channels
                let poolWindow = slidingWindow(nodes[node.inputs[0]].node, window)
                let shape = PoolShape(batch: batch, channels: node.shape.channels, window: poolWindow)
                let backward = backwardTime(leader)
                pool = (
                    shape, border == .counted, arena.reserve(floats: floats, lifetime: leader...leader),
                    mode == .training ? arena.reserve(floats: floats, lifetime: backward...backward) : nil
                )
                workspaceFloats = max(workspaceFloats, shape.averageCut.pieces * 2 * node.shape.channels)
            }
            planned.append(PointwiseKernels.Member(node: member, parameters: parameters, pool: pool))
            switch mode {
            case .training:
                workspaceFloats = max(
                    workspaceFloats, BatchNorm.partFloats(pixels: pixels, channels: node.shape.channels))
            case .inference: workspaceFloats = max(workspaceFloats, node.shape.channels * inputChannels)
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
            flops: 2 * Double(batch) * Double(members.reduce(0) { $0 + nodes[$1].node.macs }))
    }

    private func poolShape(_ node: Node, _ window: Window) -> PoolShape {
        PoolShape(batch: batch, channels: node.shape.channels, window: slidingWindow(node, window))
    }

    private func slidingWindow(_ node: Node, _ window: Window) -> SlidingWindow {
        SlidingWindow(window, input: nodes[node.inputs[0]].node.shape, output: node.shape)
    }
}
