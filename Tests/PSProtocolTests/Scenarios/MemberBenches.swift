// A server and a worker on the bench, welcomed by coordinator 1000 in term 5, with one server of incarnation 1 and
// workers 11, 12. The layout has two slices: 0 holds weights, 1 statistics. Two tickets make a step.

import PSMessages
import PSParameters
import PSProofs
import PSProtocol

let coordinatorID: Incarnation = 1000

let twoTickets = StepShape(ticketsPerStep: 2)

func welcome(digest: UInt64 = Layouts.few.digest) -> Message {
    .welcome(
        Welcome(
            rank: 0, configuration: "yaml", runDirectory: "/run", nonce: "n", layoutDigest: digest, plan: "plan"))
}

let runKey = RunKey(secret: [1, 2, 3], nonce: [4])

/// What coordinator `number` answers to a hello without proof.
func challenge(_ number: UInt64, to member: Incarnation, key: RunKey = runKey) -> Envelope {
    Envelope(
        job: 0, generation: 0, source: 0, destination: member,
        proof: key.coordinatorProof(challenge: number, member: member),
        message: .challenge(Challenge(number: number, runDirectory: "/run")))
}

struct ServerBench {
    var state: ServerState
    var now = MonotonicTime(milliseconds: 0)

    /// It knows that whoever speaks is the coordinator.
    init() {
        state = ServerState(hello: Hello(role: .server, host: "s", pid: 1, rank: nil), incarnation: 1, at: now)
        _ = meets(7)
    }

    /// Another coordinator answers at the address of the former.
    mutating func meets(_ number: UInt64) -> [ServerState.Effect] {
        _ = happens(.coordinatorLost)
        _ = happens(.coordinatorSaid(challenge(number, to: 1)))
        return happens(.proved(runKey, Challenge(number: number, runDirectory: "/run")))
    }

    /// Serving version 0 as generation 1.
    static func ready(bufferBytes: Int = 1 << 20) -> ServerBench {
        var bench = ServerBench()
        _ = bench.orders(welcome(), generation: 0)
        _ = bench.happens(.configured(Layouts.few, twoTickets, bufferBytes: bufferBytes))
        _ = bench.orders(.reset(Reset(version: 0, base: nil, rank: 0, servers: 1)))
        _ = bench.happens(.loaded(generation: 1))
        return bench
    }

    mutating func happens(_ event: ServerState.Event) -> [ServerState.Effect] { state.receive(event, at: now) }

    mutating func passes(_ milliseconds: Int) -> [ServerState.Effect] {
        now.milliseconds += milliseconds
        return happens(.tick)
    }

    mutating func orders(
        _ message: Message, generation: UInt32 = 1, term: UInt64 = 5, from source: Incarnation = coordinatorID,
        job: UInt64 = jobID
    ) -> [ServerState.Effect] {
        happens(
            .coordinatorSaid(
                Envelope(job: job, generation: generation, term: term, source: source, destination: 1, message: message)
            ))
    }

    mutating func asks(
        _ message: Message, from worker: Incarnation = 11, generation: UInt32 = 1, to destination: Incarnation = 1,
        bytes: Int? = nil, job: UInt64 = jobID
    ) -> [ServerState.Effect] {
        var payload = bytes ?? 0
        if bytes == nil, case .push(_, let header) = message { payload = Layouts.few.slices[header.index].byteCount }
        return happens(
            .workerSaid(
                Envelope(job: job, generation: generation, source: worker, destination: destination, message: message),
                payload > 0 ? HeldValues(number: 1, byteCount: payload) : nil))
    }

    mutating func pushes(_ ticket: Ticket, _ slice: Int, from worker: Incarnation = 11, number: UInt64 = 1)
        -> [ServerState.Effect]
    {
        asks(
            .push(
                Attempt(ticket: ticket, number: number),
                SliceHeader(index: slice, version: twoTickets.step(of: ticket).before)), from: worker)
    }

    /// The fold that is under way ends.
    mutating func folds(_ slice: Int) -> [ServerState.Effect] {
        happens(.folded(generation: 1, slice: slice, squaredNorm: Double(slice + 3), isFinite: true))
    }

    /// Both tickets of the open step arrive and are folded.
    mutating func takesAll() {
        for ticket in twoTickets.tickets(of: state.version.nextStep) {
            for slice in 0..<2 {
                _ = pushes(ticket, slice)
                _ = folds(slice)
            }
        }
    }
}

extension [ServerState.Effect] {
    var toCoordinator: [Message] {
        compactMap { if case .sendToCoordinator(let envelope) = $0 { envelope.message } else { nil } }
    }

    var toWorkers: [Message] {
        compactMap { if case .sendToWorker(_, let envelope) = $0 { envelope.message } else { nil } }
    }

    var refusals: [Refusal.Reason] {
        (toWorkers + toCoordinator).compactMap { if case .refusal(let refusal) = $0 { refusal.reason } else { nil } }
    }

