// From the contributions of a step's tickets to its gradient: plain sums in ticket order, then one pass that ends them.

import CKernels

/// The sum of a step's contributions over one slice, and what ends it.
///
/// All pointers are to `count` elements and must be equal or not overlap. The bits depend on the order of the calls
/// alone, not on the processor's instruction set.
package enum Aggregate {
    /// What the pass that ends a sum has seen.
    package struct Norm: Sendable, Hashable {
        /// Sum of the squares of the finished gradient: float64, element i in lane i % 16, lanes folded in halves.
        package let squaredNorm: Double

        /// Whether every element is finite. A float's square neither overflows a double nor cancels another square,
        /// so the sum knows.
        package var isFinite: Bool { squaredNorm.isFinite }
    }

    /// The first ticket: sum = values.
    package static func start(
        _ sum: UnsafeMutablePointer<Float>, from values: UnsafePointer<Float>, count: Int
    ) {
        sum.update(from: values, count: count)
    }

    /// A further ticket: sum += values.
    package static func add(
        _ sum: UnsafeMutablePointer<Float>, _ values: UnsafePointer<Float>, count: Int
    ) {
        ps_add(sum, values, count)
    }

    /// Ends a sum in place: gradient = gradient * scale + weightDecay * weights.
    ///
    /// - Parameters:
    ///   - weights: nil where no decay applies. A slice may hold tensors that decay and tensors that do not: finish
    ///     it piece by piece.
    ///   - scale: 1 / tickets for the mean, 1 for the sum.
    package static func finish(
        _ gradient: UnsafeMutablePointer<Float>, weights: UnsafePointer<Float>?, scale: Float, weightDecay: Float,
        count: Int
    ) -> Norm {
        Norm(squaredNorm: ps_finish(gradient, gradient, nil, weights, scale, weightDecay, count))
    }

    /// `add` of the last ticket and `finish` in one pass, with the same bits.
    package static func addAndFinish(
        _ sum: UnsafeMutablePointer<Float>, _ values: UnsafePointer<Float>, weights: UnsafePointer<Float>?,
        scale: Float, weightDecay: Float, count: Int
    ) -> Norm {
        Norm(squaredNorm: ps_finish(sum, sum, values, weights, scale, weightDecay, count))
    }

    /// `start` and `finish` of a step's only ticket in one pass, with the same bits.
    package static func startAndFinish(
        _ gradient: UnsafeMutablePointer<Float>, from values: UnsafePointer<Float>, weights: UnsafePointer<Float>?,
        scale: Float, weightDecay: Float, count: Int
    ) -> Norm {
        Norm(squaredNorm: ps_finish(gradient, values, nil, weights, scale, weightDecay, count))
    }
}

/// The norm of a gradient from the squared norms of its slices, added in slice order, and the factor that keeps it
/// within `threshold` (0: no clip): min(1, threshold / norm).
///
/// A step whose norm is not finite commits nothing; its scale has no meaning.
package func clipScale(threshold: Double, squaredNorms: [Double]) -> (norm: Double, scale: Float) {
    let norm = squaredNorms.reduce(0, +).squareRoot()
    return (norm, threshold > 0 && norm > threshold ? Float(threshold / norm) : 1)
}
