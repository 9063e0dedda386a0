// What a step does to one slice: contributions added in ticket order, then the update. The one home of both, for servers,
// for benchmarks in one process and for the simulator.

import PSParameters

/// The values of one slice, each from the slice's first element on.
package struct SliceValues {
    package var weights: UnsafePointer<Float>
    package var average: UnsafeMutablePointer<Float>
    /// Sum of the contributions, then the gradient.
    package var sum: UnsafeMutablePointer<Float>
    /// RMSProp's, of weights only.
    package var meanSquare: UnsafeMutablePointer<Float>?
    /// Of weights only.
    package var momentum: UnsafeMutablePointer<Float>?

    package init(
        weights: UnsafePointer<Float>, average: UnsafeMutablePointer<Float>, sum: UnsafeMutablePointer<Float>,
        meanSquare: UnsafeMutablePointer<Float>?, momentum: UnsafeMutablePointer<Float>?
    ) {
        self.weights = weights
        self.average = average
        self.sum = sum
        self.meanSquare = meanSquare
        self.momentum = momentum
    }
}

/// The numbers of a commit that the coordinator decides.
package struct CommitRates: Sendable, Hashable {
    package var scale: Float
    package var learningRate: Float
    package var averageDecay: Float

    package init(scale: Float, learningRate: Float, averageDecay: Float) {
        self.scale = scale
        self.learningRate = learningRate
        self.averageDecay = averageDecay
    }
}

/// Factors of the learning rate by tensor; 0: the tensor is frozen.
package struct TensorRates: Sendable, Hashable {
    /// Nil: 1 for all.
    private let factors: [Float]?

    package init(_ factors: [Float]) { self.factors = factors.allSatisfy { $0 == 1 } ? nil : factors }

    /// All tensors alike.
    package init() { factors = nil }

    package subscript(tensor: Int) -> Float { factors?[tensor] ?? 1 }

    package func isFrozen(_ tensor: Int) -> Bool { self[tensor] == 0 }

    var areAlike: Bool { factors == nil }
}

package struct SliceArithmetic: Sendable {
    package let layout: ParameterLayout
    package let settings: OptimizerSettings
    package let ticketsPerStep: Int
    package let rates: TensorRates

    package init(
        layout: ParameterLayout, settings: OptimizerSettings, ticketsPerStep: Int, rates: TensorRates = TensorRates()
    ) {
        self.layout = layout
        self.settings = settings
        self.ticketsPerStep = ticketsPerStep
        self.rates = rates
    }

    /// Adds a contribution in its turn. After the last one the sum is the step's gradient, weight decay included, and its
    /// squared norm is returned (0 for statistics and frozen tensors, which stay outside the norm).
    package func fold(
        _ index: Int, values: UnsafePointer<Float>, into slice: SliceValues, isFirst: Bool, isLast: Bool
    ) -> (squaredNorm: Double, isFinite: Bool) {
        let place = layout.slices[index]
        guard isLast else {
            if isFirst {
                Aggregate.start(slice.sum, from: values, count: place.range.count)
            } else {
                Aggregate.add(slice.sum, values, count: place.range.count)
            }
            return (0, true)
        }
        let isWeight = place.kind == .weight
        let isMean = settings.reduction == .mean || !isWeight
        let scale = isMean ? 1 / Float(ticketsPerStep) : 1
        let decay = Float(settings.weightDecay)
        var squaredNorm = 0.0
        // Piece by piece: a slice may hold tensors that decay beside tensors that do not.
        for piece in place.pieces {
            let offset = piece.range.lowerBound - place.range.lowerBound
            if rates.isFrozen(piece.tensor) {
                (slice.sum + offset).update(repeating: 0, count: piece.range.count)
                continue
            }
            let decays = settings.weightDecay > 0 && layout.tensors[piece.tensor].decays
            let weights = decays ? slice.weights + offset : nil
            let norm =
                isFirst
                ? Aggregate.startAndFinish(
                    slice.sum + offset, from: values + offset, weights: weights, scale: scale, weightDecay: decay,
                    count: piece.range.count)
                : Aggregate.addAndFinish(
                    slice.sum + offset, values + offset, weights: weights, scale: scale, weightDecay: decay,
                    count: piece.range.count)
            squaredNorm += norm.squaredNorm
        }
        return (isWeight ? squaredNorm : 0, squaredNorm.isFinite)
    }

    /// Applies a commit; the new weights go to `updated`, which may be where the old ones are.
    package func update(
        _ index: Int, _ slice: SliceValues, into updated: UnsafeMutablePointer<Float>, _ commit: CommitRates
    ) {
        let place = layout.slices[index]
        let count = place.range.count
        if place.kind == .statistic {
            return Statistic.fold(
                updated, running: slice.weights, mean: slice.sum, average: slice.average,
                batchNormMomentum: Float(settings.batchNormMomentum), averageDecay: commit.averageDecay, count: count)
        }
        if rates.areAlike { return update(slice, into: updated, 0..<count, rate: 1, commit) }
        for piece in place.pieces {
            let first = piece.range.lowerBound - place.range.lowerBound
            update(slice, into: updated, first..<first + piece.range.count, rate: rates[piece.tensor], commit)
        }
    }

    /// Some elements of a slice of weights, those of one tensor where rates differ.
    private func update(
        _ slice: SliceValues, into updated: UnsafeMutablePointer<Float>, _ elements: Range<Int>, rate: Float,
        _ commit: CommitRates
    ) {
        let first = elements.lowerBound
        if rate == 0 {
            // The weights stay; an average that is not there yet goes on towards them.
            return Statistic.fold(
                updated + first, running: slice.weights + first, mean: slice.sum + first,
                average: slice.average + first, batchNormMomentum: 0, averageDecay: commit.averageDecay,
                count: elements.count)
        }
        let rates = UpdateRates(
            settings: settings, clipScale: commit.scale, learningRate: commit.learningRate * rate,
            averageDecay: commit.averageDecay)
        guard let momentum = slice.momentum else { preconditionFailure("weights without momentum") }
        if let meanSquare = slice.meanSquare {
            RMSProp.update(
                updated + first, weights: slice.weights + first, gradient: slice.sum + first,
                meanSquare: meanSquare + first, momentum: momentum + first, average: slice.average + first,
                rates: rates, count: elements.count)
        } else {
            Momentum.update(
                updated + first, weights: slice.weights + first, gradient: slice.sum + first,
                momentum: momentum + first, average: slice.average + first, rates: rates, count: elements.count)
        }
    }
}

