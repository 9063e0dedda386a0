// Where every value of a network lies and how long it lives: a function of the model, the batch and the mode alone.

import PSKernels
import PSModel
import PSPlanning

/// Where a node's map lies: a region, or a slice of the region of the concat it feeds.
struct Placement {
    let region: Int
    let channelOffset: Int
    let pixelStride: Int
}

/// One node's places and kernels.
struct NodePlan {
    let node: Node
    /// False for nodes that the wanted outputs do not depend on.
    var isUsed = true
    var output: Placement?
    var outputGradient: Placement?
    /// For each input: whether another node has written that input's gradient before this one's turn.
    var accumulates: [Bool] = []
    var kernel = NodeKernel.none
}

/// The kernels of one node with the regions they own.
enum NodeKernel {
    case none
    case convolution(ConvolutionKernels)
    case dense(ConvolutionKernels)
    /// `taps` remembers in bytes which tap won.
    case maxPool(PoolShape, taps: Int?)
    case averagePool(PoolShape, countBorder: Bool)
    case dropout(probability: Double)
}

/// The plans of a convolution or dense layer and the regions of its parameters.
struct ConvolutionKernels {
    let forward: ConvolutionPlan
    let weightGradient: WeightGradientPlan
    /// Nil where the input is the images.
    let dataGradient: DataGradientPlan?
    let layout: WeightLayout
    var weights: Int
    /// The matrix of the data gradient.
    var gradientWeights: Int?
    /// Learned scale, shift or bias, running mean, running variance, then the batch norm's own vectors.
    var vectors: Int
    /// What the convolution wrote, before batch norm.
    var preactivation: Int?
}

/// The plan of a whole network.
struct NetworkPlan {
    enum Mode { case training, inference }

    /// Vectors in `ConvolutionKernels.vectors`.
    static let vectorCount = 4 + BatchNormState.vectors

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

    init(description: ModelDescription, batch: Int, threads: Int, mode: Mode) throws(NetworkError) {
        precondition(batch > 0 && threads > 0)
        self.description = description
        self.batch = batch
        self.mode = mode
        nodes = description.nodes.map { NodePlan(node: $0) }
        markUsed()
        if mode == .training { try checkBatchNorms() }
        placeMaps()
        var workspaceFloats = 64
        for index in nodes.indices where nodes[index].isUsed { planKernels(index, &workspaceFloats) }
        workspace = arena.reserve(floats: workspaceFloats, lifetime: wholeStep)
        scratch = arena.reserve(floats: threads * scratchFloats, lifetime: wholeStep)
        arena.place()
    }

    /// How each convolution and dense layer is computed forward.
    var lines: [String] {
        nodes.compactMap { plan in
            switch plan.kernel {
            case .convolution(let kernels), .dense(let kernels): "\(plan.node.name): \(kernels.forward)"
            default: nil
            }
        }
    }

    /// Time: node i runs forward at i and backward at 2n - i, the losses are taken at n.
    private var wholeStep: ClosedRange<Int> { 0...2 * nodes.count }
    private func backwardTime(_ node: Int) -> Int { 2 * nodes.count - node }
    private func consumers(_ node: Int) -> [Int] {
        nodes.indices.filter { nodes[$0].isUsed && nodes[$0].node.inputs.contains(node) }
    }

    private mutating func markUsed() {
        guard mode == .inference else { return }
        for index in nodes.indices.reversed() {
            nodes[index].isUsed = index == description.logits || !consumers(index).isEmpty
        }
    }

    private func checkBatchNorms() throws(NetworkError) {
        for plan in nodes {
            if case .convolution = plan.node.operation, batch * plan.node.shape.pixels == 1 {
                throw .singleValueBatchNorm(layer: plan.node.name, batch: batch)
            }
        }
    }

    // MARK: maps

    /// Gives every node its output and, in training, its gradient; a concat's branches get slices of it.
    private mutating func placeMaps() {
        for index in nodes.indices.reversed() where nodes[index].isUsed && nodes[index].output == nil {
            let node = nodes[index].node
            let members = [index] + (node.operation == .concat ? node.inputs : [])
            let stride = paddedStride(node.shape.channels)
            let floats = batch * node.shape.pixels * stride
            let output = arena.reserve(floats: floats, lifetime: outputLifetime(members))
            let gradient = gradientLifetime(members).map { arena.reserve(floats: floats, lifetime: $0) }
            assign(index, region: output, gradient: gradient, channelOffset: 0, stride: stride)
            guard node.operation == .concat else { continue }
            var offset = 0
            for branch in node.inputs {
                precondition(
                    nodes[branch].output == nil && nodes[branch].node.operation != .concat
                        && consumers(branch) == [index],
                    "\(nodes[branch].node.name): a branch of a concat feeds nothing else")
                assign(branch, region: output, gradient: gradient, channelOffset: offset, stride: stride)
                offset += nodes[branch].node.shape.channels
            }
        }
        for index in nodes.indices where nodes[index].isUsed {
            // Backward meets a node's last consumer first.
            nodes[index].accumulates = nodes[index].node.inputs.map { consumers($0).last != index }
        }
    }

