// The catalogue of networks: what is known of each besides its table.

/// A network by its name: its table, and what its publication and its reference implementation say of it.
package struct Network: Sendable {
    /// As `model.name` has it.
    package let name: String
    /// With the publication.
    package let title: String
    /// Rows and columns of the images it was published for.
    package let imageSize: Int
    /// What the names of its auxiliary heads' tensors begin with, without the dot.
    package let auxiliaryHeads: [String]
    /// Weight of each auxiliary head's loss beside the main one's 1.
    package let auxiliaryWeight: Double
    /// Probability that dropout before the last dense layer zeroes an element.
    package let dropout: Double
    /// Batch norm's.
    let epsilon: Float
    let initialValues: InitialRules
    let build: @Sendable (inout GraphBuilder, Extent) throws(EmptyMap) -> Void

    /// All networks, in the order in which they were published.
    package static let all: [Network] = [inceptionV3]

    /// What the names of its auxiliary heads' tensors begin with.
    package var auxiliaryPrefixes: [String] { auxiliaryHeads.map { "\($0)." } }

    package static func named(_ name: String) throws(ModelError) -> Network {
        guard let network = all.first(where: { $0.name == name }) else {
            throw .unknownModel(name: name, known: all.map(\.name))
        }
        return network
    }

    static let inceptionV3 = Network(
        name: "inception-v3", title: "Inception-v3 (Szegedy et al. 2015, arXiv 1512.00567)", imageSize: 299,
        auxiliaryHeads: ["AuxLogits"], auxiliaryWeight: 0.4, dropout: 0.5, epsilon: 1e-3,
        initialValues: InitialRules(
            convolutions: .truncatedNormal(0.1), dense: .truncatedNormal(0.1), biases: .byInputs)
    ) { (graph, image) throws(EmptyMap) in try graph.inceptionV3(image: image) }
}
