// What must hold all along, told from records and promises apart from the code that is tested.

import Glibc
import PSCheckpoint
import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import PSRun

extension World {
    /// Servers of one generation are at most one commit apart.
    func check(_ server: SimulatedServer) {
        guard server.isServing, !server.state.serves.isEmpty else { return }
        for seat in seats where seat.role == .server {
            guard let other = seat.process as? SimulatedServer, other.isServing,
                other.state.generation == server.state.generation, !other.state.serves.isEmpty
            else { continue }
            let versions = (server.state.version, other.state.version)
            if max(versions.0, versions.1) > min(versions.0, versions.1).nextStep.after {
                violate("servers of one generation have versions \(versions)")
            }
        }
    }

    func holdsMemory(_ incarnation: Incarnation, of generation: UInt32) -> Bool {
        seats.contains {
            guard let server = $0.process as? SimulatedServer, server.incarnation == incarnation else { return false }
            return server.isServing && !server.state.owned.isEmpty && server.state.generation == generation
        }
    }

    /// A coordinator has read the journal and made its start durable.
    func opened(_ replay: Replay, _ run: RunDirectory) {
        if replay.checkpoints.count > live.count, !live.isEmpty { saw(.adopted) }
        live = replay.checkpoints
        if let holders = replay.holders {
            handovers[replay.generation] = (replay.version, holders)
        } else {
            rollbacks[replay.generation] = .some(live.last)
        }
        closes = Set((0..<replay.version.number).map(Step.init))
        if replay.openClose != nil { closes.insert(replay.version.nextStep) }
        checkLive()
    }

    func isDurable(_ record: JournalRecord) {
        switch record {
        case .step(.closed(let step, _)): closes.insert(step)
        case .rollback(let generation, let base):
            rollbacks[generation] = .some(base)
            closes = Set((0..<(base?.version.number ?? 0)).map(Step.init))
        case .handover(let generation, let version, let holders):
            handovers[generation] = (version, holders)
            closes = Set((0..<version.number).map(Step.init))
        default: break
        }
    }

    /// In the order in which records reach the disk.
    func journals(_ record: JournalRecord) {
        switch record {
        case .rollback(_, let base): live.removeAll { $0.version > base?.version ?? 0 || base == nil }
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
        if reset.root != nil {
            // Who serves nothing may come at any time.
            if reset.serves.isEmpty { return }
            guard let handover = handovers[generation], handover.version == reset.version,
                handover.holders.indices.filter({ handover.holders[$0] == reset.rank }) == reset.serves
            else {
                return violate("generation \(generation) goes on with \(reset) before that is on the disk")
            }
            return
        }
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
        log?("\(now) a stop after \(promised!) is promised")
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
    func checkLive() {
        if isAway { return }
        for reference in live where reference.foreign == nil && !damaged.contains(directory(of: reference)) {
            if disk.file("\(directory(of: reference))/\(Manifest.fileName)") == nil {
                violate("the checkpoint of step \(reference.version) counts, and is gone")
            }
        }
    }

    func checkEnd() {
        comeBack()
        let run = RunDirectory(at: runPath, in: SimulatedFiles(disk, owner: 0))
        do {
            let replay = try Journal.read(run)
            if replay.version != lastVersion { violate("the journal ends at version \(replay.version)") }
            if lastVersion < plan.lastVersion { saw(.endsEarly) }
            checkEvaluations(replay)
            guard let last = replay.checkpoints.last, last.version == lastVersion else {
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
            if values.map(\.bitPattern) != arithmetic.values(lastVersion).map(\.bitPattern) {
                violate("the last checkpoint has other bits than the calm run's")
            }
            try checkMetrics(run)
            checkLive()
        } catch {
            violate("the end cannot be read: \(error)")
        }
    }

    /// An evaluation that is done has the figures of its version, whoever measured it.
    func check(_ report: EvaluationReport) {
        saw(.evaluated)
        guard let schedule else { return violate("an evaluation of a job without") }
        let parts = arithmetic.measurements(report.version, schedule)
        let images = parts.reduce(0) { $0 + $1.images }
        let loss = parts.reduce(0) { $0 + $1.loss } / Double(images)
        let top1 = Double(parts.reduce(0) { $0 + $1.top1 }) / Double(images)
        if report.loss != loss || report.top1 != top1 || report.images != images {
            violate("step \(report.version) is evaluated as \(report), not \(loss), \(top1)")
        }
    }

    /// The end is evaluated, and before it each version that was due, unless its checkpoint could not be had.
    func checkEvaluations(_ replay: Replay) {
        guard let schedule else { return }
        for report in replay.evaluations { check(report) }
        let versions = replay.evaluations.map(\.version)
        if versions != versions.sorted() || Set(versions).count != versions.count {
            violate("the evaluations are of \(versions)")
        }
        let mayLack =
            plan.damages + plan.unreadable > 0 || plan.movesAway || plan.midWriteDeaths > 0
            || plan.diskStall.probability > 0
        if mayLack { return }
        if versions.last != lastVersion { violate("the end is not evaluated: \(versions)") }
        if plan.goesBack == .toAnotherRun || !plan.poisoned.isEmpty { return }
        let due = (1...lastVersion.number).filter { $0.isMultiple(of: schedule.everySteps) || $0 == lastVersion.number }
        if versions.map(\.number) != due { violate("evaluated are \(versions), not \(due)") }
    }

    /// Each step of the history once, in order, and each evaluation once.
    func checkMetrics(_ run: RunDirectory) throws {
        struct Line: Decodable {
            let step: Int
            let evalImages: Int?
            enum CodingKeys: String, CodingKey {
                case step
                case evalImages = "eval_images"
            }
        }
        let text = String(decoding: try run.read(run.metrics), as: UTF8.self)
        let lines = try text.split(separator: "\n").map { try JSON.decode(Line.self, from: $0.utf8) }
        let steps = lines.filter { $0.evalImages == nil }.map(\.step)
        let end = Int(lastVersion.number)
        if steps != Array((end - steps.count + 1)...max(end, end - steps.count + 1)).prefix(steps.count).map(\.self) {
            violate("the metrics have the steps \(steps)")
        }
        if plan.goesBack != .toAnotherRun, steps.count != end { violate("the metrics have \(steps)") }
        let evaluations = lines.filter { $0.evalImages != nil }.map(\.step)
        if evaluations.sorted() != (try Journal.read(run)).evaluations.map({ Int($0.version.number) }) {
            violate("the metrics have the evaluations \(evaluations)")
        }
    }
}

extension World {
    /// A rank goes to a twin only when who has it is gone, or may be taken for it.
    func isWelcomed(_ incarnation: Incarnation, rank: Int) {
        guard let seat = seats.first(where: { $0.process?.incarnation == incarnation }), seat.role == .server else {
            return
        }
        defer { holders[rank] = incarnation }
        guard seat.isTwin, let former = holders[rank], former != incarnation,
            let holder = seats.first(where: { $0.process?.incarnation == former })?.process, holder.isAlive,
            // What may hide a process that lives.
            plan.pauses == 0, plan.cuts == 0, plan.pathCuts.isEmpty, plan.resets == 0, plan.lossProbability == 0,
            plan.coordinatorKills == 0,
            plan.triggers.isEmpty, plan.midWriteDeaths == 0
        else { return }
        violate("server \(incarnation) is given rank \(rank), though \(former) lives")
    }
}
