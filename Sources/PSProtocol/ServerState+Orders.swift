// What a server does when the coordinator orders it: load, prepare, commit, snapshot. Every order may come twice.

import PSMessages
import PSParameters

extension ServerState {
    mutating func reset(_ reset: Reset, generation: UInt32, at now: MonotonicTime) -> [Effect] {
        guard let layout else {
            earlyReset = (reset, generation)
            return []
        }
        if generation == self.generation, phase == .ready {
            // Who serves nothing may be told to go on from where the others are by now.
            guard reset.root != nil, owned.isEmpty, reset.version > version else {
                return [.sendToCoordinator(envelope(.ready(version: version)))]
            }
        } else {
            // The same generation again after a failed load is another try.
            guard generation > self.generation || (generation == self.generation && phase == .waiting) else {
                return []
            }
        }
        guard let root = reset.root else { return begin(reset, generation, layout) }
        // The memory is whole when the updates under way are done.
        guard committing == nil else {
            earlyReset = (reset, generation)
            return []
        }
        return goOn(reset, generation, layout, since: root, at: now)
    }

    private mutating func begin(_ reset: Reset, _ generation: UInt32, _ layout: ParameterLayout) -> [Effect] {
        self.generation = generation
        phase = .loading(reset)
        take(reset, layout)
        memoryNumber += 1
        replicas.clear()
        lastCommit = nil
        published = [:]
        let followed = reset.follows.flatMap {
            ShardMap(layout: layout, serverCount: reset.servers).slices(of: $0.shard)
        }
        return [
            .dropValues(keeping: []), .load(generation: generation, reset, slices: (owned + followed).sorted()),
        ]
    }

    /// What begins anew with a generation, whatever is in memory.
    mutating func take(_ reset: Reset, _ layout: ParameterLayout) {
        version = reset.version
        session.takeRank(reset.rank)
        let map = ShardMap(layout: layout, serverCount: reset.servers)
        serves = reset.serves
        shardCount = reset.servers
        owned = reset.serves.flatMap { map.slices(of: $0) }.sorted()
        buffer = stepShape.map { shape in
            GradientBuffer(
                version.nextStep, ticketsPerStep: shape.ticketsPerStep, capacity: bufferBytes,
                byteCounts: Dictionary(uniqueKeysWithValues: owned.map { ($0, layout.slices[$0].byteCount) }))
        }
        followers = Followers(expecting: Set(reset.expects.flatMap { map.slices(of: $0) }))
        pendingPrepare = nil
        committing = nil
        parked = [:]
        saving = nil
        saveReply = nil
    }

    /// Answers a prepare once every slice has every contribution.
    mutating func answerPrepare() -> [Effect] {
        guard pendingPrepare != nil, let prepared = buffer?.prepared, followers.lacking(version).isEmpty else {
            return []
        }
        return [.sendToCoordinator(envelope(.prepared(prepared)))]
    }

    mutating func commit(_ commit: Commit) -> [Effect] {
        if commit.step < version.nextStep {
            if commit.step.after == version, let lastCommit, commit != lastCommit {
                return leave(
                    "step \(commit.step) was committed here with other numbers than the coordinator's: start this server anew"
                )
            }
            return [.sendToCoordinator(envelope(.applied(step: commit.step)))]
        }
        guard commit.step == version.nextStep, committing == nil, buffer?.isFull ?? false else { return [] }
        committing = commit
        updatesLeft = owned.count
        if owned.isEmpty { return finishCommit(commit) }
        return owned.map { .update(generation: generation, slice: $0, commit) }
    }

    mutating func updated(_ slice: Int, at now: MonotonicTime) -> [Effect] {
        guard let commit = committing else { return [] }
        published[slice] = commit.step.after
        updatesLeft -= 1
        guard updatesLeft == 0 else { return serveParked(slice) }
        let effects = serveParked(slice) + finishCommit(commit)
        guard let early = earlyReset else { return effects }
        earlyReset = nil
        return effects + reset(early.reset, generation: early.generation, at: now)
    }

    mutating func finishCommit(_ commit: Commit) -> [Effect] {
        version = commit.step.after
        lastCommit = commit
        committing = nil
        buffer = buffer?.next()
        pendingPrepare = nil
        followers.waitsNoMore()
        let applied = Effect.sendToCoordinator(envelope(.applied(step: commit.step)))
        return [applied] + owned.flatMap { askAgain($0) }
    }

    mutating func snapshot(_ version: Version) -> [Effect] {
        if let saveReply, saveReply.version == version { return [.sendToCoordinator(envelope(saveReply.message))] }
        let acknowledge = Effect.sendToCoordinator(envelope(.snapshotting(version: version)))
        if saving == version { return [acknowledge] }
        guard version == self.version, committing == nil, saving == nil else {
            return [
                .sendToCoordinator(
                    envelope(.refusal(Refusal(.stale, "version \(self.version) is here, not \(version)"))))
            ]
        }
        saving = version
        return [.save(generation: generation, version: version, shards: slicesByShard), acknowledge]
    }

    private var slicesByShard: [Int: [Int]] {
        guard let layout else { return [:] }
        let map = ShardMap(layout: layout, serverCount: shardCount)
        return Dictionary(uniqueKeysWithValues: serves.map { ($0, map.slices(of: $0)) })
    }

    mutating func saveEnded(_ reply: Message, version: Version) -> [Effect] {
        saving = nil
        // What may pass is tried again when the order comes again.
        if case .failed(_, _, .saveUnavailable) = reply { saveReply = nil } else { saveReply = (version, reply) }
        return [.sendToCoordinator(envelope(reply))]
    }
}
