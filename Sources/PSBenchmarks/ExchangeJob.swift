// The job that `psctl bench exchange` runs: how its processes reach one another, one measurement of it, and the weights
// that must come out.

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

/// How the processes of the job reach one another.
package enum ExchangeWay: String, Encodable, CaseIterable, Sendable {
    /// Sockets that only their user can open: what `psctl train` takes unless told otherwise.
    case ipc
    /// The loopback address; nobody shows a key, nothing is encrypted.
    case tcp
    /// The loopback address; everybody shows a key, everything is encrypted (ZeroMQ's CURVE).
    case tcpWithKeys = "tcp-keys"

    var settings: (transport: ClusterSettings.Transport, security: ClusterSettings.Security) {
        switch self {
        case .ipc: (.ipc, .auto)
        case .tcp: (.tcp, .off)
        case .tcpWithKeys: (.tcp, .required)
        }
    }

    /// For people.
    var name: String {
        switch self {
        case .ipc: "Unix sockets"
        case .tcp: "TCP without keys"
        case .tcpWithKeys: "TCP with keys, encrypted"
        }
    }
}

/// What one run of the job showed.
package struct ExchangeTurn: Sendable {
    /// Each measured round: every worker pulls all weights and pushes a whole gradient, then one commit.
    package let roundSeconds: [Double]
    /// Processor time of all processes of the job in a measured round, their starts and ends left out; nil where the
    /// rounds were over before it could be read twice.
    package let cpuSecondsPerRound: Double?
    /// Whether every worker's last pull had the bits of the same job computed in this process.
    package let verified: Bool

    package init(roundSeconds: [Double], cpuSecondsPerRound: Double?, verified: Bool) {
        self.roundSeconds = roundSeconds
        self.cpuSecondsPerRound = cpuSecondsPerRound
        self.verified = verified
    }
}

struct ExchangeJob {
    /// Rounds before the first that counts: connections, first touch of memory, the checkpoint of step 0.
    private static let warmup = 5

    /// Gradient and weight bytes of all workers in a round.
    let bytesPerRound: Int
    private let configuration: JobConfiguration
    private let rounds: Int
    private let programs: String
    private let note: (String) -> Void
    /// Of the weights that the last pull must bring.
    private let expected: String

    /// - Parameters:
    ///   - rounds: those that are measured.
    ///   - programs: the directory of the daemons' programs.
    init(
        _ description: ModelDescription, servers: Int, workers: Int, replicas: Int = 0, rounds: Int, programs: String,
        note: @escaping (String) -> Void
    ) throws {
        var job = JobConfiguration()
        job.name = "exchange"
        job.model = description.settings
        job.train.ticketsPerStep = workers
        job.train.batch = 1
        let steps = ExchangeJob.warmup + rounds + 1
        job.train.steps = steps
        job.cluster.servers = servers
        job.cluster.workers = workers
        job.server.replicas = replicas
        job.checkpoint.everySeconds = 0
        job.eval.atEnd = false
        try LocalLimits.check(job)
        configuration = job
        self.rounds = rounds
        self.programs = programs
        self.note = note
        let layout = description.layout
        bytesPerRound = workers * MemoryLayout<Float>.stride * (layout.count + layout.weightCount)
        expected = ExchangeReference(job, layout: layout, images: try Dataset.open(job.data.set, .train).count)
            .weightsHash(steps: steps - 1)
    }

    /// Runs the job once.
    func measure(over way: ExchangeWay) throws -> ExchangeTurn {
        var job = configuration
        (job.cluster.transport, job.cluster.security) = way.settings
        let run = RunDirectory(NSTemporaryDirectory() + "/psctl-exchange-\(UUID().uuidString)")
        try run.create()
        defer { try? FileManager.default.removeItem(atPath: run.path) }
        let supervisor = Supervisor(
            run: run, configuration: job, programs: programs, workerArguments: ["--exchange-benchmark"], note: note)
        let measured = UInt64(ExchangeJob.warmup)..<UInt64(ExchangeJob.warmup + rounds)
        var use = ProcessorUse()
        let summary = try supervisor.supervise { status in
            if measured.contains(status.version.number) { use.look(at: status.processes) }
        }
        guard summary.exitCode == 0 else { throw JobError.jobFailed("stopped by a signal") }
        guard supervisor.restarts == 0 else {
            throw JobError.jobFailed("a process ended during the measurement; measure again")
        }

        if way == .tcpWithKeys, try JobStatus.read(from: run)?.security != "required" {
            throw JobError.jobFailed("the job did not ask for keys, so its figures are not those of keys")
        }

        // The last step's period holds the workers' hashing and is left out.
        let times = try String(contentsOfFile: run.metrics, encoding: .utf8).split(separator: "\n")
            .compactMap { try JSON.decode(StepReport.self, from: $0.utf8).elapsedSeconds }
        let periods = zip(times.dropFirst(), times).map { $0 - $1 }
        let seconds = Array(periods.dropFirst(ExchangeJob.warmup - 1).prefix(rounds))
        guard seconds.count == rounds else {
            throw JobError.jobFailed("the job's metrics lack steps: is the disk of \(run.path) full?")
        }
        let pulled = try FileManager.default.contentsOfDirectory(atPath: run.path)
            .filter { $0.hasPrefix("pulled-") }
            .map { try String(contentsOfFile: "\(run.path)/\($0)", encoding: .utf8) }
        return ExchangeTurn(
            roundSeconds: seconds,
            cpuSecondsPerRound: use.busyProcessors.map { $0 * seconds.reduce(0, +) / Double(rounds) },
            verified: !pulled.isEmpty && pulled.allSatisfy { $0 == expected })
    }
}

/// Processor time of a job's processes between the first look and the last. The looks fall somewhere in a round, so it is
/// divided by the time between them and not by the rounds.
private struct ProcessorUse {
    private typealias Look = (time: ContinuousClock.Instant, seconds: Double)
    private var first: Look?
    private var last: Look?

    mutating func look(at processes: [JobStatus.Process]) {
        let seconds = processes.compactMap { Machine.processorSeconds(of: $0.pid) }
        guard seconds.count == processes.count else { return }
        last = (.now, seconds.reduce(0, +))
        first = first ?? last
    }

    /// How many processors the processes kept busy on average; nil before the second look.
    var busyProcessors: Double? {
        guard let first, let last, last.time > first.time else { return nil }
        return (last.seconds - first.seconds) / (last.time - first.time).inSeconds
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
