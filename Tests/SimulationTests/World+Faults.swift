// What goes wrong in the simulated world, and what people do to it.

import Glibc
import PSCheckpoint
import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProofs
import PSProtocol
import PSRun
import PSTransport

extension World {
    func planFaults() {
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
            let connection = chance.pick(network.connections)
            let end = now + chance.integer(20...2500)
            let way: Network.Way? = chance.pick([nil, nil, .toServer, .toClient])
            if way != .toClient { connection.cutUntil.toServer = end }
            if way != .toServer { connection.cutUntil.toClient = end }
        }
        several(plan.resets) { [self] in
            let open = network.connections.filter { $0.isOpen && $0.client.isAlive }
            if !open.isEmpty { network.reset(chance.pick(open)) }
        }
        for milliseconds in plan.pathCuts {
            several(1) { [self] in cutPath(for: milliseconds) }
        }
        if plan.stuckCompute {
            several(1) { [self] in seats.first { $0.role == .worker && !$0.isIdler }?.stuckFrom = now }
        }
        several(plan.twins) { [self] in
            guard result == nil, !isEnding, plan.givesRanks else { return }
            let twin = Seat(role: .server, number: 50 + seats.count, rank: chance.integer(0...servers - 1))
            twin.isTwin = true
            seats.append(twin)
            start(twin, after: 0)
        }
        several(plan.foreignPushes) { [self] in
            let all = seats.compactMap { $0.process as? SimulatedServer }.filter { $0.isAlive && !$0.isPaused }
            guard !all.isEmpty else { return }
            let server = chance.pick(all)
            let worker = seats.compactMap { $0.process as? SimulatedWorker }.first?.incarnation ?? 5
            let tickets = Array(plan.stepShape.tickets(of: server.state.version.nextStep))
            server.takePush(of: chance.pick(tickets), from: worker)
        }
        several(plan.foreignWords) { [self] in
            guard let coordinator, !coordinator.isPaused,
                let server = seats.compactMap({ $0.process as? SimulatedServer }).first
            else { return }
            saw(.foreignWord)
            coordinator.hears(
                Envelope(
                    job: coordinator.state.job, generation: coordinator.state.generation, term: 1 << 20,
                    source: server.incarnation, destination: coordinator.incarnation, message: .heartbeat(Heartbeat())))
        }
        several(plan.foreignNoise) { [self] in
            guard var envelope = overheard.isEmpty ? nil : chance.pick(overheard) else { return }
            let listeners = network.listeners.sorted { $0.key < $1.key }.map(\.value)
            guard !listeners.isEmpty else { return }
            let listener = chance.pick(listeners)
            guard listener.isAlive, !listener.isPaused else { return }
            envelope.proof = .none
            let received = noise(of: envelope)
            saw(.foreignNoise)
            (listener as? SimulatedCoordinator)?.hears(received)
            (listener as? SimulatedServer)?.hears(received)
        }
        for _ in 0..<plan.damages { damagesAt.insert(chance.integer(2...4)) }
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
            log?("\(now) a person asks for a stop after \(version)")
            person(.stop(after: version), from: World.whoStops)
        }
        if let stop = plan.stop { agenda.add(at: stop.at) { [self] in askToStop() } }
        // Not before everything that happened until then is noticed.
        if plan.leavesCore { agenda.add(at: plan.faultsEnd + 20_000) { [self] in leaveCore() } }
    }

    /// From here on nothing goes wrong any more with those that are left, a part of all: they must do without the others.
    private func leaveCore(tries: Int = 30) {
        guard result == nil, resumes == 0, !isEnding else { return }
        let able = seats.filter { $0.role == .worker && !$0.isIdler && $0.stuckFrom == Int.max }
        for seat in seats
        where seat.role == .worker && able.count > plan.fewestWorkers
            && able.dropFirst(plan.fewestWorkers).contains(where: { $0 === seat })
        {
            goForGood(seat)
        }
        // What dies later, and what goes back to a checkpoint for another reason, needs a server of every rank.
        guard plan.replicas, servers > 1, plan.midWriteDeaths == 0, plan.triggers.isEmpty, plan.damages == 0,
            plan.unreadable == 0, plan.stop == nil, plan.personStops == 0, !plan.movesAway, !plan.idler, plan.twins == 0
        else { return }
        // With more kills than replicas it could not go on.
        let replicas = coordinator?.state.status(at: time, bytesSent: 0, bytesReceived: 0).replicas
        let all = seats.filter { $0.role == .server && !$0.isTwin && $0.process != nil }
        guard let replicas, replicas.inStep == replicas.wanted, replicas.standingIn == 0,
            all.count == servers + plan.spares
        else {
            if tries > 0 { agenda.add(at: now + 1000) { [self] in leaveCore(tries: tries - 1) } }
            return
        }
        goForGood(chance.pick(all))
        saw(.coreOnly)
    }

    /// All machines fail at once; what was not synchronized may be lost.
    func powerFails() {
        log?("\(now) the power fails before change \(changesToDisk)")
        let victims = seats.filter { $0.process != nil }
        for seat in victims {
            seat.process?.die()
            seat.process = nil
        }
        for incarnation in 1...incarnations { disk.fail(incarnation, &chance) }
        for seat in victims { start(seat, after: chance.integer(50...400)) }
    }

    private func goForGood(_ seat: Seat) {
        log?("\(now) \(describe(seat)) is gone for good")
        seat.isWanted = false
        seat.process?.die()
        seat.process = nil
    }

    /// Between one worker and one server, whatever connections they open.
    private func cutPath(for milliseconds: Int) {
        let endpoints = network.listeners.keys.sorted()
        guard result == nil, !endpoints.isEmpty else { return }
        let endpoint = chance.pick(endpoints)
        let members = seats.filter {
            guard $0.process != nil else { return false }
            return switch $0.role {
            case .coordinator: false
            case .server: plan.replicas || endpoint == "coordinator"
            case .worker: !$0.isIdler
            }
        }
        guard !members.isEmpty else { return }
        let member = chance.pick(members)
        let way: Network.Way? = chance.pick([nil, nil, .toServer, .toClient])
        log?(
            "\(now) no way between \(describe(member)) and \(endpoint) for \(milliseconds), \(way.map { "\($0)" } ?? "both")"
        )
        network.brokenPaths.append(
            Network.BrokenPath(
                client: ObjectIdentifier(member), endpoint: endpoint, until: now + milliseconds, way: way))
    }

    /// What a stranger makes of what he overheard: the bytes on the wire, decoded as a process decodes them.
    private func noise(of envelope: Envelope) -> Received {
        var head = envelope.encoded()
        switch chance.integer(0...3) {
        case 0: head.removeLast(chance.integer(0...head.count - 1))
        case 1: head += envelope.encoded().prefix(chance.integer(0...40))
        case 2:
            for _ in 0..<chance.integer(1...4) {
                head[chance.integer(0...head.count - 1)] ^= 1 << chance.integer(0...7)
            }
        default: break
        }
        let values = [UInt8](repeating: 7, count: chance.pick([0, 0, 4, 400]))
        let result: Result<Envelope, MessageError> = head.withUnsafeBytes { bytes in
            do throws(MessageError) {
                return .success(try Envelope.decode(bytes, payloadCount: values.count))
            } catch {
                return .failure(error)
            }
        }
        return Received(
            peer: RoutingID(bytes: [9, UInt8(chance.integer(0...3))]), envelope: result,
            values: values.isEmpty ? nil : Frame(values))
    }

    func comeBack() {
        guard isAway else { return }
        isAway = false
        if disk.node(runPath) == nil { disk.move("/storage/away", to: runPath) }
        log?("\(now) the run is back")
        saw(.movedAway)
    }

    func person(_ control: Control, from who: Incarnation) {
        guard let coordinator, !coordinator.isPaused else { return }
        coordinator.act {
            coordinator.handle(
                .said(
                    Envelope(
                        job: 0, generation: 0, source: who, destination: coordinator.incarnation,
                        message: .control(control))))
        }
    }

    func askToStop() {
        guard !isStopAsked, result == nil else { return }
        guard let coordinator, !coordinator.isPaused else {
            return agenda.add(at: now + 500) { [self] in askToStop() }
        }
        isStopAsked = true
        coordinator.act { coordinator.handle(.stop(exitCode: ExitStatus.preempted, text: "stopped")) }
    }

    func kill(_ role: Role) {
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
    func damageLast() {
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
    func rotUnseen(_ place: String, _ shard: String) {
        let files = SimulatedFiles(disk, owner: 0)
        guard let file = disk.file("\(place)/\(shard)"), var manifest = try? Manifest.read(from: place, in: files),
            let index = manifest.files.firstIndex(where: { $0.path == shard })
        else { return }
        file.bytes[file.bytes.count - 2] ^= 64
        guard let sound = try? SafetensorsFile("\(place)/\(shard)", in: files) else { return }
        manifest.files[index].sha256 = (try? sound.sha256()) ?? ""
        try? manifest.write(to: place, in: files)
    }

    func directory(of reference: CheckpointReference) -> String {
        reference.foreign ?? "\(runPath)/checkpoints/step-\(reference.version)"
    }

    func reached(_ moment: Plan.Trigger.Moment) {
        counts[moment, default: 0] += 1
        if moment == .checkpoint, damagesAt.contains(counts[moment]!) {
            agenda.add(at: now + chance.integer(20...400)) { [self] in
                damageLast()
                kill(.server)
            }
        }
        for trigger in triggers where trigger.moment == moment && trigger.count == counts[moment]! {
            agenda.add(at: now + trigger.delay) { [self] in kill(trigger.victim) }
        }
    }

    func reached(_ record: JournalRecord) {
        switch record {
        case .step(.closed): reached(.close)
        case .step(.committed): reached(.commit)
        case .checkpoint: reached(.checkpoint)
        case .rollback: reached(.rollback)
        case .finished: reached(.finished)
        case .ended: reached(Plan.Trigger.Moment.ended)
        case .stopAfter: reached(.stopAfter)
        default: break
        }
    }
}
