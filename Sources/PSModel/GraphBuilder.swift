// Builds a network's graph operation by operation, working out and checking every output shape.

import PSParameters

/// Why a row cannot be built: its window does not fit the map before it.
struct EmptyMap: Error {
    let name: String
}

/// Collects nodes and tensors; `x` below is always a node index.
struct GraphBuilder {
    /// Settled.
    let settings: ModelSettings
    let network: Network
    let classes: Int
    private(set) var nodes: [Node] = []
    private(set) var tensors: [TensorSpecification] = []
    /// The main one first.
    private(set) var heads: [Head] = []
    private var rows = 0

    init(_ network: Network, settings: ModelSettings, classes: Int) {
        self.network = network
        self.settings = settings.settled
        self.classes = classes
    }

    func shape(_ x: Int) -> MapShape { nodes[x].shape }

    // MARK: operations

    /// The images.
    mutating func input(_ image: Extent) -> Int {
        add("input", .input, [], MapShape(height: image.height, width: image.width, channels: 3))
    }

    /// - Parameters:
    ///   - channels: as they are; see `scaled(_:)`.
    ///   - tensors: what the names of its tensors begin with; by default `name`.
    ///   - draw: of its weights; by default the network's.
    mutating func convolution(
        _ name: String, _ x: Int, channels: Int, _ kernel: Extent, stride: Extent = 1, padding: Extent = 0,
        groups: Int = 1, bias: Bool = false, tensors prefix: String? = nil, draw: WeightDistribution? = nil
    ) throws(EmptyMap) -> Int {
        let window = Window(kernel: kernel, stride: stride, padding: padding)
        let input = shape(x)
        precondition(input.channels % groups == 0 && channels % groups == 0, "\(name): groups of unequal channels")
        let output = try outputShape(name, window, input, channels: channels)
        let prefix = prefix ?? name
        let perGroup = input.channels / groups
        let weight = addWeight(
            "\(prefix).weight", [channels, perGroup, kernel.height, kernel.width],
            draw ?? network.initialValues.convolutions)
        let shift = bias ? addBias("\(prefix).bias", channels, inputs: perGroup * kernel.area) : nil
        return add(
            name, .convolution(window, groups: groups), [x], output, Node.Tensors(weight: weight, bias: shift),
            macs: output.elements * kernel.area * perGroup)
    }

    /// Batch norm, in the row of what it reads.
    mutating func norm(_ name: String, _ x: Int) -> Int {
        let channels = shape(x).channels
        let scale = settings.batchNormScale ? addPerChannel("\(name).weight", channels, .weight, 1) : nil
        let owned = Node.Tensors(
            scale: scale, bias: addPerChannel("\(name).bias", channels, .weight, 0),
            runningMean: addPerChannel("\(name).running_mean", channels, .statistic, 0),
            runningVariance: addPerChannel("\(name).running_var", channels, .statistic, 1))
        return add(name, .norm(epsilon: network.epsilon), [x], shape(x), owned, row: nodes[x].row)
    }

    /// In the row of what it reads.
    mutating func relu(_ x: Int) -> Int {
        add("\(nodes[x].name).relu", .relu, [x], shape(x), row: nodes[x].row)
    }

    /// first + scale * second
    mutating func add(_ name: String, _ first: Int, _ second: Int, scale: Float = 1) -> Int {
        precondition(shape(first) == shape(second), "\(name): a sum of maps of different size")
        return add(name, .add(scale: scale), [first, second], shape(first))
    }

    mutating func maxPool(
        _ name: String, _ x: Int, _ kernel: Extent, stride: Extent, padding: Extent = 0,
        rounding: Window.Rounding = .floor
    ) throws(EmptyMap) -> Int {
        let window = Window(kernel: kernel, stride: stride, padding: padding, rounding: rounding)
        return add(name, .maxPool(window), [x], try outputShape(name, window, shape(x), channels: shape(x).channels))
    }

    mutating func averagePool(
        _ name: String, _ x: Int, _ kernel: Extent, stride: Extent, padding: Extent = 0,
        rounding: Window.Rounding = .floor
    ) throws(EmptyMap) -> Int {
        let window = Window(kernel: kernel, stride: stride, padding: padding, rounding: rounding)
        let output = try outputShape(name, window, shape(x), channels: shape(x).channels)
        return add(name, .averagePool(window, border: settings.poolBorder), [x], output)
    }

    /// Means over as many windows as `output` has pixels; nothing where the map has that extent already.
    mutating func adaptiveAveragePool(_ name: String, _ x: Int, _ output: Extent) -> Int {
        if shape(x).extent == output { return x }
        return add(
            name, .adaptiveAveragePool, [x],
            MapShape(height: output.height, width: output.width, channels: shape(x).channels))
    }

    mutating func globalAveragePool(_ name: String, _ x: Int) -> Int {
        add(name, .adaptiveAveragePool, [x], MapShape(height: 1, width: 1, channels: shape(x).channels))
    }

    mutating func localResponseNorm(_ name: String, _ x: Int, _ norm: LocalResponseNorm) -> Int {
        add(name, .localResponseNorm(norm), [x], shape(x))
    }

    mutating func concat(_ name: String, _ branches: [Int]) -> Int {
        let first = shape(branches[0])
        precondition(
            branches.allSatisfy { shape($0).extent == first.extent }, "\(name): branches of different size")
        let channels = branches.reduce(0) { $0 + shape($1).channels }
        return add(name, .concat, branches, MapShape(height: first.height, width: first.width, channels: channels))
    }

