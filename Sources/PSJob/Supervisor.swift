// The local processes of a job: starts them, starts again those that end by themselves, carries signals on.

import Foundation
import Glibc
import PSCheckpoint
import PSConfiguration
import PSCoordinator
import PSFiles
import PSKeys
import PSMessages
import PSNode
import PSParameters
import PSProofs
import PSProtocol
import PSReport
import PSRun

/// Runs one coordinator and the configured numbers of servers and workers on this machine until the job ends.
package final class Supervisor {
    private let run: RunDirectory
    private let configuration: JobConfiguration
    private let coordinator: LocalProcess
    private let others: [LocalProcess]
    private let resume: CoordinatorOptions.Resume?
    private let workerArguments: [String]
    private let note: (String) -> Void
    /// Where the coordinator that runs now listens, once it does.
    private var endpoints: Endpoints?
    /// Where the other processes look for it.
    private var place: String?
    private var lastStatus: JobStatus?
    /// Nil: the processes show no keys.
    private var keys: KeyDirectory?
    private var personKey: JoinFile?
    private var progress: Version = 0
    /// Called once, when a coordinator has accepted the run.
    package var whenUp: () -> Void = {}
    private var hasBeenUp = false
    /// The settings on their way to the coordinator, which writes them into the run when it accepts them.
    private let settingsFile = NSTemporaryDirectory() + "/psctl-\(UUID().uuidString).yaml"
    private var noticesSaid = 0
    private var answered = MonotonicTime.now
    private var isSilenceSaid = false
    private var hintedRoles: Set<Role> = []
    /// Starts in place of a process that ended, over the whole run.
    package private(set) var restarts = 0

    /// - Parameters:
    ///   - programs: the directory of the daemons' programs.
    ///   - note: told what a person should know, a line at a time.
    package init(
        run: RunDirectory, configuration: JobConfiguration, programs: String,
        resume: CoordinatorOptions.Resume? = nil, workerArguments: [String] = [], note: @escaping (String) -> Void
    ) {
        self.run = run
        self.configuration = configuration
        self.resume = resume
        self.workerArguments = workerArguments
        self.note = note
        func process(_ role: Role, _ rank: Int) -> LocalProcess {
            LocalProcess(
                role: role, rank: rank, isNamedByLog: role == .server && configuration.cluster.spares > 0,
                directory: programs, run: run)
        }
        coordinator = process(.coordinator, 0)
        others =
            (0..<configuration.cluster.servers + configuration.cluster.spares).map { process(.server, $0) }
            + (0..<configuration.cluster.workers).map { process(.worker, $0) }
    }

    /// Runs the job to its end.
    /// - Parameter watch: called about four times a second with the job's status, when there is one.
    /// - Returns: the summary, which is also in the run directory.
    /// - Throws: `JobError.jobFailed` with the reason.
    package func supervise(watch: (JobStatus) -> Void) throws -> RunSummary {
        Signals.install()
        // Whoever started this process may have them ignored; then the kernel would not tell how a child ended.
        signal(SIGCHLD, SIG_DFL)
        try makeKeys()
        try AtomicFile.write(settingsFile, Array(configuration.resolvedYAML().utf8))
        defer {
            unlink(settingsFile)
            endAll()
            // Where the coordinator was ended before it could do that. One that took the job over may listen there.
            if let endpoints, !SocketDirectory.isServed(endpoints.coordinator) {
                SocketDirectory.remove(of: endpoints.coordinator)
            }
        }
        do {
            return try attend(watch)
        } catch {
            leaveWord(of: error)
            throw error
        }
    }

    /// Starts and watches the processes until the coordinator has ended for good.
    private func attend(_ watch: (JobStatus) -> Void) throws -> RunSummary {
        try startCoordinator()
        var client: CoordinatorClient?
        var stopSeen = false
        var toldToStop: pid_t?
        while true {
            if let end = coordinator.reap() {
                if let status = try? JobStatus.read(from: run), status.ending != nil { sayNotices(of: status) }
                if try outcome(end) != nil { return try takeSummary() }
                noticesSaid = 0
                try restart(coordinator, after: end)
                client = nil
            }
            if endpoints == nil { try findCoordinator() }
            if let signal = Signals.received {
                if !stopSeen { note("stopping: the last step is saved first; once more to stop at once") }
                stopSeen = true
                // Not before it listens: until then the signal would just end it. One started again is told again.
                if endpoints != nil, toldToStop != coordinator.pid {
                    toldToStop = coordinator.pid
                    coordinator.send(signal)
                }
            }
            if let endpoints {
                // A job that stops does not wait for processes that are missing.
                if !stopSeen { for process in others { try look(after: process, endpoint: endpoints.coordinator) } }
                if client == nil { client = try CoordinatorClient(endpoints, key: personKey) }
                if let status = try client?.status(milliseconds: 200) {
                    if status.version > progress {
                        progress = status.version
                        for process in others + [coordinator] { process.restarts = 0 }
                    }
                    lastStatus = status
                    sayNotices(of: status)
                    watch(status)
                    if isSilenceSaid { note("the coordinator answers again") }
                    (answered, isSilenceSaid) = (.now, false)
                } else if !isSilenceSaid, MonotonicTime.now.since(answered) > 5000 {
                    note("the coordinator (pid \(coordinator.pid)) has not answered for 5 s")
                    isSilenceSaid = true
                }
            }
            usleep(endpoints == nil ? 10_000 : 100_000)
        }
    }

    /// At once: who resumes the job at this moment writes another one.
    private func takeSummary() throws -> RunSummary {
        var summary = try RunSummary.read(from: run)
        summary.restarts = restarts
        try summary.write(to: run)
        return summary
    }

    /// A job that this process gives up is ended by a signal, or its coordinator is gone: why only this process knows.
    private func leaveWord(of error: any Error) {
        let wasRunning = coordinator.isRunning
        endAll()
        guard hasBeenUp, Endpoints.read(from: run)?.pid == Int(coordinator.pid),
            var status = try? JobStatus.read(from: run),
            wasRunning || status.ending == nil
        else { return }
        (status.state, status.text, status.ending) = (.failed, "\(error)", Int(CommandExit.failed.rawValue))
        for index in status.processes.indices { status.processes[index].state = .down }
        do {
            try status.write(to: run)
            guard wasRunning, var summary = try? RunSummary.read(from: run) else { return }
            (summary.exitCode, summary.restarts) = (Int(CommandExit.failed.rawValue), restarts)
            try summary.write(to: run)
        } catch {
            note("psctl status will not say why the job ended: \(error)")
        }
    }

    /// Of a job that is to show keys though all of it is on this machine; made where there are none yet.
    private func makeKeys() throws {
        guard configuration.cluster.transport == .tcp, configuration.cluster.security == .required else { return }
        if run.files.isDirectory(run.keys) {
            keys = KeyDirectory(run.keys)
        } else {
            keys = try KeyDirectory.create(run.keys, coordinator: nil)
        }
        personKey = try keys.map { try JoinFile.read($0.joinFile(of: KeyRole.operator.rawValue), as: .operator) }
    }

    /// All processes are on this machine: without a port nobody else can reach them.
    private var bind: String {
        switch configuration.cluster.transport {
        case .auto, .ipc: DaemonArguments.localBind
        case .tcp: "tcp://127.0.0.1:*"
        }
    }

    private func startCoordinator() throws {
        // A job may outlive whatever is left in a temporary directory.
        let settings = hasBeenUp ? run.configuration : settingsFile
        var arguments = ["--config", settings, "--run-dir", run.path, "--bind", bind]
        // A wish to resume holds until a coordinator has it in its journal; one that is started in its place goes on.
        if hasBeenUp {
            arguments.append("--restart")
        } else {
            switch resume {
            case nil: break
            case .last: arguments += ["--resume", "last"]
            case .checkpoint(let path): arguments += ["--resume", path]
            }
        }
        answered = .now
        try coordinator.start(arguments)
    }

    /// Reads where the coordinator that runs now listens.
    private func findCoordinator() throws {
        guard coordinator.isRunning, let found = Endpoints.read(from: run), found.pid == Int(coordinator.pid) else {
            return
        }
        let former = place
        (endpoints, place) = (found, found.coordinator)
        if let former, former != found.coordinator {
            note(
                "the coordinator listens at \(found.coordinator) now, \(former) cannot be used any more: the others are "
                    + "started anew")
            for process in others { process.end() }
        }
        do {
            try Supervision(pid: Int(getpid()), coordinator: found.pid).write(to: run)
        } catch {
            // For psctl status alone.
            note("psctl status will not know who looks after the job: \(error)")
        }
        if !hasBeenUp {
            unlink(settingsFile)
            whenUp()
        }
        hasBeenUp = true
    }

    /// Tells what the coordinator has to say that was not told yet.
    private func sayNotices(of status: JobStatus) {
        for notice in status.notices ?? [] where notice.number > noticesSaid {
            note(notice.text)
            noticesSaid = notice.number
        }
    }

    /// The exit code of the job, or nil when the coordinator is to be started again.
    private func outcome(_ end: ProcessEnd) throws -> Int? {
        switch end {
        case .exited(let code) where [0, 75, 130].contains(code): return code
        case .exited where !run.files.isDirectory(run.path): throw JobError.runIsGone(runDirectory: run.path)
        case .exited(1), .exited(64):
            // A log on a full disk is silent; the status came over the wire.
            let reasons = [
                coordinator.lastWords, lastStatus?.text ?? "", lastStatus?.notices?.last?.text ?? "",
                "\(coordinator.name) \(end.text): see \(run.logs)",
            ]
            throw JobError.jobFailed(reasons.first { !$0.isEmpty }!)
        default: return nil
        }
    }

    private func look(after process: LocalProcess, endpoint: String) throws {
        if let end = process.reap() { process.ended = (end, .now) }
        if let (end, since) = process.ended {
            // A coordinator that fails has told the others first: then its words are the reason, not theirs.
            if case .exited(ExitStatus.failed) = end, MonotonicTime.now.since(since) < 500 { return }
            process.ended = nil
            switch end {
            // Somebody told this one process to leave: another comes, unless the signal was for all of them.
            case .exited(75) where process.lastWords.hasSuffix(MemberSession.leftBySignal):
                process.notBefore = MonotonicTime.now.later(500)
            // As a rule the coordinator told it to, and ends itself now. If not, after a long silence say, it is missed.
            case .exited(0), .exited(75), .exited(130): process.notBefore = MonotonicTime.now.later(15_000)
            // Refused, by name: another try would only be another refusal.
            case .exited(ExitStatus.refused): throw JobError.jobFailed("\(process.name): \(process.lastWords)")
            // Told of the end of a job that failed.
            case .exited where lastStatus?.ending != nil: process.notBefore = MonotonicTime.now.later(15_000)
            default: try restart(process, after: end)
            }
        }
        guard !process.isRunning, MonotonicTime.now >= process.notBefore else { return }
        // A spare that came first would take a place from the server that is started for it.
        if isSpare(process), !process.wasStarted, !hasAllServers { return }
        try process.start(
            ["--coordinator", endpoint] + place(of: process)
                + (keys.map { ["--join", $0.joinFile(of: process.role.name)] } ?? [])
                + (process.role == .worker ? workerArguments : []))
    }

    /// Where there are spares, one of them has the place of a server that is started anew: that is the next spare.
    private func isSpare(_ process: LocalProcess) -> Bool {
        process.role == .server && configuration.cluster.spares > 0
            && (process.wasStarted || process.rank >= configuration.cluster.servers)
    }

    private var hasAllServers: Bool {
        let up = lastStatus?.processes.count { $0.role == Role.server.name && $0.state == .up }
        return up == configuration.cluster.servers
    }

    private func place(of process: LocalProcess) -> [String] {
        if isSpare(process) { return [] }
        return ["--rank", "\(process.rank)"] + (process.wasStarted ? ["--take-over"] : [])
    }

    private func restart(_ process: LocalProcess, after end: ProcessEnd) throws {
        // Nobody could work there, nor begin anew.
        if !run.files.isDirectory(run.path) { throw JobError.runIsGone(runDirectory: run.path) }
        let words = process.lastWords
        let hint = if case .killed(signal: Int(SIGKILL)) = end { Supervisor.memoryHint(of: process.role) } else { "" }
        let reason = if case .exited = end { "\(end.text): \(words)" } else { end.text }
        guard process.restarts < configuration.cluster.maxRestarts else {
            let limit = configuration.cluster.maxRestarts
            let tries =
                limit == 0
                ? "cluster.maxRestarts is 0" : "It was started again \(Report.count(limit, "time")) without progress"
            throw JobError.jobFailed("\(process.name) \(reason)\(hint). \(tries); see \(run.logs)")
        }
        process.restarts += 1
        restarts += 1
        // The hint once of each role: who kills on purpose knows.
        let news = hintedRoles.insert(process.role).inserted ? hint : ""
        note("\(process.name) (pid \(process.pid)) \(reason)\(news); it is started again")
        if process.role == .coordinator {
            endpoints = nil
            try startCoordinator()
        } else {
            // The first restart is at once; one that fails again and again is tried ever more slowly.
            let wait = process.restarts == 1 ? 0 : min(5, 0.1 * pow(2, Double(process.restarts)))
            process.notBefore = MonotonicTime.now.later(Int(wait * 1000))
        }
    }

    /// Of SIGKILL that nobody here sent.
    private static func memoryHint(of role: Role) -> String {
        let kernel = ", which as a rule is the kernel, short of memory: "
        return switch role {
        case .coordinator: ""
        case .server: kernel + "psctl doctor says what the job needs"
        case .worker:
            kernel + "lower cluster.workers, or train.batch in a new run (psctl doctor says what the job needs)"
        }
    }

    /// Gives everybody a moment to leave, then ends who is left.
    private func endAll() {
        let all = others + [coordinator]
        coordinator.send(SIGTERM)
        let deadline = MonotonicTime.now.later(6000)
        var alone: MonotonicTime?
        var areTold = false
        while all.contains(where: { $0.isRunning }), MonotonicTime.now < deadline {
            for process in all { _ = process.reap() }
            // Whoever the coordinator did not tell of the end before it went would look for another.
            if !coordinator.isRunning, alone == nil { alone = .now }
            if let alone, !areTold, MonotonicTime.now.since(alone) > 500 {
                areTold = true
                for process in others { process.send(SIGTERM) }
            }
            usleep(20_000)
        }
        for process in all where process.isRunning {
            process.send(SIGKILL)
            while process.reap() == nil { usleep(10_000) }
        }
    }
}
