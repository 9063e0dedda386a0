// Who belongs to the job: hellos, silences, departures, and what people ask.

import PSMessages
import PSParameters

extension CoordinatorState {
    mutating func hello(_ hello: Hello, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        if envelope.job != 0, envelope.job != job {
            return refuse(envelope.source, .job, "this coordinator runs another job")
        }
        if case .farewell(let status, _) = phase {
            return [.send(self.envelope(.finish(exitCode: status.code, text: status.text), to: envelope.source))]
        }
        if replaced.contains(envelope.source) {
            return refuse(envelope.source, .full, "a later start took over its rank, \(hello.rank ?? 0)")
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
                        nonce: settings.nonce, layoutDigest: settings.layoutDigest)), to: destination))
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
        // A process that says hello computes nothing that counts; one that takes a rank replaces who had it.
        effects += forget(envelope.source, at: now)
        let taken = Set(workers.values.filter { $0.state == .up && $0.incarnation != envelope.source }.map(\.rank))
        let rank = hello.rank ?? (0...).first { !taken.contains($0) }!
        for other in workers.values where other.rank == rank && other.incarnation != envelope.source {
            effects += forget(other.incarnation, at: now)
            workers[other.incarnation] = nil
            replaced.insert(other.incarnation)
        }
        workers[envelope.source] = Member(
            role: .worker, rank: rank, incarnation: envelope.source, hello: hello,
            helloGeneration: envelope.generation, heard: now)
        effects.append(welcome(envelope.source, rank: rank))
        if isServing { effects.append(.send(members(to: envelope.source))) }
        return effects
    }

    private mutating func serverHello(_ hello: Hello, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        let known = servers.firstIndex { $0?.incarnation == envelope.source }
        let free = servers.indices.first { servers[$0].map { $0.state != .up } ?? true }
        guard let rank = known ?? hello.rank ?? free, servers.indices.contains(rank) else {
            return refuse(
                envelope.source, .full,
                "the job has \(servers.count) servers and all are up: raise cluster.servers and start the job anew to use more"
            )
        }
        let isNew = known == nil
        if isNew, let former = servers[rank] { replaced.insert(former.incarnation) }
        servers[rank] = Member(
            role: .server, rank: rank, incarnation: envelope.source, hello: hello,
            helloGeneration: envelope.generation, heard: now)
        var effects = [welcome(envelope.source, rank: rank)]
        switch phase {
        case .gathering: break
        case .farewell: return effects
        case .finalizing(let status) where isNew:
            // Its memory is gone and no step is to follow: the last complete checkpoint is the end.
            return effects + end(status, at: now)
        default:
            if !isNew { return effects }
            effects.append(.warn("server \(rank) starts with empty memory: the job rolls back to its last checkpoint"))
            phase = .gathering
        }
        if servers.allSatisfy({ $0?.state == .up }) { effects += resolve(at: now) }
        return effects
    }

    /// Whether servers hold weights that workers may pull.
    var isServing: Bool {
        if case .running = phase { true } else { false }
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
        idle.removeAll { $0 == worker }
        return assign(at: now)
    }

    mutating func workerSaid(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        let worker = envelope.source
        switch envelope.message {
        case .heartbeat(let heartbeat):
            workers[worker]!.heartbeat = heartbeat
            return []
        case .leave:
            workers[worker]!.state = .down
            return forget(worker, at: now)
        case .refusal(let refusal) where refusal.reason == .term: return superseded(at: now)
        case .want:
            guard case .running = phase else { return [] }
            if envelope.generation != generation { return [.send(members(to: worker))] }
            if let attempt = ledger.grant(of: worker) {
                return [.send(self.envelope(.grant(attempt, version: version), to: worker))]
            }
            if !idle.contains(worker) { idle.append(worker) }
            return assign(at: now)
        case .contribution(let contribution):
            guard envelope.generation == generation else {
                return refuse(worker, .generation, "generation \(generation) is at work")
            }
            return count(contribution, worker: worker, at: now)
        default: return refuse(worker, .malformed, "a worker has no business to say that to the coordinator")
        }
    }

    mutating func serverSaid(_ envelope: Envelope, rank: Int, at now: MonotonicTime) -> [Effect] {
        switch envelope.message {
        case .heartbeat(let heartbeat):
            servers[rank]!.heartbeat = heartbeat
            return []
        case .leave(let text):
            servers[rank]!.state = .down
            return text.isEmpty ? [] : [.warn("server \(rank) leaves: \(text)")]
        case .refusal(let refusal): return refusal.reason == .term ? superseded(at: now) : []
        default: break
        }
        guard envelope.generation == generation else { return [] }
        switch envelope.message {
        case .ready(let version): return ready(rank, version: version, at: now)
        case .prepared(let prepared): return self.prepared(prepared, rank: rank, at: now)
        case .applied(let step): return applied(step, rank: rank, at: now)
        case .snapshotting(let version): return snapshotting(version, rank: rank, at: now)
        case .saved(let version, let files): return saved(version, files, rank: rank, at: now)
        case .failed(_, let text, let whileSaving):
            return whileSaving
                ? end(
                    ExitStatus(
                        code: ExitStatus.failed,
                        text: "server \(rank) on \(servers[rank]!.hello.host) cannot save its part of a checkpoint: \(text)"),
                    at: now)
                : loadFailed(text, rank: rank, at: now)
        default: return refuse(envelope.source, .malformed, "a server has no business to say that to the coordinator")
        }
    }

    private mutating func superseded(at now: MonotonicTime) -> [Effect] {
        exit(ExitStatus(code: ExitStatus.failed, text: "another coordinator with a later term runs this job"))
    }

    mutating func person(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        func reply(_ text: String) -> [Effect] {
            [.send(self.envelope(.controlReply(ok: true, text: text), to: envelope.source))]
        }
        switch envelope.message {
        case .control(.stop(let afterStep)):
            if afterStep > version {
                stopAfter = afterStep
                return reply("the job stops when step \(afterStep) is committed")
            }
            return reply("the job saves step \(version) and stops")
                + finalize(ExitStatus(code: ExitStatus.preempted, text: "stopped on request"), at: now)
        case .control(.checkpoint):
            checkpointWanted = true
            return reply("a checkpoint of the next committed step is written") + takeSnapshotIfDue(at: now)
        default:
            // The node answers status requests: it knows the bytes and the clock of the wall.
            return []
        }
    }
}
