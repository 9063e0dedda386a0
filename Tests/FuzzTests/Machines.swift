// A coordinator, a server and a worker in the middle of a job, and how a decoded message reaches them. What they ask of
// their processes is done at once. The only file here that knows the state machines' events and effects.

import PSParameters
import PSProofs
import PSProtocol
import Testing

@testable import PSMessages

/// Where a message arrives: at which machine, and on which of its sockets.
enum Door: String, CaseIterable {
    case coordinator
    case serverFromCoordinator, serverFromWorkers, serverFromServers
    case workerFromCoordinator, workerFromServers
}

/// Names of the job that every machine is in.
enum Names {
    static let job: UInt64 = 77
    static let coordinator: Incarnation = 1000
    static let servers: [Incarnation] = [1, 2]
    static let workers: [Incarnation] = [11, 12]
    static let strangers: [Incarnation] = [900, 901, 902]
}

struct Machines {
    private static let layout = ParameterLayout(
        tensors: [
            TensorSpecification(name: "first", shape: [1000], kind: .weight, initialization: .constant(0)),
            TensorSpecification(name: "second", shape: [900], kind: .weight, initialization: .constant(0)),
            TensorSpecification(name: "mean", shape: [64], kind: .statistic, initialization: .constant(0)),
        ])
    private static let shape = StepShape(ticketsPerStep: 2)
    private static let digest = String(repeating: "0123456789abcdef", count: 4)

    private(set) var coordinator: CoordinatorState
    private(set) var server: ServerState
    private(set) var worker: WorkerState
    private(set) var now = MonotonicTime(milliseconds: 0)

    /// Messages that reached a door, by what they are.
    private(set) var arrivals: [Door: [String: Int]] = [:]
    /// How far the machines came: a fuzzer that meets only idle ones tests nothing.
    private(set) var commits = 0
    private(set) var checkpoints = 0
    private(set) var updates = 0
    private(set) var replicaUpdates = 0
    private(set) var ticketsDone = 0
    private(set) var exits = 0

    /// Attempts that were granted lately, which a message may be about.
    private(set) var attempts: [Attempt] = [Attempt(ticket: 0, number: 1 << 40 | 1)]

    /// What honest members would answer the coordinator.
    private var answers: [(source: Incarnation, message: Message)] = []
    /// What the server and the worker last told the coordinator: whom they obey.
    private var lastOfServer: Envelope?
    private var lastOfWorker: Envelope?
    private var grants: UInt64 = 0
    private var starts = 0

    init() {
        // Replaced at once: the fresh ones need all properties to be there.
        coordinator = Self.newCoordinator(at: now)
        server = Self.newServer(at: now)
        worker = Self.newWorker(at: now)
        startCoordinator()
        startServer()
        startWorker()
    }

    /// The generation and version of the machine behind a door.
    func position(_ door: Door) -> (generation: UInt32, version: Version) {
        switch door {
        case .coordinator: (coordinator.generation, coordinator.version)
        case .serverFromCoordinator, .serverFromWorkers, .serverFromServers: (server.generation, server.version)
        case .workerFromCoordinator, .workerFromServers: (worker.generation, attempts.last!.step.before)
        }
    }

    private static func values(_ bytes: Int) -> HeldValues? {
        bytes > 0 ? HeldValues(number: 1, byteCount: bytes) : nil
    }

    /// Bytes of a slice's values.
    static func bytes(ofSlice index: Int) -> Int {
        layout.slices.indices.contains(index) ? layout.slices[index].byteCount : 4
    }

    // MARK: Events

