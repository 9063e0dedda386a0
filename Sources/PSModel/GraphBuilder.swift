// Builds a network's graph row by row, working out and checking every output shape.

import PSParameters

/// Why a row cannot be built: its window does not fit the map before it.
struct EmptyMap: Error {
    let name: String
}

/// Collects nodes and tensors; `x` below is always a node index.
struct GraphBuilder {
    let settings: ModelSettings
    let classes: Int
    private(set) var nodes: [Node] = []
    private(set) var tensors: [TensorSpecification] = []

    init(settings: ModelSettings, classes: Int) {
        self.settings = settings
        self.classes = classes
    }

    func shape(_ x: Int) -> MapShape { nodes[x].shape }

    /// The images.
    mutating func input(_ image: Extent) -> Int {
        add("input", .input, [], MapShape(height: image.height, width: image.width, channels: 3))
    }

    /// Convolution, batch norm, ReLU. `channels` is the paper's number, before the width multiplier.
    mutating func convolution(
        _ name: String, _ x: Int, _ channels: Int, _ kernel: Extent, stride: Extent = 1, padding: Extent = 0,
        deviation: Float = 0.1
    ) throws(EmptyMap) -> Int {
        let window = Window(kernel: kernel, stride: stride, padding: padding)
        let input = shape(x)
        let shape = try outputShape(name, window, input, channels: scaled(channels))
        let first = tensors.count
        addWeight("\(name).conv.weight", [shape.channels, input.channels, kernel.height, kernel.width], deviation)
        if settings.batchNormScale { addPerChannel("\(name).bn.weight", shape.channels, .weight, 1) }
        addPerChannel("\(name).bn.bias", shape.channels, .weight, 0)
        addPerChannel("\(name).bn.running_mean", shape.channels, .statistic, 0)
        addPerChannel("\(name).bn.running_var", shape.channels, .statistic, 1)
        let last = tensors.count
        return add(
            name, .convolution(window), [x], shape,
            Node.Tensors(
                weight: first, scale: settings.batchNormScale ? first + 1 : nil, bias: last - 3,
                runningMean: last - 2, runningVariance: last - 1),
            macs: shape.elements * kernel.area * input.channels)
    }

    mutating func maxPool(_ name: String, _ x: Int, _ kernel: Extent, stride: Extent) throws(EmptyMap) -> Int {
        let window = Window(kernel: kernel, stride: stride)
        return add(name, .maxPool(window), [x], try outputShape(name, window, shape(x), channels: shape(x).channels))
    }

    mutating func averagePool(
        _ name: String, _ x: Int, _ kernel: Extent, stride: Extent, padding: Extent = 0
    ) throws(EmptyMap) -> Int {
        let window = Window(kernel: kernel, stride: stride, padding: padding)
        let output = try outputShape(name, window, shape(x), channels: shape(x).channels)
        return add(name, .averagePool(window, border: settings.poolBorder), [x], output)
    }

    mutating func globalAveragePool(_ name: String, _ x: Int) -> Int {
        add(name, .globalAveragePool, [x], MapShape(height: 1, width: 1, channels: shape(x).channels))
    }

    mutating func concat(_ name: String, _ branches: [Int]) -> Int {
        let first = shape(branches[0])
        precondition(
            branches.allSatisfy { shape($0).height == first.height && shape($0).width == first.width },
            "\(name): branches of different size")
        let channels = branches.reduce(0) { $0 + shape($1).channels }
        return add(name, .concat, branches, MapShape(height: first.height, width: first.width, channels: channels))
    }

    mutating func dropout(_ name: String, _ x: Int) -> Int {
        add(name, .dropout(probability: settings.dropout), [x], shape(x))
    }

    mutating func dense(_ name: String, _ x: Int, _ outputs: Int, deviation: Float = 0.1) -> Int {
        let inputs = shape(x).elements
        let first = tensors.count
        addWeight("\(name).weight", [outputs, inputs], deviation)
        let bias: Initialization =
            switch settings.initialValues {
            case .torchvision: .uniform(bound: 1 / Float(inputs).squareRoot())
            case .slim: .constant(0)
            }
        tensors.append(
            TensorSpecification(name: "\(name).bias", shape: [outputs], kind: .weight, initialization: bias))
        return add(
            name, .dense, [x], MapShape(height: 1, width: 1, channels: outputs),
            Node.Tensors(weight: first, bias: first + 1), macs: inputs * outputs)
    }

    /// slim's `depth`: at least 16 channels, and the paper's own number when the multiplier is 1.
    private func scaled(_ channels: Int) -> Int {
        settings.width == 1 ? channels : max(Int(Double(channels) * settings.width), 16)
    }

    private func outputShape(
        _ name: String, _ window: Window, _ input: MapShape, channels: Int
    ) throws(EmptyMap) -> MapShape {
        let extent = window.outputExtent(height: input.height, width: input.width)
        guard extent.height > 0 && extent.width > 0 else { throw EmptyMap(name: name) }
        return MapShape(height: extent.height, width: extent.width, channels: channels)
    }

    private mutating func addWeight(_ name: String, _ shape: [Int], _ deviation: Float) {
        let cut: Float =
            switch settings.initialValues {
            case .torchvision: 2
            case .slim: 2 * deviation
            }
        tensors.append(
            TensorSpecification(
                name: name, shape: shape, kind: .weight,
                initialization: .truncatedNormal(standardDeviation: deviation, cut: cut), decays: true))
    }

    private mutating func addPerChannel(_ name: String, _ channels: Int, _ kind: TensorKind, _ value: Float) {
        tensors.append(
            TensorSpecification(name: name, shape: [channels], kind: kind, initialization: .constant(value)))
    }

    private mutating func add(
        _ name: String, _ operation: Operation, _ inputs: [Int], _ shape: MapShape,
        _ owned: Node.Tensors = Node.Tensors(), macs: Int = 0
    ) -> Int {
        let learned = [owned.weight, owned.scale, owned.bias].compactMap { $0 }
        nodes.append(
            Node(
                index: nodes.count, name: name, operation: operation, inputs: inputs, shape: shape, tensors: owned,
                parameters: learned.reduce(0) { $0 + tensors[$1].elementCount }, macs: macs))
        return nodes.count - 1
    }
}
