// What a server does when the coordinator orders it: load, prepare, commit, snapshot. Every order may come twice.

import PSMessages
import PSParameters

extension ServerState {
    mutating func reset(_ reset: Reset, generation: UInt32) -> [Effect] {
        guard let layout else {
            earlyReset = (reset, generation)
            return []
        }
        if generation == self.generation, phase == .ready {
            return [.sendToCoordinator(envelope(.ready(version: version)))]
        }
        // The same generation again after a failed load is another try.
        guard generation > self.generation || (generation == self.generation && phase == .waiting) else { return [] }
        self.generation = generation
        return begin(reset, layout: layout)
    }

    mutating func begin(_ reset: Reset, layout: ParameterLayout) -> [Effect] {
        phase = .loading(reset)
        version = reset.version
        session.takeRank(reset.rank)
        owned = ShardMap(layout: layout, serverCount: reset.servers).slices(of: reset.rank)
        buffer = stepShape.map { shape in
            GradientBuffer(
                version.nextStep, ticketsPerStep: shape.ticketsPerStep, capacity: bufferBytes,
                byteCounts: Dictionary(uniqueKeysWithValues: owned.map { ($0, layout.slices[$0].byteCount) }))
        }
        pendingPrepare = nil
        lastCommit = nil
        committing = nil
        published = [:]
        parked = [:]
        saving = nil
        saveReply = nil
        return [.dropValues, .load(generation: generation, reset, slices: owned)]
    }

    /// Answers a prepare once every slice has every contribution.
    mutating func answerPrepare() -> [Effect] {
        guard pendingPrepare != nil, let prepared = buffer?.prepared else { return [] }
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

    mutating func updated(_ slice: Int) -> [Effect] {
        guard let commit = committing else { return [] }
        published[slice] = commit.step.after
        updatesLeft -= 1
        return serveParked(slice) + (updatesLeft == 0 ? finishCommit(commit) : [])
    }

    mutating func finishCommit(_ commit: Commit) -> [Effect] {
        version = commit.step.after
        lastCommit = commit
        committing = nil
        buffer = buffer?.next()
        pendingPrepare = nil
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
        return [.save(generation: generation, version: version), acknowledge]
    }

    mutating func saveEnded(_ reply: Message, version: Version) -> [Effect] {
        saving = nil
        // What may pass is tried again when the order comes again.
        if case .failed(_, _, .saveUnavailable) = reply { saveReply = nil } else { saveReply = (version, reply) }
        return [.sendToCoordinator(envelope(reply))]
    }
}
