// Both sides of replicas on a server: whoever follows what is held here is sent its state and the sums of the steps; what
// is followed elsewhere is kept up with the commits, and served when its holder is gone.

import PSMessages
import PSParameters
import PSProofs

extension ServerState {
    // MARK: The holder

    mutating func followed(_ progress: [Progress], by follower: Incarnation) -> [Effect] {
        if let unknown = progress.first(where: { published[$0.slice] == nil }) {
            return refuse(follower, .malformed, "slice \(unknown.slice) is not held here")
        }
        let current = committing?.step.after ?? version
        var effects: [Effect] = []
        for one in progress {
            followers.take(one, from: follower)
            if let reaches = one.reaches, reaches >= current {
                effects += sendSum(one.slice)
            } else {
                let header = SliceHeader(index: one.slice, version: current)
                effects.append(.sendState(to: follower, toFollower(follower, header, .weights), header))
            }
        }
        return effects + answerPrepareIfComplete()
    }

    /// Sends the sum of the open step to who keeps a replica of the slice.
    func sendSum(_ slice: Int) -> [Effect] {
        guard committing == nil, buffer?.isFinished(slice) ?? false,
            let follower = followers.wanting(slice, from: version)
        else { return [] }
        let header = SliceHeader(index: slice, version: version.nextStep.after)
        return [.sendSum(to: follower, toFollower(follower, header, .sum), slice: slice)]
    }

    private func toFollower(_ follower: Incarnation, _ header: SliceHeader, _ content: ReplicaContent) -> Envelope {
        var envelope = to(follower, .replica(header, content, remaining: 0))
        if let grantKey { envelope.proof = grantKey.peer(from: incarnation, to: follower, generation: generation) }
        return envelope
    }

    /// A replica that does not get on must not hold up the job: it begins anew when it can.
    mutating func giveUpFollowers(at now: MonotonicTime) -> [Effect] {
        guard pendingPrepare != nil, committing == nil, buffer?.isFull ?? false else { return [] }
        let late = followers.giveUp(version, after: timing.follower, at: now)
        guard !late.isEmpty, let layout else { return [] }
        let map = ShardMap(layout: layout, serverCount: shardCount)
        let ranks = Set(
            late.map { map.serverOfSlice[$0] }.map { $0 == session.hello.rank ? ($0 + 1) % shardCount : $0 })
        let names = ranks.sorted().map { "server \($0)" }.joined(separator: ", ")
        let warning =
            "\(names) has not taken step \(version.nextStep) of \(late.count) slices for \(timing.follower / 1000) s: server "
            + "\(session.hello.rank ?? 0) goes on without its replica until it is level again"
        return [.warn(warning)] + answerPrepareIfComplete()
    }

    // MARK: The follower

    mutating func askSources(at now: MonotonicTime) -> [Effect] {
        guard phase == .ready else { return [] }
        return replicas.requests(version, patience: timing.retry, at: now).map { source, progress in
            .sendToSource(source, toSource(source, progress))
        }
    }

    private func toSource(_ source: Incarnation, _ progress: [Progress]) -> Envelope {
        let proof = grantKey?.peer(from: incarnation, to: source, generation: generation) ?? .none
        return Envelope(
            job: job, generation: generation, term: session.term, source: incarnation, destination: source,
            proof: proof,
            message: .follow(progress))
    }

    mutating func sourceSaid(_ envelope: Envelope, _ values: HeldValues?, at now: MonotonicTime) -> [Effect] {
        let source = envelope.source
        guard envelope.destination == incarnation, envelope.job == job, job != 0, let grantKey else { return [] }
        if case .refusal = envelope.message {
            // It is not where this one is yet, or not any more: it is asked again at the next tick.
            replicas.askAnew(source)
            return []
        }
        guard envelope.generation == generation,
            case .replica(let header, let content, let remaining) = envelope.message,
            envelope.proof.matches(grantKey.peer(from: source, to: incarnation, generation: generation)), let values,
            values.byteCount == layout?.slices[safe: header.index]?.byteCount
        else { return [] }
        return content == .sum
            ? takeSum(header, values, from: source, at: now)
            : takePart(header, content, remaining: remaining, from: source, at: now)
    }

    private mutating func takeSum(
        _ header: SliceHeader, _ values: HeldValues, from source: Incarnation, at now: MonotonicTime
    ) -> [Effect] {
        guard
            let isKept = replicas.takeSum(
                header.index, leadsTo: header.version, values, from: source, at: now),
            let reaches = replicas.reaches(header.index)
        else { return [] }
        let taken = Effect.sendToSource(source, toSource(source, [Progress(slice: header.index, reaches: reaches)]))
        return (isKept ? [.keep(values)] : []) + [taken] + advance(header.index)
    }

