// The coordinator in the simulation: the performer that a process has, with the real journal, checkpoint store and metrics,
// on a simulated network, threads and disk. Each of its decisions is compared with what it must be.

import PSCheckpoint
import PSCoordinator
import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProtocol
import PSRun
import PSTransport

final class SimulatedCoordinator: SimulatedProcess {
    private var performer: CoordinatorPerformer!
    private var journaling: SimulatedQueue!
    private var writing: SimulatedQueue!
    private var run: RunDirectory!
    /// The attempt that counted, by ticket, in this generation.
    private var counted: [Ticket: Attempt] = [:]
    private var closed: Set<Step> = []
    private var prepared: Set<Step> = []
    private var finished: Set<Incarnation> = []
    /// Attempts by version and part.
    private var parts: [[UInt64]: EvaluationAttempt] = [:]
    private var began = 0
    /// Whether an earlier coordinator saw the last commit.
    private var replayedEnd = false

    var state: CoordinatorState { _read { yield performer.state } }

    override func start() {
        began = world.now
        journaling = SimulatedQueue(self) { [unowned self] in world.diskTime(world.chance.integer(0...10)) }
        writing = SimulatedQueue(self) { [unowned self] in world.diskTime(world.chance.integer(1...30)) }
        run = RunDirectory(at: world.runPath, in: files)
        do {
            try open()
        } catch {
            // It died in the middle, or there is nothing to take up.
            if isAlive { world.exited(self, ExitStatus(code: ExitStatus.failed, text: "cannot start: \(error)")) }
            return
        }
        world.network.listeners["coordinator"] = self
        world.isUp()
        tickEvery(100)
    }

    private func open() throws(StorageError) {
        let hasJob = try run.hasJob()
        if !hasJob {
            guard world.mayBegin else { throw .system(operation: "find the job in", path: run.path, code: 2) }
            try run.create()
        }
        let start = RunStart(
            seed: 1, layoutDigest: world.plan.layout.digest, recipe: ["train.batch": "2"], planIdentity: 5,
            dataDigest: "d", wish: world.wish)
        try start.check(hasJob ? try Journal.read(run) : Replay(), run: run)
        let journal = try Journal(run)
        if journal.cutByteCount > 0 { world.saw(.tornTail) }
        var replay = try start.begin(
            journal, run: run, job: world.newJob, endpoint: "coordinator", initial: initial())
        world.opened(replay, run)
        if !replay.openContributions.isEmpty { world.saw(.countedBefore) }
        replayedEnd = replay.version >= world.lastVersion
        if world.plan.plant == .voidCheckpointLoaded, let newest = try run.checkpoints.list().last,
            newest.step > Int(replay.checkpoints.last?.version.number ?? 0)
        {
            replay.checkpoints.append(CheckpointReference(version: Version(UInt64(newest.step))))
        }
        let (nonce, key) = try run.writeKey()
        if world.plan.plant == .kernelsOfHello, world.plan.idler {
            replay.kernels = replay.kernels ?? Replay.Kernels(core: "other", hash: 666)
        }
        let metrics = Metrics(run)
        let settings = world.settings(run: run.path, nonce: nonce)
        let layout = world.plan.layout
        let report = metrics.takeUp(replay, stepsPerEpoch: settings.stepsPerEpoch)
        nonisolated(unsafe) let process = self
        let manifest = manifest(job: replay.job)
        performer = CoordinatorPerformer(
            CoordinatorState(
                settings: settings, identity: Hello(role: .coordinator, host: "simulated", pid: 1, rank: 0),
                incarnation: incarnation, replay: replay, lastReport: report, at: world.time),
            gate: Gate<RoutingID>(
                key: key,
                challenge: Challenge(number: UInt64(world.chance.integer(1...1 << 40)), runDirectory: run.path),
                coordinator: incarnation, job: replay.job),
            wire: SimulatedWire(.listener, world.network),
            files: CoordinatorPerformer.Files(
                run: run, journal: journal, metrics: metrics, layout: layout, nonce: nonce,
                manifest: manifest),
            journaling: journaling, disk: writing, logger: SimulatedProcess.logger, post: { process.post($0) })
        performer.watch = { [unowned self] in watch($0) }
    }

    private func manifest(job: UInt64) -> @Sendable (Version, UInt32) -> Manifest {
        let (servers, digest) = (world.servers, world.plan.layout.digest)
        return { version, generation in
            Manifest(
                job: String(job, radix: 16), model: "simulated", settings: "{}", step: Int(version.number),
                generation: Int(generation), seed: 1, ticketsConsumed: 0, layoutDigest: digest, serverCount: servers,
                files: [])
        }
    }

    /// The checkpoint that the job begins with; nil: its weights are drawn.
    private func initial() -> ((UInt64) throws(StorageError) -> CheckpointReference)? {
        guard world.plan.beginsWithWeights else { return nil }
        return { [unowned self] (job: UInt64) throws(StorageError) -> CheckpointReference in
            if files.exists(run.checkpoints.path(step: 0)) { world.saw(.begunAgain) }
            let weights = InitialWeights(
                world.arithmetic.values(0), layout: world.plan.layout,
                rule: world.arithmetic.configuration.optimizer.rule)
            let reference = try weights.write(to: run, manifest: manifest(job: job))
            world.saw(.begunWithWeights)
            return reference
        }
    }

    private func post(_ event: CoordinatorState.Event) {
        act { [self] in
            var event = event
            if world.plan.plant == .unavailableTakenForDamaged, case .examined(let reference, _) = event {
                event = .examined(reference, .damaged("planted"))
            }
            if case .durable(let record) = event { world.isDurable(record) }
            handle(event)
        }
    }

