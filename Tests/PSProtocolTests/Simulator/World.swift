// The simulated world: time, processes and who starts them again, the network, the disk, what goes wrong, and what must
// hold all along.

import PSMessages
import PSParameters
import PSProtocol

/// A place for one process of the job: who ends by itself or is killed is started again.
final class Seat {
    let role: Role
    let number: Int
    /// What the process is told on its command line.
    let rank: Int?
    var starts = 0
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
    private(set) var settings: CoordinatorSettings
    var agenda = Agenda()
    private(set) var now = 0
    var chance: Chance
    private(set) var network: Network!
    var disk = SimulatedDisk()

    private var seats: [Seat] = []
    private var incarnations: UInt64 = 0
    private var triggers: [Plan.Trigger]
    private var counts: [Plan.Trigger.Moment: Int] = [:]
    private var isStopAsked = false
    /// Whether a coordinator has told anybody that the job is over.
    var isEnding = false

    /// The coordinator's exit code.
    private(set) var result: ExitStatus?
    private(set) var violations: [String] = []
    private(set) var seen: [Rare: Int] = [:]
    private(set) var messages = 0
    /// Told what happens, for a person who repeats one seed.
    var log: ((String) -> Void)?
    /// A hash of all that was said, when: equal seeds give equal runs.
    private(set) var trace: UInt64 = 0

    var time: MonotonicTime { MonotonicTime(milliseconds: now) }

    init(_ plan: Plan) {
        self.plan = plan
        chance = Chance(seed: plan.seed)
        arithmetic = Arithmetic(
            layout: plan.layout, stepShape: plan.stepShape, steps: plan.steps, poisoned: plan.poisoned)
        triggers = plan.triggers
        settings = CoordinatorSettings(
            configuration: "", runDirectory: "", nonce: "", layoutDigest: plan.layout.digest,
            plan: "", planSummary: "",
            sliceCount: plan.layout.slices.count, serverCount: plan.servers, stepShape: plan.stepShape,
            samplesPerTicket: 2, lastVersion: plan.lastVersion, stepsPerEpoch: 5,
            checkpointEverySteps: UInt64(plan.checkpointEverySteps), checkpointEverySeconds: 0, nonFiniteLimit: 3,
            rule: Arithmetic.rule)
        network = Network(world: self)
    }

    func nextIncarnation() -> Incarnation {
        incarnations += 1
        return incarnations
    }

    // MARK: Running

    /// Runs the job to its end; faults cease at `faultsEnd`, and then it may take so long.
    func run(patience: Int = 90_000) {
        seatEverybody()
        planFaults()
        while let (time, action) = agenda.next() {
            now = time
            action()
            if !violations.isEmpty { return }
            if let result, seats.allSatisfy({ $0.process == nil }) {
                if result.code == ExitStatus.preempted, let stop = plan.stop {
                    resume(servers: stop.serversAfter)
                } else {
                    return checkEnd()
                }
            }
            if now > plan.faultsEnd + patience {
                return violate("the job is not done at \(now) ms: \(describe())")
            }
        }
    }

    private func seatEverybody() {
        func seats(_ role: Role, _ count: Int) -> [Seat] {
            (0..<count).map { Seat(role: role, number: $0, rank: plan.givesRanks ? $0 : nil) }
        }
        self.seats =
            [Seat(role: .coordinator, number: 0, rank: 0)] + seats(.server, settings.serverCount)
            + seats(.worker, plan.workers)
        for seat in self.seats { start(seat, after: chance.integer(0...300)) }
    }

    private func resume(servers: Int) {
        saw(.resumed)
        result = nil
        isEnding = false
        settings.serverCount = servers
        seatEverybody()
    }

    private func start(_ seat: Seat, after milliseconds: Int) {
        agenda.add(at: now + milliseconds) { [self] in
            guard seat.isWanted, seat.process == nil, seats.contains(where: { $0 === seat }) else { return }
            seat.starts += 1
            let process: SimulatedProcess =
                switch seat.role {
                case .coordinator: SimulatedCoordinator(world: self, seat: seat)
                case .server: SimulatedServer(world: self, seat: seat)
                case .worker: SimulatedWorker(world: self, seat: seat)
                }
            seat.process = process
            log?("\(now) \(describe(seat)) starts as \(process.incarnation)")
            process.start()
        }
    }

    func exited(_ process: SimulatedProcess, _ status: ExitStatus) {
        process.die()
        process.seat.process = nil
        log?("\(now) \(describe(process.seat)) exits \(status)")
        if process.seat.role == .coordinator {
            if status.code == ExitStatus.failed { violate("the coordinator fails: \(status.text)") }
            jobEnded(status)
        } else if status.code == ExitStatus.failed {
            start(process.seat, after: 200)
        } else {
            if result == nil, !isEnding {
                violate("\(describe(process.seat)) leaves: \(status.text)")
            }
            // Told to leave by a coordinator that was killed before it could end the job: then the job goes on.
            start(process.seat, after: 6000)
        }
    }

