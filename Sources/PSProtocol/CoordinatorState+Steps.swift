// A step: grants, contributions, close, prepare, commit; and the snapshots between two commits.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Grants open tickets and parts of an evaluation, lowest first, to the workers that wanted one first.
    mutating func assign(at now: MonotonicTime) -> [Effect] {
        guard isGranting else { return [] }
        var effects: [Effect] = []
        let idle = sequencer.takeIdle()
        for worker in idle {
            switch kernelChoice(for: worker, at: now) {
            case .fit: break
            case .wait:
                sequencer.wants(worker)
                continue
            case .others:
                // What those before pushed has other bits, and no step was closed with it: from the start, then.
                for worker in idle { sequencer.wants(worker) }
                return effects + [.warn("the first step is begun anew with the kernels of \(name(of: worker))")]
                    + rollBack(at: now)
            }
            let offer = offer(to: worker, at: now)
            if let part = part(for: worker, insteadOfTicket: isTraining && sequencer.hasOpen, at: now) {
                effects.append(grantPart(part, to: worker, at: now))
            } else if let offer {
                if let copy = offer.copyOf { effects.append(told(of: copy, offer.ticket, worker, at: now)) }
                if let former = offer.formerHolder {
                    effects.append(.tell("\(former) is gone: its ticket \(offer.ticket) goes to \(name(of: worker))"))
                }
                effects += grantTicket(offer.ticket, to: worker, at: now)
            } else {
                sequencer.wants(worker)
            }
        }
        return effects
    }

    private enum KernelChoice { case fit, wait, others }

    /// The first step that is closed fixes the job's kernels. Until then whoever came first computes, unless it is gone or
    /// is never done.
    private mutating func kernelChoice(for worker: Incarnation, at now: MonotonicTime) -> KernelChoice {
        guard kernels == nil, let hello = membership.worker(worker)?.hello else { return .fit }
        let own = Replay.Kernels(core: hello.kernelCore, hash: hello.kernelHash)
        guard let others = kernelsOfStep, others.hash != own.hash else {
            kernelsOfStep = kernelsOfStep ?? own
            return .fit
        }
        let areAtWork =
            membership.workersByRank.contains { $0.state == .up && $0.hello.kernelHash == others.hash }
            && sequencer.overdue(for: worker, at: now)?.copyOf?.isDoubted ?? true
        return areAtWork ? .wait : .others
    }

    private func name(of worker: Incarnation) -> String { membership.worker(worker)?.name ?? "another worker" }

    func offer(to worker: Incarnation, at now: MonotonicTime) -> Sequencer.Offer? {
        isTraining ? sequencer.offer(to: worker, at: now) : nil
    }

    private mutating func grantTicket(_ ticket: Ticket, to worker: Incarnation, at now: MonotonicTime) -> [Effect] {
        attempts += 1
        let attempt = Attempt(ticket: ticket, number: term << 40 | attempts)
        tickets.granted += 1
        if sequencer.grant(attempt, to: worker, at: now) { copies.granted += 1 }
        measuredLast.remove(worker)
        let grant = [
            Effect.journal(.step(.granted(attempt, worker: worker)), sync: false),
            .send(envelope(.grant(attempt, version: version), to: worker)),
        ]
        if firstGrant != nil { return grant }
        firstGrant = (version, now)
        return grant + [.tell("the first ticket, \(ticket), is granted to \(name(of: worker))")]
    }

    private func told(
        of copy: Sequencer.Offer.Copy, _ ticket: Ticket, _ worker: Incarnation, at now: MonotonicTime
    ) -> Effect {
        let holder = name(of: copy.holder)
        if copy.isDoubted {
            return .tell("\(holder) has no connection: \(name(of: worker)) computes its ticket \(ticket)")
        }
        let seconds = Double(now.since(copy.since) / 100) / 10
        return .warn("\(holder) has had ticket \(ticket) for \(seconds) s: \(name(of: worker)) computes it as well")
    }

    /// Whether anything is given to workers.
    var isGranting: Bool {
        if case .running = phase, !hasEnoughWorkers { return false }
        return isServing
    }

    /// Whether the servers of the generation are there for workers.
    var isServing: Bool {
        switch phase {
        case .running: !awaitsHandover
        case .finalizing: evaluating != nil && !awaitsHandover
        default: false
        }
    }

    var hasEnoughWorkers: Bool { membership.workerCount >= settings.fewestWorkers }

    private var isTraining: Bool {
        guard case .running = phase else { return false }
        return closing == nil && version < settings.lastVersion
    }

    mutating func count(_ contribution: Contribution, worker: Incarnation, at now: MonotonicTime) -> [Effect] {
        guard case .running = phase else { return refuse(worker, .stale, "no step is open") }
        guard contribution.samples == settings.samplesPerTicket else {
            return refuse(
                worker, .malformed,
                "a ticket has \(settings.samplesPerTicket) samples, its contribution \(contribution.samples)")
        }
        if let closing, closing.attempts.contains(contribution.attempt) {
            return [.send(envelope(.counted(contribution.attempt), to: worker))]
        }
        switch sequencer.count(contribution, at: now) {
        case .stale: return refuse(worker, .stale, "ticket \(contribution.attempt.ticket) is not open any more")
        case .counted(let isInVain):
            tickets.counted += 1
            if isInVain { copies.inVain += 1 }
            if let rank = membership.worker(worker)?.rank { ticketsByRank[rank, default: 0] += 1 }
        case .known: return [.send(envelope(.counted(contribution.attempt), to: worker))] + closeIfComplete(at: now)
        }
        // Not synchronized: what gets lost is computed again.
        return [
            .journal(.step(.counted(contribution, worker: worker)), sync: false),
            .send(envelope(.counted(contribution.attempt), to: worker)),
        ] + closeIfComplete(at: now)
    }

    /// The step's set of contributions is decided once all are counted and the former commit is applied everywhere.
    mutating func closeIfComplete(at now: MonotonicTime) -> [Effect] {
        guard closing == nil, order == nil, !isUnserved, let contributions = sequencer.full, !waitsForEvaluation else {
            return []
        }
        let attempts = contributions.map(\.attempt)
        closing = Closing(contributions: contributions, isDurable: false)
        var effects: [Effect] = []
        if kernels == nil, let pinned = kernelsOfStep {
            kernels = pinned
            effects.append(.journal(.kernels(core: pinned.core, hash: pinned.hash), sync: false))
        }
        return effects + [.journal(.step(.closed(version.nextStep, attempts: attempts)), sync: true)]
            + issue(.prepare(attempts), at: now)
    }

    mutating func prepared(_ prepared: Prepared, rank: Int, at now: MonotonicTime) -> [Effect] {
        guard closing != nil, holders.contains(rank), prepared.step == version.nextStep, case .prepare? = order?.kind
        else { return [] }
        guard prepared.norms.map(\.slice).sorted() == slices(heldBy: rank) else {
            return refuse(
                membership.servers[rank]!.incarnation, .malformed,
                "the norms of step \(prepared.step) are not of its slices")
        }
        closing!.prepared[rank] = prepared
        _ = answered(rank)
        return decideIfPossible(at: now)
    }

    mutating func decideIfPossible(at now: MonotonicTime) -> [Effect] {
        guard let closing, closing.isDurable, order == nil, closing.prepared.count == Set(holders).count else {
            return []
        }
        var norms = [Double](repeating: 0, count: settings.shardMap.serverOfSlice.count)
        for norm in closing.prepared.values.flatMap(\.norms) { norms[norm.slice] = norm.squared }
        let clip = settings.rule.clip(norms)
        let isFinite = closing.prepared.values.allSatisfy(\.isFinite) && clip.norm.isFinite
        let step = version.nextStep
        let commit = Commit(
            step: step, scale: isFinite ? clip.scale : 0, learningRate: settings.rule.learningRate(step),
            averageDecay: settings.rule.averageDecay(step), skip: !isFinite)
        self.closing = nil
        isReturning = canReturn
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
        differing = []
        sequencer.open(version.nextStep)
        if commit.skip, skippedSteps.last != commit.step { skippedSteps.append(commit.step) }
        effects.append(.journal(.step(.committed(commit, norm: committed.norm)), sync: false))
        if !committed.contributions.isEmpty { effects.append(.stepDone(report(committed, at: now))) }
        return effects + issue(.commit(commit), at: now)
    }

    /// A server was sent a ticket twice with other values: people are told who sent them, once a ticket.
    mutating func differs(_ difference: Difference, rank: Int) -> [Effect] {
        let step = settings.stepShape.step(of: difference.ticket)
        guard step == version.nextStep || step.after == version, differing.insert(difference.ticket).inserted else {
            return []
        }
        differingCount += 1
        let who =
            difference.first == difference.second
            ? "both times from \(name(of: difference.first))"
            : "from \(name(of: difference.first)), whose values count, and from \(name(of: difference.second))"
        return [
            .warn(
                "ticket \(difference.ticket) came to server \(rank) twice with other values (slice \(difference.slice)): "
                    + "\(who); one of them computed wrongly: check the memory and the processor of its machine")
        ]
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
        reconsiderReturn()
        if awaitsHandover { return standIn(at: now) }
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
