// A step: grants, contributions, close, prepare, commit; and the snapshots between two commits.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Grants open tickets and parts of an evaluation, lowest first, to the workers that wanted one first.
    mutating func assign(at now: MonotonicTime) -> [Effect] {
        guard isGranting else { return [] }
        var effects: [Effect] = []
        while let worker = idle.first {
            let ticket = isTraining ? ledger.nextOpen : nil
            if let part = part(for: worker, instead: ticket) {
                effects.append(grantPart(part, to: worker))
            } else if let ticket {
                attempts += 1
                let attempt = Attempt(ticket: ticket, number: term << 40 | attempts)
                ledger.grant(attempt, to: worker)
                measuredLast.remove(worker)
                if firstGrant == nil { firstGrant = (version, now) }
                effects.append(.send(envelope(.grant(attempt, version: version), to: worker)))
            } else {
                break
            }
            idle.removeFirst()
        }
        return effects
    }

    /// Whether anything is given to workers.
    var isGranting: Bool {
        switch phase {
        case .running: true
        case .finalizing: evaluating != nil
        default: false
        }
    }

    private var isTraining: Bool {
        guard case .running = phase else { return false }
        return closing == nil && version < settings.lastVersion
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
        guard closing == nil, order == nil, ledger.isComplete, !waitsForEvaluation else { return [] }
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
        let effects = advance(
            Replay.Committed(commit: commit, contributions: closing.contributions, norm: clip.norm), at: now)
        if nonFiniteSteps >= settings.nonFiniteLimit { return effects + giveUpOnNonFinite(at: now) }
        return effects + assign(at: now)
    }

    /// Orders the commit and opens the next step at the same time: its pulls wait on the servers.
    mutating func advance(_ committed: Replay.Committed, at now: MonotonicTime) -> [Effect] {
        let commit = committed.commit
        var effects = leftOut(version)
        version = commit.step.after
        ledger = Ledger(step: version.nextStep, shape: settings.stepShape)
        if commit.skip, skippedSteps.last != commit.step { skippedSteps.append(commit.step) }
        effects.append(.journal(.commit(commit, norm: committed.norm), sync: false))
        if !committed.contributions.isEmpty { effects.append(.stepDone(report(committed, at: now))) }
        return effects + issue(.commit(commit), at: now)
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

    private mutating func report(_ committed: Replay.Committed, at now: MonotonicTime) -> StepReport {
        lastCommit = now
        commitTimes.append((version, now))
        if commitTimes.count > 20 { commitTimes.removeFirst() }
        let report = StepReport(
            committed.commit, committed.contributions, norm: committed.norm, stepsPerEpoch: settings.stepsPerEpoch,
            elapsedSeconds: firstGrant.map { Double(now.since($0.at)) / 1000 } ?? 0,
            imagesPerSecond: imagesPerSecond(at: now))
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
                // Still on its way to the journal, it may have been meant for the step before: "stop now".
                let text = waitingForStop.isEmpty ? "stopped after step \(version) as asked" : Self.stoppedOnRequest
                return finalize(ExitStatus(code: ExitStatus.preempted, text: text), at: now)
            }
            if let text = earlyEnd { return [.warn(text)] + finalize(ExitStatus(code: 0, text: text), at: now) }
            return evaluateNext(at: now) + takeSnapshotIfDue(at: now) + closeIfComplete(at: now)
        }
        return finishIfSaved(at: now)
    }
}
