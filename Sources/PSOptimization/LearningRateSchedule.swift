// The learning rate as a function of the step.

#if canImport(Glibc)
    import Glibc
#endif

/// The schedule of the learning rate.
package struct LearningRateSchedule: Sendable, Hashable, Codable {
    package enum Shape: String, Sendable, Hashable, Codable, CaseIterable {
        /// base * factor ^ (step / period).
        case exponential
        /// base * (1 - step / steps): it would reach 0 at the step after the last.
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
    /// Steps over which the rate rises linearly to its scheduled value: step s < warmupSteps takes
    /// (s + 1) / warmupSteps of it.
    package var warmupSteps = 0

    package init() {}
}

extension LearningRateSchedule {
    /// The learning rate of the step with `step` steps before it.
    ///
    /// The exponential shape's period is `everyEpochs * stepsPerEpoch` rounded down to whole steps, as in TensorFlow's
    /// trainer. Computed in one process only (the coordinator, which sends the bits), so the C library's `pow` and
    /// `cos` need not agree between hosts.
    ///
    /// - Parameter stepsPerEpoch: samples / (tickets a step x batch), not rounded.
    package func rate(step: Int, totalSteps: Int, stepsPerEpoch: Double) -> Float {
        precondition(step >= 0 && totalSteps > 0 && stepsPerEpoch > 0)
        let progress = min(1, Double(step) / Double(totalSteps))
        var rate: Double
        switch shape {
        case .exponential:
            let period = max(1, (everyEpochs * stepsPerEpoch).rounded(.down))
            let periods = Double(step) / period
            rate = base * pow(factor, staircase ? periods.rounded(.down) : periods)
        case .linear: rate = base * (1 - progress)
        case .cosine: rate = base * (1 + cos(.pi * progress)) / 2
        case .constant: rate = base
        }
        if step < warmupSteps { rate *= Double(step + 1) / Double(warmupSteps) }
        return Float(rate)
    }

    /// Throws the first setting whose value makes no sense.
    package func validate() throws(InvalidSetting) {
        try require("base", base, in: 0..<Double.infinity)
        try require("factor", factor, in: Double.leastNonzeroMagnitude..<1.0.nextUp)
        try require("everyEpochs", everyEpochs, in: Double.leastNonzeroMagnitude..<Double.infinity)
        if warmupSteps < 0 {
            throw InvalidSetting(key: "warmupSteps", message: "is \(warmupSteps); it must be at least 0")
        }
    }
}