    mutating func deliver(_ envelope: Envelope, payloadBytes: Int, at door: Door) {
        let kind = Mirror(reflecting: envelope.message).children.first?.label ?? "\(envelope.message)"
        arrivals[door, default: [:]][kind, default: 0] += 1
        switch door {
        case .coordinator:
            // Whatever the gate makes of it, it must not trap; the state machine hears it as if it had passed.
            _ = gate.decide(envelope, from: Int(now.milliseconds % 5), keyRole: nil)
            coordinatorHears(.said(envelope))
        case .serverFromCoordinator: serverHears(.coordinatorSaid(envelope))
        case .serverFromWorkers:
            _ = server.isShown(envelope)
            serverHears(.workerSaid(envelope, Self.values(payloadBytes)))
        case .serverFromServers:
            var envelope = envelope
            envelope.proof = Self.grantKey.peer(
                from: envelope.source, to: Names.servers[0], generation: envelope.generation)
            serverHears(.sourceSaid(envelope, Self.values(payloadBytes)))
        case .workerFromCoordinator: workerHears(.coordinatorSaid(envelope))
        case .workerFromServers: workerHears(.serverSaid(envelope))
        }
    }

    mutating func pass(_ milliseconds: Int) {
        now = now.later(milliseconds)
        coordinatorHears(.tick)
        serverHears(.tick)
        workerHears(.tick)
    }

    /// What a job without faults would do next, as far as what came before lets it.
    mutating func work() {
        let due = answers
        answers = []
        for (source, message) in due { tellCoordinator(message, from: source) }
        if let last = lastOfServer { workOnServer(last) }
        if let last = lastOfWorker { workOnWorker(last) }
    }

    /// A step: both tickets, the commit, a snapshot.
    private mutating func workOnServer(_ last: Envelope) {
        let step = server.version.nextStep
        guard step.number <= MessageLimits.step else { return }
        for ticket in Self.shape.tickets(of: step) {
            for slice in server.owned {
                let push = Message.push(
                    Attempt(ticket: ticket, number: 1), SliceHeader(index: slice, version: step.before))
                let envelope = Envelope(
                    job: last.job, generation: server.generation, source: Names.workers[0], destination: last.source,
                    message: push)
                serverHears(.workerSaid(envelope, Self.values(Self.bytes(ofSlice: slice))))
            }
        }
        let commit = Commit(step: step, scale: 1, learningRate: 1, averageDecay: 0.5, skip: false)
        for message in [.prepare(step: step, attempts: []), .commit(commit), .snapshot(version: step.after)]
            as [Message]
        {
            serverHears(.coordinatorSaid(reply(to: last, message, generation: server.generation)))
        }
    }

    /// A ticket: the grant, the weights, the servers' word that they hold it, the coordinator's that it counts.
    private mutating func workOnWorker(_ last: Envelope) {
        grants += 1
        let attempt = Attempt(ticket: Ticket(grants), number: 1 << 41 | grants)
        let version = attempt.step.before
        workerHears(.coordinatorSaid(reply(to: last, .grant(attempt, version: version), generation: worker.generation)))
        for source in Names.servers {
            let publishes = Self.layout.slices.indices.map {
                Message.publish(SliceHeader(index: $0, version: version))
            }
            for message in publishes + [.held(attempt)] {
                let envelope = Envelope(
                    job: last.job, generation: worker.generation, source: source, destination: last.source,
                    message: message)
                workerHears(.serverSaid(envelope))
            }
        }
        workerHears(.coordinatorSaid(reply(to: last, .counted(attempt), generation: worker.generation)))
    }

    private func reply(to last: Envelope, _ message: Message, generation: UInt32) -> Envelope {
        Envelope(
            job: last.job, generation: generation, term: last.term, source: last.destination,
            destination: last.source, message: message)
    }

    /// All machines as at the beginning; what was counted stands.
    mutating func startAnew() {
        startCoordinator()
        startServer()
        startWorker()
    }

    // MARK: Effects

    private mutating func coordinatorHears(_ event: CoordinatorState.Event) {
        var events = [event]
        var isOver = false
        while let next = events.first {
            events.removeFirst()
            for effect in coordinator.receive(next, at: now) {
                switch effect {
                case .send(let envelope), .heartbeat(let envelope):
                    checkItIsReadable(envelope)
                    note(envelope)
                    answer(envelope)
                case .journal(let record, let sync):
                    if case .step(.committed) = record { commits += 1 }
                    if sync { events.append(.durable(record)) }
                case .completeCheckpoint(let version, let generation, _):
                    checkpoints += 1
                    events.append(
                        .checkpointCompleted(CheckpointReference(version: version, generation: generation)))
                case .examine(let reference): events.append(.examined(reference, .sound))
                case .exit: isOver = true
                case .prune, .stepDone, .evaluated, .warn, .tell: break
                }
            }
        }
        if isOver {
            exits += 1
            startCoordinator()
        }
    }

