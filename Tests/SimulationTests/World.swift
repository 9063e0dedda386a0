// The simulated world: time, processes and who starts them again, the network, the disk, what goes wrong, and what must
// hold all along.

import Glibc
import PSCheckpoint
import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import PSRun

/// A place for one process of the job: who ends by itself or is killed is started again.
final class Seat {
    let role: Role
    let number: Int
    /// What the process is told on its command line.
    let rank: Int?
    var starts = 0
    /// Started by mistake, beside the one that has its rank.
    var isTwin = false
    /// It has other kernels and wants nothing.
    var isIdler = false
    /// Its compute thread is never done from this moment on.
    var stuckFrom = Int.max
    var process: SimulatedProcess?
    var isWanted = true

    init(role: Role, number: Int, rank: Int?) {
        self.role = role
        self.number = number
        self.rank = rank
    }
}

final class World {
    let plan: Plan
    let arithmetic: Arithmetic
    var agenda = Agenda()
    var now = 0
    var chance: Chance
    var network: Network!
    let disk = SimulatedDisk()

    /// Where the run lies now.
    var runPath = "/storage/run"
    var servers: Int
    /// What whoever starts the coordinator wants.
    var wish = RunStart.Wish.takeUp
    /// Whether a coordinator may begin a job where there is none.
    var mayBegin = true
    var newJob: UInt64 = 77

    var seats: [Seat] = []
    var incarnations: UInt64 = 0
    var triggers: [Plan.Trigger]
    var counts: [Plan.Trigger.Moment: Int] = [:]
    /// Counts of checkpoints after which the newest one turns bad.
    var damagesAt: Set<Int> = []
    var isStopAsked = false
    var resumes = 0
    /// Whether a coordinator has told anybody that the job is over.
    var isEnding = false

    /// The last that was said, by anybody to anybody, in no order.
    var overheard: [Envelope] = []
    /// Whom each attempt was granted to, by any coordinator.
    var granted: [Attempt: UInt64] = [:]
    /// Pushes that came a second time with other values.
    var wrongPushes = 0

    /// The server that was last given each rank.
    var holders: [Int: Incarnation] = [:]

    // What the records and promises so far come to, kept apart from the code that is tested.
    var live: [CheckpointReference] = []
    var closes: Set<Step> = []
    var rollbacks: [UInt32: CheckpointReference?] = [:]
    /// By generation, the version that it goes on from and who answers for the shards.
    var handovers: [UInt32: (version: Version, holders: [Int])] = [:]
    /// Directories of checkpoints that are not what they were.
    var damaged: Set<String> = []
    /// A stop that a person was promised.
    var promised: Version?
    var asked: Version?
    /// Servers cannot read before this moment.
    var readsFailUntil = 0
    var isAway = false

    /// Changes to the disk so far, and before which of them all machines lose their power.
    var changesToDisk = 0
    var powerFailsAt: Int?

    /// The coordinator's exit code.
    var result: ExitStatus?
    var violations: [String] = []
    var seen: [Rare: Int] = [:]
    var messages = 0
    /// Told what happens, for a person who repeats one seed.
    var log: ((String) -> Void)?
    /// A hash of all that was said, when: equal seeds give equal runs.
    var trace: UInt64 = 0

    /// The person who asks for a stop.
    static let whoStops: Incarnation = 1 << 40

    var time: MonotonicTime { MonotonicTime(milliseconds: now) }

    init(_ plan: Plan) {
        self.plan = plan
        chance = Chance(seed: plan.seed)
        arithmetic = Arithmetic(
            layout: plan.layout, stepShape: plan.stepShape, steps: plan.steps, poisoned: plan.poisoned)
        triggers = plan.triggers
        servers = plan.servers
        network = Network(world: self)
    }

    /// The version with which the job ends, since its evaluations are what they are.
    private(set) lazy var lastVersion: Version = {
        guard let schedule, schedule.patience > 0 else { return plan.lastVersion }
        var (best, since): (Int?, Int) = (nil, 0)
        for version in (1...UInt64(plan.steps)).map(Version.init)
        where version.number.isMultiple(of: schedule.everySteps) {
            if since >= schedule.patience { return version }
            let top1 = arithmetic.measurements(version, schedule).reduce(0) { $0 + $1.top1 }
            if best.map({ top1 > $0 }) ?? true { (best, since) = (top1, 0) } else { since += 1 }
        }
        return plan.lastVersion
    }()

    /// Seven test images in parts of two.
    var schedule: EvaluationSchedule? {
        guard plan.evaluateEverySteps > 0 else { return nil }
        var schedule = EvaluationSchedule(images: 7, batch: 2, stepsPerEpoch: 5)
        schedule.everySteps = UInt64(plan.evaluateEverySteps)
        schedule.patience = plan.patience
        return schedule
    }

