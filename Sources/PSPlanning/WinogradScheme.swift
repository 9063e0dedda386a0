// The catalogue of Winograd's algorithms: which tiles exist for which kernels.

import PSModel

/// One pair of one-dimensional schemes, vertical and horizontal, that computes a convolution tile by tile.
package struct WinogradScheme: Sendable, Hashable {
    /// What one axis of a tile is made of. An axis without taps to save is left as it is: one of everything.
    package struct Axis: Sendable, Hashable {
        package let outputs: Int
        package let taps: Int
        package let stride: Int

        static let identity = Axis(outputs: 1, taps: 1, stride: 1)

        /// Inputs a tile reads.
        package var extent: Int { (outputs - 1) * stride + taps }
        /// Inputs between neighbouring tiles.
        package var step: Int { outputs * stride }
        /// Multiplications of a tile; `outputs * taps` without Winograd.
        package var products: Int { stride == 1 ? outputs + taps - 1 : 2 * outputs + 1 }
        /// Different weights among them: at stride 2 the products of the middle tap share one.
        package var weights: Int { stride == 1 ? products : outputs + 2 }
        /// Tiles that cover this many outputs.
        package func tiles(covering count: Int) -> Int { (count + outputs - 1) / outputs }
    }

    package let vertical: Axis
    package let horizontal: Axis

    /// The scheme with `tile` outputs along each transformed axis; nil if there is none for the kernel.
    package init?(_ shape: ConvolutionShape, tile: Int) {
        guard WinogradScheme.tiles(for: shape).contains(tile) else { return nil }
        func axis(taps: Int) -> Axis {
            taps == 1 ? .identity : Axis(outputs: tile, taps: taps, stride: shape.window.stride.height)
        }
        vertical = axis(taps: shape.window.kernel.height)
        horizontal = axis(taps: shape.window.kernel.width)
    }

    /// Tiles for which a shape has a scheme, the largest first.
    package static func tiles(for shape: ConvolutionShape) -> [Int] {
        let window = shape.window
        guard window.padding.height < window.kernel.height && window.padding.width < window.kernel.width else {
            return []
        }
        switch (window.stride, window.kernel) {
        case (Extent(2, 2), Extent(3, 3)): return [3, 2]
        case (Extent(1, 1), Extent(3, 3)), (Extent(1, 1), Extent(1, 3)), (Extent(1, 1), Extent(3, 1)): return [6, 4]
        case (Extent(1, 1), Extent(5, 5)): return [4, 2]
        case (Extent(1, 1), Extent(1, 7)), (Extent(1, 1), Extent(7, 1)): return [6, 4]
        default: return []
        }
    }

    /// Products of a tile, and so matrices of transformed inputs and outputs.
    package var products: Int { vertical.products * horizontal.products }
    /// Matrices of transformed weights.
    package var weights: Int { vertical.weights * horizontal.weights }

    /// "F(6x6,3x3)", "F(6,7)", "F(3x3,3x3)/2".
    package var name: String {
        if vertical == .identity { return "F(\(horizontal.outputs),\(horizontal.taps))" }
        if horizontal == .identity { return "F(\(vertical.outputs),\(vertical.taps))" }
        return "F(\(vertical.outputs)x\(horizontal.outputs),\(vertical.taps)x\(horizontal.taps))"
            + (vertical.stride == 1 ? "" : "/\(vertical.stride)")
    }

    /// Relative RMS error against float64: the worst that `psctl bench errors` gave for forward and the two gradients over
    /// Inception-v3's layers of this kernel, with three seeds at batch 32 and one at 4 and at 8, rounded up. Larger tiles
    /// mean larger numbers in the transforms, whose differences lose digits.
    package var error: Double {
        if vertical.stride > 1 { return 6.3e-7 }
        let square = vertical != .identity && horizontal != .identity
        switch (max(vertical.taps, horizontal.taps), max(vertical.outputs, horizontal.outputs)) {
        case (3, 4): return square ? 4.5e-6 : 1.3e-6
        case (3, 6): return square ? 7.9e-6 : 1.7e-6
        case (5, 2): return 2.5e-6
        case (5, 4): return 1.2e-5
        case (7, 4): return 4.6e-6
        case (7, 6): return 1.1e-5
        default: preconditionFailure("no error was measured for \(name)")
        }
    }
}