    private mutating func serverHears(_ event: ServerState.Event) {
        var events = [event]
        var isOver = false
        while let next = events.first {
            events.removeFirst()
            for effect in server.receive(next, at: now) {
                switch effect {
                case .sendToCoordinator(let envelope), .heartbeat(let envelope):
                    checkItIsReadable(envelope)
                    lastOfServer = envelope
                case .sendToWorker(_, let envelope), .publish(_, let envelope, _), .sendToSource(_, let envelope),
                    .sendSum(_, let envelope, _), .sendState(_, let envelope, _):
                    checkItIsReadable(envelope)
                case .fill(let memory, let slice, let version, _, _, isLast: true):
                    events.append(.replicaUpdated(memory: memory, slice: slice, version))
                case .fill: break
                case .updateReplica(let memory, let slice, let commit, _):
                    replicaUpdates += 1
                    events.append(.replicaUpdated(memory: memory, slice: slice, commit.step.after))
                case .configure: events.append(.configured(Self.layout, Self.shape, bufferBytes: 5000))
                case .load(let generation, _, _): events.append(.loaded(generation: generation))
                case .fold(let generation, let slice, _, _, _):
                    events.append(.folded(generation: generation, slice: slice, squaredNorm: 1, isFinite: true))
                case .compare(let generation, _, _, let difference):
                    events.append(.differs(generation: generation, difference))
                case .update(let generation, let slice, _):
                    updates += 1
                    events.append(.updated(generation: generation, slice: slice))
                case .save(let generation, let version, _):
                    let file = SavedFile(name: "a", content: "weights", bytes: 1, sha256: Self.digest)
                    events.append(.saved(generation: generation, version: version, [file]))
                case .exit: isOver = true
                case .prove: events.append(.proofFailed("not now", mayPass: true))
                case .rejoin, .keep, .dropValues, .allow, .warn, .goOn, .reach: break
                }
            }
        }
        if isOver {
            exits += 1
            startServer()
        }
    }

    private mutating func workerHears(_ event: WorkerState.Event) {
        var events = [event]
        var isOver = false
        while let next = events.first {
            events.removeFirst()
            for effect in worker.receive(next, at: now) {
                switch effect {
                case .sendToCoordinator(let envelope), .heartbeat(let envelope):
                    checkItIsReadable(envelope)
                    lastOfWorker = envelope
                case .sendToServer(_, let envelope), .push(_, let envelope, _): checkItIsReadable(envelope)
                case .configure: events.append(.configured(Self.layout, statistics: true))
                case .compute(let attempt):
                    note(attempt)
                    events += Self.layout.slices.indices.map { .gradientReady(attempt, slice: $0) }
                    events.append(
                        .computed(Contribution(attempt: attempt, loss: 2.5, correct: 1, samples: 4, norm: 1)))
                case .measure(let attempt):
                    events.append(
                        .measured(
                            Measurement(attempt: attempt, images: 4, top1: 1, top5: 2, loss: 1, excluded: 0)))
                case .exit: isOver = true
                case .prove: events.append(.proofFailed("not now", mayPass: true))
                case .connect, .prepare, .load, .warn: break
                }
            }
        }
        ticketsDone = max(ticketsDone, Int(worker.ticketsDone))
        if isOver {
            exits += 1
            startWorker()
        }
    }

