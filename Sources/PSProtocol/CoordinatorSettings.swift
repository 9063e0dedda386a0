// What the sequencer is told about the job.

import PSParameters

/// The step's arithmetic that is the coordinator's to decide, as functions of the step.
package struct StepRule: Sendable {
    package var learningRate: @Sendable (Step) -> Float
    package var averageDecay: @Sendable (Step) -> Float
    /// The gradient's norm and the factor that clips it, from the squared norms in slice order.
    package var clip: @Sendable (_ squaredNorms: [Double]) -> (norm: Double, scale: Float)

    package init(
        learningRate: @escaping @Sendable (Step) -> Float, averageDecay: @escaping @Sendable (Step) -> Float,
        clip: @escaping @Sendable ([Double]) -> (norm: Double, scale: Float)
    ) {
        self.learningRate = learningRate
        self.averageDecay = averageDecay
        self.clip = clip
    }
}

package struct CoordinatorSettings: Sendable {
    package var configuration: String
    package var runDirectory: String
    package var nonce: String
    package var layoutDigest: UInt64
    /// Text of `plan.json`, as workers are sent it.
    package var plan: String
    /// Of the list of training samples, as workers are sent it.
    package var dataDigest = ""
    /// Of the list of test images.
    package var testDigest = ""
    /// The plan in a line, for people.
    package var planSummary: String
    package var shardMap: ShardMap
    package var stepShape: StepShape
    package var samplesPerTicket: Int
    /// The version with which the job is done.
    package var lastVersion: Version
    package var stepsPerEpoch: Double
    /// 0: only at the end.
    package var checkpointEverySteps: UInt64
    package var checkpointEverySeconds: Int
    /// At least 2.
    package var checkpointsKept: Int
    /// This many steps in a row whose gradient is not finite stop the job.
    package var nonFiniteLimit: Int
    package var rule: StepRule
    /// Nil: the test images are never looked at.
    package var evaluation: EvaluationSchedule?
    /// Whether the server after each holds a replica of what that answers for.
    package var hasReplicas = false
    /// Workers without which nothing is granted.
    package var fewestWorkers = 1
    package var timing = Timing()

    package init(
        configuration: String, runDirectory: String, nonce: String, layoutDigest: UInt64, plan: String,
        planSummary: String, shardMap: ShardMap, stepShape: StepShape, samplesPerTicket: Int,
        lastVersion: Version, stepsPerEpoch: Double,
        checkpointEverySteps: UInt64, checkpointEverySeconds: Int, checkpointsKept: Int, nonFiniteLimit: Int,
        rule: StepRule
    ) {
        self.configuration = configuration
        self.runDirectory = runDirectory
        self.nonce = nonce
        self.layoutDigest = layoutDigest
        self.plan = plan
        self.planSummary = planSummary
        self.shardMap = shardMap
        self.stepShape = stepShape
        self.samplesPerTicket = samplesPerTicket
        self.lastVersion = lastVersion
        self.stepsPerEpoch = stepsPerEpoch
        self.checkpointEverySteps = checkpointEverySteps
        self.checkpointEverySeconds = checkpointEverySeconds
        self.checkpointsKept = max(2, checkpointsKept)
        self.nonFiniteLimit = nonFiniteLimit
        self.rule = rule
    }
}
