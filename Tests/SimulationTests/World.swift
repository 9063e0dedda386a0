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
    private(set) var now = 0
    var chance: Chance
    private(set) var network: Network!
    let disk = SimulatedDisk()

    /// Where the run lies now.
    private(set) var runPath = "/storage/run"
    private(set) var servers: Int
    /// What whoever starts the coordinator wants.
    private(set) var wish = RunStart.Wish.takeUp
    /// Whether a coordinator may begin a job where there is none.
    private(set) var mayBegin = true
    private(set) var newJob: UInt64 = 77

    private var seats: [Seat] = []
    private var incarnations: UInt64 = 0
    private var triggers: [Plan.Trigger]
    private var counts: [Plan.Trigger.Moment: Int] = [:]
    private var isStopAsked = false
    private var resumes = 0
    /// Whether a coordinator has told anybody that the job is over.
    var isEnding = false

    // What the records and promises so far come to, kept apart from the code that is tested.
    private var live: [CheckpointReference] = []
    private var closes: Set<Step> = []
    private var rollbacks: [UInt32: CheckpointReference?] = [:]
    /// Directories of checkpoints that are not what they were.
    private var damaged: Set<String> = []
    /// A stop that a person was promised.
    private var promised: Version?
    private var asked: Version?
    /// Servers cannot read before this moment.
    private var readsFailUntil = 0
    private var isAway = false

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
        servers = plan.servers
        network = Network(world: self)
    }

    func settings(run: String, nonce: String) -> CoordinatorSettings {
        CoordinatorSettings(
            configuration: "", runDirectory: run, nonce: nonce, layoutDigest: plan.layout.digest,
            plan: "", planSummary: "", sliceCount: plan.layout.slices.count, serverCount: servers,
            stepShape: plan.stepShape, samplesPerTicket: 2, lastVersion: plan.lastVersion, stepsPerEpoch: 5,
            checkpointEverySteps: UInt64(plan.checkpointEverySteps), checkpointEverySeconds: 0,
            checkpointsKept: plan.keep, nonFiniteLimit: 3, rule: Arithmetic.rule)
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

    private func seatEverybody() {
        func seats(_ role: Role, _ count: Int) -> [Seat] {
            (0..<count).map { Seat(role: role, number: $0, rank: plan.givesRanks ? $0 : nil) }
        }
        self.seats =
            [Seat(role: .coordinator, number: 0, rank: 0)] + seats(.server, servers) + seats(.worker, plan.workers)
        for seat in self.seats { start(seat, after: chance.integer(0...300)) }
    }

    /// A person resumes the job that was stopped or failed, perhaps elsewhere, perhaps from further back.
    private func resume() {
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
                    live = []
                    saw(.foreignBase)
                }
            }
        }
        seatEverybody()
    }

    private func entries() -> [CheckpointStore.Entry] {
        let store = CheckpointStore(runDirectory: runPath, in: SimulatedFiles(disk, owner: 0))
        return ((try? store.list()) ?? []).filter { !damaged.contains($0.path) }
    }

    private func reference(_ entry: CheckpointStore.Entry) -> CheckpointReference {
        let version = Version(UInt64(entry.step))
        saw(.goesBack)
        return live.last { $0.version == version } ?? CheckpointReference(version: version)
    }

    /// A coordinator runs: whoever is started in its place takes up what it leaves.
    func isUp() {
        wish = .takeUp
        mayBegin = false
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
                promised < plan.lastVersion
            {
                violate("a stop after \(promised) was promised, the job ends with \(status.code)")
            }
            jobEnded(status)
        } else if status.code == ExitStatus.failed {
            start(process.seat, after: 200)
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
        several(plan.damages) { [self] in
            damageLast()
            kill(.server)
        }
        several(plan.unreadable) { [self] in
            readsFailUntil = now + chance.integer(100...15_000)
            log?("\(now) servers cannot read until \(readsFailUntil)")
            kill(.server)
        }
        if plan.movesAway {
            several(1) { [self] in
                guard result == nil, disk.node(runPath) != nil else { return }
                disk.move(runPath, to: "/storage/away")
                isAway = true
                log?("\(now) the run is moved away")
                agenda.add(at: now + chance.integer(500...15_000)) { [self] in comeBack() }
                kill(.server)
            }
        }
        several(plan.personCheckpoints) { [self] in person(.checkpoint, from: 1 << 41) }
        several(plan.personStops) { [self] in
            guard let coordinator, result == nil, promised == nil, asked == nil else { return }
            let version = Version(UInt64(chance.integer(0...plan.steps)))
            asked = max(version, coordinator.state.version)
            person(.stop(after: version), from: 1 << 40)
        }
        if let stop = plan.stop { agenda.add(at: stop.at) { [self] in askToStop() } }
    }

    private func comeBack() {
        guard isAway else { return }
        isAway = false
        if disk.node(runPath) == nil { disk.move("/storage/away", to: runPath) }
        log?("\(now) the run is back")
        saw(.movedAway)
    }

    private func person(_ control: Control, from who: Incarnation) {
        guard let coordinator, !coordinator.isPaused else { return }
        coordinator.act {
            coordinator.handle(
                .said(
                    Envelope(
                        job: 0, generation: 0, source: who, destination: coordinator.incarnation,
                        message: .control(control))))
        }
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
        let process = seat.process!
        process.die()
        seat.process = nil
        if role == .coordinator, chance.happens(0.5) { disk.fail(process.incarnation, &chance) }
        // Some stay away for long, so that there are times without any worker.
        start(seat, after: chance.pick([50, 400, 4000]))
    }

    /// Turns the newest checkpoint that counts bad, if there is a whole one before it and steps are to come.
    private func damageLast() {
        guard live.count > 1, let newest = live.last, newest.foreign == nil, let coordinator,
            coordinator.state.version < plan.lastVersion,
            let older = live.dropLast().last, older.foreign == nil, !damaged.contains(directory(of: older)),
            !damaged.contains(directory(of: newest))
        else { return }
        let place = directory(of: newest)
        let shards = disk.names(in: place).filter { $0.hasSuffix(".safetensors") }
        guard let shard = shards.isEmpty ? nil : chance.pick(shards) else { return }
        log?("\(now) \(place)/\(shard) turns bad")
        damaged.insert(place)
        if plan.plant == .rotAccepted { return rotUnseen(place, shard) }
        switch chance.integer(0...3) {
        case 0, 1:
            disk.rot("\(place)/\(shard)", &chance)
            saw(.rot)
        case 2: disk.file("\(place)/\(shard)")?.bytes.removeLast()
        default: disk.set("\(place)/\(shard)", nil)
        }
    }

    /// Rot that the hashes do not show, as if nothing compared them.
    private func rotUnseen(_ place: String, _ shard: String) {
        let files = SimulatedFiles(disk, owner: 0)
        guard let file = disk.file("\(place)/\(shard)"), var manifest = try? Manifest.read(from: place, in: files),
            let index = manifest.files.firstIndex(where: { $0.path == shard })
        else { return }
        file.bytes[file.bytes.count - 2] ^= 64
        guard let sound = try? SafetensorsFile("\(place)/\(shard)", in: files) else { return }
        manifest.files[index].sha256 = (try? sound.sha256()) ?? ""
        try? manifest.write(to: place, in: files)
    }

    private func directory(of reference: CheckpointReference) -> String {
        reference.foreign ?? "\(runPath)/checkpoints/step-\(reference.version)"
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
        case .ended: reached(Plan.Trigger.Moment.ended)
        case .stopAfter: reached(.stopAfter)
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
        case .refusal: saw(.refusal)
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

    /// A coordinator has read the journal and made its start durable.
    func opened(_ replay: Replay, _ run: RunDirectory) {
        if replay.checkpoints.count > live.count, !live.isEmpty { saw(.adopted) }
        live = replay.checkpoints
        rollbacks[replay.generation] = .some(live.last)
        closes = Set((0..<replay.version.number).map(Step.init))
        if replay.openClose != nil { closes.insert(replay.version.nextStep) }
        checkLive()
    }

    func isDurable(_ record: JournalRecord) {
        switch record {
        case .close(let step, _): closes.insert(step)
        case .rollback(let generation, let base):
            rollbacks[generation] = .some(base)
            closes = Set((0..<(base?.version.number ?? 0)).map(Step.init))
            live.removeAll { $0.version > base?.version ?? 0 || base == nil }
        case .checkpoint(let reference, let kept):
            live.removeAll { $0.version >= reference.version || kept?.contains($0.version) == false }
            live.append(reference)
            damaged.remove(directory(of: reference))
        default: break
        }
    }

    /// No checkpoint that is whole is made void but by a person.
    func rollsBack(to base: CheckpointReference?, _ run: RunDirectory) {
        for reference in live where base.map({ reference.version > $0.version }) ?? true {
            if !damaged.contains(directory(of: reference)) {
                violate("step \(reference.version) is whole, and the job rolls back to \(base?.version ?? 0)")
            }
        }
        if let base, !live.contains(where: { $0.version == base.version }) {
            violate("the job rolls back to step \(base.version), which is not of its history")
        }
    }

    func resets(_ generation: UInt32, _ reset: Reset) {
        guard let base = rollbacks[generation], base == reset.base, reset.version == base?.version ?? 0 else {
            return violate("generation \(generation) loads \(reset) before its rollback is on the disk")
        }
    }

    func commitGoesOut(_ step: Step) {
        if !closes.contains(step) { violate("the commit of step \(step) goes out before its close is on the disk") }
    }

    func commits(_ step: Step) {
        // A close under way is carried through.
        if let promised, step.before > promised {
            violate("step \(step) is committed, a stop after \(promised) was promised")
        }
    }

    func stopIsPromised() {
        guard let asked else { return }
        promised = asked
        // At once: what was committed since it was asked for counts.
        if let coordinator { promised = max(asked, coordinator.state.version) }
        saw(.stopPromised)
    }

    func pruned(_ run: RunDirectory) {
        if plan.plant == .basePruned {
            for entry in entries().dropLast(1) {
                for name in disk.names(in: entry.path) { disk.set("\(entry.path)/\(name)", nil) }
                disk.set(entry.path, nil)
            }
        }
        checkLive()
    }

    /// What the journal counts on is there.
    private func checkLive() {
        if isAway { return }
        for reference in live where reference.foreign == nil && !damaged.contains(directory(of: reference)) {
            if disk.file("\(directory(of: reference))/\(Manifest.fileName)") == nil {
                violate("the checkpoint of step \(reference.version) counts, and is gone")
            }
        }
    }

    private func checkEnd() {
        let run = RunDirectory(at: runPath, in: SimulatedFiles(disk, owner: 0))
        do {
            let replay = try Journal.read(run)
            if replay.version != plan.lastVersion { violate("the journal ends at version \(replay.version)") }
            guard let last = replay.checkpoints.last, last.version == plan.lastVersion else {
                return violate("the last commit is not saved: \(replay.checkpoints)")
            }
            if damaged.contains(directory(of: last)) { return }
            let reader = try run.open(last)
            var values = [Float](repeating: 0, count: plan.layout.count)
            try values.withUnsafeMutableBufferPointer { values in
                for (index, tensor) in plan.layout.tensors.enumerated() {
                    try reader.read(
                        .current, tensor: tensor.name, elements: 0..<tensor.elementCount,
                        into: values.baseAddress! + plan.layout.offsets[index])
                }
            }
            if values.map(\.bitPattern) != arithmetic.values(plan.lastVersion).map(\.bitPattern) {
                violate("the last checkpoint has other bits than the calm run's")
            }
            try checkMetrics(run)
            checkLive()
        } catch {
            violate("the end cannot be read: \(error)")
        }
    }

    /// Each step of the history once, in order.
    private func checkMetrics(_ run: RunDirectory) throws {
        struct Line: Decodable { let step: Int }
        let text = String(decoding: try run.read(run.metrics), as: UTF8.self)
        let steps = try text.split(separator: "\n").map { try JSON.decode(Line.self, from: $0.utf8).step }
        if steps
            != Array((plan.steps - steps.count + 1)...max(plan.steps, plan.steps - steps.count + 1)).prefix(steps.count)
            .map(\.self)
        {
            violate("the metrics have the steps \(steps)")
        }
        if plan.goesBack != .toAnotherRun, steps.count != plan.steps { violate("the metrics have \(steps)") }
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
