// A coordinator on the bench: tests say what others would say and look at what it answers.

import PSMessages
import PSParameters
import PSProtocol

let jobID: UInt64 = 77

struct CoordinatorBench {
    var state: CoordinatorState
    var now = MonotonicTime(milliseconds: 0)
    /// What it wanted on the disk, in order.
    private(set) var journal: [JournalRecord] = []
    let incarnation: Incarnation

    /// - Parameter replay: what an earlier coordinator left; nil: a new job.
    init(
        servers: Int = 1, ticketsPerStep: Int = 2, steps: Version = 10, replay: Replay? = nil,
        incarnation: Incarnation = 1000, nonFiniteLimit: Int = 3, evaluation: EvaluationSchedule? = nil,
        replicas: Bool = false
    ) {
        self.incarnation = incarnation
        var replay = replay ?? Replay()
        if replay.job == 0 { replay.apply(.header(job: jobID, seed: 1, layoutDigest: Layouts.few.digest, recipe: [:])) }
        replay.apply(.term(replay.term + 1, endpoint: ""))
        var settings = CoordinatorSettings(
            configuration: "yaml", runDirectory: "/run", nonce: "n", layoutDigest: Layouts.few.digest,
            plan: "plan", planSummary: "direct",
            shardMap: ShardMap(layout: Layouts.few, serverCount: servers),
            stepShape: StepShape(ticketsPerStep: ticketsPerStep), samplesPerTicket: 4,
            lastVersion: steps, stepsPerEpoch: 5,
            checkpointEverySteps: 0, checkpointEverySeconds: 0, checkpointsKept: 2, nonFiniteLimit: nonFiniteLimit,
            rule: Arithmetic.rule)
        settings.evaluation = evaluation
        settings.hasReplicas = replicas
        state = CoordinatorState(
            settings: settings, identity: Hello(role: .coordinator, host: "h", pid: 1, rank: 0),
            incarnation: incarnation, replay: replay, at: now)
    }

    var replay: Replay { journal.reduce(into: Replay()) { $0.apply($1) } }

    // MARK: Events

    mutating func happens(_ event: CoordinatorState.Event) -> [CoordinatorState.Effect] {
        let effects = state.receive(event, at: now)
        for case .journal(let record, _) in effects { journal.append(record) }
        return effects
    }

    mutating func says(
        _ message: Message, from source: Incarnation, generation: UInt32? = nil, to destination: Incarnation? = nil,
        term: UInt64? = nil, job: UInt64 = jobID
    ) -> [CoordinatorState.Effect] {
        happens(
            .said(
                Envelope(
                    job: job, generation: generation ?? state.generation, term: term ?? 1, source: source,
                    destination: destination ?? incarnation, message: message)))
    }

    mutating func workerStarts(
        _ source: Incarnation, rank: Int? = nil, kernel: UInt64 = 1, takesOver: Bool = true
    ) -> [CoordinatorState.Effect] {
        var hello = Hello(role: .worker, host: "w", pid: 2, rank: rank)
        hello.kernelCore = "Haswell"
        hello.kernelHash = kernel
        hello.takesOver = takesOver
        return says(.hello(hello), from: source, generation: 0, to: 0, job: 0)
    }

    /// - Parameter takesOver: whether its starter says that the former one has ended.
    mutating func serverStarts(
        _ source: Incarnation, rank: Int? = nil, takesOver: Bool = true
    ) -> [CoordinatorState.Effect] {
        var hello = Hello(role: .server, host: "s", pid: 3, rank: rank)
        hello.takesOver = takesOver
        return says(.hello(hello), from: source, generation: 0, to: 0, job: 0)
    }

    /// A server that kept its memory comes back.
    mutating func serverReturns(
        _ source: Incarnation, rank: Int, generation: UInt32, version: Version, lastCommit: Commit? = nil
    ) -> [CoordinatorState.Effect] {
        var hello = Hello(role: .server, host: "s", pid: 3, rank: rank)
        hello.memory = Hello.Memory(version: version, lastCommit: lastCommit)
        return says(.hello(hello), from: source, generation: generation, to: 0)
    }

    mutating func durable() -> [CoordinatorState.Effect] { happens(.durable(journal[journal.count - 1])) }

    mutating func passes(_ milliseconds: Int) -> [CoordinatorState.Effect] {
        now.milliseconds += milliseconds
        return happens(.tick)
    }

    // MARK: Whole passages

