// How a job ends: the last step is saved, the journal closed, everybody told.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// No more grants: the last commit is saved, then the end journaled. A close under way is carried through.
    mutating func finalize(_ status: ExitStatus, at now: MonotonicTime) -> [Effect] {
        switch phase {
        case .givingUp, .farewell, .leaving: return []
        case .turning(var loading) where loading.isFromMemory:
            loading.ending = loading.ending ?? status
            phase = .turning(loading)
            return []
        case .loading(var loading) where loading.isFromMemory:
            loading.ending = loading.ending ?? status
            phase = .loading(loading)
            return []
        case .gathering, .turning, .loading:
            // Servers are not all there to save anything: the job resumes from its last complete checkpoint.
            guard version > checkpoints.last?.version ?? 0 else { return end(status, at: now) }
            var status = status
            let loss = "the servers are not all there: \(unsaved)"
            status.text += status.text.isEmpty ? loss : "; \(loss)"
            return [.warn(loss)] + end(status, at: now)
        case .running: phase = .finalizing(status)
        case .finalizing(let first):
            // The first reason stands, unless the end it leads to is not in sight.
            if first.code == 0, status.code != 0, missingHolder != nil || isEvaluationPending {
                phase = .finalizing(status)
            }
        }
        // An evaluation that is cut short begins anew when the job goes on.
        if status.code != 0 { evaluating = nil }
        return finishIfSaved(at: now)
    }

    /// In the phase `finalizing`: the next thing to do for the end. Called when something it waits for has come.
    mutating func finishIfSaved(at now: MonotonicTime) -> [Effect] {
        guard case .finalizing(let status) = phase, order == nil, closing == nil, saving == nil else { return [] }
        reconsiderReturn()
        if awaitsHandover { return standIn(at: now) }
        if lastCheckpoint != version { return canTrySaving(at: now) ? snapshot(at: now) : [] }
        if status.code == 0, isEvaluationPending { return evaluateNext(at: now) }
        return [.journal(.finished(version: version, exitCode: status.code), sync: true)]
    }

    /// Gives up what is under way and tells everybody, then waits a little for them to leave.
    mutating func end(_ status: ExitStatus, at now: MonotonicTime) -> [Effect] {
        switch phase {
        case .farewell, .leaving: return []
        default: phase = .farewell(status, since: now)
        }
        order = nil
        closing = nil
        saving = nil
        let members = membership.all.filter { $0.state == .up }.map(\.incarnation)
        return (members + membership.waitingServers(at: now)).map { finish(status, to: $0) }
    }

    private func finish(_ status: ExitStatus, to destination: Incarnation) -> Effect {
        .send(envelope(.finish(exitCode: status.code, text: status.text), to: destination))
    }

    /// Whoever still speaks after the end is told again.
    mutating func farewell(_ envelope: Envelope, _ status: ExitStatus) -> [Effect] {
        let source = envelope.source
        switch envelope.message {
        case .leave:
            membership.left(source)
            return []
        case .control: return [.send(self.envelope(.controlReply(ok: false, text: "the job has ended"), to: source))]
        case .statusRequest: return []
        default: return [finish(status, to: source)]
        }
    }

    /// Everybody has been told. Until that is in the journal the next start tells them again.
    mutating func leave(_ status: ExitStatus) -> [Effect] {
        if status.code == ExitStatus.failed { return exit(status) }
        phase = .leaving(status)
        return [.journal(.ended, sync: true)]
    }

    mutating func exit(_ status: ExitStatus) -> [Effect] {
        ended = status
        return [.exit(status)]
    }

    /// A job that is stopped does not wait for a server: its last complete checkpoint stands. One that has come to its
    /// end waits, since its last steps are to be saved.
    mutating func giveUpOnMissingServers(at now: MonotonicTime) -> [Effect] {
        guard case .finalizing(var status) = phase, status.code != 0, !canStandIn, let rank = missingHolder else {
            return []
        }
        if lastCheckpoint == version { return end(status, at: now) }
        status.text += status.text.isEmpty ? unsaved(rank) : "; \(unsaved(rank))"
        return [lostCommits(rank)] + end(status, at: now)
    }

    func lostCommits(_ rank: Int) -> Effect { .warn(unsaved(rank)) }

    /// What becomes of the last commits where a server is missing.
    func unsaved(_ rank: Int) -> String {
        "server \(rank) is gone: \(unsaved)"
    }

    private var unsaved: String {
        let saved = checkpoints.last.map { "step \($0.version)" } ?? "the start"
        return "the last commits are not saved, the job resumes from \(saved)"
    }

    // MARK: Status

    package func status(at now: MonotonicTime, bytesSent: UInt64, bytesReceived: UInt64) -> JobStatus {
        var processes = [
            JobStatus.Process(
                role: Role.coordinator.name, rank: 0, pid: identity.pid, host: identity.host, state: .up,
                heartbeatAgeSeconds: 0, bytesSent: bytesSent, bytesReceived: bytesReceived, activity: activity,
                tickets: 0)
        ]
        for member in membership.all {
            processes.append(
                JobStatus.Process(
                    role: member.role.name, rank: member.rank, pid: member.hello.pid, host: member.hello.host,
                    state: member.state, heartbeatAgeSeconds: Double(now.since(member.heard)) / 1000,
                    bytesSent: member.heartbeat.bytesSent, bytesReceived: member.heartbeat.bytesReceived,
                    activity: member.heartbeat.activity,
                    tickets: member.role == .worker ? ticketsByRank[member.rank] ?? 0 : 0))
        }
        return JobStatus(
            state: state, version: version, lastVersion: max(version, settings.lastVersion),
            epoch: Double(version.number) / settings.stepsPerEpoch,
            loss: lastReport?.loss, learningRate: lastReport?.learningRate, imagesPerSecond: imagesPerSecond(at: now),
            imagesPerStep: settings.stepShape.ticketsPerStep * settings.samplesPerTicket, text: ending?.text ?? "",
            checkpoint: checkpoints.last?.version, nonFiniteSteps: nonFiniteSteps,
            generation: generation, plan: settings.planSummary, notices: notices, ending: ending?.code,
            stopAfter: stopAfter,
            evaluation: evaluationStatus, differingTickets: differingCount, copies: copies,
            tickets: tickets, replicas: replicaStatus(at: now), processes: processes)
    }

    private var evaluationStatus: JobStatus.Evaluation? {
        guard evaluating != nil || !evaluations.isEmpty else { return nil }
        return JobStatus.Evaluation(
            last: evaluations.last, best: evaluations.best,
            running: evaluating.map {
                JobStatus.Evaluation.Running(version: $0.version, parts: $0.partCount, done: $0.measurements.count)
            })
    }

    private var ending: ExitStatus? {
        switch phase {
        case .finalizing(let status), .givingUp(let status), .farewell(let status, _), .leaving(let status): status
        default: ended
        }
    }

    private var state: JobStatus.State {
        switch phase {
        case .gathering, .turning, .loading: return hasRun ? .recovering : .starting
        case .running, .finalizing, .givingUp: return .running
        case .farewell(let status, _), .leaving(let status):
            switch status.code {
            case 0: return .finished
            case ExitStatus.failed: return .failed
            default: return .stopped
            }
        }
    }

    /// The servers that the job waits for; nil when all are up.
    private var waiting: String? {
        let missing =
            settings.hasReplicas && hasRun
            ? membership.missingServers.filter(holders.contains) : membership.missingServers
        if missing.isEmpty { return nil }
        return "waiting for server" + (missing.count == 1 ? " " : "s ")
            + missing.map(String.init).joined(separator: ", ")
    }

    private var activity: String {
        switch phase {
        case .gathering: return waiting ?? "gathering servers"
        case .turning(let loading) where loading.isFromMemory, .loading(let loading) where loading.isFromMemory:
            return "servers go on from step \(version)"
        case .turning, .loading: return "servers load step \(version)"
        case .running where waiting == nil && !hasEnoughWorkers && version < settings.lastVersion:
            let count = membership.workerCount
            return settings.fewestWorkers == 1
                ? "waiting for a worker" : "waiting for workers: \(count) of \(settings.fewestWorkers) are up"
        case .running: return waiting ?? saving.map { "sequencing, saving step \($0.version)" } ?? "sequencing"
        case .finalizing: return evaluating == nil ? "saving the last step" : "evaluating the last step"
        case .givingUp: return "going back to step \(version)"
        case .farewell, .leaving: return "ended"
        }
    }
}
