// Who answers for which shard: the server of its rank, or with replicas the one after it while that is gone.
//
// A generation that goes on from memory begins with the last commit, when no order is out: only the tickets of the open
// step are computed again. A server that is back, or a spare one that takes the seat, follows its shard from whoever
// answers for it, and gets it back between two steps.

import PSMessages
import PSParameters

extension CoordinatorState {
    // MARK: Who holds what

    /// Ranks that have a shard in memory, by plan.
    private func keepers(of shard: Int) -> [Int] {
        let count = holders.count
        return settings.hasReplicas && count > 1 ? [shard, (shard + 1) % count] : [shard]
    }

    /// Who answers for the shards if only these do: who does now, where possible. Nil: a shard has nobody.
    func holders(among ranks: Set<Int>) -> [Int]? {
        let next = holders.enumerated().map { shard, rank in
            ranks.contains(rank) ? rank : keepers(of: shard).first { ranks.contains($0) }
        }
        return next.contains { $0 == nil } ? nil : next.compactMap(\.self)
    }

    /// Whether a shard has no server that answers for it.
    var isUnserved: Bool { !holders.allSatisfy(participants.contains) }

    /// Whether nothing new begins before another generation does.
    var awaitsHandover: Bool { isUnserved || isReturning }

    func slices(heldBy rank: Int) -> [Int] {
        holders.indices.filter { holders[$0] == rank }.flatMap { settings.shardMap.slices(of: $0) }.sorted()
    }

    /// The lowest rank that answers for a shard and is silent or gone.
    var missingHolder: Int? {
        holders.filter { membership.servers[$0]?.state != .up || !participants.contains($0) }.min()
    }

    /// Ranks that have all they are to have in memory.
    private var inStep: Set<Int> { participants.filter { behind[$0] == 0 } }

    /// Whether others can answer for those that are missing.
    var canStandIn: Bool { holders(among: inStep.filter { membership.servers[$0]?.state == .up }) != nil }

    /// Each shard with the server of its rank, where that is in step.
    private var home: [Int] {
        let ranks = inStep
        return holders.enumerated().map { shard, rank in ranks.contains(shard) ? shard : rank }
    }

    /// Whether a server could answer for its own again.
    var canReturn: Bool { settings.hasReplicas && !isUnserved && home != holders }

    func reset(_ rank: Int, _ loading: Loading) -> Reset {
        var reset = Reset(version: version, base: loading.base, rank: rank, servers: holders.count)
        reset.root = loading.isFromMemory ? root : nil
        reset.serves = holders.indices.filter { holders[$0] == rank }
        for shard in holders.indices where keepers(of: shard).contains(rank) {
            if holders[shard] == rank {
                let others = keepers(of: shard).filter { $0 != rank }
                if others.contains(where: inStep.contains) { reset.expects.append(shard) }
            } else if participants.contains(holders[shard]), let server = membership.address(holders[shard]) {
                reset.follows.append(Reset.Followed(shard: shard, server: server))
            }
        }
        return reset
    }

    func replicaStatus(at now: MonotonicTime) -> JobStatus.Replicas? {
        guard settings.hasReplicas else { return nil }
        // While servers load nothing of it is in their memory yet.
        let isServed =
            switch phase {
            case .running, .finalizing: true
            default: false
            }
        let up = inStep.filter {
            isServed && membership.servers[$0]?.state == .up && membership.servers[$0]?.closed == nil
        }
        let held = holders.indices.count { shard in
            keepers(of: shard).contains { $0 != holders[shard] && up.contains($0) }
        }
        return JobStatus.Replicas(
            wanted: holders.count, inStep: held, standingIn: holders.indices.count { holders[$0] != $0 },
            spares: membership.spareCount(within: 3 * timing.retry, at: now))
    }

    // MARK: Who is gone

    /// A server's memory is gone: another process has its seat.
    mutating func lost(_ rank: Int, at now: MonotonicTime) -> [Effect] {
        joining[rank] = nil
        behind[rank] = nil
        return participants.remove(rank) == nil ? [] : standIn(at: now)
    }

    /// A server was to go on from memory, and has not what that takes.
    mutating func memoryGone(_ rank: Int, _ text: String, at now: MonotonicTime) -> [Effect] {
        guard case .loading(let loading) = phase, loading.isFromMemory, participants.contains(rank) else { return [] }
        return [.warn("server \(rank) cannot go on from memory: \(text)")] + lost(rank, at: now)
    }

    /// With replicas nobody waits for a server that is gone, or silent for long, while others have all that it answers for.
    mutating func standInForLost(at now: MonotonicTime) -> [Effect] {
        guard settings.hasReplicas else { return [] }
        switch phase {
        case .running, .finalizing: break
        case .turning(let loading), .loading(let loading): if !loading.isFromMemory { return [] }
        default: return []
        }
        var gone = Set(
            membership.unreachableServers(gone: timing.serverGone, silent: timing.serverSilent, at: now)
        ).intersection(participants)
        if holders(among: inStep.subtracting(gone)) == nil { gone.subtract(holders) }
        if gone.isEmpty { return [] }
        let effects = gone.sorted().compactMap { membership.servers[$0] }.map { server in
            Effect.warn(
                "\(server.name) \(server.state == .down ? "has left" : server.closed == nil ? "is silent" : "is gone")")
        }
        for rank in gone {
            membership.givesUp(rank)
            participants.remove(rank)
            behind[rank] = nil
        }
        return effects + standIn(at: now)
    }

