// What a person chooses about the update: everything between a step's gradient and its new weights.

/// The recipe's update. The defaults are the paper's.
package struct OptimizerSettings: Sendable, Hashable, Codable {
    package enum Rule: String, Sendable, Hashable, Codable, CaseIterable {
        /// TensorFlow's RMSProp: mean square starts at 1, epsilon inside the root.
        case rmsprop
        case momentum
    }

    package enum ClipScope: String, Sendable, Hashable, Codable, CaseIterable {
        /// The norm of the step's aggregated gradient.
        case step
        /// The norm of each ticket's contribution.
        case ticket
    }

    package enum Reduction: String, Sendable, Hashable, Codable, CaseIterable { case mean, sum }

    package var rule = Rule.rmsprop
    package var decay = 0.9
    package var momentum = 0.9
    package var epsilon = 1.0
    /// Largest norm of a gradient; 0 turns the clip off.
    package var clip = 2.0
    package var clipScope = ClipScope.step
    package var reduction = Reduction.mean
    /// Added to the step's gradient of convolution and dense weights: weightDecay * w, before a clip of the step and
    /// after the clips of tickets.
    package var weightDecay = 0.0
    /// Upper bound of the running average's decay; the decay at a commit with t commits before it is
    /// min(averageDecay, (1 + t) / (10 + t)).
    package var averageDecay = 0.9999
    /// Share of the new batch statistic folded into a running statistic at each commit.
    package var batchNormMomentum = 0.1
    /// "PREFIX:FACTOR": tensors whose names begin so take the learning rate times the factor; of several the longest
    /// prefix counts.
    package var groups: [String] = []

    package init() {}
}

/// A setting whose value makes no sense, by its name inside its own struct.
package struct InvalidSetting: Error, Sendable, Hashable, CustomStringConvertible {
    package let key: String
    /// What was found and what is allowed.
    package let message: String

    package var description: String { "\(key) \(message)" }
}

extension OptimizerSettings {
    /// The decay of the running average at the commit with `commit` commits before it:
    /// min(averageDecay, (1 + commit) / (10 + commit)).
    package func averageDecay(commit: Int) -> Float {
        Float(min(averageDecay, Double(1 + commit) / Double(10 + commit)))
    }

    /// Throws the first setting whose value makes no sense.
    package func validate() throws(InvalidSetting) {
        try require("decay", decay, in: 0..<1)
        try require("momentum", momentum, in: 0..<1)
        try require("epsilon", epsilon, in: 0..<Double.infinity)
        if rule == .rmsprop && epsilon == 0 {
            throw InvalidSetting(key: "epsilon", message: "is 0: RMSProp divides by its root; choose a value above 0")
        }
        try require("clip", clip, in: 0..<Double.infinity)
        try require("weightDecay", weightDecay, in: 0..<Double.infinity)
        try require("averageDecay", averageDecay, in: 0..<1)
        try require("batchNormMomentum", batchNormMomentum, in: 0..<1.0.nextUp)
    }
}

/// Throws unless `value` lies in `range`; NaN lies nowhere.
func require(_ key: String, _ value: Double, in range: Range<Double>) throws(InvalidSetting) {
    if range.contains(value) { return }
    let upper =
        range.upperBound == .infinity
        ? "finite" : range.upperBound == 1.0.nextUp ? "at most 1" : "below \(range.upperBound)"
    throw InvalidSetting(key: key, message: "is \(value); it must be at least \(range.lowerBound) and \(upper)")
}
