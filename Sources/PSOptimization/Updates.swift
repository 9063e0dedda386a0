// One commit's update of one slice. Weights may be written to a second buffer, so that the version being read elsewhere
// stays whole.

import CKernels

/// The numbers of one commit's update, the same for every slice.
package struct UpdateRates: Sendable, Hashable {
    /// Factor of the aggregated gradient, from `clipScale`.
    package var clipScale: Float
    package var learningRate: Float
    /// Decay of the mean square; momentum does not use it.
    package var decay: Float
    package var momentum: Float
    package var epsilon: Float
    /// Decay of the running average, from `OptimizerSettings.averageDecay(commit:)`.
    package var averageDecay: Float

    package init(
        clipScale: Float, learningRate: Float, decay: Float, momentum: Float, epsilon: Float, averageDecay: Float
    ) {
        self.clipScale = clipScale
        self.learningRate = learningRate
        self.decay = decay
        self.momentum = momentum
        self.epsilon = epsilon
        self.averageDecay = averageDecay
    }

    /// The settings' numbers with what the coordinator sends for one commit.
    package init(settings: OptimizerSettings, clipScale: Float, learningRate: Float, averageDecay: Float) {
        self.init(
            clipScale: clipScale, learningRate: learningRate, decay: Float(settings.decay),
            momentum: Float(settings.momentum), epsilon: Float(settings.epsilon), averageDecay: averageDecay)
    }

    fileprivate var kernelRates: ps_update_rates {
        ps_update_rates(
            clip_scale: clipScale, learning_rate: learningRate, mean_square_step: 1 - decay, momentum: momentum,
            epsilon: epsilon, average_step: 1 - averageDecay)
    }
}

/// RMSProp as TensorFlow defines it: epsilon inside the root, the mean square starting at 1.
///
/// Source: TensorFlow, `tf.raw_ops.ApplyRMSProp`.
package enum RMSProp {
    package static let initialMeanSquare: Float = 1

    /// With g = gradient * clipScale:
    ///
    ///     meanSquare += (g^2 - meanSquare) * (1 - decay)
    ///     momentum = rates.momentum * momentum + learningRate * g / sqrt(meanSquare + epsilon)
    ///     updated = weights - momentum
    ///     average -= (1 - averageDecay) * (average - updated)
    ///
    /// All pointers are to `count` elements and must not overlap, but `updated` may be `weights`.
    package static func update(
        _ updated: UnsafeMutablePointer<Float>, weights: UnsafePointer<Float>, gradient: UnsafePointer<Float>,
        meanSquare: UnsafeMutablePointer<Float>, momentum: UnsafeMutablePointer<Float>,
        average: UnsafeMutablePointer<Float>, rates: UpdateRates, count: Int
    ) {
        withUnsafePointer(to: rates.kernelRates) {
            ps_rmsprop(updated, weights, gradient, meanSquare, momentum, average, $0, count)
        }
    }
}

/// Stochastic gradient descent with momentum.
package enum Momentum {
    /// With g = gradient * clipScale: momentum = rates.momentum * momentum + learningRate * g; the rest as in
    /// `RMSProp.update`.
    package static func update(
        _ updated: UnsafeMutablePointer<Float>, weights: UnsafePointer<Float>, gradient: UnsafePointer<Float>,
        momentum: UnsafeMutablePointer<Float>, average: UnsafeMutablePointer<Float>, rates: UpdateRates, count: Int
    ) {
        withUnsafePointer(to: rates.kernelRates) {
            ps_momentum(updated, weights, gradient, momentum, average, $0, count)
        }
    }
}

/// Batch-norm running statistics.
package enum Statistic {
    /// Folds the mean of a step's batch statistics into the running statistic:
    ///
    ///     updated = running + batchNormMomentum * (mean - running)
    ///     average -= (1 - averageDecay) * (average - updated)
    ///
    /// All pointers are to `count` elements and must not overlap, but `updated` may be `running`.
    package static func fold(
        _ updated: UnsafeMutablePointer<Float>, running: UnsafePointer<Float>, mean: UnsafePointer<Float>,
        average: UnsafeMutablePointer<Float>, batchNormMomentum: Float, averageDecay: Float, count: Int
    ) {
        ps_fold(updated, running, mean, average, batchNormMomentum, 1 - averageDecay, count)
    }
}
