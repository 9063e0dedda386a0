// The convolutions of a model that a plan chooses for, and what there is to choose from.

import PSModel

/// A convolution that is no matrix product as it stands.
package struct PlannedConvolution: Sendable, Hashable {
    /// The node's name.
    package let name: String
    package let shape: ConvolutionShape
    /// Whether its input are the images, which need no gradient.
    package let readsImages: Bool
}

extension ModelDescription {
    /// The convolutions a plan has choices for, in the order in which they run; of several groups, there is one way.
    package func plannedConvolutions(batch: Int) -> [PlannedConvolution] {
        nodes.compactMap { node in
            guard case .convolution(let window, groups: 1) = node.operation else { return nil }
            let source = nodes[node.inputs[0]]
            let input = source.shape
            let sliding = SlidingWindow(window, input: input, output: node.shape)
            if sliding.isPointwise { return nil }
            return PlannedConvolution(
                name: node.name,
                shape: ConvolutionShape(
                    batch: batch, window: sliding, inputChannels: input.channels, outputChannels: node.shape.channels),
                readsImages: source.operation == .input)
        }
    }
}

/// An algorithm that a convolution has a form for.
package struct ConvolutionCandidate: Sendable, Hashable {
    package let algorithm: ConvolutionAlgorithm
    /// Relative RMS error against float64, the worst of forward and the two gradients.
    package let error: Double

    package init(algorithm: ConvolutionAlgorithm, error: Double) {
        self.algorithm = algorithm
        self.error = error
    }

    /// Direct always is.
    package func isExactEnough(_ maximumError: Double) -> Bool { algorithm == .direct || error <= maximumError }
}

extension ConvolutionShape {
    /// The algorithms this convolution can be computed by, direct first, then by ascending tile.
    package var candidates: [ConvolutionCandidate] {
        [ConvolutionCandidate(algorithm: .direct, error: 3.5e-7)]
            + WinogradScheme.tiles(for: self).sorted().compactMap { tile in
                WinogradScheme(self, tile: tile).map {
                    ConvolutionCandidate(algorithm: .winograd(tile: tile), error: $0.error)
                }
            }
    }
}