    /// Servers 1, 2, ... load the base and save step 0; then workers 11, 12, ... join.
    static func running(
        servers: Int = 1, workers: Int = 1, ticketsPerStep: Int = 2, steps: Version = 10,
        evaluation: EvaluationSchedule? = nil, replicas: Bool = false
    ) -> Self {
        var bench = CoordinatorBench(
            servers: servers, ticketsPerStep: ticketsPerStep, steps: steps, evaluation: evaluation, replicas: replicas)
        for server in 1...servers { _ = bench.serverStarts(Incarnation(server), rank: server - 1) }
        _ = bench.durable()
        for server in 1...servers { _ = bench.says(.ready(version: 0), from: Incarnation(server)) }
        bench.saves(0, servers: servers)
        for worker in 0..<workers { _ = bench.workerStarts(Incarnation(11 + worker)) }
        return bench
    }

    mutating func saves(_ version: Version, servers: Int) {
        for server in 1...servers {
            _ = says(.snapshotting(version: version), from: Incarnation(server))
            _ = says(.saved(version: version, files: []), from: Incarnation(server))
        }
        _ = happens(.checkpointCompleted(CheckpointReference(version: version, generation: state.generation)))
    }

    /// Worker 11 is granted and contributes every ticket of the step.
    mutating func contributesAll(ticketsPerStep: Int = 2) -> [CoordinatorState.Effect] {
        var last: [CoordinatorState.Effect] = []
        for _ in 0..<ticketsPerStep {
            guard let attempt = says(.want, from: 11).grants[11] else { return [] }
            last = says(.contribution(contribution(attempt)), from: 11)
        }
        return last
    }

    /// The whole step, by worker 11 and all servers.
    mutating func commits(isFinite: Bool = true, servers: Int = 1) -> [CoordinatorState.Effect] {
        let step = state.version.nextStep
        _ = contributesAll()
        _ = durable()
        var decision: [CoordinatorState.Effect] = []
        for server in 1...servers {
            decision = says(
                .prepared(
                    Prepared(step: step, isFinite: isFinite, norms: norms(of: server - 1, servers: servers))),
                from: Incarnation(server))
        }
        for server in 1...servers { decision += says(.applied(step: step), from: Incarnation(server)) }
        return decision
    }
}

/// What a server says of a gradient of zeros.
func norms(of rank: Int = 0, servers: Int = 1) -> [Prepared.Norm] {
    ShardMap(layout: Layouts.few, serverCount: servers).slices(of: rank).map { Prepared.Norm(slice: $0, squared: 0) }
}

func contribution(_ attempt: Attempt) -> Contribution {
    Contribution(attempt: attempt, loss: 2.5, correct: 1, samples: 4, norm: 1)
}

extension [CoordinatorState.Effect] {
    var sent: [(to: Incarnation, message: Message)] {
        compactMap { if case .send(let envelope) = $0 { (envelope.destination, envelope.message) } else { nil } }
    }

    func said(to destination: Incarnation) -> [Message] { sent.filter { $0.to == destination }.map(\.message) }

    var grants: [Incarnation: Attempt] {
        sent.reduce(into: [:]) { if case .grant(let attempt, _) = $1.message { $0[$1.to] = attempt } }
    }

    var parts: [Incarnation: EvaluationAttempt] {
        sent.reduce(into: [:]) { if case .measure(let attempt) = $1.message { $0[$1.to] = attempt } }
    }

    var evaluations: [EvaluationReport] {
        compactMap { if case .evaluated(let report) = $0 { report } else { nil } }
    }

    var commits: [Commit] { sent.compactMap { if case .commit(let commit) = $0.message { commit } else { nil } } }

    var refusals: [Refusal] { sent.compactMap { if case .refusal(let refusal) = $0.message { refusal } else { nil } } }

    var records: [JournalRecord] { compactMap { if case .journal(let record, _) = $0 { record } else { nil } } }

    /// Records of what is decided; who had which ticket and which are counted is not.
    var decisions: [JournalRecord] {
        records.filter {
            switch $0 {
            case .worker, .step(.granted), .step(.counted): false
            default: true
            }
        }
    }

    var warnings: [String] { compactMap { if case .warn(let text) = $0 { text } else { nil } } }

    var examined: [CheckpointReference] {
        compactMap { if case .examine(let reference) = $0 { reference } else { nil } }
    }

    var exit: ExitStatus? { lazy.compactMap { if case .exit(let status) = $0 { status } else { nil } }.first }
}
