// Who belongs to the job: hellos, silences, departures, and what people ask.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Whether the process may still be spoken to: a member, or somebody who waits for an answer.
    package func isKnown(_ incarnation: Incarnation) -> Bool {
        isMember(incarnation) || waitingForStop.contains { $0.who == incarnation }
    }

    /// Whether the process is counted, up or not.
    package func isMember(_ incarnation: Incarnation) -> Bool {
        workers[incarnation] != nil || servers.contains { $0?.incarnation == incarnation }
    }

    mutating func hello(_ hello: Hello, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        if envelope.job != 0, envelope.job != job {
            return refuse(envelope.source, .job, "this coordinator runs another job")
        }
        switch hello.role {
        case .worker: return workerHello(hello, envelope, at: now)
        case .server: return serverHello(hello, envelope, at: now)
        case .coordinator: return refuse(envelope.source, .malformed, "a coordinator says hello to nobody")
        }
    }

    private func welcome(_ destination: Incarnation, rank: Int) -> Effect {
        .send(
            envelope(
                .welcome(
                    Welcome(
                        rank: rank, configuration: settings.configuration, runDirectory: settings.runDirectory,
                        nonce: settings.nonce, layoutDigest: settings.layoutDigest, plan: settings.plan,
                        dataDigest: settings.dataDigest, testDigest: settings.testDigest)),
                to: destination))
    }

    private mutating func workerHello(_ hello: Hello, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        var effects: [Effect] = []
        let mine = Replay.Kernels(core: hello.kernelCore, hash: hello.kernelHash)
        if let kernels, kernels != mine {
            return refuse(
                envelope.source, .kernels,
                "its kernels give other bits (OpenBLAS core \(mine.core), probe \(String(mine.hash, radix: 16))) than the "
                    + "job's (core \(kernels.core), probe \(String(kernels.hash, radix: 16))): use machines of one kind, or "
                    + "set OPENBLAS_CORETYPE to the same core on all of them")
        }
        if kernels == nil {
            kernels = mine
            effects.append(.journal(.kernels(core: mine.core, hash: mine.hash), sync: false))
        }
        let isBack = workers[envelope.source]?.state == .lost
        // A process that says hello computes nothing that counts.
        effects += forget(envelope.source, at: now)
        let others = workersByRank.filter { $0.incarnation != envelope.source }
        let taken = Set(others.filter { $0.state == .up }.map(\.rank))
        let free = (0...).first { !taken.contains($0) }!
        // A start for a rank takes it from who had it; a process that comes back yields to who is there.
        let comesBack = envelope.job != 0
        let rank = hello.rank.map { comesBack && taken.contains($0) ? free : $0 } ?? free
        for other in others where other.rank == rank {
            effects += forget(other.incarnation, at: now)
            workers[other.incarnation] = nil
        }
        workers[envelope.source] = Member(
            role: .worker, rank: rank, incarnation: envelope.source, hello: hello,
            helloGeneration: envelope.generation, heard: now)
        if isBack { effects.append(.warn("worker \(rank) is heard again")) }
        effects.append(welcome(envelope.source, rank: rank))
        if isGranting { effects.append(.send(members(to: envelope.source))) }
        return effects
    }

    private mutating func serverHello(_ hello: Hello, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        if replaced.contains(envelope.source) {
            return refuse(envelope.source, .full, "a later start took over its rank, \(hello.rank ?? 0)")
        }
        let known = servers.firstIndex { $0?.incarnation == envelope.source }
        guard let rank = known ?? rankForServer(hello, comesBack: envelope.job != 0) else {
            let wanted = hello.rank.map { "rank \($0)" } ?? "a free rank"
            return refuse(
                envelope.source, .full,
                "it wants \(wanted), but the job has \(servers.count) servers and they are up as far as is known: in place "
                    + "of one that died start it again in \(settings.timing.lost / 1000) s or with --rank; for more "
                    + "servers raise cluster.servers and resume the job")
        }
        let isNew = known == nil
        if isNew, let former = servers[rank] { replaced.insert(former.incarnation) }
        servers[rank] = Member(
            role: .server, rank: rank, incarnation: envelope.source, hello: hello,
            helloGeneration: envelope.generation, heard: now)
        var effects = [welcome(envelope.source, rank: rank)]
        switch phase {
        case .gathering, .givingUp, .farewell, .leaving: break
        case .finalizing(let status) where isNew && status.code != 0:
            return effects + [lostCommits(rank)] + end(status, at: now)
        default:
            if !isNew { return effects }
            effects.append(.warn("server \(rank) starts with empty memory: the job rolls back to its last checkpoint"))
            phase = .gathering
            order = nil
            closing = nil
            saving = nil
        }
        return effects + resolveIfGathered(at: now)
    }

    /// A start for a rank takes it from who had it; a server that comes back yields to who is there.
    private func rankForServer(_ hello: Hello, comesBack: Bool) -> Int? {
        let free = servers.indices.filter { servers[$0]?.state != .up }
        guard let wanted = hello.rank else { return free.first }
        return free.contains(wanted) || (!comesBack && servers.indices.contains(wanted)) ? wanted : nil
    }

    func members(to destination: Incarnation) -> Envelope {
        let addresses = servers.compactMap { server in
            server.map { ServerAddress(endpoint: $0.hello.endpoint, incarnation: $0.incarnation) }
        }
        return envelope(.members(addresses), to: destination)
    }

    /// What a worker was granted is open again, and it wants nothing.
    mutating func forget(_ worker: Incarnation, at now: MonotonicTime) -> [Effect] {
        ledger.revoke(worker)
        evaluating?.revoke(worker)
        measuredLast.remove(worker)
        idle.removeAll { $0 == worker }
        return assign(at: now)
    }

    mutating func workerSaid(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        let worker = envelope.source
        if case .heartbeat(let heartbeat) = envelope.message { workers[worker]!.heartbeat = heartbeat }
        if case .leave = envelope.message {
            // It goes, whatever generation it knew.
        } else if isGranting, envelope.generation != generation {
            // Word of the new servers got lost.
            return [.send(members(to: worker))]
        }
        switch envelope.message {
        case .heartbeat: return []
        case .leave(let text):
            workers[worker]!.state = .down
            let warning = text.isEmpty ? [] : [Effect.warn("worker \(workers[worker]!.rank) leaves: \(text)")]
            return warning + forget(worker, at: now)
        case .refusal: return []
        case .want: return want(worker, at: now)
        case .contribution(let contribution): return count(contribution, worker: worker, at: now)
        case .failed(let version, let text, .loadDamaged): return measureFailed(version, text, at: now)
        case .measurement(let measurement): return measured(measurement, worker: worker, at: now)
        default: return refuse(worker, .malformed, "a worker has no business to say that to the coordinator")
        }
    }

    private mutating func want(_ worker: Incarnation, at now: MonotonicTime) -> [Effect] {
        guard isGranting else { return [] }
        if let attempt = evaluating?.grant(of: worker) { return [.send(self.envelope(.measure(attempt), to: worker))] }
        if case .running = phase, let attempt = ledger.grant(of: worker) {
            // Servers may lack room for its contribution before that of a lower ticket, whose worker is gone: when
            // nobody else is free, this worker computes the lower one first.
            guard let open = ledger.nextOpen, open < attempt.ticket else {
                return [.send(self.envelope(.grant(attempt, version: version), to: worker))]
            }
            ledger.revoke(worker)
        }
        if !idle.contains(worker) { idle.append(worker) }
        return assign(at: now)
    }

    mutating func serverSaid(_ envelope: Envelope, rank: Int, at now: MonotonicTime) -> [Effect] {
        switch envelope.message {
        case .heartbeat(let heartbeat):
            servers[rank]!.heartbeat = heartbeat
            return []
        case .leave(let text):
            servers[rank]!.state = .down
            return text.isEmpty ? [] : [.warn("server \(rank) leaves: \(text)")]
        case .refusal: return []
        default: break
        }
        guard envelope.generation == generation else { return [] }
        switch envelope.message {
        case .ready(let version): return ready(rank, version: version, at: now)
        case .prepared(let prepared): return self.prepared(prepared, rank: rank, at: now)
        case .applied(let step): return applied(step, rank: rank, at: now)
        case .snapshotting(let version): return snapshotting(version, rank: rank, at: now)
        case .saved(let version, let files): return saved(version, files, rank: rank, at: now)
        case .failed(let version, let text, let what):
            switch what {
            case .loadUnavailable, .loadDamaged:
                return loadFailed(text, isDamage: what == .loadDamaged, rank: rank, at: now)
            case .saveFailed, .saveUnavailable:
                guard saving?.version == version else { return [] }
                return saveFailed(
                    "server \(rank) on \(servers[rank]!.hello.host) cannot save its part of a checkpoint: \(text)",
                    mayPass: what == .saveUnavailable, at: now)
            }
        default: return refuse(envelope.source, .malformed, "a server has no business to say that to the coordinator")
        }
    }

    mutating func person(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        func reply(_ text: String) -> [Effect] {
            [.send(self.envelope(.controlReply(ok: true, text: text), to: envelope.source))]
        }
        switch envelope.message {
        case .control(.stop(let last)):
            // Not promised before it is durable: whatever dies then, the stop holds.
            stopAfter = max(last, version)
            waitingForStop.append((envelope.source, stopAfter!))
            return [.journal(.stopAfter(version: stopAfter!), sync: true)]
        case .control(.checkpoint):
            checkpointWanted = true
            return reply("a checkpoint of the next committed step will be written") + takeSnapshotIfDue(at: now)
        default:
            // The node answers status requests: it knows the bytes and the clock of the wall.
            return []
        }
    }

    static let stoppedOnRequest = "stopped on request"

    mutating func stopIsDurable(_ version: Version, at now: MonotonicTime) -> [Effect] {
        let isNow = version <= self.version
        let text: String
        switch phase {
        case _ where !isNow: text = "the job stops when step \(version) is committed"
        case .running, .finalizing: text = "the job saves its last step and stops"
        default: text = "the job stops; its last checkpoint stands"
        }
        let replies = waitingForStop.filter { $0.version == version }.map { person in
            Effect.send(envelope(.controlReply(ok: true, text: text), to: person.who))
        }
        waitingForStop.removeAll { $0.version == version }
        guard isNow, stopAfter == version else { return replies }
        return replies + finalize(ExitStatus(code: ExitStatus.preempted, text: Self.stoppedOnRequest), at: now)
    }
}
