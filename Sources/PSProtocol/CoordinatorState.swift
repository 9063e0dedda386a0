// The coordinator's decisions: a pure state machine that sequences the job. It gathers servers, rolls them to a base,
// grants tickets, closes steps, orders prepare and commit, has snapshots taken, and ends the job.
//
// This file has the state and the way in; `+Members`, `+Steps`, `+Evaluation`, `+Saving`, `+Recovery` and
// `+Ending` have the decisions by topic.

import PSMessages
import PSParameters
import PSProofs

package struct CoordinatorState: Sendable {
    package enum Event: Sendable {
        /// The gate has let it through: the source is who it says.
        case said(Envelope)
        /// The connection of a process is closed.
        case closed(Incarnation)
        /// Public keys of workers, in a job with keys: as they are at the start, or have changed.
        case keys([String])
        /// The record of `.journal(_, sync: true)` is on the disk.
        case durable(JournalRecord)
        case journalFailed(String)
        case checkpointCompleted(CheckpointReference)
        case checkpointFailed(Version, String, mayPass: Bool)
        /// What `.examine` found.
        case examined(CheckpointReference, Examination)
        /// Something that people should know, of this process's own files and sockets.
        case trouble(String)
        /// Stop at once, with this exit code when all is saved.
        case stop(exitCode: Int, text: String)
        case tick
    }

    package enum Effect: Sendable {
        case send(Envelope)
        case heartbeat(Envelope)
        case journal(JournalRecord, sync: Bool)
        /// Remove the run's checkpoints but these.
        case prune(keeping: Set<Version>)
        /// Read the whole checkpoint: a server finds it damaged.
        case examine(CheckpointReference)
        /// Every server saved its part: write the manifest and give it its final name.
        case completeCheckpoint(version: Version, generation: UInt32, files: [Int: [SavedFile]])
        case stepDone(StepReport)
        case evaluated(EvaluationReport)
        case warn(String)
        /// Good news, for the log.
        case tell(String)
        case exit(ExitStatus)
    }

    /// What a second reader of a checkpoint found.
    package enum Examination: Sendable, Hashable {
        case sound
        case damaged(String)
        case unavailable(String)
    }

    enum Phase: Sendable {
        /// Waiting for a server of every rank.
        case gathering
        /// The start of a generation is being journaled.
        case turning(Loading)
        case loading(Loading)
        case running
        /// No more grants: the last snapshot, then the journal's last record.
        case finalizing(ExitStatus)
        /// The job goes back to a checkpoint before it ends: the rollback is being journaled.
        case givingUp(ExitStatus)
        case farewell(ExitStatus, since: MonotonicTime)
        /// Everybody has been told; that is being journaled.
        case leaving(ExitStatus)
    }

    /// The servers' way to the start of a generation.
    struct Loading: Sendable {
        /// Nil: the initial values, unless it goes on from memory.
        var base: CheckpointReference?
        var isFromMemory = false
        /// How the job ends after it, where it was about to.
        var ending: ExitStatus?
        /// Since when a server has not been able to read it, and why.
        var unavailable: (since: MonotonicTime, text: String)?
        /// A server found it damaged; this process looks for itself.
        var isExamined = false
    }

    /// An order to all servers, repeated until each has answered. There is at most one.
    struct Order: Sendable {
        enum Kind: Sendable {
            case reset(Loading)
            case prepare([Attempt])
            case commit(Commit)
            case snapshot
        }
        var kind: Kind
        var awaiting: Set<Int>
        var sent: MonotonicTime
    }

    /// A step whose tickets are all counted and whose commit is not decided yet.
    struct Closing: Sendable {
        /// In ticket order.
        var contributions: [Contribution]
        var isDurable: Bool
        var prepared: [Int: Prepared] = [:]

        var attempts: [Attempt] { contributions.map(\.attempt) }
    }

    struct Saving: Sendable {
        var version: Version
        var files: [Int: [SavedFile]] = [:]
        var asked: MonotonicTime
    }

    let settings: CoordinatorSettings
    let identity: Hello
    package let incarnation: Incarnation
    package let job: UInt64
    let term: UInt64
    var timing: Timing { settings.timing }

    var phase = Phase.gathering
    package internal(set) var generation: UInt32
    /// The generation that began with a load: servers' memory from it on counts.
    var root: UInt32
    /// By shard, the rank of the server that answers for it.
    package internal(set) var holders: [Int]
    /// Ranks whose servers take orders: they have begun this generation, or are told to.
    package internal(set) var participants: Set<Int> = []
    /// By rank, slices of a server's replicas that are behind.
    var behind: [Int: Int] = [:]
    /// Servers that are told to begin the generation while others are at work, and when that was said.
    var joining: [Int: MonotonicTime] = [:]
    /// Servers go back to answering for their own when this step's commit is applied.
    var isReturning = false
    /// Since when servers are waited for.
    var gathering: MonotonicTime
    /// Commits so far.
    package internal(set) var version: Version
    package internal(set) var checkpoints: [CheckpointReference]
    /// What the journal tells of the step at hand when this coordinator starts: its close, else the commit before it.
    var openClose: [Contribution]?
    var journaledCommit: Replay.Committed?
    /// What the former coordinator had counted of the open step: the servers hold it, if they kept their memory.
    var journaledContributions: [Contribution]
    /// Fixed by the first step that is closed.
    var kernels: Replay.Kernels?
    /// Until then: of whoever was granted first in the open step.
    var kernelsOfStep: Replay.Kernels?

    var membership: Membership
    /// Public keys of the workers that servers let in, and when servers were told last; nil: a job without keys.
    var workerKeys: [String]?
    private var keysSaid: MonotonicTime?
    /// Makes what workers show to servers.
    let grantKey: ProofKey
    var attempts: UInt64 = 0
    package internal(set) var ticketsByRank: [Int: Int] = [:]

    /// Of the live history, by version.
    package internal(set) var evaluations: [EvaluationReport]
    var evaluating: Evaluating?
    /// Versions whose checkpoint workers find damaged: they are not evaluated by this start.
    var unmeasurable: Set<Version> = []
    /// Workers whose last grant was a part of an evaluation.
    var measuredLast: Set<Incarnation> = []

    var sequencer: Sequencer
    /// Tickets that were given to a worker while another had them.
    var copies = JobStatus.Copies()
    var tickets = JobStatus.Tickets()
    var partTimes = Durations()
    var closing: Closing?
    var order: Order?
    var saving: Saving?
    var checkpointWanted = false
    /// Since when checkpoints cannot be written, and when that was tried last.
    var unsavable: (since: MonotonicTime, last: MonotonicTime)?
    var checkpointTime: MonotonicTime
    var stopAfter: Version?
    /// People who are told that their wish is taken when its record is durable.
    var waitingForStop: [(who: Incarnation, version: Version)] = []

    // For people.
    var notices: [JobStatus.Notice] = []
    /// That the one before this is gone, as long as nobody was told.
    private var newsOfTheOneBefore: String?
    var noticeCount = 0
    var hasRun = false
    var lastReport: StepReport?
    /// Steps of the live history whose gradient was not finite, ascending.
    var skippedSteps: [Step]
    /// Tickets of the last steps that came to a server twice with other values, and how many there were in all.
    var differing: Set<Ticket> = []
    var differingCount = 0
    var commitTimes: [(version: Version, at: MonotonicTime)] = []
    package internal(set) var firstGrant: (version: Version, at: MonotonicTime)?
    package internal(set) var lastCommit: MonotonicTime?
    var lastHeartbeat: MonotonicTime?
    var ended: ExitStatus?

    package init(
        settings: CoordinatorSettings, identity: Hello, incarnation: Incarnation, replay: Replay,
        lastReport: StepReport? = nil, grantKey: ProofKey = .random(), at now: MonotonicTime
    ) {
        self.settings = settings
        self.grantKey = grantKey
        self.identity = identity
        self.incarnation = incarnation
        job = replay.job
        term = replay.term
        generation = replay.generation
        root = replay.root
        let shards = settings.shardMap.serverCount
        holders = replay.holders.flatMap { $0.count == shards ? $0 : nil } ?? Array(0..<shards)
        gathering = now
        version = replay.version
        openClose = replay.openClose
        journaledCommit = replay.lastCommitted
        journaledContributions = replay.openContributions
        self.lastReport = lastReport
        skippedSteps = replay.skippedSteps
        checkpoints = replay.checkpoints
        evaluations = replay.evaluations
        kernels = replay.kernels
        stopAfter = replay.stopAfter
        newsOfTheOneBefore = replay.goneEndpoint.map { gone in
            let counted = replay.openContributions.count
            return "the coordinator before this one, at \(gone), is gone: this one goes on from step \(replay.version)"
                + (counted == 0 ? "" : ", with \(counted) of the next step's tickets counted")
        }
        membership = Membership(serverCount: settings.shardMap.serverCount)
        sequencer = Sequencer(replay.version.nextStep, shape: settings.stepShape, timing: settings.timing)
        checkpointTime = now
        // A coordinator that died while the others left has nobody to gather; what it had promised holds.
        let isSaved = openClose == nil && lastCheckpoint == version
        let isStopped = isSaved && stopAfter.map { version >= $0 } ?? false
        let text = "stopped after step \(version) as asked; --resume last goes on"
        if let code = replay.finished, code != 0 || isSaved {
            phase = .farewell(ExitStatus(code: code, text: code == 0 ? "" : text), since: now)
        } else if isStopped, version < settings.lastVersion {
            phase = .farewell(ExitStatus(code: ExitStatus.preempted, text: text), since: now)
        } else if isSaved, version >= settings.lastVersion, !lacksLastEvaluation {
            phase = .farewell(ExitStatus(code: 0, text: ""), since: now)
        }
    }

    package mutating func receive(_ event: Event, at now: MonotonicTime) -> [Effect] {
        if ended != nil { return [] }
        let effects = decide(event, at: now)
        for case .warn(let text) in effects {
            noticeCount += 1
            notices = notices.suffix(19) + [JobStatus.Notice(number: noticeCount, text: text)]
        }
        return effects
    }

    private mutating func decide(_ event: Event, at now: MonotonicTime) -> [Effect] {
        switch event {
        case .said(let envelope): return said(envelope, at: now)
        case .keys(let keys):
            workerKeys = keys
            return sayKeys(at: now)
        case .closed(let incarnation):
            membership.closed(incarnation, at: now)
            if membership.rank(ofServer: incarnation) != nil { return [] }
            guard membership.worker(incarnation)?.state == .up else { return [] }
            // It may be gone. If it is not, its copy is as good as any.
            sequencer.doubt(incarnation)
            evaluating?.parts.doubt(incarnation)
            return assign(at: now)
        case .durable(let record): return durable(record, at: now)
        case .journalFailed(let text):
            // On the way out nothing is promised any more.
            if case .leaving(let status) = phase { return exit(status) }
            return end(ExitStatus(code: ExitStatus.failed, text: text), at: now)
        case .examined(let reference, let examination): return examined(reference, examination, at: now)
        case .checkpointFailed(let version, let text, let mayPass):
            guard saving?.version == version else { return [] }
            return saveFailed(text, mayPass: mayPass, at: now)
        case .checkpointCompleted(let reference): return completed(reference, at: now)
        case .trouble(let text): return [.warn(text)]
        case .stop(let exitCode, let text):
            return finalize(ExitStatus(code: exitCode, text: text), at: now)
        case .tick: return tick(at: now)
        }
    }

    private mutating func said(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        let source = envelope.source
        // Only servers say who else coordinates: they refuse whoever does not any more.
        if envelope.job == job, envelope.term > term, membership.rank(ofServer: source) != nil {
            return exit(
                ExitStatus(code: ExitStatus.failed, text: "another coordinator with a later term runs this job"))
        }
        switch phase {
        case .farewell(let status, _), .leaving(let status): return farewell(envelope, status)
        default: break
        }
        switch envelope.message {
        case .hello(let hello): return self.hello(hello, envelope, at: now)
        case .statusRequest, .control: return person(envelope, at: now)
        default: break
        }
        if envelope.job != job { return refuse(source, .job, "this coordinator runs another job") }
        guard envelope.destination == incarnation else {
            return refuse(source, .incarnation, "this coordinator was started anew; say hello")
        }
        if case .heartbeat(let heartbeat) = envelope.message {
            if let deaf = membership.takes(isDeaf: heartbeat.isDeaf, of: source, at: now) {
                return answers(source, deaf)
            }
        }
        switch membership.heard(source, at: now) {
        case .worker?: return workerSaid(envelope, at: now)
        case .server(let rank, let isBack)?:
            return (isBack ? [.warn("server \(rank) is heard again")] : [])
                + serverSaid(envelope, rank: rank, at: now) + resolveIfGathered(at: now) + admitServers(at: now)
        case nil: break
        }
        if case .leave = envelope.message { return [] }
        return refuse(source, .session, "this coordinator does not count the process among its members; say hello")
    }

    /// A member does not hear what it is told: that it speaks is no sign that it can be counted on.
    private func answers(_ member: Incarnation, _ deaf: Membership.Deaf) -> [Effect] {
        let answer = Effect.send(envelope(.heartbeat(Heartbeat()), to: member))
        guard deaf.isNews else { return [answer] }
        return [
            .warn("\(deaf.name) says that it hears nothing from here: look at the network between the two hosts"),
            answer,
        ]
    }

    // MARK: Time

    private mutating func tick(at now: MonotonicTime) -> [Effect] {
        var effects = newsOfTheOneBefore.map { [Effect.warn($0)] } ?? []
        newsOfTheOneBefore = nil
        if case .farewell(let status, let since) = phase {
            let haveLeft = !membership.all.isEmpty && membership.all.allSatisfy { $0.state != .up }
            return haveLeft || now.since(since) >= timing.farewell ? leave(status) : []
        }
        if case .leaving = phase { return [] }
        for member in membership.takeLost(lost: timing.lost, gone: timing.gone, at: now) {
            let why = now.since(member.heard) >= timing.lost ? "is silent" : "is gone, its connection is closed"
            switch member.role {
            case .worker:
                effects.append(.warn("\(member.name) \(why): its ticket is granted anew"))
                effects += forget(member, at: now)
            default:
                if participants.contains(member.rank) {
                    effects.append(.warn("\(member.name) \(why): the job waits for it"))
                }
            }
        }
        effects += standInForLost(at: now) + admitServers(at: now) + returnIfIdle(at: now)
        effects += resolveIfGathered(at: now)
        for member in membership.cutOff(for: timing.cutOff, at: now) { effects += forget(member, at: now) }
        if let order, now.since(order.sent) >= timing.retry { effects += send(order, at: now) }
        if let saving, self.order == nil, now.since(saving.asked) >= timing.retry {
            self.saving!.asked = now
            for rank in Set(holders) where saving.files[rank] == nil {
                effects += orderSnapshot(rank, version: saving.version)
            }
        }
        if lastHeartbeat.map({ now.since($0) >= timing.heartbeat }) ?? true {
            lastHeartbeat = now
            for member in membership.all
            where member.state == .up || (member.role == .server && member.state == .lost) {
                effects.append(.heartbeat(envelope(.heartbeat(Heartbeat()), to: member.incarnation)))
            }
        }
        if let keysSaid, now.since(keysSaid) >= timing.bulkRetry { effects += sayKeys(at: now) }
        // For those who wait, what others have had for too long.
        if !sequencer.idle.isEmpty { effects += assign(at: now) }
        if case .running = phase { effects += takeSnapshotIfDue(at: now) }
        // A last save that failed for a moment.
        if unsavable != nil { effects += finishIfSaved(at: now) }
        effects += giveUpOnUnavailable(at: now)
        return effects + giveUpOnMissingServers(at: now)
    }

    /// Told again and again: the word may get lost, and a server that does not know a worker's key stands in its way.
    mutating func sayKeys(at now: MonotonicTime) -> [Effect] {
        guard let workerKeys else { return [] }
        keysSaid = now
        let servers = settings.hasReplicas ? membership.servers.compactMap { $0?.hello.publicKey } : []
        let keys = workerKeys + servers.filter { !$0.isEmpty }
        return membership.servers.compactMap(\.self).filter { $0.state != .down }.map {
            .send(envelope(.keys(keys), to: $0.incarnation))
        }
    }

    // MARK: Envelopes

    package func envelope(_ message: Message, to destination: Incarnation) -> Envelope {
        let proof =
            switch message {
            case .members: grantKey.pass(worker: destination, generation: generation)
            case .grant(let attempt, _):
                grantKey.grant(worker: destination, ticket: attempt.ticket.number, attempt: attempt.number)
            default: Proof.none
            }
        return Envelope(
            job: job, generation: generation, term: term, source: incarnation, destination: destination,
            proof: proof, message: message)
    }

    func refuse(_ destination: Incarnation, _ reason: Refusal.Reason, _ text: String) -> [Effect] {
        [.send(envelope(.refusal(Refusal(reason, text)), to: destination))]
    }

    // MARK: Orders

    mutating func issue(_ kind: Order.Kind, at now: MonotonicTime) -> [Effect] {
        precondition(order == nil, "one order at a time")
        let those: Set<Int> =
            switch kind {
            case .reset, .commit: participants
            case .prepare, .snapshot: Set(holders)
            }
        let order = Order(kind: kind, awaiting: those, sent: now)
        self.order = order
        return send(order, at: now)
    }

    private mutating func send(_ order: Order, at now: MonotonicTime) -> [Effect] {
        self.order?.sent = now
        return order.awaiting.sorted().flatMap { rank -> [Effect] in
            guard let server = membership.servers[rank] else { return [] }
            switch order.kind {
            case .reset(let loading): return [.send(envelope(.reset(reset(rank, loading)), to: server.incarnation))]
            case .prepare(let attempts):
                return [.send(envelope(.prepare(step: version.nextStep, attempts: attempts), to: server.incarnation))]
            case .commit(let commit): return [.send(envelope(.commit(commit), to: server.incarnation))]
            case .snapshot: return orderSnapshot(rank, version: saving!.version)
            }
        }
    }

    /// Removes a rank from those an order waits for; true when it was the last.
    mutating func answered(_ rank: Int) -> Bool {
        order?.awaiting.remove(rank)
        guard let order, order.awaiting.isEmpty else { return false }
        self.order = nil
        return true
    }
}
