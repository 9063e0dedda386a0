// What a convolution costs by each algorithm, estimated from shapes alone: good enough to choose between them.

/// Costs in multiply-adds of a matrix product: what else there is to do is counted as the products a core would do
/// meanwhile. The factors were fitted to measured times of Inception-v3's layers (Zen 4, one core, batch 32).
package enum ConvolutionCost {
    package enum Direction: Sendable, Hashable, CaseIterable {
        case forward
        case dataGradient
        case weightGradient
    }

    /// Of a float that a Winograd transform reads or writes.
    private static let transformedFloat = 12.0
    /// Of a transformed weight: preparing it, and in the weight gradient adding up the parts and bringing it back.
    private static let preparedWeight = 20.0
    private static let storedWeight = 100.0
    /// Of an element of the im2col matrix; the weight gradient reads it in an order of its own.
    private static let column = 6.0
    private static let transposedColumn = 14.0
    /// Products with a transposed left matrix are slower.
    private static let transposedProduct = 1.08

    /// What one direction of a convolution costs on one core, in multiply-adds of a matrix product.
    ///
    /// - Parameter algorithm: one of the shape's `candidates`.
    package static func estimate(
        _ shape: ConvolutionShape, _ algorithm: ConvolutionAlgorithm, _ direction: Direction
    ) -> Double {
        switch algorithm {
        case .direct: return direct(shape, direction)
        case .winograd(let tile):
            guard let scheme = WinogradScheme(shape, tile: tile) else {
                preconditionFailure("no \(algorithm) for \(shape)")
            }
            return winograd(shape, scheme, direction)
        }
    }

    private static func direct(_ shape: ConvolutionShape, _ direction: Direction) -> Double {
        let columns = Double(shape.outputPixels * shape.depth)
        let products = columns * Double(shape.outputChannels)
        switch direction {
        case .forward: return products + column * columns
        case .dataGradient:
            guard let mirrored = shape.mirrored, !shape.scattersGradient else { return products + column * columns }
            return direct(mirrored, .forward)
        case .weightGradient: return transposedProduct * products + transposedColumn * columns
        }
    }

    private static func winograd(
        _ shape: ConvolutionShape, _ scheme: WinogradScheme, _ direction: Direction
    ) -> Double {
        // Whole tiles: what they compute outside the map costs as much.
        let tiles = Double(
            shape.batch * scheme.vertical.tiles(covering: shape.window.output.height)
                * scheme.horizontal.tiles(covering: shape.window.output.width))
        func lanes(_ channels: Int) -> Double { Double((channels + 15) / 16 * 16) }
        let (inputs, outputs) = (tiles * lanes(shape.inputChannels), tiles * lanes(shape.outputChannels))
        let read = Double(scheme.vertical.extent * scheme.horizontal.extent)
        let written = Double(scheme.vertical.outputs * scheme.horizontal.outputs)
        let count = Double(scheme.products)
        let kernel = Double(shape.inputChannels * shape.outputChannels)
        let products = tiles * count * kernel
        let weights = Double(scheme.weights) * kernel
        // The gradients share the transform of the output's gradient.
        let shared = (written + count) / 2 * outputs
        switch direction {
        case .forward:
            let transforms = (read + count) * inputs + (count + written) * outputs
            return products + transformedFloat * transforms + preparedWeight * weights
        case .dataGradient:
            // Overlapping tiles are added to what is there.
            let transforms = shared + (count + 2 * read) * inputs
            return products + transformedFloat * transforms + preparedWeight * weights
        case .weightGradient:
            let transforms = shared + (read + count) * inputs
            return transposedProduct * products + transformedFloat * transforms + storedWeight * weights
        }
    }
}