    func settings(run: String, nonce: String) -> CoordinatorSettings {
        var settings = CoordinatorSettings(
            configuration: "", runDirectory: run, nonce: nonce, layoutDigest: plan.layout.digest,
            plan: "", planSummary: "", shardMap: ShardMap(layout: plan.layout, serverCount: servers),
            stepShape: plan.stepShape, samplesPerTicket: 2, lastVersion: plan.lastVersion, stepsPerEpoch: 5,
            checkpointEverySteps: UInt64(plan.checkpointEverySteps), checkpointEverySeconds: 0,
            checkpointsKept: plan.keep, nonFiniteLimit: 3, rule: Arithmetic.rule)
        settings.evaluation = schedule
        settings.hasReplicas = plan.replicas && servers > 1
        settings.fewestWorkers = plan.fewestWorkers
        if plan.plant == .noDeadline {
            settings.timing.firstCopy = 1 << 40
            settings.timing.earliestCopy = 1 << 40
        }
        return settings
    }

    func nextIncarnation() -> Incarnation {
        incarnations += 1
        return incarnations
    }

    /// Milliseconds a piece of disk work takes in all.
    func diskTime(_ milliseconds: Int) -> Int {
        guard now < plan.faultsEnd, chance.happens(plan.diskStall.probability) else { return milliseconds }
        saw(.slowDisk)
        return milliseconds + chance.integer(plan.diskStall.milliseconds)
    }

    func readFault(_ seat: Seat) -> Int32? { seat.role == .server && now < readsFailUntil ? EIO : nil }

    // MARK: Running

    /// Runs the job to its end; faults cease at `faultsEnd`, and then it may take so long.
    func run(patience: Int = 150_000) {
        seatEverybody()
        planFaults()
        while let (time, action) = agenda.next() {
            now = time
            action()
            if !violations.isEmpty { return }
            if let result, seats.allSatisfy({ $0.process == nil }) {
                if result.code == 0 { return checkEnd() }
                resume()
            }
            if now > plan.faultsEnd + patience {
                return violate("the job is not done at \(now) ms: \(describe())")
            }
        }
    }

    func seatEverybody() {
        func seats(_ role: Role, _ count: Int) -> [Seat] {
            (0..<count).map { Seat(role: role, number: $0, rank: plan.givesRanks ? $0 : nil) }
        }
        self.seats =
            [Seat(role: .coordinator, number: 0, rank: 0)] + seats(.server, servers) + seats(.worker, plan.workers)
            + (0..<plan.spares).map { Seat(role: .server, number: servers + $0, rank: nil) }
        for seat in self.seats { start(seat, after: chance.integer(0...300)) }
        if plan.idler {
            let idler = Seat(role: .worker, number: 99, rank: nil)
            idler.isIdler = true
            self.seats.append(idler)
            start(idler, after: 0)
        }
    }

    /// A person resumes the job that was stopped or failed, perhaps elsewhere, perhaps from further back.
    func resume() {
        saw(.resumed)
        resumes += 1
        result = nil
        isEnding = false
        promised = nil
        asked = nil
        comeBack()
        if let stop = plan.stop { servers = stop.serversAfter }
        wish = .goOn
        if resumes == 1 {
            if plan.movesRun {
                disk.move(runPath, to: "/storage/moved")
                damaged = Set(damaged.map { $0.replacing("\(runPath)/", with: "/storage/moved/") })
                runPath = "/storage/moved"
                saw(.moved)
            }
            switch plan.goesBack {
            case .no: break
            case .toOldest:
                if let oldest = entries().first { wish = .from(reference(oldest)) }
            case .toAnotherRun:
                if let newest = entries().last {
                    let manifest = try? Manifest.read(from: newest.path, in: SimulatedFiles(disk, owner: 0))
                    wish = .from(
                        CheckpointReference(
                            version: Version(UInt64(newest.step)), generation: manifest.map { UInt32($0.generation) },
                            foreign: newest.path))
                    runPath = "/storage/another"
                    mayBegin = true
                    newJob += 1
                    granted = [:]
                    live = []
                    saw(.foreignBase)
                }
            }
        }
        seatEverybody()
    }

    func entries() -> [CheckpointStore.Entry] {
        let store = CheckpointStore(runDirectory: runPath, in: SimulatedFiles(disk, owner: 0))
        return ((try? store.list()) ?? []).filter { !damaged.contains($0.path) }
    }

    func reference(_ entry: CheckpointStore.Entry) -> CheckpointReference {
        let version = Version(UInt64(entry.step))
        saw(.goesBack)
        return live.last { $0.version == version } ?? CheckpointReference(version: version)
    }

