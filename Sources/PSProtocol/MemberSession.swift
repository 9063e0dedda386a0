// The half that servers and workers share: how a process finds the coordinator, knows that it is the job's, says hello,
// and gives up when it hears nothing.
//
// Nothing that comes by a connection is believed before the challenge on it has shown that the sender knows the secret of
// the run: whoever listens where a coordinator was is not obeyed.

import PSMessages
import PSParameters
import PSProofs

package struct MemberSession: Sendable {
    /// What a word of the coordinator's comes to.
    enum Outcome: Sendable {
        case nothing
        case answer(Envelope)
        case warn(String)
        /// Read the run's key where the challenge says that it is.
        case prove(Challenge)
        /// Who speaks by this connection is the job's coordinator: say hello with what there is to show.
        case proven
        case joined(Welcome, isAnother: Bool)
        /// The coordinator does not know this process any more: what it granted is void.
        case lost
        case refused(Refusal)
        /// The rank it had or was started for is another's. The text is for the first time that it is told so.
        case occupied(String?, why: String)
        case finish(ExitStatus)
        case leave(String, code: Int)
        case order
    }

    /// The last words of a process that a signal asked to stop.
    package static let leftBySignal = "stopped by a signal"

    let incarnation: Incarnation
    private(set) var hello: Hello
    /// The rank that whoever started it gave it.
    private let givenRank: Int?
    var timing: Timing
    /// Whether the coordinator that runs now knows this process.
    private(set) var isJoined = false
    /// 0: none yet.
    private(set) var job: UInt64 = 0
    private(set) var term: UInt64 = 0
    private(set) var coordinator: Incarnation = 0
    private(set) var heard: MonotonicTime
    /// Nil: due at the next tick.
    private var lastHello: MonotonicTime?
    /// Of the run, once it was read.
    private var secret: ProofKey?
    private var asked: (challenge: Challenge, proof: Proof)?
    /// What this process shows; nil: the one that speaks by this connection has shown nothing yet.
    private var proof: Proof?
    private var isToldToWait = false
    /// Heartbeats since the coordinator was heard.
    private var unheard = 0
    /// It says what it has to say, and hears nothing.
    var isDeaf: Bool { unheard > timing.unheard }
    private var hearsAgain = false
    /// Since the coordinator was heard last people were told that it is not.
    private var isSilenceTold = false

    init(hello: Hello, incarnation: Incarnation, timing: Timing, at now: MonotonicTime) {
        self.hello = hello
        givenRank = hello.rank
        self.incarnation = incarnation
        self.timing = timing
        heard = now
    }

    // MARK: What comes

    mutating func receive(_ envelope: Envelope, at now: MonotonicTime) -> Outcome {
        guard envelope.destination == incarnation else { return .nothing }
        if case .challenge(let challenge) = envelope.message {
            if proof != nil, challenge.number == hello.challenge { return .nothing }
            asked = (challenge, envelope.proof)
            return .prove(challenge)
        }
        if case .refusal(let refusal) = envelope.message, refusal.reason == .session, envelope.job == 0 {
            // It tells nothing and asks for what this process may say to anybody.
            return isJoined ? loseSight() : .nothing
        }
        guard proof != nil else { return .nothing }
        if job != 0, envelope.job != job {
            return .leave("the coordinator runs another job than the one this \(hello.role.name) belongs to", code: 1)
        }
        guard envelope.term >= term else {
            return .answer(self.envelope(.refusal(Refusal(.term, "this \(hello.role.name) obeys term \(term)"))))
        }
        hears(at: now)
        switch envelope.message {
        case .welcome(let welcome):
            let isAnother = envelope.source != coordinator
            (isJoined, job, term, coordinator) = (true, envelope.job, envelope.term, envelope.source)
            hello.rank = welcome.rank
            // It was for that one place: two that were told so must not displace one another for ever.
            hello.takesOver = false
            return .joined(welcome, isAnother: isAnother)
        case .refusal(let refusal): return refused(refusal, by: envelope.source)
        case .finish(let code, let text): return .finish(ExitStatus(code: code, text: text))
        default: return isJoined && envelope.source == coordinator ? .order : .nothing
        }
    }

    private mutating func refused(_ refusal: Refusal, by source: Incarnation) -> Outcome {
        switch refusal.reason {
        case .incarnation where isJoined && source == coordinator:
            // An answer to what was said before the welcome.
            return .nothing
        case .incarnation, .session: return loseSight()
        case .occupied:
            defer { isToldToWait = true }
            return .occupied(isToldToWait ? nil : refusal.text, why: refusal.text)
        case .stale, .generation: return .refused(refusal)
        default:
            let lasts = [.kernels, .protocolVersion].contains(refusal.reason)
            return .leave(
                "the coordinator refuses this \(hello.role.name): \(refusal.text)",
                code: lasts ? ExitStatus.refused : ExitStatus.failed)
        }
    }

    private mutating func loseSight() -> Outcome {
        isJoined = false
        unheard = 0
        lastHello = nil
        return .lost
    }

    /// There is a connection: whoever is at its other end is greeted at once.
    mutating func reached() { if !isJoined { lastHello = nil } }

    /// The connection is closed: whoever answers next is to show who it is.
    /// - Returns: whether the coordinator knew this process.
    mutating func disconnected() -> Bool {
        defer { isJoined = false }
        (proof, asked, lastHello) = (nil, nil, nil)
        hello.challenge = 0
        unheard = 0
        return isJoined
    }

    /// The run's key was read where the challenge said.
    mutating func proves(_ key: RunKey, to challenge: Challenge, at now: MonotonicTime) -> Outcome {
        guard let asked, asked.challenge == challenge else { return .nothing }
        self.asked = nil
        guard asked.proof.matches(key.coordinatorProof(challenge: challenge.number, member: incarnation)) else {
            let text =
                "whoever answers for the coordinator does not know the secret of \(challenge.runDirectory) as this host "
                + "sees it: it is another's, or the storage is not the same"
            return secret == nil ? .leave(text, code: ExitStatus.failed) : .warn(text)
        }
        guard secret == nil || secret == key.secret else {
            return .warn("whoever answers for the coordinator runs another job than this \(hello.role.name)'s")
        }
        secret = key.secret
        hello.challenge = challenge.number
        proof = key.memberProof(challenge: challenge.number, member: incarnation, role: hello.role.rawValue)
        heard = now
        lastHello = nil
        return .proven
    }

    /// The run's key cannot be read. - mayPass: whether another try may fare better.
    mutating func cannotProve(_ text: String, mayPass: Bool) -> Outcome {
        asked = nil
        if secret != nil { return .warn(text) }
        return .leave(text, code: mayPass ? ExitStatus.failed : ExitStatus.refused)
    }

    // MARK: What is due

    /// A heartbeat is due. A path may be broken one way: who does not hear the coordinator cannot do what it orders, so it
    /// must not be counted on. Its heartbeats say so, and others take its place as if it were silent.
    ///
    /// - Returns: news for people.
    mutating func beats() -> String? {
        defer { hearsAgain = false }
        unheard += 1
        if hearsAgain { return "the coordinator is heard again" }
        guard unheard == timing.unheard + 1 else { return nil }
        let name = "this \(hello.role.name)" + (hello.rank.map { ", \($0)," } ?? "")
        return "\(name) hears nothing from the coordinator any more: until it does, others take its place"
    }

    /// It waits for a coordinator. - Returns: news for people.
    mutating func waits(at now: MonotonicTime) -> String? {
        guard !isSilenceTold, now.since(heard) >= timing.silence else { return nil }
        isSilenceTold = true
        return "no word from the coordinator for \(timing.silence / 1000) s: this \(hello.role.name) waits for one, "
            + "\(timing.orphan / 1000) s in all"
    }

    private mutating func hears(at now: MonotonicTime) {
        heard = now
        hearsAgain = hearsAgain || isDeaf || isSilenceTold
        isSilenceTold = false
        unheard = 0
    }

    /// Nothing was heard for so long that the job must be thought lost.
    func orphaned(at now: MonotonicTime) -> ExitStatus? {
        guard now.since(heard) >= timing.orphan else { return nil }
        return ExitStatus(
            code: job == 0 ? ExitStatus.failed : ExitStatus.preempted,
            text: "no word from the coordinator for \(timing.orphan / 1000) s: "
                + "check that it runs and that its address is right")
    }

    func isHelloDue(at now: MonotonicTime) -> Bool {
        !isJoined && (lastHello.map { now.since($0) >= timing.retry } ?? true)
    }

    /// A hello, with what there is to show; the first by a connection says nothing of the job, as nobody knows yet who
    /// listens there.
    mutating func introduction(_ memory: Hello.Memory?, at now: MonotonicTime) -> Envelope {
        lastHello = now
        guard let proof else {
            return Envelope(job: 0, generation: 0, source: incarnation, destination: 0, message: .hello(hello))
        }
        var hello = hello
        hello.memory = memory
        return Envelope(
            job: job, generation: generation, term: term, source: incarnation, destination: 0, proof: proof,
            message: .hello(hello))
    }

    // MARK: Names

    /// The generation this process knows.
    var generation: UInt32 = 0

    /// What it had is another's: it takes what it was started for.
    mutating func giveUpRank() { hello.rank = givenRank }

    mutating func takeRank(_ rank: Int) { hello.rank = rank }

    func envelope(_ message: Message) -> Envelope {
        Envelope(
            job: job, generation: generation, term: term, source: incarnation, destination: coordinator,
            message: message)
    }
}