    override func tick() { handle(.tick) }

    override func finish() {
        journaling?.finish()
        writing?.finish()
    }

    /// A stranger's word: through the gate, or as if there were none.
    func hears(_ envelope: Envelope) {
        if world.plan.plant == .termBelieved { return handle(.said(envelope)) }
        hears(Received(peer: RoutingID(bytes: [9]), envelope: .success(envelope), values: nil))
    }

    func hears(_ received: Received) { ended(try? performer.take(received, at: world.time)) }

    override func receive(_ packet: Packet, on connection: Connection) {
        ended(try? performer.take(packet.received(from: connection.peer), at: world.time))
    }

    override func closed(_ peer: RoutingID) { ended(try? performer.closed(peer, at: world.time)) }

    func handle(_ event: CoordinatorState.Event) {
        ended(try? performer.handle(event, at: world.time))
    }

    // MARK: What must hold

    private func watch(_ effect: CoordinatorState.Effect) {
        guard isAlive else { return }
        switch effect {
        case .send(let envelope): look(at: envelope)
        case .journal(let record, _):
            check(record)
            world.journals(record)
            world.reached(record)
        case .prune: act(after: 50) { [unowned self] in world.pruned(run) }
        case .stepDone(let report):
            if report.loss == nil || report.version != state.version {
                world.violate("a wrong report: \(report)")
            }
        case .evaluated(let report): world.check(report)
        case .warn(let text):
            if text.hasPrefix("step "), text.contains("is not evaluated") { world.saw(.leftOut) }
            if text.hasPrefix("both servers that had") { world.saw(.bothGone) }
            if text.hasSuffix("is tried") { world.saw(.olderCheckpoint) }
            if text.contains("cannot save") || text.contains("cannot be completed") { world.saw(.savedLater) }
            if text.contains("its ticket is granted anew") { world.saw(.workerLost) }
            if text.contains("computes it as well") { world.saw(.ticketCopied) }
            if text.contains("twice with other values") {
                world.saw(.differs)
                if world.wrongPushes == 0 { world.violate("a false alarm: \(text)") }
            }
            if text.contains("cannot reach server") { world.saw(.unreachable) }
            if text.contains("hears nothing from here") { world.saw(.deaf) }
            if text.contains("reaches all servers again") { world.saw(.reachable) }
            if text.contains("answers for its own part again") { world.saw(.returned) }
        default: break
        }
    }

    private func check(_ record: JournalRecord) {
        switch record {
        case .step(.closed(let step, let attempts)):
            if attempts.map(\.ticket) != Array(world.plan.stepShape.tickets(of: step))
                || !attempts.allSatisfy({ world.granted[$0] != nil })
            {
                world.violate("step \(step) is closed with \(attempts)")
            }
            closed.insert(step)
        case .rollback(let generation, let base):
            counted = [:]
            closed = []
            prepared = []
            if generation > 1 { world.saw(.rollback) }
            world.rollsBack(to: base, run)
        case .handover(_, let version, _):
            counted = [:]
            closed = closed.filter { $0.before < version }
            prepared = prepared.filter { $0.before < version }
            world.saw(.standIn)
        case .step(.committed(let commit, let norm)):
            if commit != world.arithmetic.commits[Int(commit.step.number)] {
                world.violate("step \(commit.step) is committed with \(commit)")
            }
            if let norm, norm.bitPattern != world.arithmetic.norms[Int(commit.step.number)].bitPattern, !commit.skip {
                world.violate("step \(commit.step) has the norm \(norm)")
            }
            if commit.skip { world.saw(.skip) }
            if !prepared.contains(commit.step) { world.saw(.commitAgain) }
            world.commits(commit.step)
        default: break
        }
    }

    private func look(at envelope: Envelope) {
        switch envelope.message {
        case .grant(let attempt, _):
            if world.granted[attempt] == nil, world.granted.keys.contains(where: { $0.ticket == attempt.ticket }) {
                world.saw(.reissue)
            }
            if let worker = world.granted[attempt], worker != envelope.destination {
                world.violate("\(attempt) is granted to two workers")
            }
            world.granted[attempt] = envelope.destination
        case .measure(let attempt):
            let part = [attempt.version.number, UInt64(attempt.part)]
            if let former = parts[part], former != attempt { world.saw(.partAgain) }
            if parts[part] == attempt { world.saw(.measuredAgain) }
            parts[part] = attempt
            if state.version >= world.lastVersion, replayedEnd { world.saw(.lastEvaluationLater) }
        case .refusal(let refusal) where refusal.reason == .occupied:
            world.saw(.seatKept)
            if world.now - began < 2900, world.holdsMemory(envelope.destination, of: state.generation) {
                world.violate("server \(envelope.destination) has the last steps in memory, and its place is another's")
            }
        case .welcome(let welcome): world.isWelcomed(envelope.destination, rank: welcome.rank)
        case .prepare(let step, _):
            prepared.insert(step)
            if !closed.contains(step) { world.saw(.prepareAgain) }
        case .counted(let attempt):
            let known = counted[attempt.ticket] ?? attempt
            if world.granted[attempt] != envelope.destination || known != attempt {
                world.violate("\(attempt) is counted, though granted to \(world.granted[attempt] ?? 0), after \(known)")
            }
            counted[attempt.ticket] = attempt
        case .commit(let commit): world.commitGoesOut(commit.step)
        case .reset(let reset): world.resets(envelope.generation, reset)
        case .controlReply(ok: true, _) where envelope.destination == World.whoStops: world.stopIsPromised()
        case .finish:
            if finished.contains(envelope.destination) { world.saw(.finishAgain) }
            finished.insert(envelope.destination)
            world.isEnding = true
        default: break
        }
    }
}
