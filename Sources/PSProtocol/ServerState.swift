// The parameter server's decisions: a pure state machine. Events go in, effects come out; the node performs them in
// order. No clock, no socket, no tensor.

import PSMessages
import PSParameters

package struct ServerState: Sendable {
    package enum Event: Sendable {
        case coordinatorSaid(Envelope)
        /// The coordinator's address answers in another protocol version; the text names both.
        case otherVersion(String)
        case workerSaid(Envelope, payloadBytes: Int)
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
        case sendToWorker(Incarnation, Envelope)
        /// The heartbeat's counters are the node's to fill in.
        case heartbeat(Envelope)
        case configure(Welcome)
        /// A coordinator that was started anew says where the run is, and proves it anew.
        case rejoin(Welcome)
        case load(generation: UInt32, Reset, slices: [Int])
        /// Keep the frame of the push at hand.
        case store(slice: Int, place: Place)
        case fold(generation: UInt32, slice: Int, place: Place, isLast: Bool)
        case update(generation: UInt32, slice: Int, Commit)
        /// Send the slice's published values, which are those of this version.
        case publish(to: Incarnation, Envelope, slice: Int)
        /// Write the current version to the part directory of this generation.
        case save(generation: UInt32, version: Version)
        /// Forget stored frames.
        case dropFrames
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

    var timing: Timing
    let incarnation: Incarnation
    var hello: Hello
    var phase = Phase.unconfigured
    /// Whether the coordinator that runs now knows this process.
    var isJoined = false
    /// 0: none yet.
    package internal(set) var job: UInt64 = 0
    var term: UInt64 = 0
    var coordinator: Incarnation = 0
    package internal(set) var generation: UInt32 = 0
    package internal(set) var version: Version = 0
    var heardCoordinator: MonotonicTime
    var lastHello: MonotonicTime?
    var lastHeartbeat: MonotonicTime?
    var stopAsked: MonotonicTime?

    // The job.
    package internal(set) var layout: ParameterLayout?
    var stepShape: StepShape?
    var bufferBytes = 0
    /// Slices held here, ascending.
    package internal(set) var owned: [Int] = []

    // The step at hand.
    var folds: [Int: SliceFold] = [:]
    var storedBytes = 0
    /// Slices taken so far, by place in the step.
    var taken: [Place: Int] = [:]
    /// Pushes for the step after this one, by slice and place: those who made them are asked again when it opens.
    var early: [Int: [Place: SliceFold.Declined]] = [:]
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
        self.hello = hello
        self.incarnation = incarnation
        self.timing = timing
        heardCoordinator = now
    }

    /// Whether it has loaded a version of its generation and serves it.
    package var isServing: Bool { phase == .ready }

    /// What the process is doing, for a person.
    package var activity: String {
        if !isJoined { return "looking for the coordinator" }
        return switch phase {
        case .unconfigured, .configuring, .waiting: "waiting for the job"
        case .loading: "loading version \(version)"
        case .ready: committing != nil ? "updating" : saving.map { "saving step \($0)" } ?? "serving"
        }
    }

    package mutating func receive(_ event: Event, at now: MonotonicTime) -> [Effect] {
        switch event {
        case .coordinatorSaid(let envelope): return coordinatorSaid(envelope, at: now)
        case .otherVersion(let text): return isJoined ? [] : leave(text, code: ExitStatus.refused)
        case .workerSaid(let envelope, let bytes): return workerSaid(envelope, payloadBytes: bytes)
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
            return []
        case .configurationFailed(let text, let mayPass):
            return leave(text, code: mayPass ? ExitStatus.failed : ExitStatus.refused)
        case .loaded(let generation):
            guard case .loading(let reset) = phase, generation == self.generation else { return [] }
            phase = .ready
            version = reset.version
            for slice in owned { published[slice] = version }
            return [.sendToCoordinator(envelope(.ready(version: version)))] + owned.flatMap { serveParked($0) }
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
            return updated(slice)
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
            timing.orphan = timing.farewell
            return []
        case .tick: return tick(at: now)
        }
    }

    // MARK: The coordinator

    private mutating func coordinatorSaid(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        guard envelope.destination == incarnation else { return [] }
        if job != 0, envelope.job != job {
            return leave("the coordinator runs another job than the one this server belongs to")
        }
        guard envelope.term >= term else {
            return [.sendToCoordinator(self.envelope(.refusal(Refusal(.term, "this server obeys term \(term)"))))]
        }
        heardCoordinator = now
        // These three also come from a coordinator that was started anew.
        switch envelope.message {
        case .welcome(let welcome): return welcomed(welcome, envelope)
        case .refusal(let refusal): return refused(refusal, by: envelope.source)
        case .finish(let code, let text):
            return [
                .sendToCoordinator(self.envelope(.leave(text: ""))), .exit(ExitStatus(code: code, text: text)),
            ]
        default: break
        }
        guard isJoined, envelope.source == coordinator else { return [] }
        if case .reset(let reset) = envelope.message { return self.reset(reset, generation: envelope.generation) }
        guard envelope.generation == generation, case .ready = phase else { return [] }
        switch envelope.message {
        case .prepare(let step, _):
            guard step == version.nextStep, committing == nil else { return [] }
            pendingPrepare = step
            return answerPrepare()
        case .commit(let commit): return self.commit(commit)
        case .snapshot(let version): return snapshot(version)
        default: return []
        }
    }

    private mutating func welcomed(_ welcome: Welcome, _ envelope: Envelope) -> [Effect] {
        isJoined = true
        job = envelope.job
        term = envelope.term
        // What was saved for a former coordinator may have been moved already: another one has it written anew.
        if envelope.source != coordinator { saveReply = nil }
        coordinator = envelope.source
        hello.rank = welcome.rank
        guard case .unconfigured = phase else { return [.rejoin(welcome)] }
        phase = .configuring(welcome)
        return [.configure(welcome)]
    }

    private mutating func refused(_ refusal: Refusal, by source: Incarnation) -> [Effect] {
        switch refusal.reason {
        case .incarnation where isJoined && source == coordinator:
            // An answer to what was said before the welcome.
            return []
        case .incarnation, .session:
            // The coordinator was started anew, or lost sight of us: we introduce ourselves with what we hold.
            isJoined = false
            lastHello = nil
            return []
        default:
            return leave(
                "the coordinator refuses this server: \(refusal.text)",
                code: refusal.reason == .protocolVersion ? ExitStatus.refused : ExitStatus.failed)
        }
    }

    private mutating func tick(at now: MonotonicTime) -> [Effect] {
        if now.since(heardCoordinator) >= timing.orphan {
            return [
                .exit(
                    ExitStatus(
                        code: job == 0 ? ExitStatus.failed : ExitStatus.preempted,
                        text: "no word from the coordinator for \(timing.orphan / 1000) s: "
                            + "check that it runs and that its address is right"))
            ]
        }
        // A stop often comes to all processes at once: the coordinator then needs this one's part of the last
        // checkpoint.
        if let stopAsked, now.since(stopAsked) >= timing.stopGrace {
            return leave("stopped by a signal", code: ExitStatus.preempted)
        }
        if !isJoined {
            // In the middle of a commit it is not said yet what is held.
            guard committing == nil, lastHello.map({ now.since($0) >= timing.retry }) ?? true else { return [] }
            lastHello = now
            var hello = hello
            hello.memory = phase == .ready ? Hello.Memory(version: version, lastCommit: lastCommit) : nil
            return [
                .sendToCoordinator(
                    Envelope(
                        job: job, generation: generation, term: term, source: incarnation, destination: 0,
                        message: .hello(hello)))
            ]
        }
        guard lastHeartbeat.map({ now.since($0) >= timing.heartbeat }) ?? true else { return [] }
        lastHeartbeat = now
        var heartbeat = Heartbeat()
        heartbeat.activity = activity
        heartbeat.progress = version.number
        return [.heartbeat(envelope(.heartbeat(heartbeat)))]
    }

    func leave(_ text: String, code: Int = ExitStatus.failed) -> [Effect] {
        [.sendToCoordinator(envelope(.leave(text: text))), .exit(ExitStatus(code: code, text: text))]
    }

    func envelope(_ message: Message) -> Envelope {
        Envelope(
            job: job, generation: generation, term: term, source: incarnation, destination: coordinator,
            message: message)
    }
}