    private mutating func answer(_ envelope: Envelope) {
        let answer: Message
        switch envelope.message {
        case .grant(let attempt, _):
            answer = .contribution(Contribution(attempt: attempt, loss: 2.5, correct: 1, samples: 4, norm: 1))
        case .measure(let attempt):
            answer = .measurement(Measurement(attempt: attempt, images: 4, top1: 1, top5: 2, loss: 1, excluded: 0))
        case .counted, .measured: answer = .want
        case .reset(let reset): answer = .ready(version: reset.version)
        case .prepare(let step, _):
            let map = ShardMap(layout: Self.layout, serverCount: Names.servers.count)
            let slices = Names.servers.firstIndex(of: envelope.destination).map { rank in
                coordinator.holders.indices.filter { coordinator.holders[$0] == rank }.flatMap { map.slices(of: $0) }
            }?.sorted()
            answer = .prepared(
                Prepared(
                    step: step, isFinite: true, norms: (slices ?? []).map { Prepared.Norm(slice: $0, squared: 1) }))
        case .commit(let commit): answer = .applied(step: commit.step)
        case .snapshot(let version): answer = .saved(version: version, files: [])
        default: return
        }
        answers.append((envelope.destination, answer))
    }

    private mutating func note(_ envelope: Envelope) {
        switch envelope.message {
        case .grant(let attempt, _): note(attempt)
        case .measure(let attempt): note(Attempt(ticket: Ticket(UInt64(attempt.part)), number: attempt.number))
        default: break
        }
    }

    private mutating func note(_ attempt: Attempt) { attempts = attempts.suffix(3) + [attempt] }

    /// Whatever a machine was told, what it says is a message.
    private func checkItIsReadable(_ envelope: Envelope) {
        let bytes = envelope.encoded()
        do {
            _ = try bytes.withUnsafeBytes { try Envelope.decode($0) }
        } catch {
            Issue.record("\(error): \(envelope)")
        }
    }

    // MARK: Beginnings

    private static func newCoordinator(at now: MonotonicTime, after history: [JournalRecord] = []) -> CoordinatorState {
        var replay = Replay()
        replay.apply(.header(job: Names.job, seed: 1, layoutDigest: layout.digest, recipe: [:]))
        for record in history { replay.apply(record) }
        replay.apply(.term(1, endpoint: ""))
        var settings = CoordinatorSettings(
            configuration: "yaml", runDirectory: "/run", nonce: "n", layoutDigest: layout.digest, plan: "plan",
            planSummary: "direct", shardMap: ShardMap(layout: layout, serverCount: Names.servers.count),
            stepShape: shape, samplesPerTicket: 4, lastVersion: 1000, stepsPerEpoch: 5, checkpointEverySteps: 2,
            checkpointEverySeconds: 0, checkpointsKept: 2, nonFiniteLimit: 3,
            rule: StepRule(
                learningRate: { _ in 0.5 }, averageDecay: { _ in 0.9 },
                clip: { norms in (norms.reduce(0, +).squareRoot(), 1) }))
        settings.evaluation = EvaluationSchedule(images: 8, batch: 4, stepsPerEpoch: 5)
        settings.evaluation!.everySteps = 2
        settings.hasReplicas = true
        return CoordinatorState(
            settings: settings, identity: Hello(role: .coordinator, host: "h", pid: 1, rank: 0),
            incarnation: Names.coordinator, replay: replay, at: now)
    }

    private static func newServer(at now: MonotonicTime) -> ServerState {
        var hello = Hello(role: .server, host: "s", pid: 2, rank: 0)
        hello.endpoint = "tcp://s:1"
        return ServerState(hello: hello, incarnation: Names.servers[0], at: now)
    }

    private static func newWorker(at now: MonotonicTime) -> WorkerState {
        WorkerState(
            hello: Hello(role: .worker, host: "w", pid: 3, rank: nil), incarnation: Names.workers[0], at: now)
    }

