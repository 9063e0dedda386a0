// A network as data: its graph, its tensors and what it costs. Every process of a job builds the same one from the
// same settings.

import PSParameters

/// One network, worked out and checked.
package struct ModelDescription: Sendable {
    /// A line of the summary.
    package struct Row: Sendable, Hashable, Codable {
        package let name: String
        package let output: MapShape
        /// Learned elements.
        package let parameters: Int
        /// Multiply-accumulates of one image's forward pass.
        package let macs: Int
    }

    /// What the names of the auxiliary head's tensors begin with.
    package static let auxiliaryPrefix = "AuxLogits."
    /// The tensors whose first extent is the number of classes, of both heads.
    package static let lastLayers: Set<String> = ["fc.weight", "fc.bias", "AuxLogits.fc.weight", "AuxLogits.fc.bias"]

    /// Names `ModelSettings.name` may have.
    package static let knownModels = ["inception-v3"]
    /// Values `ModelSettings.stem` may have.
    package static let knownStems = [299, 151, 79]

    package let settings: ModelSettings
    /// Length of a head's output.
    package let classes: Int
    /// In an order in which every input comes before its user.
    package let nodes: [Node]
    /// The node whose output is the main head's logits.
    package let logits: Int
    /// The node whose output is the auxiliary head's logits, if there is one.
    package let auxiliaryLogits: Int?
    package let layout: ParameterLayout
    /// Smallest image this network can be built for, rows and columns.
    package let minimumImageSize: Int

    /// - Parameter image: rows and columns of an image, where they differ from each other; by default both are
    ///   `settings.imageSize`.
    /// - Throws: `ModelError` naming the setting that cannot be used.
    package init(_ settings: ModelSettings, image: Extent? = nil) throws(ModelError) {
        classes = try ModelDescription.check(settings)
        let image = image ?? Extent(settings.imageSize, settings.imageSize)
        let minimum = ModelDescription.minimumImageSize(settings, classes: classes)
        guard min(image.height, image.width) >= minimum,
            let (graph, heads) = ModelDescription.build(settings, classes: classes, image: image)
        else {
            throw .imageTooSmall(size: min(image.height, image.width), stem: settings.stem, minimum: minimum)
        }
        self.settings = settings
        nodes = graph.nodes
        (logits, auxiliaryLogits) = heads
        layout = ParameterLayout(tensors: graph.tensors)
        minimumImageSize = minimum
    }

    /// One row for each node after the input.
    package var rows: [Row] {
        nodes.dropFirst().map { Row(name: $0.name, output: $0.shape, parameters: $0.parameters, macs: $0.macs) }
    }

    /// Learned elements.
    package var parameters: Int { nodes.reduce(0) { $0 + $1.parameters } }

    /// Learned elements outside the auxiliary head.
    package var parametersWithoutAuxiliary: Int { mainNodes.reduce(0) { $0 + $1.parameters } }

    /// Multiply-accumulates in convolutions and dense layers of one image's forward pass up to the main head's logits:
    /// what an evaluation costs. The auxiliary head's are in its rows only.
    package var macs: Int { mainNodes.reduce(0) { $0 + $1.macs } }

    private var mainNodes: some Sequence<Node> { nodes.lazy.filter { !$0.name.hasPrefix(Self.auxiliaryPrefix) } }

    /// - Returns: the number of classes.
    private static func check(_ settings: ModelSettings) throws(ModelError) -> Int {
        guard knownModels.contains(settings.name) else {
            throw .unknownModel(name: settings.name, known: knownModels)
        }
        guard knownStems.contains(settings.stem) else {
            throw .invalidSetting(name: "model.stem", found: "\(settings.stem)", allowed: "299, 151 or 79")
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
        return classes
    }

    private static func build(
        _ settings: ModelSettings, classes: Int, image: Extent
    ) -> (GraphBuilder, (logits: Int, auxiliary: Int?))? {
        var graph = GraphBuilder(settings: settings, classes: classes)
        do throws(EmptyMap) {
            let heads = try graph.inceptionV3(image: image)
            return (graph, heads)
        } catch {
            return nil
        }
    }

    private static func minimumImageSize(_ settings: ModelSettings, classes: Int) -> Int {
        var size = 1
        while build(settings, classes: classes, image: Extent(size, size)) == nil { size += 1 }
        return size
    }
}