    /// Slices published, with the version they are said to be.
    var published: [SliceHeader] {
        compactMap {
            if case .publish(_, let envelope, _) = $0, case .publish(let header) = envelope.message {
                header
            } else {
                nil
            }
        }
    }

    var compared: [Difference] {
        compactMap { if case .compare(_, _, _, let difference) = $0 { difference } else { nil } }
    }

    var folds: [Place] { compactMap { if case .fold(_, _, let place, _, _) = $0 { place } else { nil } } }

    var exit: ExitStatus? { lazy.compactMap { if case .exit(let status) = $0 { status } else { nil } }.first }
}

struct WorkerBench {
    var state: WorkerState
    var now = MonotonicTime(milliseconds: 0)

    /// It knows that whoever speaks is the coordinator.
    init() {
        state = WorkerState(hello: Hello(role: .worker, host: "w", pid: 1, rank: nil), incarnation: 11, at: now)
        _ = meets(7)
    }

    /// Another coordinator answers at the address of the former.
    mutating func meets(_ number: UInt64) -> [WorkerState.Effect] {
        _ = happens(.coordinatorLost)
        _ = happens(.coordinatorSaid(challenge(number, to: 11)))
        return happens(.proved(runKey, Challenge(number: number, runDirectory: "/run")))
    }

    /// Joined, with two servers of incarnations 1 and 2 that hold slices 0 and 1.
    static func idle() -> WorkerBench {
        var bench = WorkerBench()
        _ = bench.hears(welcome(), generation: 0)
        _ = bench.happens(.configured(Layouts.few, statistics: false))
        _ = bench.hears(members)
        return bench
    }

    static let members = Message.members(
        Holders(
            servers: [
                ServerAddress(endpoint: "a", incarnation: 1, rank: 0),
                ServerAddress(endpoint: "b", incarnation: 2, rank: 1),
            ], byShard: [0, 1]))

    static func computing(_ attempt: Attempt) -> WorkerBench {
        var bench = WorkerBench.idle()
        let version = twoTickets.step(of: attempt.ticket).before
        _ = bench.hears(.grant(attempt, version: version))
        _ = bench.hearsServer(1, .publish(SliceHeader(index: 0, version: version)))
        return bench
    }

    /// Every slice is pushed, none is taken.
    static func pushing(_ attempt: Attempt) -> WorkerBench {
        var bench = WorkerBench.computing(attempt)
        for slice in 0..<2 { _ = bench.happens(.gradientReady(attempt, slice: slice)) }
        _ = bench.happens(.computed(contribution(attempt)))
        return bench
    }

    mutating func happens(_ event: WorkerState.Event) -> [WorkerState.Effect] { state.receive(event, at: now) }

    mutating func passes(_ milliseconds: Int) -> [WorkerState.Effect] {
        now.milliseconds += milliseconds
        return happens(.tick)
    }

    mutating func hears(
        _ message: Message, generation: UInt32 = 1, term: UInt64 = 5, from source: Incarnation = coordinatorID,
        job: UInt64 = jobID
    ) -> [WorkerState.Effect] {
        happens(
            .coordinatorSaid(
                Envelope(
                    job: job, generation: generation, term: term, source: source, destination: 11, message: message)))
    }

    mutating func hearsServer(_ server: Incarnation, _ message: Message, generation: UInt32 = 1) -> [WorkerState.Effect]
    {
        happens(
            .serverSaid(
                Envelope(job: jobID, generation: generation, source: server, destination: 11, message: message)))
    }
}

extension [WorkerState.Effect] {
    var toCoordinator: [Message] {
        compactMap { if case .sendToCoordinator(let envelope) = $0 { envelope.message } else { nil } }
    }

    /// Pulls, by server rank.
    var pulls: [Int: [Int]] {
        reduce(into: [:]) {
            if case .sendToServer(let rank, let envelope) = $1, case .pull(_, let slices) = envelope.message {
                $0[rank] = slices
            }
        }
    }

    var pushes: [Int] { compactMap { if case .push(_, _, let slice) = $0 { slice } else { nil } } }

    var computes: [Attempt] { compactMap { if case .compute(let attempt) = $0 { attempt } else { nil } } }

    var exit: ExitStatus? { lazy.compactMap { if case .exit(let status) = $0 { status } else { nil } }.first }

    var warnings: [String] { compactMap { if case .warn(let text) = $0 { text } else { nil } } }

    var heartbeat: Heartbeat? {
        lazy.compactMap {
            if case .heartbeat(let envelope) = $0, case .heartbeat(let heartbeat) = envelope.message {
                heartbeat
            } else {
                nil
            }
        }.first
    }

    /// Servers that are asked for a sign of life, by rank.
    var asksWhetherThere: [Int] {
        compactMap {
            if case .sendToServer(let rank, let envelope) = $0, case .heartbeat = envelope.message { rank } else { nil }
        }
    }
}