/// All values of a job in one process, as flat vectors: what its servers hold together.
///
/// Threads may work on different slices at once.
package final class FlatState: @unchecked Sendable {
    // Sendable: see above; the vectors stay where they are.

    package let arithmetic: SliceArithmetic
    package let weights: UnsafeMutablePointer<Float>
    package let average: UnsafeMutablePointer<Float>
    package let sum: UnsafeMutablePointer<Float>
    package let meanSquare: UnsafeMutablePointer<Float>?
    package let momentum: UnsafeMutablePointer<Float>

    /// The state a job begins with.
    package init(_ arithmetic: SliceArithmetic, seed: UInt64) {
        self.arithmetic = arithmetic
        let layout = arithmetic.layout
        func vector(_ value: Float) -> UnsafeMutablePointer<Float> {
            let vector = UnsafeMutablePointer<Float>.allocate(capacity: layout.count)
            vector.initialize(repeating: value, count: layout.count)
            return vector
        }
        (weights, average, sum, momentum) = (vector(0), vector(0), vector(0), vector(0))
        meanSquare = arithmetic.settings.rule == .rmsprop ? vector(RMSProp.initialMeanSquare) : nil
        let initial = layout.initialValues(seed: seed)
        weights.update(from: initial, count: layout.count)
        average.update(from: initial, count: layout.count)
    }

    deinit {
        for vector in [weights, average, sum, momentum] { vector.deallocate() }
        meanSquare?.deallocate()
    }

    private func values(_ index: Int) -> SliceValues {
        let slice = arithmetic.layout.slices[index]
        let first = slice.range.lowerBound
        let isWeight = slice.kind == .weight
        return SliceValues(
            weights: weights + first, average: average + first, sum: sum + first,
            meanSquare: isWeight ? meanSquare.map { $0 + first } : nil, momentum: isWeight ? momentum + first : nil)
    }

    /// Adds one ticket's contribution, a flat vector, to a slice.
    package func fold(
        _ index: Int, from vector: UnsafePointer<Float>, isFirst: Bool, isLast: Bool
    ) -> (squaredNorm: Double, isFinite: Bool) {
        arithmetic.fold(
            index, values: vector + arithmetic.layout.slices[index].range.lowerBound, into: values(index),
            isFirst: isFirst, isLast: isLast)
    }

    package func update(_ index: Int, _ commit: CommitRates) {
        arithmetic.update(
            index, values(index), into: weights + arithmetic.layout.slices[index].range.lowerBound, commit)
    }
}