    /// The supervisor's last act: those that do not know yet are ended.
    private func jobEnded(_ status: ExitStatus) {
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

    private var coordinator: SimulatedCoordinator? { seats[0].process as? SimulatedCoordinator }

    // MARK: What goes wrong

    private func planFaults() {
        func several(_ count: Int, _ fault: @escaping () -> Void) {
            for _ in 0..<count { agenda.add(at: chance.integer(0...max(1, plan.faultsEnd)), fault) }
        }
        several(plan.workerKills) { [self] in kill(.worker) }
        several(plan.serverKills) { [self] in kill(.server) }
        several(plan.coordinatorKills) { [self] in kill(.coordinator) }
        several(plan.pauses) { [self] in
            let process = chance.pick(seats).process
            if process is SimulatedServer { saw(.serverWakes) }
            let milliseconds = chance.pick([300, 3000, 12_000])
            if let process { log?("\(now) \(describe(process.seat)) stands still for \(milliseconds)") }
            process?.pause(for: milliseconds)
        }
        several(plan.cuts) { [self] in
            if network.connections.isEmpty { return }
            chance.pick(network.connections).cutUntil = now + chance.integer(20...2500)
        }
        if plan.damagesCheckpoint {
            several(1) { [self] in
                disk.damageLast(before: plan.lastVersion)
                kill(.server)
            }
        }
        if let stop = plan.stop { agenda.add(at: stop.at) { [self] in askToStop() } }
    }

    private func askToStop() {
        guard !isStopAsked, result == nil else { return }
        guard let coordinator, !coordinator.isPaused else {
            return agenda.add(at: now + 500) { [self] in askToStop() }
        }
        isStopAsked = true
        coordinator.act { coordinator.handle(.stop(exitCode: ExitStatus.preempted, text: "stopped")) }
    }

    private func kill(_ role: Role) {
        guard result == nil else { return }
        let victims = seats.filter { $0.role == role && $0.process != nil }
        if victims.isEmpty { return }
        let seat = chance.pick(victims)
        log?("\(now) \(describe(seat)) is killed")
        seat.process!.die()
        seat.process = nil
        if role == .coordinator, chance.happens(0.5) { disk.loseUnsynced(&chance) }
        // Some stay away for long, so that there are times without any worker.
        start(seat, after: chance.pick([50, 400, 4000]))
    }

    private func reached(_ moment: Plan.Trigger.Moment) {
        counts[moment, default: 0] += 1
        for trigger in triggers where trigger.moment == moment && trigger.count == counts[moment]! {
            agenda.add(at: now + trigger.delay) { [self] in kill(trigger.victim) }
        }
    }

    func reached(_ record: JournalRecord) {
        switch record {
        case .close: reached(.close)
        case .commit: reached(.commit)
        case .checkpoint: reached(.checkpoint)
        case .rollback: reached(.rollback)
        case .finished: reached(.finished)
        default: break
        }
    }

    // MARK: What is seen

    func see(_ packet: Packet) {
        messages += 1
        let envelope = packet.envelope
        log?("\(now) \(envelope.source)->\(envelope.destination) g\(envelope.generation) \(envelope.message)")
        trace = mixed(trace, UInt64(now), envelope.source, envelope.destination, UInt64(envelope.generation))
        switch envelope.message {
        case .prepare: reached(.prepare)
        case .applied: reached(.applied)
        case .snapshot: reached(.snapshot)
        case .saved: reached(.saved)
        case .reset: reached(.reset)
        case .resend: saw(.resend)
        case .gone: saw(.gone)
        default: break
        }
    }

    func saw(_ rare: Rare) { seen[rare, default: 0] += 1 }

    func violate(_ what: String) { violations.append("at \(now) ms: \(what)") }

    // MARK: What must hold

    /// Servers of one generation are at most one commit apart.
    func check(_ server: SimulatedServer) {
        let state = server.state
        guard server.isServing else { return }
        for seat in seats where seat.role == .server {
            guard let other = seat.process as? SimulatedServer, other.isServing,
                other.state.generation == state.generation
            else { continue }
            let versions = (state.version, other.state.version)
            if max(versions.0, versions.1) > min(versions.0, versions.1).nextStep.after {
                violate("servers of one generation have versions \(versions)")
            }
        }
    }

    private func checkEnd() {
        guard let result else { return }
        if result.code != 0 { violate("the job ends with \(result)") }
        let replay = disk.replay
        if replay.version != plan.lastVersion { violate("the journal ends at version \(replay.version)") }
        guard let last = replay.checkpoints.last, last.version == plan.lastVersion else {
            return violate("the last commit is not saved: \(replay.checkpoints)")
        }
        let values = disk.read(last.path, Array(plan.layout.slices.indices)) ?? [:]
        for slice in plan.layout.slices.indices where values[slice] != arithmetic.values(plan.lastVersion, slice: slice)
        {
            violate("slice \(slice) of the last checkpoint has other bits than the calm run's")
        }
    }

    private func describe(_ seat: Seat) -> String { "\(seat.role.name) \(seat.number)" }

    private func describe() -> String {
        let processes = coordinator?.state.status(at: time, bytesSent: 0, bytesReceived: 0)
        let lines = processes.map { status in
            ["\(status.state) step \(status.version) generation \(status.generation)"]
                + status.processes.map { "\($0.role) \($0.rank) \($0.state) \($0.activity)" }
        }
        return lines?.joined(separator: "; ") ?? "no coordinator"
    }
}
