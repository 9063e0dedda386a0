// What networks say of an image's classes: one set of logits, or the mean of the softmaxes of several.

import Foundation

/// One value for each class; of two the higher is the likelier.
package enum ClassScores: Sendable {
    /// Of one network on one image.
    case logits(ArraySlice<Float>)
    /// Means of softmaxes, over crops and networks; their sum is 1. Not numbers where a logit was not finite.
    case probabilities([Double])

    /// The mean over crops, whose logits follow each other; of one crop its logits.
    ///
    /// Added up crop by crop in double precision: the same bits wherever the logits are.
    package init(crops: Int, logits: ArraySlice<Float>) {
        guard crops > 1 else {
            self = .logits(logits)
            return
        }
        let classes = logits.count / crops
        self = ClassScores.mean(
            of: (0..<crops).map { crop in
                ClassScores.softmax(
                    logits[logits.startIndex + crop * classes..<logits.startIndex + (crop + 1) * classes])
            })
    }

    /// The mean over networks, in their order; of one network what it says.
    package static func mean(_ scores: [ClassScores]) -> ClassScores {
        scores.count == 1 ? scores[0] : mean(of: scores.map(\.probabilities))
    }

    /// The softmax of logits, or the probabilities there are.
    package var probabilities: [Double] {
        switch self {
        case .logits(let logits): ClassScores.softmax(logits)
        case .probabilities(let probabilities): probabilities
        }
    }

    private static func mean(of probabilities: [[Double]]) -> ClassScores {
        precondition(!probabilities.isEmpty)
        var sums = probabilities[0]
        for more in probabilities.dropFirst() {
            precondition(more.count == sums.count, "softmaxes over \(sums.count) and \(more.count) classes")
            for index in sums.indices { sums[index] += more[index] }
        }
        return .probabilities(sums.map { $0 / Double(probabilities.count) })
    }

    private static func softmax(_ logits: ArraySlice<Float>) -> [Double] {
        let largest = Double(logits.max() ?? 0)
        let powers = logits.map { exp(Double($0) - largest) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }
}