    /// A coordinator runs: whoever is started in its place takes up what it leaves.
    func isUp() {
        wish = .takeUp
        mayBegin = false
    }

    func start(_ seat: Seat, after milliseconds: Int) {
        agenda.add(at: now + milliseconds) { [self] in
            guard seat.isWanted, seat.process == nil, seats.contains(where: { $0 === seat }) else { return }
            seat.starts += 1
            let process: SimulatedProcess =
                switch seat.role {
                case .coordinator: SimulatedCoordinator(world: self, seat: seat)
                case .server: SimulatedServer(world: self, seat: seat)
                case .worker: SimulatedWorker(world: self, seat: seat)
                }
            if seat.role != .worker, now < plan.faultsEnd, chance.happens(plan.midWriteDeaths) {
                process.changesLeft = chance.integer(0...60)
            }
            seat.process = process
            log?("\(now) \(describe(seat)) starts as \(process.incarnation)")
            process.start()
        }
    }

    /// A process dies in the middle of what it does to the disk.
    func dies(_ process: SimulatedProcess) {
        guard process.isAlive else { return }
        log?("\(now) \(describe(process.seat)) dies while it writes")
        saw(.diesWriting)
        process.changesLeft = nil
        process.die()
        if process.seat.process === process { process.seat.process = nil }
        start(process.seat, after: chance.pick([50, 400, 4000]))
    }

    func exited(_ process: SimulatedProcess, _ status: ExitStatus) {
        process.die()
        process.seat.process = nil
        log?("\(now) \(describe(process.seat)) exits \(status)")
        if process.seat.role == .coordinator {
            if status.code == ExitStatus.failed, !plan.movesAway { violate("the coordinator fails: \(status.text)") }
            if let promised, status.code != ExitStatus.preempted, status.code != ExitStatus.failed,
                promised < lastVersion
            {
                violate("a stop after \(promised) was promised, the job ends with \(status.code)")
            }
            jobEnded(status)
        } else if status.code == ExitStatus.failed {
            start(process.seat, after: 200)
        } else if status.code == ExitStatus.refused, process.seat.isIdler {
            saw(.otherKernels)
        } else if status.code == ExitStatus.refused {
            violate("\(describe(process.seat)) is refused: \(status.text)")
        } else {
            if result == nil, !isEnding {
                violate("\(describe(process.seat)) leaves: \(status.text)")
            }
            // Told to leave by a coordinator that was killed before it could end the job: then the job goes on.
            start(process.seat, after: 6000)
        }
    }

    /// The supervisor's last act: those that do not know yet are ended.
    func jobEnded(_ status: ExitStatus) {
        result = status
        for seat in seats { seat.isWanted = false }
        agenda.add(at: now + 6000) { [self, seats] in
            for seat in seats {
                seat.process?.die()
                seat.process = nil
            }
            _ = self
        }
    }

    var coordinator: SimulatedCoordinator? { seats[0].process as? SimulatedCoordinator }

    // MARK: What is seen

    func see(_ packet: Packet) {
        messages += 1
        let envelope = packet.envelope
        if overheard.count < 64 { overheard.append(envelope) } else { overheard[messages % 64] = envelope }
        log?("\(now) \(envelope.source)->\(envelope.destination) g\(envelope.generation) \(envelope.message)")
        trace = mixed(trace, UInt64(now), envelope.source, envelope.destination, UInt64(envelope.generation))
        switch envelope.message {
        case .prepare: reached(.prepare)
        case .applied: reached(.applied)
        case .snapshot: reached(.snapshot)
        case .saved: reached(.saved)
        case .reset: reached(.reset)
        case .replica(_, .sum, _): saw(.sumSent)
        case .replica: saw(.stateSent)
        case .failed(_, _, .memoryGone): saw(.memoryGone)
        case .resend: saw(.resend)
        case .gone: saw(.gone)
        case .refusal: saw(.refusal)
        default: break
        }
    }

    func saw(_ rare: Rare) { seen[rare, default: 0] += 1 }

    func violate(_ what: String) { violations.append("at \(now) ms: \(what)") }

    func describe(_ seat: Seat) -> String { "\(seat.role.name) \(seat.number)" }

    func describe() -> String {
        let processes = coordinator?.state.status(at: time, bytesSent: 0, bytesReceived: 0)
        let lines = processes.map { status in
            ["\(status.state) step \(status.version) generation \(status.generation)"]
                + status.processes.map { "\($0.role) \($0.rank) \($0.state) \($0.activity)" }
        }
        return lines?.joined(separator: "; ") ?? "no coordinator"
    }
}
