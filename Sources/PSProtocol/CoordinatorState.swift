// The coordinator's decisions: a pure state machine that sequences the job. It gathers servers, rolls them to a base,
// grants tickets, closes steps, orders prepare and commit, has snapshots taken, and ends the job.
//
// This file has the state and the way in; `+Members`, `+Steps`, `+Evaluation`, `+Saving`, `+Recovery` and
// `+Ending` have the decisions by topic.

import PSMessages
import PSParameters

package struct CoordinatorState: Sendable {
    package enum Event: Sendable {
        case said(Envelope)
        /// The record of `.journal(_, sync: true)` is on the disk.
        case durable(JournalRecord)
        case journalFailed(String)
        case checkpointCompleted(CheckpointReference)
        case checkpointFailed(Version, String, mayPass: Bool)
        /// What `.examine` found.
        case examined(CheckpointReference, Examination)
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
        case exit(ExitStatus)
    }

    /// What a second reader of a checkpoint found.
    package enum Examination: Sendable, Hashable {
        case sound
        case damaged(String)
        case unavailable(String)
    }

    struct Member: Sendable {
        var role: Role
        var rank: Int
        var incarnation: Incarnation
        var hello: Hello
        var helloGeneration: UInt32
        var heard: MonotonicTime
        var heartbeat = Heartbeat()
        var state = JobStatus.ProcessState.up
    }

    enum Phase: Sendable {
        /// Waiting for a server of every rank.
        case gathering
        /// The rollback is being journaled.
        case rollingBack(base: CheckpointReference?)
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

    /// The servers' way to a base.
    struct Loading: Sendable {
        var base: CheckpointReference?
        /// Since when a server has not been able to read it, and why.
        var unavailable: (since: MonotonicTime, text: String)?
        /// A server found it damaged; this process looks for itself.
        var isExamined = false
    }

    /// An order to all servers, repeated until each has answered. There is at most one.
    struct Order: Sendable {
        enum Kind: Sendable {
            case reset(CheckpointReference?)
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
    /// Commits so far.
    package internal(set) var version: Version
    package internal(set) var checkpoints: [CheckpointReference]
    /// What the journal tells of the step at hand when this coordinator starts: its close, else the commit before it.
    var openClose: [Contribution]?
    var journaledCommit: Replay.Committed?
    var kernels: Replay.Kernels?

    var servers: [Member?]
    var workers: [Incarnation: Member] = [:]
    /// Servers whose rank a later start has taken over.
    var replaced: Set<Incarnation> = []
    /// Workers that want a ticket, first come first.
    var idle: [Incarnation] = []
    var attempts: UInt64 = 0
    package internal(set) var ticketsByRank: [Int: Int] = [:]

    /// Of the live history, by version.
    package internal(set) var evaluations: [EvaluationReport]
    var evaluating: Evaluating?
    /// Versions whose checkpoint workers find damaged: they are not evaluated by this start.
    var unmeasurable: Set<Version> = []
    /// Workers whose last grant was a part of an evaluation.
    var measuredLast: Set<Incarnation> = []

    var ledger: Ledger
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
    var noticeCount = 0
    var hasRun = false
    var lastReport: StepReport?
    /// Steps of the live history whose gradient was not finite, ascending.
    var skippedSteps: [Step]
    var commitTimes: [(version: Version, at: MonotonicTime)] = []
    package internal(set) var firstGrant: (version: Version, at: MonotonicTime)?
    package internal(set) var lastCommit: MonotonicTime?
    var lastHeartbeat: MonotonicTime?
    var ended: ExitStatus?

    package init(
        settings: CoordinatorSettings, identity: Hello, incarnation: Incarnation, replay: Replay,
        lastReport: StepReport? = nil, at now: MonotonicTime
    ) {
        self.settings = settings
        self.identity = identity
        self.incarnation = incarnation
        job = replay.job
        term = replay.term
        generation = replay.generation
        version = replay.version
        openClose = replay.openClose
        journaledCommit = replay.lastCommitted
        self.lastReport = lastReport
        skippedSteps = replay.skippedSteps
        checkpoints = replay.checkpoints
        evaluations = replay.evaluations
        kernels = replay.kernels
        stopAfter = replay.stopAfter
        servers = Array(repeating: nil, count: settings.serverCount)
        ledger = Ledger(step: replay.version.nextStep, shape: settings.stepShape)
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
        case .stop(let exitCode, let text):
            return finalize(ExitStatus(code: exitCode, text: text), at: now)
        case .tick: return tick(at: now)
        }
    }

    private mutating func said(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        let source = envelope.source
        if envelope.job == job, envelope.term > term {
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
        if let worker = workers[source], worker.state == .up {
            workers[source]!.heard = now
            return workerSaid(envelope, at: now)
        }
        if let rank = servers.firstIndex(where: { $0?.incarnation == source }), servers[rank]!.state != .down {
            servers[rank]!.heard = now
            let isBack = servers[rank]!.state == .lost
            servers[rank]!.state = .up
            return (isBack ? [.warn("server \(rank) is heard again")] : [])
                + serverSaid(envelope, rank: rank, at: now) + resolveIfGathered(at: now)
        }
        if case .leave = envelope.message { return [] }
        return refuse(source, .session, "this coordinator does not count the process among its members; say hello")
    }

    // MARK: Time

    private mutating func tick(at now: MonotonicTime) -> [Effect] {
        var effects: [Effect] = []
        if case .farewell(let status, let since) = phase {
            let haveLeft = !members.isEmpty && members.allSatisfy { $0.state != .up }
            return haveLeft || now.since(since) >= timing.farewell ? leave(status) : []
        }
        if case .leaving = phase { return [] }
        for worker in workersByRank where worker.state == .up && now.since(worker.heard) >= timing.lost {
            workers[worker.incarnation]!.state = .lost
            effects.append(
                .warn(
                    "worker \(worker.rank) (pid \(worker.hello.pid) on \(worker.hello.host)) is silent: "
                        + "its ticket is granted anew"))
            effects += forget(worker.incarnation, at: now)
        }
        for (rank, server) in servers.enumerated() {
            guard let server, server.state == .up, now.since(server.heard) >= timing.lost else { continue }
            servers[rank]!.state = .lost
            effects.append(
                .warn(
                    "server \(rank) (pid \(server.hello.pid) on \(server.hello.host)) is silent: the job waits for it"))
        }
        if let order, now.since(order.sent) >= timing.retry { effects += send(order, at: now) }
        if let saving, self.order == nil, now.since(saving.asked) >= timing.retry {
            self.saving!.asked = now
            for rank in servers.indices where saving.files[rank] == nil {
                effects += orderSnapshot(rank, version: saving.version)
            }
        }
        if lastHeartbeat.map({ now.since($0) >= timing.heartbeat }) ?? true {
            lastHeartbeat = now
            for member in members where member.state == .up || (member.role == .server && member.state == .lost) {
                effects.append(.heartbeat(envelope(.heartbeat(Heartbeat()), to: member.incarnation)))
            }
        }
        if case .running = phase { effects += takeSnapshotIfDue(at: now) }
        // A last save that failed for a moment.
        if unsavable != nil { effects += finishIfSaved(at: now) }
        effects += giveUpOnUnavailable(at: now)
        return effects + giveUpOnMissingServers(at: now)
    }

    var workersByRank: [Member] { workers.values.sorted { ($0.rank, $0.incarnation) < ($1.rank, $1.incarnation) } }

    /// Servers, then workers.
    var members: [Member] { servers.compactMap { $0 } + workersByRank }

    // MARK: Envelopes

    package func envelope(_ message: Message, to destination: Incarnation) -> Envelope {
        Envelope(
            job: job, generation: generation, term: term, source: incarnation, destination: destination,
            message: message)
    }

    func refuse(_ destination: Incarnation, _ reason: Refusal.Reason, _ text: String) -> [Effect] {
        [.send(envelope(.refusal(Refusal(reason, text)), to: destination))]
    }

    // MARK: Orders

    mutating func issue(_ kind: Order.Kind, at now: MonotonicTime) -> [Effect] {
        precondition(order == nil, "one order at a time")
        let order = Order(kind: kind, awaiting: Set(servers.indices), sent: now)
        self.order = order
        return send(order, at: now)
    }

    private mutating func send(_ order: Order, at now: MonotonicTime) -> [Effect] {
        self.order?.sent = now
        return order.awaiting.sorted().flatMap { rank -> [Effect] in
            guard let server = servers[rank] else { return [] }
            switch order.kind {
            case .reset(let base):
                let reset = Reset(
                    version: base?.version ?? 0, base: base, rank: rank, servers: servers.count)
                return [.send(envelope(.reset(reset), to: server.incarnation))]
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
