// How a job starts, and how it starts again: all servers to one version, then grants.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Once every rank has a server: those that kept their memory go on where they are, else all load one checkpoint.
    mutating func resolveIfGathered(at now: MonotonicTime) -> [Effect] {
        guard case .gathering = phase, missingServer == nil else { return [] }
        let memories = takeMemories()
        let journaled = (close: openClose, commit: journaledCommit)
        openClose = nil
        journaledCommit = nil
        guard let memories, let oldest = memories.map(\.version).min(),
            let newest = memories.map(\.version).max()
        else { return rollBack(at: now) }
        // The record of the last commit may be missing in the journal, since it is not synced; its close is there.
        let last = max(version, newest)
        guard last <= (journaled.close == nil ? version : version.nextStep.after), last <= oldest.nextStep.after else {
            return rollBack(at: now)
        }
        if oldest < last || version < last {
            // The commit was decided, and a server or the journal lacks it. A server that does holds the prepared step.
            let known = [journaled.commit] + memories.map(\.lastCommit)
            guard let commit = known.compactMap(\.self).first(where: { $0.step.after == last }) else {
                return rollBack(at: now)
            }
            return run(at: now) + advance(commit, at: now) + assign(at: now)
        }
        if let contributions = journaled.close {
            // Closed, not committed: the contributions are on the servers, so prepare and commit.
            closing = Closing(contributions: contributions, isDurable: true)
            return run(at: now) + issue(.prepare(contributions.map(\.attempt)), at: now)
        }
        return run(at: now) + settled(at: now) + assign(at: now)
    }

    /// What the servers held when they said hello, if all hold this generation. It is true only once.
    private mutating func takeMemories() -> [Hello.Memory]? {
        let memories = servers.compactMap { server in
            server.flatMap { $0.helloGeneration == generation && generation > 0 ? $0.hello.memory : nil }
        }
        for rank in servers.indices { servers[rank]!.hello.memory = nil }
        return memories.count == servers.count ? memories : nil
    }

    private mutating func run(at now: MonotonicTime) -> [Effect] {
        phase = .running
        hasRun = true
        return workersByRank.filter { $0.state == .up }.map { .send(members(to: $0.incarnation)) }
    }

    private mutating func rollBack(at now: MonotonicTime) -> [Effect] {
        let base = checkpoints.last
        generation += 1
        version = base?.version ?? 0
        ledger = Ledger(step: version.nextStep, shape: settings.stepShape)
        order = nil
        commitTimes = []
        PSProtocol.rollBack(&checkpoints, to: base)
        skippedSteps.removeAll { $0.before >= version }
        phase = .rollingBack(base: base)
        return [.journal(.rollback(generation: generation, base: base), sync: true)]
    }

    mutating func durable(_ record: JournalRecord, at now: MonotonicTime) -> [Effect] {
        switch record {
        case .rollback(generation, _):
            guard case .rollingBack(let base) = phase else { return [] }
            phase = .loading(base: base)
            return issue(.reset(base), at: now)
        case .close(version.nextStep, _):
            closing?.isDurable = true
            return decideIfPossible(at: now)
        case .finished:
            guard case .finalizing(let status) = phase else { return [] }
            return end(status, at: now)
        default: return []
        }
    }

    mutating func ready(_ rank: Int, version: Version, at now: MonotonicTime) -> [Effect] {
        guard case .loading = phase, version == self.version, case .reset? = order?.kind, answered(rank) else {
            return []
        }
        return run(at: now) + settled(at: now) + assign(at: now)
    }

    mutating func loadFailed(_ text: String, rank: Int, at now: MonotonicTime) -> [Effect] {
        guard case .loading(let base) = phase else { return [] }
        let what = base.map { "the checkpoint of step \($0.version)" } ?? "the initial values"
        let problem = "server \(rank) cannot load \(what): \(text)"
        guard let base, let index = checkpoints.firstIndex(of: base), index > 0 else {
            return end(ExitStatus(code: ExitStatus.failed, text: problem), at: now)
        }
        checkpoints.removeSubrange(index...)
        return [.warn("\(problem); the one of step \(checkpoints[index - 1].version) is tried")] + rollBack(at: now)
    }
}
