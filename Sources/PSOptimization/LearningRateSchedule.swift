// The learning rate as a function of the step.

/// The schedule of the learning rate.
package struct LearningRateSchedule: Sendable, Hashable, Codable {
    package enum Shape: String, Sendable, Hashable, Codable, CaseIterable {
        /// base * factor ^ (step / period).
        case exponential
        /// From base at step 0 to 0 at the last step.
        case linear
        /// base * (1 + cos(pi * step / steps)) / 2.
        case cosine
        case constant
    }

    package var shape = Shape.exponential
    package var base = 0.045
    package var factor = 0.94
    /// Epochs between two decays of the exponential shape.
    package var everyEpochs = 2.0
    /// Whether the exponential shape decays in whole periods only.
    package var staircase = true
    /// Steps over which the rate rises linearly to its scheduled value.
    package var warmupSteps = 0

    package init() {}
}