    /// Both servers have loaded, both workers have joined; or, now and then, not yet again.
    private mutating func startCoordinator() {
        starts += 1
        answers = []
        if starts.isMultiple(of: 3) {
            // It comes back, and the job goes on from what the servers say that they hold.
            let commit = Commit(step: 0, scale: 1, learningRate: 1, averageDecay: 0.5, skip: false)
            coordinator = Self.newCoordinator(
                at: now, after: [.rollback(generation: 1, base: nil), .step(.committed(commit, norm: 1))])
            var hello = Hello(role: .server, host: "s", pid: 2, rank: 1)
            hello.endpoint = "tcp://s:2"
            hello.memory = Hello.Memory(version: 1, lastCommit: commit)
            coordinatorHears(
                .said(
                    Envelope(
                        job: Names.job, generation: 1, source: Names.servers[1], destination: 0,
                        message: .hello(hello))))
            return
        }
        coordinator = Self.newCoordinator(at: now)
        for (rank, source) in Names.servers.enumerated() {
            var hello = Hello(role: .server, host: "s", pid: 2, rank: rank)
            hello.endpoint = "tcp://s:\(rank + 1)"
            tellCoordinator(.hello(hello), from: source, isNew: true)
        }
        for source in Names.servers { tellCoordinator(.ready(version: 0), from: source) }
        for source in Names.workers {
            tellCoordinator(.hello(Hello(role: .worker, host: "w", pid: 3, rank: nil)), from: source, isNew: true)
            tellCoordinator(.want, from: source)
        }
    }

    private mutating func tellCoordinator(_ message: Message, from source: Incarnation, isNew: Bool = false) {
        coordinatorHears(
            .said(
                Envelope(
                    job: isNew ? 0 : Names.job, generation: isNew ? 0 : coordinator.generation, term: 0,
                    source: source, destination: isNew ? 0 : Names.coordinator, message: message)))
    }

    private static let key = RunKey(secret: [1], nonce: [2])

    /// What the coordinator answers to a first hello.
    private static func challenge(to member: Incarnation) -> (Envelope, Challenge) {
        let challenge = Challenge(number: 7, runDirectory: "/run")
        return (
            Envelope(
                job: 0, generation: 0, source: 0, destination: member,
                proof: key.coordinatorProof(challenge: 7, member: member), message: .challenge(challenge)),
            challenge
        )
    }

    private var gate = Gate<Int>(
        key: key, challenge: Challenge(number: 7, runDirectory: "/run"), coordinator: Names.coordinator, job: Names.job)

    private static let grantKey = ProofKey(1, 2, 3, 4)

    private static var welcome: Message {
        var welcome = Welcome(
            rank: 0, configuration: "yaml", runDirectory: "/run", nonce: "n", layoutDigest: layout.digest,
            plan: "plan")
        welcome.grantKey = grantKey
        return .welcome(welcome)
    }

    /// Its own shard, and a replica of the other one.
    private static var firstReset: Message {
        var reset = Reset(version: 0, base: nil, rank: 0, servers: 2)
        reset.follows = [
            Reset.Followed(
                shard: 1, server: ServerAddress(endpoint: "tcp://s:2", incarnation: Names.servers[1], rank: 1))
        ]
        return .reset(reset)
    }

    /// Serving version 0 as generation 1, all slices but those of the second server.
    private mutating func startServer() {
        server = Self.newServer(at: now)
        let (asked, challenge) = Self.challenge(to: Names.servers[0])
        _ = server.receive(.coordinatorSaid(asked), at: now)
        _ = server.receive(.proved(Self.key, challenge), at: now)
        for message in [Self.welcome, Self.firstReset] {
            serverHears(.coordinatorSaid(order(message, to: Names.servers[0])))
        }
    }

    /// Idle, and knowing both servers.
    private mutating func startWorker() {
        worker = Self.newWorker(at: now)
        let (asked, challenge) = Self.challenge(to: Names.workers[0])
        _ = worker.receive(.coordinatorSaid(asked), at: now)
        _ = worker.receive(.proved(Self.key, challenge), at: now)
        let servers = Names.servers.enumerated().map {
            ServerAddress(endpoint: "tcp://s:\($1)", incarnation: $1, rank: $0)
        }
        for message in [Self.welcome, .members(Holders(servers: servers, byShard: Array(servers.indices)))] {
            workerHears(.coordinatorSaid(order(message, to: Names.workers[0])))
        }
    }

    private func order(_ message: Message, to destination: Incarnation) -> Envelope {
        Envelope(
            job: Names.job, generation: 1, term: 1, source: Names.coordinator, destination: destination,
            message: message)
    }
}

extension Attempt {
    var step: Step { StepShape(ticketsPerStep: 2).step(of: ticket) }
}
