// What a network's logits on labelled images come to.

import Foundation

/// Counts how high the labels' logits ranked, adds up the cross-entropies, and keeps which class was taken for which.
package struct Tally {
    /// Images of a label that were named as a class.
    package struct Cell: Hashable, Sendable {
        package let label: Int
        package let predicted: Int
    }

    /// Images by how sure the network was of its first guess.
    package struct Bin: Sendable, Hashable {
        package var images = 0
        /// Of them those where it was right.
        package var correct = 0
        /// Sum of the probabilities.
        package var confidence = 0.0
    }

    package let classes: Int
    /// Images by the rank of their label, 0 the best; the last counts all ranks from there on.
    private var ranks = [Int](repeating: 0, count: 6)
    /// Sum of the images' cross-entropies, in the order they came.
    package private(set) var loss = 0.0
    package private(set) var cells: [Cell: Int] = [:]
    package private(set) var bins = [Bin](repeating: Bin(), count: 15)

    package init(classes: Int) { self.classes = classes }

    /// - Returns: as for logits.
    @discardableResult
    package mutating func add(label: Int, scores: ClassScores) -> (predicted: Int, probability: Double) {
        switch scores {
        case .logits(let logits): add(label: label, logits: logits)
        case .probabilities(let probabilities): add(label: label, probabilities: probabilities)
        }
    }

    /// - Returns: the most probable class, of equal ones the lowest, and its probability.
    @discardableResult
    package mutating func add(label: Int, logits: ArraySlice<Float>) -> (predicted: Int, probability: Double) {
        let own = logits[logits.startIndex + label]
        let (rank, predicted) = Tally.place(of: label, in: logits)
        let largest = logits.reduce(-Float.infinity) { $1 > $0 ? $1 : $0 }
        let sum = logits.reduce(0) { $0 + exp(Double($1) - Double(largest)) }
        let probability = sum.isFinite && sum > 0 ? 1 / sum : 0
        count(
            label: label, rank: rank, predicted: predicted, probability: probability,
            crossEntropy: log(sum) + Double(largest) - Double(own))
        return (predicted, probability)
    }

    private mutating func add(label: Int, probabilities: [Double]) -> (predicted: Int, probability: Double) {
        let (rank, predicted) = Tally.place(of: label, in: probabilities[...])
        let probability = probabilities[predicted].isNaN ? 0 : probabilities[predicted]
        count(
            label: label, rank: rank, predicted: predicted, probability: probability,
            crossEntropy: -log(probabilities[label]))
        return (predicted, probability)
    }

    /// How many classes go before the label, and which is first.
    private static func place<Score: BinaryFloatingPoint>(
        of label: Int, in scores: ArraySlice<Score>
    ) -> (rank: Int, predicted: Int) {
        let own = scores[scores.startIndex + label]
        // Of equal scores the lower class goes first. One that is not a number is never right.
        let rank =
            own.isNaN
            ? scores.count
            : scores.enumerated().count { $1 > own || ($1 == own && $0 < label) }
        var predicted = 0
        var largest = -Score.infinity
        for (index, score) in scores.enumerated() where score > largest { (predicted, largest) = (index, score) }
        // When no score is a number the first guess is nothing's.
        if own.isNaN, largest == -.infinity { predicted = (label + 1) % max(scores.count, 2) }
        return (rank, predicted)
    }

    private mutating func count(label: Int, rank: Int, predicted: Int, probability: Double, crossEntropy: Double) {
        ranks[min(rank, ranks.count - 1)] += 1
        loss += crossEntropy
        cells[Cell(label: label, predicted: predicted), default: 0] += 1
        // Rounding may leave a mean of softmaxes a bit above 1.
        let bin = min(Int(probability * Double(bins.count)), bins.count - 1)
        bins[bin].images += 1
        bins[bin].confidence += probability
        if rank == 0 { bins[bin].correct += 1 }
    }

    package var imageCount: Int { ranks.reduce(0, +) }

    package func count(withRankBelow rank: Int) -> Int { ranks.prefix(rank).reduce(0, +) }

    package func share(withRankBelow rank: Int) -> Double { Double(count(withRankBelow: rank)) / Double(imageCount) }

    /// By label: its images, those of them named right, and all images that were named so.
    package var byClass: [(images: Int, correct: Int, predicted: Int)] {
        var counts = Array(repeating: (images: 0, correct: 0, predicted: 0), count: classes)
        for (cell, count) in cells {
            counts[cell.label].images += count
            counts[cell.predicted].predicted += count
            if cell.label == cell.predicted { counts[cell.label].correct += count }
        }
        return counts
    }
}
