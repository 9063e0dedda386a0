// Who belongs to the job: hellos, silences, departures, and what people ask.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Whether the process may still be spoken to: a member, or somebody who waits for an answer.
    package func isKnown(_ incarnation: Incarnation) -> Bool {
        isMember(incarnation) || waitingForStop.contains { $0.who == incarnation }
    }

    /// Whether the process is counted, up or not.
    package func isMember(_ incarnation: Incarnation) -> Bool { membership.isMember(incarnation) }

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

    private func welcome(_ destination: Incarnation, _ role: Role, rank: Int) -> Effect {
        var welcome = Welcome(
            rank: rank, configuration: settings.configuration, runDirectory: settings.runDirectory,
            nonce: settings.nonce, layoutDigest: settings.layoutDigest, plan: settings.plan,
            dataDigest: settings.dataDigest, testDigest: settings.testDigest)
        if role == .server { welcome.grantKey = grantKey }
        return .send(envelope(.welcome(welcome), to: destination))
    }

    private mutating func workerHello(_ hello: Hello, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        if let refusal = otherKernels(of: hello) {
            return [.send(self.envelope(.refusal(refusal), to: envelope.source))]
        }
        let isNew = membership.worker(envelope.source) == nil
        guard let (rank, displaced, isBack) = membership.admitWorker(hello, envelope, at: now) else {
            return refuse(envelope.source, .full, "the job has as many workers as it may have")
        }
        var effects = displaced.flatMap { forget($0, at: now) }
        if isBack { effects.append(.warn("worker \(rank) is heard again")) }
        sequencer.trust(envelope.source)
        evaluating?.parts.trust(envelope.source)
        if isNew, let member = membership.worker(envelope.source) {
            effects.append(.tell("\(member.name) has joined"))
            effects.append(.journal(.worker(envelope.source, name: member.name), sync: false))
        }
        effects.append(welcome(envelope.source, .worker, rank: rank))
        if isServing { effects.append(.send(members(to: envelope.source))) }
        return effects
    }

    /// Why a worker cannot be one of the job's: it would give other bits than those that fixed them.
    private func otherKernels(of hello: Hello) -> Refusal? {
        guard let kernels, kernels.hash != hello.kernelHash else { return nil }
        return Refusal(
            .kernels,
            "its kernels give other bits (OpenBLAS core \(hello.kernelCore), probe \(String(hello.kernelHash, radix: 16))) "
                + "than the job's (core \(kernels.core), probe \(String(kernels.hash, radix: 16))): use machines of one "
                + "kind, or set OPENBLAS_CORETYPE to the same core on all of them")
    }

    private mutating func serverHello(_ hello: Hello, _ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        let (rank, isNew): (Int, Bool)
        let former = hello.rank.flatMap { membership.servers.indices.contains($0) ? membership.servers[$0] : nil }
        switch membership.admitServer(hello, envelope, gathering: gathering(at: now), lost: timing.lost, at: now) {
        case .refused(let refusal): return [.send(self.envelope(.refusal(refusal), to: envelope.source))]
        case .admitted(let seat, let isAnother): (rank, isNew) = (seat, isAnother)
        }
        var effects = [welcome(envelope.source, .server, rank: rank)]
        if isNew, let member = membership.servers[rank] { effects.append(.tell("\(member.name) has joined")) }
        effects += sayKeys(at: now)
        switch phase {
        case .gathering, .givingUp, .farewell, .leaving: break
        default:
            if !isNew { return effects }
            if let former, former.state == .up {
                effects.append(
                    .warn(
                        "\(former.name) was up: pid \(hello.pid) on \(hello.host) takes its place, as it was told to "
                            + "(--take-over)"))
            }
            effects += lost(rank, at: now)
        }
        return effects + resolveIfGathered(at: now) + admitServers(at: now)
    }

    func members(to destination: Incarnation) -> Envelope {
        envelope(.members(membership.holders(holders)), to: destination)
    }

    /// What a worker was granted is open again, and it wants nothing.
    mutating func forget(_ member: Membership.Member, at now: MonotonicTime) -> [Effect] {
        let worker = member.incarnation
        sequencer.lost(worker, name: member.name)
        evaluating?.parts.revoke(worker)
        measuredLast.remove(worker)
        return assign(at: now)
    }

    mutating func workerSaid(_ envelope: Envelope, at now: MonotonicTime) -> [Effect] {
        let worker = envelope.source
        var effects: [Effect] = []
        if case .heartbeat(let heartbeat) = envelope.message {
            let knowsServers = isServing && envelope.generation == generation
            effects = takes(heartbeat, of: worker, knowsServers: knowsServers, at: now)
        }
        if case .leave = envelope.message {
            // It goes, whatever generation it knew.
        } else if isServing, envelope.generation != generation {
            // Word of the new servers got lost.
            return effects + [.send(members(to: worker))]
        }
        switch envelope.message {
        case .heartbeat: return effects
        case .leave(let text):
            guard let member = membership.worker(worker) else { return [] }
            membership.left(worker)
            let warning = text.isEmpty ? [] : [Effect.warn("worker \(member.rank) leaves: \(text)")]
            return warning + forget(member, at: now)
        case .refusal: return []
        case .want: return want(worker, at: now)
        case .contribution(let contribution): return count(contribution, worker: worker, at: now)
        case .failed(let version, let text, .loadDamaged): return measureFailed(version, text, at: now)
        case .measurement(let measurement): return measured(measurement, worker: worker, at: now)
        default: return refuse(worker, .malformed, "a worker has no business to say that to the coordinator")
        }
    }

    /// A worker that cannot reach a server is given nothing; both are named, once.
    ///
    /// - Parameter knowsServers: as they are now.
    private mutating func takes(
        _ heartbeat: Heartbeat, of worker: Incarnation, knowsServers: Bool, at now: MonotonicTime
    ) -> [Effect] {
        let former = membership.worker(worker)?.heartbeat.unreachable
        membership.takes(heartbeat, of: worker, at: now)
        // Of the servers that it knows another may have taken the place.
        guard knowsServers || heartbeat.unreachable == nil else { return [] }
        guard let member = membership.worker(worker) else { return [] }
        // Perhaps the server hears it well, and does not see what a coordinator that was started anew gave to workers: the
        // word of it got lost.
        let pass = heartbeat.unreachable == nil ? [] : [Effect.send(members(to: worker))]
        if former == heartbeat.unreachable { return pass }
        let isTold = membership.mayTell(of: worker, at: now)
        guard let rank = heartbeat.unreachable else {
            return isTold ? [.warn("\(member.name) reaches all servers again")] : []
        }
        guard membership.servers.indices.contains(rank), let server = membership.servers[rank] else { return [] }
        sequencer.noLongerWants(worker)
        guard isTold else { return pass }
        return pass + [
            .warn(
                "\(member.name) cannot reach \(server.name) at \(server.hello.endpoint): its tickets go to others until it "
                    + "can")
        ]
    }

    private mutating func want(_ worker: Incarnation, at now: MonotonicTime) -> [Effect] {
        guard membership.worker(worker)?.cutOff == nil else { return [] }
        guard isGranting else {
            // It is given something as soon as there is.
            sequencer.wants(worker)
            return []
        }
        if let hello = membership.worker(worker)?.hello, let refusal = otherKernels(of: hello) {
            return [.send(envelope(.refusal(refusal), to: worker))]
        }
        if let attempt = evaluating?.parts.grant(of: worker) {
            return [.send(self.envelope(.measure(attempt), to: worker))]
        }
        if case .running = phase, let attempt = sequencer.grant(of: worker) {
            // Servers may lack room for its contribution before that of a lower ticket, which nobody has or whose worker is
            // never done: when nobody else is free, this worker computes the lower one first.
            guard let first = offer(to: worker, at: now), first.ticket < attempt.ticket else {
                return [.send(self.envelope(.grant(attempt, version: version), to: worker))]
            }
            sequencer.revoke(worker)
        }
        sequencer.wants(worker)
        return assign(at: now)
    }

    mutating func serverSaid(_ envelope: Envelope, rank: Int, at now: MonotonicTime) -> [Effect] {
        switch envelope.message {
        case .heartbeat(let heartbeat):
            membership.takes(heartbeat, of: envelope.source, at: now)
            return follows(heartbeat.behind, rank: rank, generation: envelope.generation)
        case .leave(let text):
            membership.left(envelope.source)
            return (text.isEmpty ? [] : [.warn("server \(rank) leaves: \(text)")]) + standInForLost(at: now)
        case .refusal: return []
        default: break
        }
        guard envelope.generation == generation else { return [] }
        switch envelope.message {
        case .ready(let version): return ready(rank, version: version, at: now)
        case .prepared(let prepared): return self.prepared(prepared, rank: rank, at: now)
        case .applied(let step): return applied(step, rank: rank, at: now)
        case .differs(let difference): return differs(difference, rank: rank)
        case .snapshotting(let version): return snapshotting(version, rank: rank, at: now)
        case .saved(let version, let files): return saved(version, files, rank: rank, at: now)
        case .failed(let version, let text, let what):
            switch what {
            case .loadUnavailable, .loadDamaged:
                return loadFailed(text, isDamage: what == .loadDamaged, rank: rank, at: now)
            case .memoryGone: return memoryGone(rank, text, at: now)
            case .saveFailed, .saveUnavailable:
                guard saving?.version == version else { return [] }
                return saveFailed(
                    "server \(rank) on \(membership.servers[rank]!.hello.host) cannot save its part of a checkpoint: \(text)",
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
            // Whoever asks without end waits for nobody but himself.
            guard waitingForStop.count < 8 else {
                return [
                    .send(
                        self.envelope(
                            .controlReply(ok: false, text: "a stop is being written down"), to: envelope.source))
                ]
            }
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
        case .running where missingHolder != nil && !canStandIn:
            text = "the job stops; \(unsaved(missingHolder!))"
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
