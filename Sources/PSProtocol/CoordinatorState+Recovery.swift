// How a job starts, and how it starts again: all servers to one version, then grants.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Once every rank has a server: those that kept their memory go on where they are, else all load one checkpoint. With
    /// replicas a server that is missing is not waited for long, where another has what it held.
    mutating func resolveIfGathered(at now: MonotonicTime) -> [Effect] {
        guard case .gathering = phase else { return [] }
        let isPatient = now.since(gathering) < timing.gathering
        let isComplete =
            membership.missingServer == nil && !(isPatient && membership.mayLackMemory(of: memoryGenerations))
        let memories = membership.memories(of: memoryGenerations)
        let next = holders(among: Set(memories.keys))
        guard isComplete || (settings.hasReplicas && next != nil && !isPatient) else { return [] }
        membership.forgetMemories()
        let journaled = (close: openClose, commit: journaledCommit)
        let counted = journaledContributions
        openClose = nil
        journaledCommit = nil
        journaledContributions = []
        // Who has nothing to answer for may be of an older generation, or have missed commits: it joins like a newcomer.
        participants = Set(memories.keys).intersection(holders)
        let held = memories.filter { holders.contains($0.key) }.values
        guard let next, let oldest = held.map(\.memory.version).min(), let newest = held.map(\.memory.version).max()
        else { return rollBack(at: now) }
        // The record of the last commit may be missing in the journal, since it is not synced; its close is there.
        let last = max(version, newest)
        guard last <= (journaled.close == nil ? version : version.nextStep.after), last <= oldest.nextStep.after else {
            return rollBack(at: now)
        }
        guard held.allSatisfy({ $0.generation == generation }) else {
            // The hand-over was journaled, and some did not hear of it.
            return last == version ? handOver(to: next, at: now) : rollBack(at: now)
        }
        if oldest < last || version < last {
            // The commit was decided, and a server or the journal lacks it. A server that does holds the prepared step.
            let known = [journaled.commit?.commit] + held.map(\.memory.lastCommit)
            guard let commit = known.compactMap(\.self).first(where: { $0.step.after == last }) else {
                return rollBack(at: now)
            }
            let isInJournal = journaled.commit?.commit == commit
            let committed = Replay.Committed(
                // One that is in the journal is in the metrics as well.
                commit: commit, contributions: isInJournal ? [] : journaled.close ?? [],
                norm: isInJournal ? journaled.commit?.norm : nil)
            return run(at: now) + advance(committed, at: now) + assign(at: now)
        }
        if let contributions = journaled.close, !isUnserved {
            // Closed, not committed: the contributions are on the servers, so prepare and commit.
            closing = Closing(contributions: contributions, isDurable: true)
            return run(at: now) + issue(.prepare(contributions.map(\.attempt)), at: now)
        }
        let effects = run(at: now)
        // Which kernels they are of is known once they are pinned.
        if kernels != nil, !isUnserved { sequencer.restore(counted) }
        return effects + settled(at: now) + assign(at: now)
    }

    /// Those whose memory counts.
    private var memoryGenerations: ClosedRange<UInt32> { max(root, 1)...max(generation, root, 1) }

    /// While no server is at work yet.
    func gathering(at now: MonotonicTime) -> Membership.Gathering? {
        guard case .gathering = phase else { return nil }
        let isAwaited = generation > 0 && now.since(gathering) < timing.gathering
        return Membership.Gathering(awaited: isAwaited ? memoryGenerations : nil)
    }

    private mutating func run(at now: MonotonicTime) -> [Effect] {
        phase = .running
        hasRun = true
        isReturning = false
        return [.tell("the servers stand at step \(version), generation \(generation)")]
            + (isUnserved
                ? [] : membership.workersByRank.filter { $0.state == .up }.map { .send(members(to: $0.incarnation)) })
    }

    mutating func rollBack(at now: MonotonicTime) -> [Effect] {
        let base = checkpoints.last
        let lost = version.commits(since: min(version, base?.version ?? 0))
        goBack(to: base)
        phase = .turning(Loading(base: base))
        let record = Effect.journal(.rollback(generation: generation, base: base), sync: true)
        if lost == 0 { return [record] }
        let from = base.map { "the checkpoint of step \($0.version)" } ?? "the beginning"
        return [
            .warn("no server has the last steps any more: \(lost) are computed again, from \(from) on"), record,
        ]
    }

    /// A new generation begins with `base`; what came after it is void.
    mutating func goBack(to base: CheckpointReference?) {
        generation += 1
        root = generation
        holders = Array(membership.servers.indices)
        participants = Set(holders)
        behind = Dictionary(uniqueKeysWithValues: holders.map { ($0, 0) })
        version = base?.version ?? 0
        beginGeneration()
        kernelsOfStep = nil
        unsavable = nil
        commitTimes = []
        lastReport = nil
        PSProtocol.rollBack(&checkpoints, to: base)
        skippedSteps.removeAll { $0.before >= version }
        evaluations.removeAll { $0.version > version }
        // Its checkpoint stands, unless it is of what is void now.
        if let measured = evaluating?.version, measured > version { evaluating = nil }
    }

    /// What was granted, ordered and closed of the former one is void.
    mutating func beginGeneration() {
        sequencer.open(version.nextStep)
        evaluating?.parts.revoke()
        differing = []
        order = nil
        closing = nil
        saving = nil
        joining = [:]
        isReturning = false
    }

    mutating func durable(_ record: JournalRecord, at now: MonotonicTime) -> [Effect] {
        switch record {
        case .rollback(generation, _):
            if case .givingUp(let status) = phase { return end(status, at: now) }
            return begin(at: now)
        case .handover(generation, _, _): return begin(at: now)
        case .step(.closed(version.nextStep, _)):
            closing?.isDurable = true
            return decideIfPossible(at: now)
        case .checkpoint:
            // Not before: until then the journal may need those it names.
            return [.prune(keeping: Set(checkpoints.map(\.version)))]
        case .stopAfter(let version): return stopIsDurable(version, at: now)
        case .finished:
            guard case .finalizing(let status) = phase else { return [] }
            return end(status, at: now)
        case .ended:
            guard case .leaving(let status) = phase else { return [] }
            return exit(status)
        default: return []
        }
    }

    /// The generation is journaled: servers are told to begin it.
    private mutating func begin(at now: MonotonicTime) -> [Effect] {
        guard case .turning(let loading) = phase else { return [] }
        phase = .loading(loading)
        return issue(.reset(loading), at: now)
    }

    mutating func ready(_ rank: Int, version: Version, at now: MonotonicTime) -> [Effect] {
        guard participants.contains(rank) else { return joined(rank, version: version, at: now) }
        guard case .loading(var loading) = phase, version == self.version, case .reset? = order?.kind else { return [] }
        // What could be read by one is there again: the patience for the others begins anew.
        loading.unavailable = nil
        phase = .loading(loading)
        return answered(rank) ? allReady(at: now) : []
    }

    /// Every server has begun the generation.
    mutating func allReady(at now: MonotonicTime) -> [Effect] {
        guard case .loading(let loading) = phase else { return [] }
        let effects = run(at: now)
        if let ending = loading.ending { return effects + finalize(ending, at: now) + assign(at: now) }
        return effects + settled(at: now) + assign(at: now)
    }

    /// A server cannot load the base. What may pass is tried again, as the order is repeated; a checkpoint is given up
    /// only when this process, too, has read it and found it damaged.
    mutating func loadFailed(_ text: String, isDamage: Bool, rank: Int, at now: MonotonicTime) -> [Effect] {
        guard case .loading(var loading) = phase else { return [] }
        let problem = "server \(rank) cannot load \(name(of: loading.base)): \(text)"
        guard let base = loading.base else {
            return end(ExitStatus(code: ExitStatus.failed, text: problem), at: now)
        }
        if isDamage {
            guard !loading.isExamined else { return [] }
            loading.isExamined = true
            phase = .loading(loading)
            return [.examine(base)]
        }
        return unavailable(problem, at: now)
    }

    mutating func examined(
        _ reference: CheckpointReference, _ examination: Examination, at now: MonotonicTime
    ) -> [Effect] {
        guard case .loading(var loading) = phase, loading.base == reference else { return [] }
        loading.isExamined = false
        phase = .loading(loading)
        switch examination {
        case .sound: return unavailable("a server cannot read \(name(of: reference)), which is sound", at: now)
        case .unavailable(let text): return unavailable("cannot load \(name(of: reference)): \(text)", at: now)
        case .damaged(let text):
            let problem = "cannot load \(name(of: reference)): \(text)"
            guard let index = checkpoints.firstIndex(of: reference), index > 0 else {
                return end(ExitStatus(code: ExitStatus.failed, text: problem), at: now)
            }
            checkpoints.removeSubrange(index...)
            return [.warn("\(problem); the one of step \(checkpoints[index - 1].version) is tried")]
                + rollBack(at: now)
        }
    }

    private mutating func unavailable(_ problem: String, at now: MonotonicTime) -> [Effect] {
        guard case .loading(var loading) = phase else { return [] }
        let isNews = loading.unavailable == nil
        loading.unavailable = (loading.unavailable?.since ?? now, problem)
        phase = .loading(loading)
        return isNews ? [.warn("\(problem); it is tried again for \(timing.unavailable / 1000) s")] : []
    }

    /// What cannot be read for so long ends the job, and nothing is written: the checkpoint may be whole.
    mutating func giveUpOnUnavailable(at now: MonotonicTime) -> [Effect] {
        guard case .loading(let loading) = phase, let (since, text) = loading.unavailable,
            now.since(since) >= timing.unavailable
        else { return [] }
        return end(
            ExitStatus(
                code: ExitStatus.failed,
                text: "\(text); nothing was changed: go on with --resume last when it can be read again"), at: now)
    }

    private func name(of base: CheckpointReference?) -> String {
        base.map { "the checkpoint of step \($0.version)" } ?? "the initial values"
    }
}
