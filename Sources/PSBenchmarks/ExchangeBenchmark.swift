// `psctl bench exchange`: how long real processes take to push a gradient, update and pull the weights.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSFiles
import PSJob
import PSModel
import PSOptimization
import PSParameters
import PSProtocol
import PSReport
import PSRun
import PSWorker

package struct ExchangeBenchmark: Encodable, Sendable {
    package let servers: Int
    package let workers: Int
    package let rounds: Int
    /// Median of a round: every worker pulls all weights and pushes a whole gradient, then one commit.
    package let roundSeconds: Double
    package let roundSecondsAll: [Double]
    /// Gradient and weight bytes of all workers in a round.
    package let bytesPerRound: Int
    package let gigabytesPerSecond: Double
    /// Whether every worker's last pull had the bits of the same job computed in this process.
    package let verified: Bool

    /// Rounds before the first that counts: connections, first touch of memory, the checkpoint of step 0.
    private static let warmup = 5

    /// - Parameter programs: the directory of the daemons' programs.
    package init(servers: Int, workers: Int, rounds: Int, programs: String, note: @escaping (String) -> Void) throws {
        var job = JobConfiguration()
        job.name = "exchange"
        job.model = ModelSettings()
        job.train.ticketsPerStep = workers
        job.train.batch = 1
        job.train.steps = ExchangeBenchmark.warmup + rounds + 1
        job.cluster.servers = servers
        job.cluster.workers = workers
        job.checkpoint.everySeconds = 0
        job.eval.atEnd = false
        try LocalLimits.check(job)
        let layout = try ModelDescription(job.model).layout

        let run = RunDirectory(NSTemporaryDirectory() + "/psctl-exchange-\(UUID().uuidString)")
        try run.create()
        defer { try? FileManager.default.removeItem(atPath: run.path) }
        let supervisor = Supervisor(
            run: run, configuration: job, programs: programs, workerArguments: ["--exchange-benchmark"], note: note)
        guard try supervisor.supervise(watch: { _ in }) == 0 else { throw JobError.jobFailed("stopped by a signal") }
        guard supervisor.restarts == 0 else {
            throw JobError.jobFailed("a process ended during the measurement; measure again")
        }

        // The last step's period holds the workers' hashing and is left out.
        let times = try String(contentsOfFile: run.metrics, encoding: .utf8).split(separator: "\n")
            .compactMap { try JSON.decode(StepReport.self, from: $0.utf8).elapsedSeconds }
        let periods = zip(times.dropFirst(), times).map { $0 - $1 }
        roundSecondsAll = Array(periods.dropFirst(ExchangeBenchmark.warmup - 1).prefix(rounds))
        guard roundSecondsAll.count == rounds else {
            throw JobError.jobFailed("the job's metrics lack steps: is the disk of \(run.path) full?")
        }
        self.servers = servers
        self.workers = workers
        self.rounds = rounds
        roundSeconds = median(roundSecondsAll)
        bytesPerRound = workers * MemoryLayout<Float>.stride * (layout.count + layout.weightCount)
        gigabytesPerSecond = Double(bytesPerRound) / roundSeconds / 1e9

        let expected = ExchangeReference(job, layout: layout, images: try Dataset.open(job.data.set, .train).count)
            .weightsHash(
                steps: (job.train.steps ?? 1) - 1)
        let pulled = try FileManager.default.contentsOfDirectory(atPath: run.path)
            .filter { $0.hasPrefix("pulled-") }
            .map { try String(contentsOfFile: "\(run.path)/\($0)", encoding: .utf8) }
        verified = !pulled.isEmpty && pulled.allSatisfy { $0 == expected }
    }

    package var text: String {
        "\(Report.decimal(1000 * roundSeconds, places: 1)) ms a round (median of \(rounds)), "
            + "\(Report.decimal(Double(bytesPerRound) / 1e6, places: 1)) MB, "
            + "\(Report.decimal(gigabytesPerSecond, places: 2)) GB/s; \(Report.count(workers, "worker")), \(Report.count(servers, "server")); "
            + (verified ? "weights verified bit for bit\n" : "WRONG WEIGHTS\n")
    }
}

/// The benchmark's job in one process, over the flat vector, without servers or messages.
private struct ExchangeReference {
    private let job: JobConfiguration
    private let layout: ParameterLayout
    private let stepsPerEpoch: Double

    /// - Parameter images: those of the data set, which time the learning rate.
    init(_ job: JobConfiguration, layout: ParameterLayout, images: Int) {
        self.job = job
        self.layout = layout
        stepsPerEpoch = Double(images) / Double(job.train.imagesPerStep)
    }

    func weightsHash(steps: Int) -> String {
        let state = FlatState(
            SliceArithmetic(
                layout: layout, settings: job.optimizer, ticketsPerStep: job.train.ticketsPerStep), seed: job.seed)
        let contributions = (0..<job.train.ticketsPerStep).map { place in
            let gradient = UnsafeMutablePointer<Float>.allocate(capacity: layout.count)
            ExchangeGradients.fill(
                UnsafeMutableBufferPointer(start: gradient, count: layout.count), seed: job.seed, place: Place(place))
            return gradient
        }
        defer { for gradient in contributions { gradient.deallocate() } }
        for step in 0..<steps {
            let norms = layout.slices.indices.map { slice in
                contributions.enumerated().reduce(0) { norm, contribution in
                    norm
                        + state.fold(
                            slice, from: contribution.element, isFirst: contribution.offset == 0,
                            isLast: contribution.offset == contributions.count - 1
                        ).squaredNorm
                }
            }
            let commit = CommitRates(
                scale: clipScale(threshold: job.optimizer.clip, squaredNorms: norms).scale,
                learningRate: job.learningRate.rate(
                    step: step, totalSteps: job.train.steps ?? 1, stepsPerEpoch: stepsPerEpoch),
                averageDecay: job.optimizer.averageDecay(commit: step))
            for slice in layout.slices.indices { state.update(slice, commit) }
        }
        return Fingerprint.weightsSHA256(
            layout: layout, values: UnsafeBufferPointer(start: state.weights, count: layout.count))
    }
}