    private mutating func takePart(
        _ header: SliceHeader, _ content: ReplicaContent, remaining: Int, from source: Incarnation,
        at now: MonotonicTime
    ) -> [Effect] {
        guard
            let (isFirst, isLast) = replicas.takePart(
                header.index, of: header.version, content, remaining: remaining, from: source, at: now)
        else { return [] }
        return [
            .fill(memory: memoryNumber, slice: header.index, header.version, content, isFirst: isFirst, isLast: isLast)
        ]
    }

    /// Applies what has come together of a slice.
    private mutating func advance(_ slice: Int) -> [Effect] {
        guard let update = replicas.beginUpdate(slice) else { return [] }
        return [.updateReplica(memory: memoryNumber, slice: slice, update.commit, update.values)]
    }

    mutating func advanceReplicas() -> [Effect] { replicas.slices.flatMap { advance($0) } }

    /// The memory holds another version of a replica: an update was applied, or a state has come.
    mutating func replicaUpdated(_ slice: Int, to version: Version, at now: MonotonicTime) -> [Effect] {
        let wasBehind = replicas.behind(self.version)
        guard let ended = replicas.endUpdate(slice, to: version) else { return [] }
        var effects: [Effect] = []
        if case .filled(let source) = ended {
            let progress = Progress(slice: slice, reaches: replicas.reaches(slice))
            effects = [
                .dropValues(keeping: replicas.held + (buffer?.held ?? [])),
                .sendToSource(source, toSource(source, [progress])),
            ]
        }
        effects += advance(slice) + serve(slice)
        if case .filled = ended { effects += askSources(at: now) }
        // The coordinator learns at once that all is here.
        guard wasBehind > 0, replicas.behind(self.version) == 0, session.isJoined else { return effects }
        return effects + beat(at: now)
    }

    // MARK: A generation from memory

    /// Serves what is in memory from here on, and follows the rest.
    mutating func goOn(
        _ reset: Reset, _ generation: UInt32, _ layout: ParameterLayout, since root: UInt32, at now: MonotonicTime
    ) -> [Effect] {
        let former = self.generation
        self.generation = generation
        if former < root {
            memoryNumber += 1
            replicas.clear()
            published = [:]
        }
        let map = ShardMap(layout: layout, serverCount: reset.servers)
        let wanted = reset.serves.flatMap { map.slices(of: $0) }
        let lacking = wanted.filter { (published[$0] ?? replicas.settles($0)) != reset.version }
        guard lacking.isEmpty else {
            phase = .waiting
            let text = "step \(reset.version) of \(lacking.count) slices is not in its memory"
            return [.sendToCoordinator(envelope(.failed(version: reset.version, text: text, what: .memoryGone)))]
        }
        if former < generation { replicas.forgetSums(after: reset.version) }
        let memory = published
        take(reset, layout)
        if lastCommit?.step.after != version { lastCommit = nil }
        published = memory.filter { owned.contains($0.key) }
        follow(reset, layout, versions: memory)
        phase = .loading(reset)
        let effects: [Effect] = [
            .dropValues(keeping: replicas.held), .goOn(reset, slices: owned + replicas.slices),
            .reach(replicas.sources),
        ]
        return effects + owned.flatMap { serve($0) } + (owned.isEmpty ? readyIfAllIsHere() : []) + advanceReplicas()
            + askSources(at: now)
    }

    mutating func follow(_ reset: Reset, _ layout: ParameterLayout, versions: [Int: Version]) {
        let map = ShardMap(layout: layout, serverCount: reset.servers)
        let slices = reset.follows.flatMap { followed in
            map.slices(of: followed.shard).map { (slice: $0, source: followed.server) }
        }
        replicas.follow(slices, besides: Set(owned), versions: versions)
    }

    /// Of a load: all that is followed was loaded as well.
    func replicaVersions(_ reset: Reset, _ layout: ParameterLayout) -> [Int: Version] {
        let map = ShardMap(layout: layout, serverCount: reset.servers)
        let slices = reset.follows.flatMap { map.slices(of: $0.shard) }
        return Dictionary(uniqueKeysWithValues: slices.map { ($0, reset.version) })
    }

    /// A slice that is to be served is, once it has come to the version.
    private mutating func serve(_ slice: Int) -> [Effect] {
        guard case .loading(let reset) = phase, reset.root != nil, owned.contains(slice) else { return [] }
        if published[slice] == nil, replicas.versions[slice] == reset.version {
            replicas.remove(slice)
            published[slice] = reset.version
        }
        return readyIfAllIsHere()
    }

    private mutating func readyIfAllIsHere() -> [Effect] {
        guard case .loading(let reset) = phase, reset.root != nil, published.count == owned.count else { return [] }
        phase = .ready
        return [.sendToCoordinator(envelope(.ready(version: reset.version)))] + owned.flatMap { serveParked($0) }
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
