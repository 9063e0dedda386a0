// A step: grants, contributions, close, prepare, commit; and the snapshots between two commits.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Grants open tickets, lowest first, to the workers that wanted one first.
    mutating func assign(at now: MonotonicTime) -> [Effect] {
        guard case .running = phase, closing == nil, version < settings.lastVersion else { return [] }
        var effects: [Effect] = []
        while let worker = idle.first, let ticket = ledger.nextOpen {
            idle.removeFirst()
            attempts += 1
            let attempt = Attempt(ticket: ticket, number: term << 40 | attempts)
            ledger.grant(attempt, to: worker)
            if firstGrant == nil { firstGrant = (version, now) }
            effects.append(.send(envelope(.grant(attempt, version: version), to: worker)))
        }
        return effects
    }

    mutating func count(_ contribution: Contribution, worker: Incarnation, at now: MonotonicTime) -> [Effect] {
        guard case .running = phase else { return refuse(worker, .stale, "no step is open") }
        if let closing, closing.attempts.contains(contribution.attempt) {
            return [.send(envelope(.counted(contribution.attempt), to: worker))]
        }
        switch ledger.count(contribution) {
        case .stale: return refuse(worker, .stale, "ticket \(contribution.attempt.ticket) is not open any more")
        case .counted:
            if let rank = workers[worker]?.rank { ticketsByRank[rank, default: 0] += 1 }
        case .known: break
        }
        return [.send(envelope(.counted(contribution.attempt), to: worker))] + closeIfComplete(at: now)
    }

    /// The step's set of contributions is decided once all are counted and the former commit is applied everywhere.
    mutating func closeIfComplete(at now: MonotonicTime) -> [Effect] {
        guard closing == nil, order == nil, ledger.isComplete else { return [] }
        let contributions = ledger.contributions
        let attempts = contributions.map(\.attempt)
        closing = Closing(contributions: contributions, isDurable: false)
        return [.journal(.close(step: version.nextStep, contributions: contributions), sync: true)]
            + issue(.prepare(attempts), at: now)
    }

    mutating func prepared(_ prepared: Prepared, rank: Int, at now: MonotonicTime) -> [Effect] {
        guard closing != nil, prepared.step == version.nextStep, case .prepare? = order?.kind else { return [] }
        closing!.prepared[rank] = prepared
        _ = answered(rank)
        return decideIfPossible(at: now)
    }

    mutating func decideIfPossible(at now: MonotonicTime) -> [Effect] {
        guard let closing, closing.isDurable, order == nil, closing.prepared.count == servers.count else { return [] }
        var norms = [Double](repeating: 0, count: settings.sliceCount)
        for norm in closing.prepared.values.flatMap(\.norms) where norms.indices.contains(norm.slice) {
            norms[norm.slice] = norm.squared
        }
        let clip = settings.rule.clip(norms)
        let isFinite = closing.prepared.values.allSatisfy(\.isFinite) && clip.norm.isFinite
        let step = version.nextStep
        let commit = Commit(
            step: step, scale: isFinite ? clip.scale : 0, learningRate: settings.rule.learningRate(step),
            averageDecay: settings.rule.averageDecay(step), skip: !isFinite)
        self.closing = nil
        var effects = advance(commit, at: now)
        effects.append(.stepDone(report(commit, closing.contributions, norm: clip.norm, at: now)))
        let nonFinite = nonFiniteSteps
        if nonFinite >= settings.nonFiniteLimit {
            return effects
                + finalize(
                    ExitStatus(
                        code: ExitStatus.failed,
                        text:
                            "the gradient was not finite in \(nonFinite) steps in a row: lower learningRate.base, or look "
                            + "for bad values in the data"), at: now)
        }
        return effects + assign(at: now)
    }

    /// Orders the commit and opens the next step at the same time: its pulls wait on the servers.
    mutating func advance(_ commit: Commit, at now: MonotonicTime) -> [Effect] {
        version = commit.step.after
        ledger = Ledger(step: version.nextStep, shape: settings.stepShape)
        if commit.skip, skippedSteps.last != commit.step { skippedSteps.append(commit.step) }
        return [.journal(.commit(commit), sync: false)] + issue(.commit(commit), at: now)
    }

    /// The last steps in a row whose gradient was not finite.
    var nonFiniteSteps: Int {
        var count = 0
        var expected = version
        for step in skippedSteps.reversed() {
            guard step.after == expected else { break }
            expected = step.before
            count += 1
        }
        return count
    }

    private mutating func report(
        _ commit: Commit, _ contributions: [Contribution], norm: Double, at now: MonotonicTime
    ) -> StepReport {
        lastCommit = now
        commitTimes.append((version, now))
        if commitTimes.count > 20 { commitTimes.removeFirst() }
        let images = max(1, contributions.reduce(0) { $0 + $1.samples })
        let loss = contributions.reduce(0) { $0 + $1.loss } / Double(max(1, contributions.count))
        let report = StepReport(
            version: version, epoch: Double(version.number) / settings.stepsPerEpoch,
            elapsedSeconds: firstGrant.map { Double(now.since($0.at)) / 1000 } ?? 0,
            loss: loss.isFinite ? loss : nil,
            accuracy: Double(contributions.reduce(0) { $0 + $1.correct }) / Double(images),
            learningRate: Double(commit.learningRate), gradientNorm: norm.isFinite ? norm : nil,
            clipScale: Double(commit.scale), imagesPerSecond: imagesPerSecond(at: now), skipped: commit.skip)
        lastReport = report
        return report
    }

    /// Over the last commits; 0 when nothing was committed for long.
    func imagesPerSecond(at now: MonotonicTime) -> Double {
        let start = commitTimes.count > 1 ? commitTimes[0] : firstGrant
        guard let start, let end = commitTimes.last, end.at > start.at, end.version > start.version else { return 0 }
        let span = Double(max(end.at.since(start.at), now.since(end.at))) / 1000
        let imagesPerStep = settings.stepShape.ticketsPerStep * settings.samplesPerTicket
        return Double(end.version.commits(since: start.version) * UInt64(imagesPerStep)) / span
    }

    mutating func applied(_ step: Step, rank: Int, at now: MonotonicTime) -> [Effect] {
        guard case .commit(let commit)? = order?.kind, commit.step == step, answered(rank) else { return [] }
        return settled(at: now)
    }

    /// Every server stands at `version` and no order is out.
    mutating func settled(at now: MonotonicTime) -> [Effect] {
        if case .running = phase {
            if version >= settings.lastVersion { return finalize(ExitStatus(code: 0, text: ""), at: now) }
            if let stopAfter, version >= stopAfter {
                return finalize(
                    ExitStatus(code: ExitStatus.preempted, text: "stopped after step \(version) as asked"), at: now)
            }
            return takeSnapshotIfDue(at: now) + closeIfComplete(at: now)
        }
        return finishIfSaved(at: now)
    }

    // MARK: Snapshots

    private var lastCheckpoint: Version? { checkpoints.last?.version }

    mutating func takeSnapshotIfDue(at now: MonotonicTime) -> [Effect] {
        guard order == nil, closing == nil, saving == nil, case .running = phase else { return [] }
        let every = settings.checkpointEverySteps
        let isDue =
            lastCheckpoint == nil || checkpointWanted
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
        guard let server = servers[rank] else { return [] }
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
        guard saving?.version == version, saving!.files[rank] == nil else { return [] }
        saving!.files[rank] = files
        var effects: [Effect] = []
        if case .snapshot? = order?.kind, answered(rank) { effects += settledAfterSnapshot(at: now) }
        if saving!.files.count == servers.count {
            effects.append(
                .completeCheckpoint(version: version, generation: generation, files: saving!.files))
        }
        return effects
    }

    mutating func completed(_ reference: CheckpointReference, at now: MonotonicTime) -> [Effect] {
        guard saving?.version == reference.version else { return [] }
        saving = nil
        checkpoints.removeAll { $0.version >= reference.version }
        checkpoints.append(reference)
        return [.journal(.checkpoint(reference), sync: true)] + finishIfSaved(at: now)
    }
}