    /// Goes on without those that are no participants any more, or gives shards back to those that are again: as soon as no
    /// commit is out, in a generation that begins with the last one.
    mutating func standIn(at now: MonotonicTime) -> [Effect] {
        switch phase {
        case .turning(let loading), .loading(let loading):
            if isUnserved, !loading.isFromMemory { return gather(at: now) }
        case .running, .finalizing: break
        default: return []
        }
        order?.awaiting.formIntersection(participants)
        var done: Order.Kind?
        if let order, order.awaiting.isEmpty {
            done = order.kind
            self.order = nil
        }
        reconsiderReturn()
        guard awaitsHandover else {
            switch done {
            case .reset?: return allReady(at: now)
            case .commit?: return settled(at: now)
            default: return []
            }
        }
        if case .commit? = order?.kind { return [] }
        guard let next = isReturning ? home : holders(among: participants) else { return gather(at: now) }
        return handOver(to: next, at: now)
    }

    /// The generation after this one goes on from memory, with other servers answering for some shards.
    mutating func handOver(to next: [Int], at now: MonotonicTime) -> [Effect] {
        let moved = next.indices.filter { next[$0] != holders[$0] }
        let away = Set(
            membership.unreachableServers(gone: timing.serverGone, silent: timing.serverSilent, at: now))
        let parts = moved.map { shard in
            away.contains(next[shard])
                ? "only server \(next[shard]), which is gone as well, has the part of server \(shard): it is waited for until "
                    + "another one takes its place"
                : "server \(next[shard]) answers for the part of server \(shard)"
        }
        let news =
            isReturning
            ? Effect.warn(
                "server \(moved.map(String.init).joined(separator: ", ")) is in step and answers for its own part again, from "
                    + "step \(version) on")
            : Effect.warn(
                "\(parts.isEmpty ? "the servers go on" : parts.joined(separator: ", ")) from step \(version) on")
        var loading = Loading()
        loading.isFromMemory = true
        switch phase {
        case .finalizing(let status): loading.ending = status
        case .turning(let former), .loading(let former): loading.ending = former.ending
        default: break
        }
        if saving != nil { checkpointWanted = true }
        generation += 1
        holders = next
        kernelsOfStep = nil
        beginGeneration()
        phase = .turning(loading)
        return [news, .journal(.handover(generation: generation, version: version, holders: holders), sync: true)]
    }

    /// A shard has nobody who has it in memory: once there is a server of every rank, all load a checkpoint.
    private mutating func gather(at now: MonotonicTime) -> [Effect] {
        let rank = holders.first { !participants.contains($0) } ?? 0
        switch phase {
        case .finalizing(let status) where status.code != 0: return [lostCommits(rank)] + end(status, at: now)
        case .turning(let loading), .loading(let loading):
            if let status = loading.ending, status.code != 0 { return [lostCommits(rank)] + end(status, at: now) }
        default: break
        }
        let both =
            settings.hasReplicas
            ? "both servers that had the part of server \(rank) are gone" : "server \(rank) starts with empty memory"
        phase = .gathering
        gathering = now
        participants = []
        order = nil
        closing = nil
        saving = nil
        return [.warn("\(both): the job goes back to its last checkpoint")] + resolveIfGathered(at: now)
    }

    // MARK: Who comes

    /// A server says how many slices of its replicas are behind.
    mutating func follows(_ count: Int, rank: Int, generation: UInt32) -> [Effect] {
        guard generation == self.generation, participants.contains(rank) else { return [] }
        let former = behind.updateValue(count, forKey: rank)
        let shards = holders.indices.filter { keepers(of: $0).contains(rank) && holders[$0] != rank }
        let parts = Set(shards.map { holders[$0] }).sorted().map { "that of server \($0)" }.joined(separator: " and ")
        switch (former, count) {
        case (0, 1...):
            return [
                .warn(
                    "\(membership.servers[rank]!.name) is behind with its replica, \(parts): nobody stands in for it now"
                )
            ]
        case (let former?, 0) where former > 0: return [.tell("server \(rank) has its replicas in step, \(parts)")]
        default: return []
        }
    }

    /// Servers that are no participants are told where the others are and what to follow.
    mutating func admitServers(at now: MonotonicTime) -> [Effect] {
        guard settings.hasReplicas, case .running = phase, !awaitsHandover else { return [] }
        var loading = Loading()
        loading.isFromMemory = true
        return membership.servers.indices.compactMap { rank in
            guard let server = membership.servers[rank], server.state == .up, !participants.contains(rank) else {
                return nil
            }
            if let last = joining[rank], now.since(last) < timing.retry { return nil }
            joining[rank] = now
            return .send(envelope(.reset(reset(rank, loading)), to: server.incarnation))
        }
    }

    /// A server has begun the generation while others are at work; it takes commits from the next one on.
    mutating func joined(_ rank: Int, version: Version, at now: MonotonicTime) -> [Effect] {
        guard case .running = phase, joining[rank] != nil else { return [] }
        guard version == self.version else {
            joining[rank] = nil
            return admitServers(at: now)
        }
        joining[rank] = nil
        participants.insert(rank)
        behind[rank] = .max
        return [.tell("server \(rank) follows the others from step \(version) on")]
    }

    /// Who was to answer for its own part again may have fallen behind since.
    mutating func reconsiderReturn() { isReturning = isReturning && canReturn }

    /// Where no step is under way, nothing is lost by giving shards back at once.
    mutating func returnIfIdle(at now: MonotonicTime) -> [Effect] {
        guard case .running = phase, order == nil, closing == nil, canReturn, sequencer.isUntouched else { return [] }
        isReturning = true
        return standIn(at: now)
    }
}
