// What a run comes to: written by the coordinator at the end, completed by `psctl train`.

import PSFiles
import PSProtocol

package struct RunSummary: Sendable, Hashable, Codable {
    /// Commits of the whole job.
    package var steps: UInt64
    /// Images in them.
    package var samples: UInt64
    /// First grant to last commit, of the last start of the coordinator that committed anything.
    package var seconds: Double
    /// Images committed in those seconds, per second.
    package var imagesPerSecond: Double
    package var finalLoss: Double?
    /// The last evaluation, and the best one.
    package var eval: EvaluationReport?
    package var bestEval: EvaluationReport?
    /// Over the learned parameters in state_dict order, torchvision's layout, little-endian float32.
    /// Nil for a job that was stopped before its first checkpoint.
    package var weightsSHA256: String?
    /// Over weights, statistics, averages and slots.
    package var stateSHA256: String?
    package var workers: Int
    package var servers: Int
    /// Contributions counted, by worker rank.
    package var ticketsByWorker: [String: Int]
    package var restarts: Int
    /// Training samples that could not be read and were replaced, by name; nil: none.
    package var unreadableSamples: [String]?
    /// The plan of the engine in a line, with the identity that same bits need; nil in what earlier releases wrote.
    package var plan: String?
    package var exitCode: Int
    /// Path of the last complete checkpoint, if there is one.
    package var checkpoint: String?

    enum CodingKeys: String, CodingKey {
        case steps, samples, seconds, eval, workers, servers, restarts, plan, checkpoint
        case bestEval = "best_eval"
        case imagesPerSecond = "images_per_second"
        case finalLoss = "final_loss"
        case weightsSHA256 = "weights_sha256"
        case stateSHA256 = "state_sha256"
        case ticketsByWorker = "tickets_by_worker"
        case exitCode = "exit_code"
        case unreadableSamples = "unreadable_samples"
    }

    package init(
        steps: UInt64, samples: UInt64, seconds: Double, imagesPerSecond: Double, finalLoss: Double?,
        weightsSHA256: String?, stateSHA256: String?, workers: Int, servers: Int, ticketsByWorker: [String: Int],
        plan: String?, exitCode: Int, checkpoint: String?
    ) {
        self.steps = steps
        self.samples = samples
        self.seconds = seconds
        self.imagesPerSecond = imagesPerSecond
        self.finalLoss = finalLoss
        self.weightsSHA256 = weightsSHA256
        self.stateSHA256 = stateSHA256
        self.workers = workers
        self.servers = servers
        self.ticketsByWorker = ticketsByWorker
        restarts = 0
        self.plan = plan
        self.exitCode = exitCode
        self.checkpoint = checkpoint
    }

    /// A start that found nothing left to do says of the work what the start that did it said.
    package mutating func takeWork(of former: RunSummary) {
        guard let weightsSHA256, former.weightsSHA256 == weightsSHA256 else { return }
        seconds = former.seconds
        imagesPerSecond = former.imagesPerSecond
        ticketsByWorker = former.ticketsByWorker
    }

    package func write(to run: RunDirectory) throws(StorageError) {
        try run.replace(run.summary, with: JSON.pretty(self))
    }

    package static func read(from run: RunDirectory) throws(StorageError) -> RunSummary {
        guard let summary = try? JSON.decode(RunSummary.self, from: try run.read(run.summary)) else {
            throw .damaged(path: run.summary, problem: "is not a summary of this release")
        }
        return summary
    }
}
