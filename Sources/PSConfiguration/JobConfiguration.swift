// The one value that says what a job is. The coordinator, the servers and the workers all receive the same text of it.

import PSModel
import PSOptimization
import PSParameters
import PSPlanning
import PSSamples

/// Everything a person chooses about a job. A new value is the default job: the small Inception-v3 on Fashion-MNIST.
///
/// `SettingsTable` lists each member with its key, its range and its meaning.
package struct JobConfiguration: Sendable, Hashable {
    package var name = "fashion-mnist"
    package var seed: UInt64 = 1
    package var model: ModelSettings
    /// What the weights of step 0 are read from: a safetensors file, a run, or a checkpoint; nil: they are drawn.
    package var initialWeights: String?
    package var optimizer = OptimizerSettings()
    package var learningRate = LearningRateSchedule()
    package var train = TrainSettings()
    package var data = DataSettings()
    package var engine = EngineSettings()
    package var cluster = ClusterSettings()
    package var server = ServerSettings()
    package var consistency = ConsistencySettings()
    package var checkpoint = CheckpointSettings()
    package var eval = EvaluationSettings()

    package init() {
        model = ModelSettings()
        model.width = 0.25
        model.classes = nil
        model.imageSize = 32
        model.auxiliary = false
        // One epoch ends long before it overfits (top-1 84.7% at 0.5, 85.7% at 0.2, one seed).
        model.dropout = 0.2
        // 28 x 28 pixels in the middle of 32 x 32, sharp as they are (87.8%; stretched 85.7%, one seed).
        data.augmentation.evaluate = .pad
        // Twice the paper's rate, since the run is short (86.7%; 84.9% at 0.045, another seed).
        learningRate.base = 0.09
        learningRate.shape = .linear
    }
}

/// How long to train, on what size of step, towards which loss.
package struct TrainSettings: Sendable, Hashable, Codable {
    /// Steps of the whole job, resumed parts included. Wins over `epochs`.
    package var steps: Int?
    package var epochs = 1.0
    package var ticketsPerStep = 2
    /// Images of one ticket.
    package var batch = 32
    package var labelSmoothing = 0.1
    /// Weight of each auxiliary head's loss beside the main one's; nil: the network's own.
    package var auxiliaryWeight: Double?
    /// Tensors whose names begin with one of these keep their values.
    package var freeze: [String] = []
    /// Evaluations in a row without a new best one before training ends; 0: it goes on.
    package var patience = 0
    /// Steps in a row with a gradient that is not finite before the job fails.
    package var nonFiniteLimit = 10

    package init() {}

    /// How steps are made of tickets.
    package var stepShape: StepShape { StepShape(ticketsPerStep: ticketsPerStep) }

    /// Images of one step.
    package var imagesPerStep: Int { ticketsPerStep * batch }
}

/// How convolutions are computed.
package struct EngineSettings: Sendable, Hashable {
    package var planning = PlanSettings()
    /// Path of the plan for training steps, instead of one made by `planning`.
    package var planFile: String?

    package init() {}

    /// The plan of training steps: the pinned file's, else one made for the model.
    package func trainingPlan(description: ModelDescription, batch: Int) throws(PlanError) -> PlanFile {
        guard let planFile else {
            return PlanFile(
                EnginePlan(description: description, batch: batch, settings: planning),
                origin: planning.convolution.rawValue, description: description, batch: batch)
        }
        let pinned = try PlanFile(path: planFile)
        try pinned.check(description: description, batch: batch, path: planFile)
        return pinned
    }
}

/// The local processes that `psctl train` starts.
package struct ClusterSettings: Sendable, Hashable, Codable {
    /// How the processes that `psctl train` starts reach one another.
    package enum Transport: String, Sendable, Hashable, Codable, CaseIterable {
        /// Sockets of this machine, as all of them are on it.
        case auto
        case ipc
        /// The loopback address.
        case tcp
    }

    /// Whether processes and people show keys where they connect by TCP.
    package enum Security: String, Sendable, Hashable, Codable, CaseIterable {
        /// Required, but not on the loopback address.
        case auto
        case required
        case off
    }

    package var workers = 2
    package var servers = 2
    /// Servers that wait for the place of one that is gone.
    package var spares = 0
    /// Workers without which no ticket is given out.
    package var minWorkers = 1
    /// Compute threads of each worker.
    package var threads = 1
    /// Starts in place of one process that ended by itself, counted afresh whenever the job makes progress.
    package var maxRestarts = 20
    package var transport = Transport.auto
    package var security = Security.auto

    package init() {}
}

/// What one server may use.
package struct ServerSettings: Sendable, Hashable, Codable {
    /// Memory for gradient slices that arrive before their turn.
    package var bufferBytes = 256 << 20
    /// How many other servers hold what each one answers for: 0 or 1.
    package var replicas = 0

    package init() {}
}

/// How tickets make a step.
package struct ConsistencySettings: Sendable, Hashable, Codable {
    /// Whether a worker that has nothing to do computes a ticket that is late with another.
    package var speculation = true

    package init() {}
}

/// When the job's state is written, and how much of it is kept.
package struct CheckpointSettings: Sendable, Hashable, Codable {
    /// 0: not by steps.
    package var everySteps = 0
    /// 0: not by time.
    package var everySeconds = 600.0
    package var keep = 3
    /// Keeps the checkpoint of the best evaluation, too.
    package var keepBest = true

    package init() {}
}

/// The measurement on the test images.
package struct EvaluationSettings: Sendable, Hashable, Codable {
    package var atEnd = true
    /// 0: not by steps.
    package var everySteps = 0
    /// 0: not by epochs.
    package var everyEpochs = 0.0
    /// Inputs of the network that a part has: images by crops.
    package var batch = 100
    /// Crops of each image, over whose softmaxes the mean is taken.
    package var crops = CropCount.one

    package init() {}

    /// Test images of a part, at least one.
    package var imagesOfAPart: Int { max(1, batch / crops.rawValue) }

    /// Whether a job looks at its test images.
    package var isOn: Bool { atEnd || isWhileTraining }
    package var isWhileTraining: Bool { everySteps > 0 || everyEpochs > 0 }
}
