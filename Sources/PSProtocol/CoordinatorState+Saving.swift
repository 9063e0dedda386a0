// Checkpoints: when one is due, how it becomes complete, which are kept, and going back to one for good.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// The version of the last checkpoint of this run: one of another run is copied into this one at once.
    var lastCheckpoint: Version? { checkpoints.last.flatMap { $0.foreign == nil ? $0.version : nil } }

    mutating func takeSnapshotIfDue(at now: MonotonicTime) -> [Effect] {
        guard order == nil, closing == nil, saving == nil, !awaitsHandover, case .running = phase else { return [] }
        guard canTrySaving(at: now) else { return [] }
        // The evaluation before comes first.
        if owesCheckpoint, waitsForEarlier { return [] }
        // Weights whose gradient is not finite are no news, and must not push out those from before.
        guard nonFiniteSteps == 0 || lastCheckpoint == nil || checkpointWanted else { return [] }
        let every = settings.checkpointEverySteps
        let isDue =
            lastCheckpoint == nil || checkpointWanted || owesCheckpoint
            || (every > 0 && version.commits(since: lastCheckpoint ?? 0) >= every)
            || (settings.checkpointEverySeconds > 0
                && now.since(checkpointTime) >= 1000 * settings.checkpointEverySeconds)
        guard isDue, lastCheckpoint != version else {
            checkpointWanted = checkpointWanted && lastCheckpoint != version
            return []
        }
        return snapshot(at: now)
    }

    mutating func snapshot(at now: MonotonicTime) -> [Effect] {
        checkpointWanted = false
        checkpointTime = now
        saving = Saving(version: version, asked: now)
        return issue(.snapshot, at: now)
    }

    func orderSnapshot(_ rank: Int, version: Version) -> [Effect] {
        guard let server = membership.servers[rank] else { return [] }
        return [.send(envelope(.snapshot(version: version), to: server.incarnation))]
    }

    mutating func snapshotting(_ version: Version, rank: Int, at now: MonotonicTime) -> [Effect] {
        guard saving?.version == version, case .snapshot? = order?.kind, answered(rank) else { return [] }
        return settledAfterSnapshot(at: now)
    }

    private mutating func settledAfterSnapshot(at now: MonotonicTime) -> [Effect] {
        if case .running = phase { return closeIfComplete(at: now) }
        return []
    }

    mutating func saved(_ version: Version, _ files: [SavedFile], rank: Int, at now: MonotonicTime) -> [Effect] {
        guard saving?.version == version, holders.contains(rank), saving!.files[rank] == nil else { return [] }
        saving!.files[rank] = files
        var effects: [Effect] = []
        if case .snapshot? = order?.kind, answered(rank) { effects += settledAfterSnapshot(at: now) }
        if saving!.files.count == Set(holders).count {
            effects.append(
                .completeCheckpoint(version: version, generation: generation, files: saving!.files))
        }
        return effects
    }

    func canTrySaving(at now: MonotonicTime) -> Bool {
        unsavable.map { now.since($0.last) >= timing.saveRetry } ?? true
    }

    /// A checkpoint cannot be written. What may pass is tried again, from whatever version is then current; training goes
    /// on meanwhile.
    mutating func saveFailed(_ problem: String, mayPass: Bool, at now: MonotonicTime) -> [Effect] {
        let since = unsavable?.since ?? now
        guard mayPass, now.since(since) < timing.unavailable else {
            return end(ExitStatus(code: ExitStatus.failed, text: problem), at: now)
        }
        let isNews = unsavable == nil
        unsavable = (since, now)
        saving = nil
        if case .running = phase { checkpointWanted = true }
        var effects: [Effect] =
            isNews ? [.warn("\(problem); it is tried again for \(timing.unavailable / 1000) s")] : []
        if case .snapshot? = order?.kind { order = nil }
        effects += settledAfterSnapshot(at: now)
        return effects
    }

    mutating func completed(_ reference: CheckpointReference, at now: MonotonicTime) -> [Effect] {
        // One of a former generation, on a slow disk, is not the one that is being saved now.
        guard saving?.version == reference.version, reference.generation == generation else { return [] }
        saving = nil
        unsavable = nil
        checkpoints.removeAll { $0.version >= reference.version }
        checkpoints.append(reference)
        let kept = keptVersions
        checkpoints.removeAll { !kept.contains($0.version) }
        return [.tell("step \(reference.version) is saved")]
            + [.journal(.checkpoint(reference, keeping: checkpoints.dropLast().map(\.version)), sync: true)]
            + evaluateNext(at: now) + closeIfSaved(at: now) + finishIfSaved(at: now)
    }

    /// A step whose close waited for the checkpoint.
    private mutating func closeIfSaved(at now: MonotonicTime) -> [Effect] {
        if case .running = phase { return closeIfComplete(at: now) }
        return []
    }

    /// The newest, those that are yet to be evaluated, the best one, and while gradients are not finite the newest whose
    /// own gradient was.
    private var keptVersions: Set<Version> {
        var kept = Set(checkpoints.suffix(settings.checkpointsKept).map(\.version))
        kept.formUnion(versionsToMeasure)
        if let evaluating { kept.insert(evaluating.version) }
        if settings.evaluation?.keepsBest == true, let best = evaluations.best { kept.insert(best.version) }
        if let proven = provenCheckpoint { kept.insert(proven.version) }
        return kept
    }

    /// The newest checkpoint whose weights led to a finite gradient.
    var provenCheckpoint: CheckpointReference? {
        let firstBad = version.number - UInt64(nonFiniteSteps)
        return checkpoints.last { $0.version.number < firstBad && !skippedSteps.contains($0.version.nextStep) }
    }

    /// The job cannot go on from where it is: it goes back to weights that were sound, so that a person can resume.
    mutating func giveUpOnNonFinite(at now: MonotonicTime) -> [Effect] {
        let count = nonFiniteSteps
        let what =
            "the gradient was not finite in \(count) steps in a row, from step \(version.number - UInt64(count)) on"
        let advice = "lower learningRate.base, or look for bad values in the data"
        guard let base = provenCheckpoint else {
            return finalize(
                ExitStatus(
                    code: ExitStatus.failed,
                    text: "\(what), and no checkpoint is from before: \(advice), and start another run"), at: now)
        }
        let status = ExitStatus(
            code: ExitStatus.failed,
            text: "\(what): the job is back at its checkpoint of step \(base.version), the last that led to a finite "
                + "gradient; \(advice), and go on with psctl train --run-dir \(settings.runDirectory) --resume last "
                + "--set learningRate.base=..." + olderAdvice(than: base))
        goBack(to: base)
        phase = .givingUp(status)
        return [.journal(.rollback(generation: generation, base: base), sync: true)]
    }

    private func olderAdvice(than base: CheckpointReference) -> String {
        let older = checkpoints.filter { $0.version < base.version }
        guard let one = older.last, one.foreign == nil else { return "" }
        return "; if that fails again, with --resume \(settings.runDirectory)/checkpoints/step-\(one.version)"
    }
}