    mutating func dropout(_ name: String, _ x: Int, _ probability: Double? = nil) -> Int {
        add(name, .dropout(probability: probability ?? settings.dropout), [x], shape(x))
    }

    mutating func dense(_ name: String, _ x: Int, _ outputs: Int, draw: WeightDistribution? = nil) -> Int {
        let inputs = shape(x).elements
        let weight = addWeight("\(name).weight", [outputs, inputs], draw ?? network.initialValues.dense)
        let bias = addBias("\(name).bias", outputs, inputs: inputs)
        return add(
            name, .dense, [x], MapShape(height: 1, width: 1, channels: outputs),
            Node.Tensors(weight: weight, bias: bias), macs: inputs * outputs)
    }

    /// A dense layer of one output a class, whose output are a head's logits.
    ///
    /// - Parameter head: what the names of the head's tensors begin with; "" for the main one.
    mutating func logits(_ name: String, _ x: Int, head: String = "", draw: WeightDistribution? = nil) {
        let head = Head(name: head, logits: dense(name, x, classes, draw: draw))
        heads.insert(head, at: head.name == "" ? 0 : heads.count)
    }

    // MARK: rows

    /// Convolution, batch norm, ReLU: `name.conv` and `name.bn`. `channels` is the paper's number, before the width
    /// multiplier.
    mutating func convNormRelu(
        _ name: String, _ x: Int, _ channels: Int, _ kernel: Extent, stride: Extent = 1, padding: Extent = 0,
        draw: WeightDistribution? = nil
    ) throws(EmptyMap) -> Int {
        relu(try convNorm(name, x, channels, kernel, stride: stride, padding: padding, draw: draw))
    }

    /// The same without the ReLU.
    mutating func convNorm(
        _ name: String, _ x: Int, _ channels: Int, _ kernel: Extent, stride: Extent = 1, padding: Extent = 0,
        draw: WeightDistribution? = nil
    ) throws(EmptyMap) -> Int {
        let convolved = try convolution(
            name, x, channels: scaled(channels), kernel, stride: stride, padding: padding, tensors: "\(name).conv",
            draw: draw)
        return norm("\(name).bn", convolved)
    }

    /// Convolution with a bias, ReLU.
    mutating func convRelu(
        _ name: String, _ x: Int, _ channels: Int, _ kernel: Extent, stride: Extent = 1, padding: Extent = 0,
        groups: Int = 1
    ) throws(EmptyMap) -> Int {
        relu(
            try convolution(
                name, x, channels: scaled(channels), kernel, stride: stride, padding: padding, groups: groups,
                bias: true))
    }

    // Section 8's stems of arXiv 1512.00567: at 151 the first stride goes, at 79 the first pool goes as well.
    var firstStride: Extent { settings.stem == 299 ? 2 : 1 }
    var hasFirstPool: Bool { settings.stem != 79 }

    /// slim's `depth`: at least 16 channels, and the paper's own number when the multiplier is 1; always so many that they
    /// fall into equal groups.
    func scaled(_ channels: Int) -> Int {
        if settings.width == 1 { return channels }
        let groups = settings.groups
        return (max(Int(Double(channels) * settings.width), 16) + groups - 1) / groups * groups
    }

    // MARK: parts

    private func outputShape(
        _ name: String, _ window: Window, _ input: MapShape, channels: Int
    ) throws(EmptyMap) -> MapShape {
        let extent = window.outputExtent(height: input.height, width: input.width)
        guard extent.height > 0 && extent.width > 0 else { throw EmptyMap(name: name) }
        return MapShape(height: extent.height, width: extent.width, channels: channels)
    }

    private mutating func addWeight(_ name: String, _ shape: [Int], _ draw: WeightDistribution) -> Int {
        tensors.append(
            TensorSpecification(
                name: name, shape: shape, kind: .weight,
                initialization: draw.initialization(shape: shape, settings.initialValues), decays: true))
        return tensors.count - 1
    }

    private mutating func addBias(_ name: String, _ outputs: Int, inputs: Int) -> Int {
        let initialization: Initialization =
            switch (settings.initialValues, network.initialValues.biases) {
            case (.slim, _): .constant(0)
            case (.torchvision, .constant(let value)): .constant(value)
            case (.torchvision, .byInputs): .uniform(bound: 1 / Float(inputs).squareRoot())
            }
        tensors.append(
            TensorSpecification(name: name, shape: [outputs], kind: .weight, initialization: initialization))
        return tensors.count - 1
    }

    private mutating func addPerChannel(_ name: String, _ channels: Int, _ kind: TensorKind, _ value: Float) -> Int {
        tensors.append(
            TensorSpecification(name: name, shape: [channels], kind: kind, initialization: .constant(value)))
        return tensors.count - 1
    }

    /// - Parameter row: of the table; by default a new one.
    private mutating func add(
        _ name: String, _ operation: Operation, _ inputs: [Int], _ shape: MapShape,
        _ owned: Node.Tensors = Node.Tensors(), macs: Int = 0, row: Int? = nil
    ) -> Int {
        let learned = [owned.weight, owned.scale, owned.bias].compactMap { $0 }
        nodes.append(
            Node(
                index: nodes.count, name: name, row: row ?? rows, operation: operation, inputs: inputs, shape: shape,
                tensors: owned, parameters: learned.reduce(0) { $0 + tensors[$1].elementCount }, macs: macs))
        if row == nil { rows += 1 }
        return nodes.count - 1
    }
}
