// The worker's decisions: a pure state machine. It wants a ticket, pulls the weights, computes, pushes, contributes.

import PSMessages
import PSParameters
import PSProofs

package struct WorkerState: Sendable {
    package enum Event: Sendable {
        case coordinatorSaid(Envelope)
        /// The connection to the coordinator is closed, perhaps opened anew.
        case coordinatorLost
        /// There is a connection to the coordinator: what was said before may have got lost.
        case coordinatorReached
        /// The run's key was read where the challenge says, or cannot be.
        case proved(RunKey, Challenge)
        case proofFailed(String, mayPass: Bool)
        /// The coordinator's address answers in another protocol version; the text names both.
        case otherVersion(String)
        case serverSaid(Envelope)
        /// The configuration of `.configure` was read and the network built.
        /// - statistics: whether tickets need the statistics as well as the weights.
        case configured(ParameterLayout, statistics: Bool)
        /// - mayPass: whether another start may fare better; so below.
        case configurationFailed(String, mayPass: Bool)
        /// The gradient of this slice is final.
        case gradientReady(Attempt, slice: Int)
        case computed(Contribution)
        case computeFailed(Attempt, String, mayPass: Bool)
        case measured(Measurement)
        case measureFailed(EvaluationAttempt, String, MeasureProblem)
        /// A person asked this process to stop.
        case stopSignal
        /// Who started this process is gone: without a coordinator nobody will start one again.
        case parentGone
        case tick
    }

    /// Why a part of an evaluation could not be measured.
    package enum MeasureProblem: Sendable {
        case mayPass
        /// The checkpoint was read, and is not what it should be.
        case checkpointDamaged
        case lasts
    }

    package enum Effect: Sendable {
        case sendToCoordinator(Envelope)
        /// Read the run's key where the challenge says that it is.
        case prove(Challenge)
        case sendToServer(Int, Envelope)
        case heartbeat(Envelope)
        case configure(Welcome)
        /// Reach the servers anew, in rank order; connections to others are closed.
        case connect([ServerAddress])
        /// The ticket will be computed when its weights are there.
        case prepare(Attempt)
        /// Hand the values of the publish at hand to the network.
        case load(slice: Int)
        /// Compute the ticket with the slices loaded so far.
        case compute(Attempt)
        /// Measure the part of the test images.
        case measure(EvaluationAttempt)
        /// Send a slice of the ticket's gradient.
        case push(server: Int, Envelope, slice: Int)
        case warn(String)
        case exit(ExitStatus)
    }

    enum Phase: Sendable, Hashable {
        case unconfigured
        case configuring(Welcome)
        case idle
        case pulling(Attempt, version: Version)
        case computing(Attempt, abandoned: Bool)
        /// Computed; waiting until every server holds the ticket.
        case pushing(Contribution)
        case contributing(Contribution)
        case measuring(EvaluationAttempt, abandoned: Bool)
        case reporting(Measurement)
    }

    /// Whether a server answers.
    struct Reach: Sendable {
        /// When it was last heard, or last asked whether it is there.
        var since: MonotonicTime
        /// Questions since it was last heard.
        var unanswered = 0
        /// No word for long enough to say so.
        var isLost = false
    }

    var session: MemberSession
    var phase = Phase.unconfigured
    package internal(set) var generation: UInt32 {
        get { session.generation }
        set { session.generation = newValue }
    }
    /// When the coordinator was last asked for an answer; nil: ask at the next tick.
    var lastAsked: MonotonicTime?
    var lastHeartbeat: MonotonicTime?
    /// Tickets contributed and counted.
    package internal(set) var ticketsDone: UInt64 = 0

    // The job.
    package internal(set) var layout: ParameterLayout?
    var needsStatistics = false
    private var holders = Holders(servers: [], byShard: [])
    package var servers: [ServerAddress] { holders.servers }
    /// The place in `servers` of who answers for each slice; nil: not known yet.
    var serverOfSlice: [Int]?

    // Weights.
    /// The version whose slices are all in the network.
    var loadedVersion: Version?
    var missing: Set<Int> = []

    /// Number of the last attempt that was counted; a late copy of its grant is no new one.
    var lastCounted: UInt64 = 0
    /// Since when nothing could be measured.
    var unmeasurable: MonotonicTime?

    // The ticket at hand.
    /// The version it is computed with.
    var granted: Version = 0
    /// What is shown to servers: the pass of the generation with pulls, the proof of the grant with pushes.
    var pass = Proof.none
    var grantProof = Proof.none
    /// What is known of the way to each server.
    var reach: [Reach] = []
    /// Slices ready but not taken yet, by server.
    var untaken: [Int: Set<Int>] = [:]
    /// Servers that do not hold the whole ticket yet.
    var notHolding: Set<Int> = []
    /// Per server: last progress and how long a silence means loss.
    var progress: [Int: (at: MonotonicTime, patience: Int)] = [:]

    package init(hello: Hello, incarnation: Incarnation, timing: Timing = Timing(), at now: MonotonicTime) {
        session = MemberSession(hello: hello, incarnation: incarnation, timing: timing, at: now)
    }

    /// 0: it has not joined one yet.
    package var job: UInt64 { session.job }
    var timing: Timing { session.timing }
    var incarnation: Incarnation { session.incarnation }
    var coordinator: Incarnation { session.coordinator }

    /// What the process is doing, for a person.
    package var activity: String {
        if !session.isJoined { return "looking for the coordinator" }
        if let server = lostServer {
            return "no word from server \(servers[server].rank) at \(servers[server].endpoint)"
        }
        return switch phase {
        case .unconfigured, .configuring: "building the network"
        case .idle: "waiting for a ticket"
        case .pulling(let attempt, let version): "ticket \(attempt.ticket): pulling version \(version)"
        case .computing(let attempt, _): "ticket \(attempt.ticket): computing"
        case .pushing(let contribution), .contributing(let contribution):
            "ticket \(contribution.attempt.ticket): pushing"
        case .measuring(let attempt, _): "evaluating step \(attempt.version), part \(attempt.part)"
        case .reporting(let measurement): "evaluating step \(measurement.attempt.version): reporting"
        }
    }

    /// Whether the coordinator that runs now knows this process.
    package var isJoined: Bool { session.isJoined }

    package mutating func receive(_ event: Event, at now: MonotonicTime) -> [Effect] {
        switch event {
        case .coordinatorSaid(let envelope): return coordinatorSaid(envelope, at: now)
        case .coordinatorReached:
            session.reached()
            return introduceIfDue(at: now)
        case .coordinatorLost:
            // What it computes goes on: the coordinator may find it still counted.
            _ = session.disconnected()
            return []
        case .proved(let key, let challenge):
            return act(on: session.proves(key, to: challenge, at: now), nil, at: now)
        case .proofFailed(let text, let mayPass):
            return act(on: session.cannotProve(text, mayPass: mayPass), nil, at: now)
        case .otherVersion(let text): return session.isJoined ? [] : leave(text, code: ExitStatus.refused)
        case .serverSaid(let envelope): return serverSaid(envelope, at: now)
        case .configured(let layout, let statistics):
            guard case .configuring(let welcome) = phase else { return [] }
            guard layout.digest == welcome.layoutDigest else {
                return leave(
                    "the coordinator's model has another layout than this release's: install the same release on every host",
                    code: ExitStatus.refused)
            }
            self.layout = layout
            needsStatistics = statistics
            return connect() + becomeIdle(at: now)
        case .configurationFailed(let text, let mayPass):
            return leave(text, code: mayPass ? ExitStatus.failed : ExitStatus.refused)
        case .gradientReady(let attempt, let slice):
            guard case .computing(attempt, abandoned: false) = phase else { return [] }
            return pushNew(attempt, slice, at: now)
        case .computed(let contribution):
            guard case .computing(contribution.attempt, let abandoned) = phase else { return [] }
            if abandoned { return becomeIdle(at: now) }
            phase = .pushing(contribution)
            lastAsked = now
            for server in notHolding { progress[server] = (now, timing.bulkRetry) }
            return contributeIfHeld(at: now)
        case .computeFailed(let attempt, let text, let mayPass):
            return leave(
                "ticket \(attempt.ticket) cannot be computed: \(text)",
                code: mayPass ? ExitStatus.failed : ExitStatus.refused)
        case .measured(let measurement): return measured(measurement, at: now)
        case .measureFailed(let attempt, let text, let problem):
            return measureFailed(attempt, text, problem, at: now)
        case .stopSignal: return leave(MemberSession.leftBySignal, code: ExitStatus.preempted)
        case .parentGone:
            session.timing.orphan = timing.farewell
            return []
        case .tick: return tick(at: now)
        }
    }

    // MARK: The coordinator

    private mutating func coordinatorSaid(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        act(on: session.receive(envelope, at: now), envelope, at: now)
    }

    private mutating func act(
        on outcome: MemberSession.Outcome, _ envelope: Envelope?, at now: MonotonicTime
    ) -> [Effect] {
        switch outcome {
        case .nothing: return []
        case .answer(let envelope): return [.sendToCoordinator(envelope)]
        case .warn(let text): return [.warn(text)]
        case .prove(let challenge): return [.prove(challenge)]
        case .proven: return introduceIfDue(at: now)
        case .occupied: return []
        case .joined(let welcome, let isAnother):
            // What another coordinator granted is void.
            if isAnother { standBack(at: now) }
            return welcomed(welcome, at: now)
        case .lost:
            // The coordinator was started anew, or lost sight of us, and what it granted is void.
            standBack(at: now)
            lastAsked = nil
            return []
        case .refused:
            // Perhaps a late answer to an earlier contribution: when the attempt still stands, it is granted again.
            switch phase {
            case .contributing, .reporting: return envelope?.source == coordinator ? becomeIdle(at: now) : []
            default: return []
            }
        case .leave(let text, let code): return leave(text, code: code)
        case .finish(let status): return [.sendToCoordinator(self.envelope(.leave(text: ""))), .exit(status)]
        case .order: return envelope.map { ordered($0, at: now) } ?? []
        }
    }

    private mutating func ordered(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        if case .members(let holders) = envelope.message {
            guard envelope.generation >= generation else { return [] }
            pass = envelope.proof
            return members(holders, generation: envelope.generation, at: now)
        }
        guard envelope.generation == generation else { return [] }
        switch envelope.message {
        case .grant(let attempt, let version):
            return grant(attempt, version: version, proof: envelope.proof, at: now)
        case .counted(let attempt):
            guard case .contributing(let contribution) = phase, contribution.attempt == attempt else { return [] }
            ticketsDone += 1
            lastCounted = attempt.number
            return becomeIdle(at: now)
        case .measure(let attempt): return measure(attempt, at: now)
        case .measured(let attempt):
            guard case .reporting(let measurement) = phase, measurement.attempt == attempt else { return [] }
            lastCounted = attempt.number
            return becomeIdle(at: now)
        default: return []
        }
    }

    private mutating func welcomed(_ welcome: Welcome, at now: MonotonicTime) -> [Effect] {
        // While nobody granted anything no server was asked.
        beginReaching(at: now)
        switch phase {
        case .unconfigured:
            phase = .configuring(welcome)
            return [.configure(welcome)]
        case .idle: return becomeIdle(at: now)
        default: return []
        }
    }

    private mutating func grant(
        _ attempt: Attempt, version: Version, proof: Proof, at now: MonotonicTime
    ) -> [Effect] {
        guard serverOfSlice != nil, attempt.number > lastCounted, lostServer == nil else { return [] }
        switch phase {
        case .idle: break
        // The servers have no room for this ticket before another, which nobody computes: that one first.
        case .pushing(let contribution) where attempt.number > contribution.attempt.number: break
        default: return []
        }
        grantProof = proof
        return begin(attempt, version: version, at: now)
    }

    private mutating func members(
        _ holders: Holders, generation: UInt32, at now: MonotonicTime
    ) -> [Effect] {
        guard !holders.byShard.isEmpty, generation != self.generation || holders != self.holders else { return [] }
        self.generation = generation
        self.holders = holders
        beginReaching(at: now)
        loadedVersion = nil
        missing = []
        // Work of the former generation is void.
        standBack(at: now)
        let wants = if case .idle = phase { becomeIdle(at: now) } else { [Effect]() }
        return connect() + wants
    }

    private mutating func connect() -> [Effect] {
        guard let layout, !servers.isEmpty else { return [] }
        let shards = ShardMap(layout: layout, serverCount: holders.byShard.count)
        serverOfSlice = shards.serverOfSlice.map { holders.byShard[$0] }
        return [.connect(servers)]
    }

    mutating func becomeIdle(at now: MonotonicTime) -> [Effect] {
        dropTicket(at: now)
        return session.isJoined && lostServer == nil ? [.sendToCoordinator(envelope(.want))] : []
    }

    mutating func dropTicket(at now: MonotonicTime) {
        phase = .idle
        missing = []
        untaken = [:]
        notHolding = []
        lastAsked = now
    }

    /// Gives up the ticket at hand; what is being computed goes on to its end. The next ticket is asked for only when a
    /// retry is due: an immediate one could meet the same refusal, again and again.
    mutating func standBack(at now: MonotonicTime) {
        switch phase {
        case .unconfigured, .configuring: break
        case .computing(let attempt, _): phase = .computing(attempt, abandoned: true)
        case .measuring(let attempt, _): phase = .measuring(attempt, abandoned: true)
        case .idle, .pulling, .pushing, .contributing, .reporting: dropTicket(at: now)
        }
    }

    // MARK: Time

    private mutating func tick(at now: MonotonicTime) -> [Effect] {
        if let status = session.orphaned(at: now) { return [.exit(status)] }
        var effects: [Effect] = []
        let ask = lastAsked.map { now.since($0) >= timing.retry } ?? true
        if !session.isJoined {
            return (session.waits(at: now).map { [.warn($0)] } ?? []) + introduceIfDue(at: now)
        }
        effects += askServers(at: now)
        switch phase {
        case .idle where ask && lostServer == nil && !session.isDeaf:
            lastAsked = now
            effects.append(.sendToCoordinator(envelope(.want)))
        case .contributing(let contribution) where ask:
            lastAsked = now
            effects.append(.sendToCoordinator(envelope(.contribution(contribution))))
        case .reporting(let measurement) where ask:
            lastAsked = now
            effects.append(.sendToCoordinator(envelope(.measurement(measurement))))
        case .pulling(_, let version):
            for server in silentServers(servers.indices, at: now) {
                let wanted = missingSlices(of: server)
                if !wanted.isEmpty { effects.append(toServer(server, .pull(version: version, slices: wanted))) }
            }
        case .pushing(let contribution):
            // Perhaps they have no room for it before another ticket, which its worker has left: who wants may be given
            // it.
            if lastAsked.map({ now.since($0) >= timing.bulkRetry }) ?? true, !session.isDeaf {
                lastAsked = now
                effects.append(.sendToCoordinator(envelope(.want)))
            }
            for server in silentServers(notHolding.sorted(), at: now) {
                // When every slice was taken, the word that the ticket is held got lost: one slice again brings it
                // back.
                let lacking = untaken[server, default: []].sorted()
                let again =
                    lacking.isEmpty ? serverOfSlice?.firstIndex(of: server).map { [$0] } ?? [] : lacking
                effects += again.map { pushEffect(contribution.attempt, $0, server: server) }
            }
        default: break
        }
        if lastHeartbeat.map({ now.since($0) >= timing.heartbeat }) ?? true {
            lastHeartbeat = now
            if let news = session.beats() { effects.append(.warn(news)) }
            var heartbeat = Heartbeat()
            heartbeat.isDeaf = session.isDeaf
            heartbeat.activity = activity
            heartbeat.progress = ticketsDone
            heartbeat.unreachable = lostServer.map { servers[$0].rank }
            effects.append(.heartbeat(envelope(.heartbeat(heartbeat))))
        }
        return effects
    }

    private mutating func introduceIfDue(at now: MonotonicTime) -> [Effect] {
        session.isHelloDue(at: now) ? [.sendToCoordinator(session.introduction(nil, at: now))] : []
    }

    /// Those that made no progress within their patience, which then doubles.
    mutating func silentServers(_ candidates: some Sequence<Int>, at now: MonotonicTime) -> [Int] {
        candidates.filter { server in
            let (at, patience) = progress[server] ?? (now, timing.bulkRetry)
            guard now.since(at) >= patience else { return false }
            progress[server] = (now, min(2 * patience, 60_000))
            return true
        }
    }

    func leave(_ text: String, code: Int = ExitStatus.failed) -> [Effect] {
        [.sendToCoordinator(envelope(.leave(text: text))), .exit(ExitStatus(code: code, text: text))]
    }

    func envelope(_ message: Message) -> Envelope { session.envelope(message) }

    func envelopeToServer(_ server: Int, _ message: Message) -> Envelope {
        let proof =
            switch message {
            case .pull, .heartbeat: pass
            case .push: grantProof
            default: Proof.none
            }
        return Envelope(
            job: job, generation: generation, term: session.term, source: incarnation,
            destination: servers[server].incarnation, proof: proof, message: message)
    }

    func toServer(_ server: Int, _ message: Message) -> Effect {
        .sendToServer(server, envelopeToServer(server, message))
    }
}
