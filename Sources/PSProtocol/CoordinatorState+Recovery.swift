// How a job starts, and how it starts again: all servers to one version, then grants.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Every rank has a server. Those that kept their memory go on where they are; else all load one checkpoint.
    mutating func resolve(at now: MonotonicTime) -> [Effect] {
        guard resumeFrom == nil, let memories = intactMemories, let newest = memories.map(\.version).max(),
            let oldest = memories.map(\.version).min()
        else { return rollBack(at: now) }
        // The journal may lack the last commit's record, which is not synced.
        let possible = openClose == nil ? version...version : version...version + 1
        guard possible.contains(newest), newest - oldest <= 1 else { return rollBack(at: now) }
        phase = .running
        hasRun = true
        var effects = announceMembers()
        if newest > oldest {
            guard let commit = memories.first(where: { $0.version == newest })?.lastCommit else {
                return rollBack(at: now)
            }
            openClose = nil
            return effects + advance(commit, at: now)
        }
        if let attempts = openClose, newest == version {
            // Closed, not committed: the contributions are on the servers, so prepare and commit again.
            openClose = nil
            ledger = Ledger(step: version, ticketsPerStep: settings.ticketsPerStep)
            closing = Closing(attempts: attempts, isDurable: true, contributions: [])
            return effects + issue(.prepare(attempts), at: now)
        }
        openClose = nil
        version = newest
        ledger = Ledger(step: version, ticketsPerStep: settings.ticketsPerStep)
        effects += settled(at: now)
        return effects + assign(at: now)
    }

    /// What the servers hold, if all hold this generation.
    private var intactMemories: [Hello.Memory]? {
        let memories = servers.compactMap { server -> Hello.Memory? in
            guard let server, server.helloGeneration == generation, generation > 0 else { return nil }
            return server.hello.memory
        }
        return memories.count == servers.count ? memories : nil
    }

    private mutating func rollBack(at now: MonotonicTime) -> [Effect] {
        let base = resumeFrom ?? checkpoints.last
        generation += 1
        version = base?.version ?? 0
        openClose = nil
        ledger = Ledger(step: version, ticketsPerStep: settings.ticketsPerStep)
        closing = nil
        order = nil
        saving = nil
        commitTimes = []
        checkpoints.removeAll { $0.version > version }
        phase = .rollingBack(base: base)
        return [.journal(.rollback(generation: generation, base: version), sync: true)]
    }

    mutating func durable(_ record: JournalRecord, at now: MonotonicTime) -> [Effect] {
        switch record {
        case .rollback(generation, _):
            guard case .rollingBack(let base) = phase else { return [] }
            phase = .loading(base: base)
            return issue(.reset(base), at: now)
        case .close(version, _):
            closing?.isDurable = true
            return decideIfPossible(at: now)
        case .finished:
            guard case .finalizing(let status) = phase else { return [] }
            return end(status, at: now)
        default: return []
        }
    }

    mutating func ready(_ rank: Int, version: UInt64, at now: MonotonicTime) -> [Effect] {
        guard case .loading = phase, version == self.version, case .reset? = order?.kind, answered(rank) else {
            return []
        }
        phase = .running
        resumeFrom = nil
        hasRun = true
        return announceMembers() + settled(at: now) + assign(at: now)
    }

    private func announceMembers() -> [Effect] {
        workers.values.filter { $0.state == .up }.sorted { $0.rank < $1.rank }
            .map { .send(members(to: $0.incarnation)) }
    }

    mutating func loadFailed(_ text: String, rank: Int, at now: MonotonicTime) -> [Effect] {
        guard case .loading(let base?) = phase else { return [] }
        let problem = "server \(rank) cannot load the checkpoint of step \(base.version): \(text)"
        guard resumeFrom == nil, let index = checkpoints.firstIndex(of: base), index > 0 else {
            return end(ExitStatus(code: ExitStatus.failed, text: problem), at: now)
        }
        checkpoints.removeSubrange(index...)
        return [.warn("\(problem); the one of step \(checkpoints[index - 1].version) is tried")] + rollBack(at: now)
    }
}
