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
    /// Added to the gradient of convolution and dense weights before the clip: weightDecay * w.
    package var weightDecay = 0.0
    /// Upper bound of the running average's decay; the decay at a commit with t commits before it is
    /// min(averageDecay, (1 + t) / (10 + t)).
    package var averageDecay = 0.9999
    /// Share of the new batch statistic folded into a running statistic at each commit.
    package var batchNormMomentum = 0.1

    package init() {}
}
