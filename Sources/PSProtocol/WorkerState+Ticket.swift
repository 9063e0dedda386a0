// A ticket in a worker: pull the weights, compute, push each slice of the gradient, contribute when all hold it.

import PSMessages
import PSParameters

extension WorkerState {
    mutating func begin(_ attempt: Attempt, version: Version, at now: MonotonicTime) -> [Effect] {
        guard loadedVersion != version, let layout, serverOfSlice != nil else {
            return compute(attempt, version: version)
        }
        phase = .pulling(attempt, version: version)
        loadedVersion = nil
        missing = Set(layout.slices.indices.filter { layout.slices[$0].kind == .weight || needsStatistics })
        var effects: [Effect] = [.prepare(attempt)]
        for server in servers.indices {
            progress[server] = (now, timing.bulkRetry)
            let wanted = missingSlices(of: server)
            if !wanted.isEmpty { effects.append(toServer(server, .pull(version: version, slices: wanted))) }
        }
        return effects
    }

    /// In the order of the flat vector, which is the order in which forward needs them.
    func missingSlices(of server: Int) -> [Int] {
        guard let serverOfSlice else { return [] }
        return missing.filter { serverOfSlice[$0] == server }.sorted()
    }

    mutating func compute(_ attempt: Attempt, version: Version) -> [Effect] {
        phase = .computing(attempt, abandoned: false)
        loadedVersion = version
        granted = version
        untaken = [:]
        notHolding = Set(serverOfSlice ?? [])
        return [.compute(attempt)]
    }

    mutating func pushNew(_ attempt: Attempt, _ slice: Int, at now: MonotonicTime) -> [Effect] {
        guard let server = serverOfSlice?[slice] else { return [] }
        untaken[server, default: []].insert(slice)
        progress[server] = (now, timing.bulkRetry)
        return [pushEffect(attempt, slice, server: server)]
    }

    func pushEffect(_ attempt: Attempt, _ slice: Int, server: Int) -> Effect {
        .push(
            server: server,
            envelopeToServer(server, .push(attempt, SliceHeader(index: slice, version: granted))), slice: slice)
    }

    mutating func contributeIfHeld(at now: MonotonicTime) -> [Effect] {
        guard case .pushing(let contribution) = phase, notHolding.isEmpty else { return [] }
        phase = .contributing(contribution)
        lastAsked = now
        return [.sendToCoordinator(envelope(.contribution(contribution)))]
    }

    /// The ticket whose slices are on their way, if any.
    var pushedAttempt: Attempt? {
        switch phase {
        case .computing(let attempt, abandoned: false): attempt
        case .pushing(let contribution): contribution.attempt
        default: nil
        }
    }

    // MARK: The servers

    mutating func serverSaid(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        guard envelope.destination == incarnation, envelope.job == job,
            let server = servers.firstIndex(where: { $0.incarnation == envelope.source })
        else { return [] }
        return reaches(server, at: now) + takeFromServer(server, envelope, at: now)
    }

    private mutating func takeFromServer(_ server: Int, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        guard envelope.generation == generation else { return [] }
        if case .heartbeat = envelope.message { return [] }
        progress[server] = (now, timing.bulkRetry)
        if case .pushing = phase { lastAsked = now }
        switch envelope.message {
        case .publish(let header):
            guard case .pulling(let attempt, let version) = phase, header.version == version,
                missing.remove(header.index) != nil
            else { return [] }
            return [.load(slice: header.index)] + (missing.isEmpty ? compute(attempt, version: version) : [])
        case .took(let attempt, let slice):
            if attempt == pushedAttempt { untaken[server]?.remove(slice) }
            return []
        case .held(let attempt):
            guard attempt == pushedAttempt else { return [] }
            notHolding.remove(server)
            untaken[server] = []
            return contributeIfHeld(at: now)
        case .resend(let attempt, let slice):
            guard attempt == pushedAttempt, layout?.slices.indices.contains(slice) == true else { return [] }
            // Of an attempt that is computed a second time the slice may not be final yet.
            if case .computing = phase, untaken[server]?.contains(slice) != true { return [] }
            return [pushEffect(attempt, slice, server: server)]
        case .refusal(let refusal) where refusal.reason == .malformed || refusal.reason == .job:
            return leave("server \(servers[server].rank) refuses this worker: \(refusal.text)")
        case .gone, .refusal:
            // The step is over, or the server is not the one that was meant: the coordinator will say what is next.
            if case .contributing = phase { return [] }
            standBack(at: now)
            return []
        default: return []
        }
    }
}
