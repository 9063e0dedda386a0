// The parameter server's decisions: a pure state machine. Events go in, effects come out; the node performs them in
// order. No clock, no socket, no tensor.

import PSMessages
import PSParameters
import PSProofs

package struct ServerState: Sendable {
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
        case workerSaid(Envelope, HeldValues?)
        /// A word of a server whose slices are followed.
        case sourceSaid(Envelope, HeldValues?)
        /// The connection to it was closed, and is made anew.
        case sourceLost(Incarnation)
        /// The connection of a worker or of a follower is closed.
        case peerLost(Incarnation)
        /// The configuration of `.configure` was read.
        case configured(ParameterLayout, StepShape, bufferBytes: Int)
        /// - mayPass: whether another start may fare better.
        case configurationFailed(String, mayPass: Bool)
        case loaded(generation: UInt32)
        /// - isDamage: the checkpoint was read, and is not what it should be.
        case loadFailed(generation: UInt32, String, isDamage: Bool)
        /// `.fold` is done. The norm is that of the aggregated gradient after the last fold, else 0.
        case folded(generation: UInt32, slice: Int, squaredNorm: Double, isFinite: Bool)
        case updated(generation: UInt32, slice: Int)
        /// `.updateReplica`, or the last `.fill` of a state, is done.
        case replicaUpdated(memory: Int, slice: Int, Version)
        /// What `.compare` found, where it is not the same.
        case differs(generation: UInt32, Difference)
        case saved(generation: UInt32, version: Version, [SavedFile])
        case saveFailed(generation: UInt32, version: Version, String, mayPass: Bool)
        /// A person asked this process to stop.
        case stopSignal
        /// Who started this process is gone: without a coordinator nobody will start one again.
        case parentGone
        case tick
    }

    package enum Effect: Sendable {
        case sendToCoordinator(Envelope)
        /// Read the run's key where the challenge says that it is.
        case prove(Challenge)
        case sendToWorker(Incarnation, Envelope)
        /// The heartbeat's counters are the node's to fill in.
        case heartbeat(Envelope)
        case configure(Welcome)
        /// A coordinator that was started anew says where the run is, and proves it anew.
        case rejoin(Welcome)
        /// Fill the memory with these slices.
        case load(generation: UInt32, Reset, slices: [Int])
        /// Go on with what is in memory of these slices, and let others go.
        case goOn(Reset, slices: [Int])
        /// Hold the values that came with this event. Others go when it is dealt with.
        case keep(HeldValues)
        /// Add values that are held, and let them go.
        case fold(generation: UInt32, slice: Int, place: Place, HeldValues, isLast: Bool)
        /// Whether the values that came with this event are those that were taken for this place, which wait or were
        /// added; it is said if not.
        case compare(generation: UInt32, place: Place, waiting: HeldValues?, Difference)
        case update(generation: UInt32, slice: Int, Commit)
        /// Send the slice's published values, which are those of this version.
        case publish(to: Incarnation, Envelope, slice: Int)
        /// Write the current version of these slices, by shard, to the part directory of this generation.
        case save(generation: UInt32, version: Version, shards: [Int: [Int]])
        /// Let all values go but these.
        case dropValues(keeping: [HeldValues])

        // Replicas.
        /// Reach these servers, and nobody else of the kind.
        case reach([ServerAddress])
        case sendToSource(Incarnation, Envelope)
        /// Send the finished sum of a slice.
        case sendSum(to: Incarnation, Envelope, slice: Int)
        /// Send the state of a slice once all updates before are done: the envelope is that of the first of its parts.
        case sendState(to: Incarnation, Envelope, SliceHeader)
        /// Take a part of a slice's state, the values that came with this event.
        case fill(memory: Int, slice: Int, Version, ReplicaContent, isFirst: Bool, isLast: Bool)
        /// Apply a commit to a replica, and let the values of the sum go. Nil: the commit only advances the version.
        case updateReplica(memory: Int, slice: Int, Commit, HeldValues?)
        /// Public keys of the workers that may reach this server.
        case allow([String])
        case warn(String)
        case exit(ExitStatus)
    }

    enum Phase: Sendable, Hashable {
        case unconfigured
        case configuring(Welcome)
        /// Waiting for the order to load.
        case waiting
        case loading(Reset)
        case ready
    }

    var session: MemberSession
    var phase = Phase.unconfigured
    package internal(set) var generation: UInt32 {
        get { session.generation }
        set { session.generation = newValue }
    }
    package internal(set) var version: Version = 0
    /// An order to load that came before the configuration was read.
    var earlyReset: (reset: Reset, generation: UInt32)?
    var lastHeartbeat: MonotonicTime?
    var stopAsked: MonotonicTime?

    // The job.
    /// Checks what workers show.
    var grantKey: ProofKey?
    package internal(set) var layout: ParameterLayout?
    var stepShape: StepShape?
    var bufferBytes = 0
    /// Slices held here, ascending.
    package internal(set) var owned: [Int] = []
    /// The shards that they are of, and how many there are.
    package internal(set) var serves: [Int] = []
    package internal(set) var shardCount = 1

    // Replicas.
    /// Slices that another server answers for.
    var replicas = Replicas()
    package var followedSlices: [Int] { replicas.slices }
    /// Of those that are held here.
    var followers = Followers()
    /// Another one whenever what is in memory is void.
    package internal(set) var memoryNumber = 0

    // The step at hand.
    /// Nil before the first load.
    var buffer: GradientBuffer?
    var pendingPrepare: Step?
    var committing: Commit?
    var updatesLeft = 0
    var lastCommit: Commit?

    // Readers.
    /// The version of each slice that is published.
    var published: [Int: Version] = [:]
    /// Readers of versions not published yet.
    var parked: [Int: [Incarnation: Version]] = [:]

    // Snapshots.
    var saving: Version?
    /// How the last save ended, said anew when the order is repeated.
    var saveReply: (version: Version, message: Message)?

    package init(hello: Hello, incarnation: Incarnation, timing: Timing = Timing(), at now: MonotonicTime) {
        session = MemberSession(hello: hello, incarnation: incarnation, timing: timing, at: now)
    }

    package var job: UInt64 { session.job }
    var timing: Timing { session.timing }
    var incarnation: Incarnation { session.incarnation }

    /// Whether it has loaded a version of its generation and serves it.
    package var isServing: Bool { phase == .ready }

    /// What the process is doing, for a person.
    package var activity: String {
        if !session.isJoined { return "looking for the coordinator" }
        return switch phase {
        case .unconfigured, .configuring, .waiting: "waiting for the job"
        case .loading: "loading version \(version)"
        case .ready: committing != nil ? "updating" : saving.map { "saving step \($0)" } ?? standing
        }
    }

    private var standing: String {
        let rank = session.hello.rank ?? 0
        let behind = replicas.behind(version)
        if behind > 0 { return "catching up, \(behind) of \(replicas.slices.count) slices to come" }
        let others = serves.filter { $0 != rank }.map(String.init)
        return others.isEmpty ? "serving" : "serving, also for server \(others.joined(separator: ", "))"
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
            _ = session.disconnected()
            return []
        case .proved(let key, let challenge):
            return act(on: session.proves(key, to: challenge, at: now), nil, at: now)
        case .proofFailed(let text, let mayPass):
            return act(on: session.cannotProve(text, mayPass: mayPass), nil, at: now)
        case .otherVersion(let text): return session.isJoined ? [] : leave(text, code: ExitStatus.refused)
        case .workerSaid(let envelope, let values): return workerSaid(envelope, values)
        case .sourceSaid(let envelope, let values): return sourceSaid(envelope, values, at: now)
        case .sourceLost(let source):
            replicas.askAnew(source)
            return []
        case .peerLost(let peer):
            followers.lose(peer)
            return answerPrepareIfComplete()
        case .replicaUpdated(memoryNumber, let slice, let version): return replicaUpdated(slice, to: version, at: now)
        case .replicaUpdated: return []
        case .configured(let layout, let stepShape, let bufferBytes):
            guard case .configuring(let welcome) = phase else { return [] }
            guard layout.digest == welcome.layoutDigest else {
                return leave(
                    "the coordinator's model has another layout than this release's: install the same release on every host",
                    code: ExitStatus.refused)
            }
            self.layout = layout
            self.stepShape = stepShape
            self.bufferBytes = bufferBytes
            phase = .waiting
            defer { earlyReset = nil }
            return earlyReset.map { reset($0.reset, generation: $0.generation, at: now) } ?? []
        case .configurationFailed(let text, let mayPass):
            return leave(text, code: mayPass ? ExitStatus.failed : ExitStatus.refused)
        case .loaded(let generation):
            guard case .loading(let reset) = phase, generation == self.generation else { return [] }
            phase = .ready
            version = reset.version
            for slice in owned { published[slice] = version }
            if let layout { follow(reset, layout, versions: replicaVersions(reset, layout)) }
            return [.sendToCoordinator(envelope(.ready(version: version))), .reach(replicas.sources)]
                + owned.flatMap { serveParked($0) } + askSources(at: now)
        case .loadFailed(let generation, let text, let isDamage):
            guard case .loading(let reset) = phase, generation == self.generation else { return [] }
            phase = .waiting
            return [
                .sendToCoordinator(
                    envelope(
                        .failed(version: reset.version, text: text, what: isDamage ? .loadDamaged : .loadUnavailable)))
            ]
        case .folded(let generation, let slice, let norm, let isFinite):
            guard generation == self.generation else { return [] }
            return folded(slice, squaredNorm: norm, isFinite: isFinite)
        case .updated(let generation, let slice):
            guard generation == self.generation else { return [] }
            return updated(slice, at: now)
        case .differs(let generation, let difference):
            guard generation == self.generation else { return [] }
            return differs(difference)
        case .saved(let generation, let version, let files):
            guard generation == self.generation, saving == version else { return [] }
            return saveEnded(.saved(version: version, files: files), version: version)
        case .saveFailed(let generation, let version, let text, let mayPass):
            guard generation == self.generation, saving == version else { return [] }
            return saveEnded(
                .failed(version: version, text: text, what: mayPass ? .saveUnavailable : .saveFailed),
                version: version)
        case .stopSignal:
            stopAsked = stopAsked ?? now
            return []
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
        case .nothing, .lost, .refused: return []
        case .answer(let envelope): return [.sendToCoordinator(envelope)]
        case .warn(let text): return [.warn(text)]
        case .prove(let challenge): return [.prove(challenge)]
        case .proven: return introduceIfDue(at: now)
        case .occupied(let text, let why):
            // What it holds is of a rank that is another's.
            if phase == .ready { return leave("what this server holds is of no use any more: \(why)") }
            session.giveUpRank()
            return text.map { [.warn($0)] } ?? []
        case .joined(let welcome, let isAnother): return welcomed(welcome, isAnother: isAnother)
        case .leave(let text, let code): return leave(text, code: code)
        case .finish(let status): return [.sendToCoordinator(self.envelope(.leave(text: ""))), .exit(status)]
        case .order: return envelope.map { ordered($0, at: now) } ?? []
        }
    }

    private mutating func ordered(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        switch envelope.message {
        case .reset(let reset): return self.reset(reset, generation: envelope.generation, at: now)
        case .keys(let workers): return [.allow(workers)]
        default: break
        }
        guard envelope.generation == generation else { return [] }
        // Replicas go on while what is served is not all here yet.
        if case .commit(let commit) = envelope.message { replicas.take(commit) }
        guard case .ready = phase else { return advanceReplicas() }
        switch envelope.message {
        case .prepare(let step, _):
            guard step == version.nextStep, committing == nil else { return [] }
            pendingPrepare = step
            return answerPrepare()
        case .commit(let commit): return self.commit(commit) + advanceReplicas()
        case .snapshot(let version): return snapshot(version)
        default: return []
        }
    }

    private mutating func welcomed(_ welcome: Welcome, isAnother: Bool) -> [Effect] {
        // What was saved for a former coordinator may have been moved already: another one has it written anew.
        if isAnother { saveReply = nil }
        grantKey = welcome.grantKey
        guard case .unconfigured = phase else { return [.rejoin(welcome)] }
        phase = .configuring(welcome)
        return [.configure(welcome)]
    }

    /// With its hello it says what it holds; in the middle of a commit not yet.
    private mutating func introduceIfDue(at now: MonotonicTime) -> [Effect] {
        guard committing == nil, session.isHelloDue(at: now) else { return [] }
        let hasMemory =
            switch phase {
            case .ready: true
            case .loading(let reset): reset.root != nil
            default: false
            }
        let memory = hasMemory ? Hello.Memory(version: version, lastCommit: lastCommit) : nil
        return [.sendToCoordinator(session.introduction(memory, at: now))]
    }

    private mutating func tick(at now: MonotonicTime) -> [Effect] {
        if let status = session.orphaned(at: now) { return [.exit(status)] }
        // A stop often comes to all processes at once: the coordinator then needs this one's part of the last
        // checkpoint.
        if let stopAsked, now.since(stopAsked) >= timing.stopGrace || !session.isJoined && phase != .ready {
            return leave(MemberSession.leftBySignal, code: ExitStatus.preempted)
        }
        let effects = askSources(at: now) + giveUpFollowers(at: now)
        if !session.isJoined {
            return effects + (session.waits(at: now).map { [.warn($0)] } ?? []) + introduceIfDue(at: now)
        }
        guard lastHeartbeat.map({ now.since($0) >= timing.heartbeat }) ?? true else { return effects }
        return effects + beat(at: now)
    }

    mutating func beat(at now: MonotonicTime) -> [Effect] {
        lastHeartbeat = now
        let news = session.beats().map { [Effect.warn($0)] } ?? []
        var heartbeat = Heartbeat()
        heartbeat.isDeaf = session.isDeaf
        heartbeat.activity = activity
        heartbeat.progress = version.number
        heartbeat.behind = replicas.behind(version)
        return news + [.heartbeat(envelope(.heartbeat(heartbeat)))]
    }

    func leave(_ text: String, code: Int = ExitStatus.failed) -> [Effect] {
        [.sendToCoordinator(envelope(.leave(text: text))), .exit(ExitStatus(code: code, text: text))]
    }

    func envelope(_ message: Message) -> Envelope { session.envelope(message) }
}
