// How a job ends: the last step is saved, the journal closed, everybody told.

import PSMessages
import PSParameters

extension CoordinatorState {
    /// Saves the last commit if that is not done, then journals the end. Called again whenever something it waits for
    /// has come.
    mutating func finalize(_ status: ExitStatus, at now: MonotonicTime) -> [Effect] {
        switch phase {
        case .farewell: return []
        case .gathering, .rollingBack, .loading:
            // Nothing was committed since the last complete checkpoint that can still be saved.
            return end(status, at: now)
        case .running, .finalizing: break
        }
        if case .finalizing(let first) = phase {
            phase = .finalizing(first)
        } else {
            phase = .finalizing(status)
            // Tickets at work are given up; a close under way is carried through.
        }
        guard order == nil, closing == nil, saving == nil else { return [] }
        if checkpoints.last?.version != version { return snapshot(at: now) }
        guard case .finalizing(let status) = phase else { return [] }
        return [.journal(.finished(step: version, exitCode: status.code), sync: true)]
    }

    /// Tells everybody, then waits a little for them to leave.
    mutating func end(_ status: ExitStatus, at now: MonotonicTime) -> [Effect] {
        if case .farewell = phase { return [] }
        phase = .farewell(status, since: now)
        let members = servers.compactMap { $0 } + workers.values.sorted { $0.rank < $1.rank }
        return members.filter { $0.state == .up }
            .map { .send(envelope(.finish(exitCode: status.code, text: status.text), to: $0.incarnation)) }
    }

    mutating func exit(_ status: ExitStatus) -> [Effect] {
        ended = status
        return [.exit(status)]
    }

    /// A job that is ending does not wait for a server that went silent: its last complete checkpoint stands.
    func silentServer(at now: MonotonicTime) -> Int? {
        servers.firstIndex { $0?.state != .up }
    }

    mutating func giveUpOnSilentServers(at now: MonotonicTime) -> [Effect] {
        guard case .finalizing(let status) = phase, let rank = silentServer(at: now) else { return [] }
        let saved = checkpoints.last.map { "step \($0.version)" } ?? "the start"
        return [.warn("server \(rank) is gone: the last commits are not saved, the job resumes from \(saved)")]
            + end(status, at: now)
    }

    // MARK: Status

    package func status(at now: MonotonicTime, bytesSent: UInt64, bytesReceived: UInt64) -> JobStatus {
        var processes = [
            JobStatus.Process(
                role: Role.coordinator.name, rank: 0, pid: identity.pid, host: identity.host, state: .up,
                heartbeatAgeSeconds: 0, bytesSent: bytesSent, bytesReceived: bytesReceived, activity: activity,
                tickets: 0)
        ]
        let members = servers.compactMap { $0 } + workers.values.sorted { $0.rank < $1.rank }
        for member in members {
            processes.append(
                JobStatus.Process(
                    role: member.role.name, rank: member.rank, pid: member.hello.pid, host: member.hello.host,
                    state: member.state, heartbeatAgeSeconds: Double(now.since(member.heard)) / 1000,
                    bytesSent: member.heartbeat.bytesSent, bytesReceived: member.heartbeat.bytesReceived,
                    activity: member.heartbeat.activity,
                    tickets: member.role == .worker ? ticketsByRank[member.rank] ?? 0 : 0))
        }
        return JobStatus(
            state: state, step: version, steps: settings.steps, epoch: Double(version) / settings.stepsPerEpoch,
            loss: lastReport?.loss, learningRate: lastReport?.learningRate, imagesPerSecond: imagesPerSecond(at: now),
            imagesPerStep: settings.ticketsPerStep * settings.samplesPerTicket, text: ending?.text ?? "", checkpoint: checkpoints.last?.version, nonFiniteSteps: nonFinite,
            generation: generation, processes: processes)
    }

    private var ending: ExitStatus? {
        switch phase {
        case .finalizing(let status), .farewell(let status, _): status
        default: ended
        }
    }

    private var state: JobStatus.State {
        switch phase {
        case .gathering, .rollingBack, .loading: return hasRun ? .recovering : .starting
        case .running, .finalizing: return .running
        case .farewell(let status, _):
            switch status.code {
            case 0: return .finished
            case ExitStatus.failed: return .failed
            default: return .stopped
            }
        }
    }

    private var activity: String {
        switch phase {
        case .gathering:
            let missing = servers.indices.filter { servers[$0]?.state != .up }
            return "waiting for server" + (missing.count == 1 ? " " : "s ")
                + missing.map(String.init).joined(separator: ", ")
        case .rollingBack, .loading: return "servers load step \(version)"
        case .running: return saving.map { "sequencing, saving step \($0.version)" } ?? "sequencing"
        case .finalizing: return "saving the last step"
        case .farewell: return "ended"
        }
    }
}