    private mutating func assign(_ index: Int, region: Int, gradient: Int?, channelOffset: Int, stride: Int) {
        nodes[index].output = Placement(region: region, channelOffset: channelOffset, pixelStride: stride)
        nodes[index].outputGradient = gradient.map {
            Placement(region: $0, channelOffset: channelOffset, pixelStride: stride)
        }
    }

    /// Pixels 8 KB apart would all fall into the same few cache sets.
    private func paddedStride(_ channels: Int) -> Int { channels % 2048 == 0 ? channels + 16 : channels }

    private func outputLifetime(_ members: [Int]) -> ClosedRange<Int> {
        let first = members.min()!
        var last = members[0]
        for consumer in consumers(members[0]) {
            let readsInBackward =
                switch nodes[consumer].node.operation {
                case .convolution, .dense: mode == .training
                default: false
                }
            last = max(last, readsInBackward ? backwardTime(consumer) : consumer)
        }
        // Logits are read after the step.
        if members[0] == description.logits || members[0] == description.auxiliaryLogits { last = 2 * nodes.count }
        return first...last
    }

    private func gradientLifetime(_ members: [Int]) -> ClosedRange<Int>? {
        guard mode == .training, nodes[members[0]].node.operation != .input else { return nil }
        // The gradient of logits is there as soon as the loss is.
        let first = consumers(members[0]).last.map(backwardTime) ?? nodes.count
        return first...backwardTime(members.min()!)
    }

    // MARK: kernels

    private mutating func planKernels(_ index: Int, _ workspaceFloats: inout Int) {
        let node = nodes[index].node
        switch node.operation {
        case .input, .concat: break
        case .convolution(let window):
            let kernels = planConvolution(index, window, &workspaceFloats)
            nodes[index].kernel = .convolution(kernels)
        case .dense:
            precondition(nodes[node.inputs[0]].node.shape.pixels == 1, "\(node.name): a dense layer reads one pixel")
            nodes[index].kernel = .dense(planConvolution(index, Window(kernel: 1), &workspaceFloats))
        case .maxPool(let window):
            let shape = poolShape(node, window)
            let taps =
                mode == .inference
                ? nil
                : arena.reserve(
                    floats: (batch * node.shape.elements + 3) / 4, lifetime: index...backwardTime(index))
            nodes[index].kernel = .maxPool(shape, taps: taps)
        case .averagePool(let window, let border):
            nodes[index].kernel = .averagePool(poolShape(node, window), countBorder: border == .counted)
        case .globalAveragePool:
            let map = nodes[node.inputs[0]].node.shape
            let shape = PoolShape.global(
                batch: batch, map: Size(map.height, map.width), channels: map.channels)
            nodes[index].kernel = .averagePool(shape, countBorder: false)
        case .dropout(let probability):
            nodes[index].kernel = .dropout(probability: probability)
        }
    }

    private mutating func planConvolution(
        _ index: Int, _ window: Window, _ workspaceFloats: inout Int
    ) -> ConvolutionKernels {
        let node = nodes[index].node
        let input = nodes[node.inputs[0]].node
        let shape = ConvolutionShape(
            batch: batch, window: slidingWindow(node, window), inputChannels: input.shape.channels,
            outputChannels: node.shape.channels)
        let needsDataGradient = mode == .training && input.operation != .input
        let kernels = ConvolutionKernels(
            forward: ConvolutionPlan(shape), weightGradient: WeightGradientPlan(shape),
            dataGradient: needsDataGradient ? DataGradientPlan(shape) : nil, layout: WeightLayout(shape),
            weights: arena.reserve(floats: node.shape.channels * shape.depth, lifetime: wholeStep),
            gradientWeights: needsDataGradient
                ? arena.reserve(floats: node.shape.channels * shape.depth, lifetime: wholeStep) : nil,
            vectors: arena.reserve(floats: NetworkPlan.vectorCount * node.shape.channels, lifetime: wholeStep),
            preactivation: mode == .training && node.operation != .dense
                ? arena.reserve(floats: batch * node.shape.elements, lifetime: index...backwardTime(index)) : nil)
        scratchFloats = max(scratchFloats, kernels.forward.scratchFloats)
        if mode == .training {
            scratchFloats = max(
                scratchFloats, kernels.weightGradient.scratchFloats, kernels.dataGradient?.scratchFloats ?? 0)
            workspaceFloats = max(
                workspaceFloats, kernels.weightGradient.partFloats,
                kernels.forward.chunkCount * 2 * node.shape.channels,
                BatchNorm.partFloats(pixels: batch * node.shape.pixels, channels: node.shape.channels))
        }
        return kernels
    }

    private func poolShape(_ node: Node, _ window: Window) -> PoolShape {
        PoolShape(batch: batch, channels: node.shape.channels, window: slidingWindow(node, window))
    }

    private func slidingWindow(_ node: Node, _ window: Window) -> SlidingWindow {
        func size(_ extent: Extent) -> Size { Size(extent.height, extent.width) }
        let input = nodes[node.inputs[0]].node.shape
        return SlidingWindow(
            input: Size(input.height, input.width), kernel: size(window.kernel), stride: size(window.stride),
            padding: size(window.padding), output: Size(node.shape.height, node.shape.width))
    }
}
