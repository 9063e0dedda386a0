// What is known of a network besides its table.

/// A network by its name.
package struct Network: Sendable {
    /// Settings that only some networks have.
    package enum Feature: Sendable, Hashable {
        /// The low-resolution stems of section 8.
        case stems
        case batchNorm
        /// An average pool with a border.
        case poolBorder
        /// Initial values of slim's family.
        case slimValues
        /// Inception-v2's factorisations and grid reductions.
        case factorisations
        case auxiliaryNorm
        case groups
    }

    /// An error on the validation images of ILSVRC 2012, one network, one crop unless the source says otherwise, percent.
    package struct Published: Sendable, Hashable {
        package let top1Error: Double
        /// Nil where the source has none.
        package let top5Error: Double?
        package let source: String
    }

    /// As `model.name` has it.
    package let name: String
    /// With the publication.
    package let title: String
    /// Whose names its tensors have, and whose first values.
    package let reference: String
    /// What makes the reference implementation in Python, of ImageNet's classes and with all its heads, where there is one
    /// that loads this network's weights.
    package var constructor: String?
    /// Rows and columns of the images it was published for.
    package let imageSize: Int
    /// The auxiliary heads: what the names of their tensors begin with, without the dot.
    package var auxiliaryHeads: [String] = []
    /// Weight of each auxiliary head's loss beside the main one's 1.
    package var auxiliaryWeight = 0.4
    /// Probability that dropout before the last dense layer zeroes an element.
    package let dropout: Double
    package let features: Set<Feature>
    package let published: Published
    /// Batch norm's.
    var epsilon: Float = 1e-3
    /// How average pools with a border count it.
    var poolBorder = ModelSettings.PoolBorder.counted
    let initialValues: InitialRules
    let build: @Sendable (inout GraphBuilder, Extent) throws(EmptyMap) -> Void

    package static func named(_ name: String) throws(ModelError) -> Network {
        guard let network = all.first(where: { $0.name == name }) else {
            throw .unknownModel(name: name, known: all.map(\.name))
        }
        return network
    }

    /// What the names of its auxiliary heads' tensors begin with.
    package var auxiliaryPrefixes: [String] { auxiliaryHeads.map { "\($0)." } }

    /// Python that makes the reference implementation; nil where there is none.
    package func construction(classes: Int, auxiliary: Bool) -> String? {
        guard var call = constructor else { return nil }
        var arguments = classes == 1000 ? [] : ["num_classes=\(classes)"]
        if !auxiliaryHeads.isEmpty, !auxiliary { arguments.append("aux_logits=False") }
        if arguments.isEmpty { return call }
        call.removeLast()
        return call + (call.hasSuffix("(") ? "" : ", ") + arguments.joined(separator: ", ") + ")"
    }

    /// The first layers of a network with these settings: 299, 151 or 79.
    func stem(_ settings: ModelSettings) -> Int {
        guard features.contains(.stems) else { return 299 }
        if let stem = settings.stem { return stem }
        // The published size, half and a quarter of it; between two the nearer one.
        if 4 * settings.imageSize >= 3 * imageSize { return 299 }
        return 8 * settings.imageSize >= 3 * imageSize ? 151 : 79
    }
}

extension InitialRules {
    /// Everything normal of this deviation, cut.
    static func truncatedNormal(_ deviation: Float) -> InitialRules {
        InitialRules(
            convolutions: .truncatedNormal(deviation), dense: .truncatedNormal(deviation), biases: .byInputs)
    }

    /// What PyTorch's layers begin with.
    static let pytorch = InitialRules(convolutions: .uniformByInputs, dense: .uniformByInputs, biases: .byInputs)
}
