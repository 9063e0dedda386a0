// A network as data: its graph, its tensors and what it costs. Every process of a job builds the same one from the
// same settings.

import PSParameters

/// One network, worked out and checked.
package struct ModelDescription: Sendable {
    /// Values `ModelSettings.stem` may have.
    package static let knownStems = [299, 151, 79]

    package let settings: ModelSettings
    package let network: Network
    /// Length of a head's output.
    package let classes: Int
    /// In an order in which every input comes before its user.
    package let nodes: [Node]
    /// The main head, then the auxiliary ones that are trained.
    package let heads: [Head]
    package let layout: ParameterLayout
    /// Smallest image this network can be built for, rows and columns.
    package let minimumImageSize: Int

    /// - Parameter image: rows and columns of an image, where they differ from each other; by default both are
    ///   `settings.imageSize`.
    /// - Throws: `ModelError` naming the setting that cannot be used.
    package init(_ settings: ModelSettings, image: Extent? = nil) throws(ModelError) {
        network = try Network.named(settings.name)
        classes = try ModelDescription.check(settings, network)
        let image = image ?? Extent(settings.imageSize, settings.imageSize)
        let empty = GraphBuilder(network, settings: settings, classes: classes)
        let minimum = empty.minimumImageSize
        guard min(image.height, image.width) >= minimum, let graph = empty.built(for: image) else {
            let stem = network.features.contains(.stems) ? network.stem(settings) : nil
            throw .imageTooSmall(
                size: min(image.height, image.width), network: network.name, stem: stem, minimum: minimum)
        }
        self.settings = settings
        nodes = graph.nodes
        heads = graph.heads
        layout = ParameterLayout(tensors: graph.tensors)
        minimumImageSize = minimum
    }

    /// The tensors whose first extent is the number of classes, of all heads.
    package var lastLayers: Set<String> {
        Set(
            heads.flatMap { head in
                [nodes[head.logits].tensors.weight, nodes[head.logits].tensors.bias].compactMap { $0 }
                    .map { layout.tensors[$0].name }
            })
    }

    /// Learned elements.
    package var parameters: Int { nodes.reduce(0) { $0 + $1.parameters } }

    /// Learned elements outside the auxiliary heads.
    package var parametersWithoutAuxiliary: Int { mainNodes.reduce(0) { $0 + $1.parameters } }

    /// Multiply-accumulates in convolutions and dense layers of one image's forward pass up to the main head's logits:
    /// what an evaluation costs. The auxiliary heads' are in their rows only.
    package var macs: Int { mainNodes.reduce(0) { $0 + $1.macs } }

    /// Values of one image's forward pass that are stored: the outputs of all rows but concats, which are their branches.
    package var activations: Int {
        rows.filter { $0.kind != "concat" }.reduce(0) { $0 + $1.output.elements }
    }

    private var mainNodes: some Sequence<Node> {
        nodes.lazy.filter { [network] node in !network.auxiliaryPrefixes.contains(where: node.name.hasPrefix) }
    }

    /// - Returns: the number of classes.
    private static func check(_ settings: ModelSettings, _ network: Network) throws(ModelError) -> Int {
        guard settings.stem == nil || knownStems.contains(settings.stem!) else {
            throw .invalidSetting(name: "model.stem", found: "\(settings.stem!)", allowed: "299, 151, 79 or null")
        }
        guard settings.width > 0 && settings.width <= 16 else {
            throw .invalidSetting(name: "model.width", found: "\(settings.width)", allowed: "more than 0, at most 16")
        }
        guard let classes = settings.classes, (1...1_000_000).contains(classes) else {
            let found = settings.classes.map { "\($0)" } ?? "none, and no data set that has some"
            throw .invalidSetting(name: "model.classes", found: found, allowed: "1 to 1000000")
        }
        guard (1...8192).contains(settings.imageSize) else {
            throw .invalidSetting(name: "model.imageSize", found: "\(settings.imageSize)", allowed: "1 to 8192")
        }
        guard settings.dropout >= 0 && settings.dropout < 1 else {
            throw .invalidSetting(name: "model.dropout", found: "\(settings.dropout)", allowed: "0 or more, below 1")
        }
        guard [1, 2].contains(settings.groups) else {
            throw .invalidSetting(name: "model.groups", found: "\(settings.groups)", allowed: "1 or 2")
        }
        try checkFeatures(settings, network)
        return classes
    }

    /// A setting that the network does not have stays at its default.
    private static func checkFeatures(_ settings: ModelSettings, _ network: Network) throws(ModelError) {
        let defaults = ModelSettings()
        func check<Value: Equatable>(
            _ name: String, _ path: KeyPath<ModelSettings, Value>, has isThere: Bool, _ instead: String
        ) throws(ModelError) {
            if isThere || settings[keyPath: path] == defaults[keyPath: path] { return }
            throw .noSuchSetting(name: name, network: network.name, instead: instead)
        }
        let features = network.features
        if !features.contains(.stems), let stem = settings.stem, stem != 299 {
            throw .noSuchSetting(
                name: "model.stem", network: network.name,
                instead: "its first layers are the published ones only: leave it out, or set 299")
        }
        if settings.auxiliary && network.auxiliaryHeads.isEmpty {
            throw .noSuchSetting(
                name: "model.auxiliary", network: network.name, instead: "it has no auxiliary head: set false")
        }
        let norms = "it has no batch norm"
        try check("model.batchNorm", \.batchNorm, has: features.contains(.batchNorm), norms)
        try check("model.batchNormScale", \.batchNormScale, has: features.contains(.batchNorm), norms)
        try check("model.unbiasedVariance", \.unbiasedVariance, has: features.contains(.batchNorm), norms)
        try check(
            "model.poolBorder", \.poolBorder, has: features.contains(.poolBorder),
            "it has no average pool with a border")
        try check(
            "model.initialValues", \.initialValues, has: features.contains(.slimValues),
            "its weights begin as its reference implementation's")
        let only = "inception-v2 has it"
        try check("model.factorize5x5", \.factorize5x5, has: features.contains(.factorisations), only)
        try check("model.factorize7x7", \.factorize7x7, has: features.contains(.factorisations), only)
        try check("model.factorizeStem", \.factorizeStem, has: features.contains(.factorisations), only)
        try check("model.reduction", \.reduction, has: features.contains(.factorisations), only)
        try check(
            "model.auxiliaryNorm", \.auxiliaryNorm, has: features.contains(.auxiliaryNorm),
            "inception-v2 and inception-v3 have it")
        try check("model.groups", \.groups, has: features.contains(.groups), "alexnet has it")
    }
}

extension GraphBuilder {
    /// The whole graph; nil where a window does not fit the map before it.
    fileprivate func built(for image: Extent) -> GraphBuilder? {
        var graph = self
        do throws(EmptyMap) {
            try network.build(&graph, image)
            return graph
        } catch {
            return nil
        }
    }

    fileprivate var minimumImageSize: Int {
        var size = 1
        while built(for: Extent(size, size)) == nil { size += 1 }
        return size
    }
}
