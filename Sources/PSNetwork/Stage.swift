// Lowering: from a graph of plain operations to what the engine computes at once.

import PSModel

/// What comes behind a convolution or a dense layer before others read it. Its map is stored as the product left it, and
/// whoever reads it does the rest: max(x * scale + shift, floor) per channel.
struct Epilogue: Hashable {
    enum Shift: Hashable {
        /// Nothing; then there is no ReLU either.
        case none
        case bias
        case norm(epsilon: Float)
    }

    var shift = Shift.none
    var rectifies = false

    /// 0 where a ReLU follows, else minus infinity.
    var floor: Float { rectifies ? 0 : -.infinity }
}

/// A node of the graph, or one with what follows it.
struct Stage {
    enum Work: Hashable {
        case input
        case convolution(Window, groups: Int, Epilogue)
        /// A head: its logits are stored with their bias.
        case dense
        case maxPool(Window)
        case averagePool(Window, border: ModelSettings.PoolBorder)
        case adaptiveAveragePool
        /// max(first + scale * second, 0 or minus infinity), stored as it is.
        case add(scale: Float, rectifies: Bool)
        /// No map of its own: readers of the map before it take the larger of it and 0.
        case relu
        case localResponseNorm(LocalResponseNorm)
        case concat
        /// `stream` names its random numbers.
        case dropout(probability: Double, stream: Int)
    }

    let index: Int
    /// The node's whose product it is.
    let name: String
    let work: Work
    /// Indices of the stages it reads.
    let inputs: [Int]
    let shape: MapShape
    /// Those of all its nodes; `bias` is a batch norm's, where there is one.
    let tensors: Node.Tensors
    /// The bias of a convolution before a batch norm, which takes it away again in training.
    let innerBias: Int?
    /// Multiply-accumulates of one image's forward pass.
    let macs: Int

    /// Its tensors that have gradients, in the order backward makes them.
    var learned: [Int] { [tensors.bias, tensors.scale, innerBias, tensors.weight].compactMap { $0 } }
    /// Those the forward pass makes.
    var statistics: [Int] { [tensors.runningMean, tensors.runningVariance].compactMap { $0 } }

    /// What its readers do, where it is a convolution.
    var epilogue: Epilogue? {
        if case .convolution(_, _, let epilogue) = work, epilogue.shift != .none { epilogue } else { nil }
    }
}

/// The stages of a network, each behind those it reads.
struct Lowering {
    private(set) var stages: [Stage] = []
    /// Of each node: the stage that computes it.
    private var stageOfNode: [Int]
    private let description: ModelDescription
    private let readers: [[Int]]

    init(_ description: ModelDescription) {
        self.description = description
        let nodes = description.nodes
        stageOfNode = Array(repeating: -1, count: nodes.count)
        var readers = Array(repeating: [Int](), count: nodes.count)
        for node in nodes {
            for input in node.inputs { readers[input].append(node.index) }
        }
        self.readers = readers
        for node in nodes where stageOfNode[node.index] < 0 { lower(node) }
    }

    /// The stage that computes a node.
    func stage(of node: Int) -> Int { stageOfNode[node] }

    private mutating func lower(_ node: Node) {
        switch node.operation {
        case .input: append(node, .input)
        case .convolution(let window, let groups): lowerProduct(node, window, groups: groups)
        case .dense:
            let input = description.nodes[node.inputs[0]].shape
            let isHead = description.heads.contains { $0.logits == node.index }
            precondition(!isHead || input.pixels == 1, "\(node.name): a head reads one pixel")
            // Over a map, or with a ReLU behind it, a dense layer is a convolution by one window of the map's size: the
            // order of its weights is the same.
            if isHead { append(node, .dense) } else { lowerProduct(node, Window(kernel: input.extent), groups: 1) }
        case .norm: preconditionFailure("\(node.name): a batch norm follows a convolution that nothing else reads")
        case .relu: append(node, .relu)
        case .add(let scale):
            let relu = follower(node.index) { $0 == .relu }
            append(node, .add(scale: scale, rectifies: relu != nil), with: [relu].compactMap { $0 })
        case .maxPool(let window): append(node, .maxPool(window))
        case .averagePool(let window, let border): append(node, .averagePool(window, border: border))
        case .adaptiveAveragePool: append(node, .adaptiveAveragePool)
        case .localResponseNorm(let norm): append(node, .localResponseNorm(norm))
        case .concat: append(node, .concat)
        case .dropout(let probability): append(node, .dropout(probability: probability, stream: node.row))
        }
    }

    private mutating func lowerProduct(_ node: Node, _ window: Window, groups: Int) {
        var epilogue = Epilogue()
        var taken: [Int] = []
        if node.tensors.bias != nil { epilogue.shift = .bias }
        let norm = follower(node.index) { if case .norm = $0 { true } else { false } }
        if let norm, case .norm(let epsilon) = description.nodes[norm].operation {
            epilogue.shift = .norm(epsilon: epsilon)
            taken.append(norm)
        }
        if epilogue.shift != .none, let relu = follower(taken.last ?? node.index, where: { $0 == .relu }) {
            epilogue.rectifies = true
            taken.append(relu)
        }
        append(node, .convolution(window, groups: groups, epilogue), with: taken)
    }

    /// The one reader of a node, if it is of that kind.
    private func follower(_ node: Int, where isWanted: (Operation) -> Bool) -> Int? {
        guard readers[node].count == 1, let reader = readers[node].first,
            isWanted(description.nodes[reader].operation)
        else { return nil }
        return reader
    }

    private mutating func append(_ node: Node, _ work: Stage.Work, with taken: [Int] = []) {
        var tensors = node.tensors
        var innerBias: Int?
        for owned in taken.map({ description.nodes[$0].tensors }) where owned.runningMean != nil {
            innerBias = node.tensors.bias
            tensors = owned
            tensors.weight = node.tensors.weight
        }
        for index in [node.index] + taken { stageOfNode[index] = stages.count }
        stages.append(
            Stage(
                index: stages.count, name: node.name, work: work, inputs: node.inputs.map { stageOfNode[$0] },
                shape: node.shape, tensors: tensors, innerBias: innerBias, macs: node.macs))
    }
}
