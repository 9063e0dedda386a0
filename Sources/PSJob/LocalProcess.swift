// One daemon on this machine: started, watched, started again.

import Foundation
import Glibc
import PSCheckpoint
import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProtocol
import PSRun

/// How a process ended.
enum ProcessEnd: Sendable, Hashable {
    case exited(Int)
    case killed(signal: Int)

    var text: String {
        switch self {
        case .exited(let code): "exited with \(code)"
        case .killed(let signal): "was ended by signal \(signal)"
        }
    }
}

final class LocalProcess {
    let role: Role
    let rank: Int
    private let isNamedByLog: Bool
    private let program: String
    private let log: String
    private(set) var pid: pid_t = 0
    private(set) var isRunning = false
    /// Whether one was started before, which has ended: the next takes its rank over.
    private(set) var wasStarted = false
    /// Starts in place of one that ended, since the job's last progress.
    var restarts = 0
    /// Not to be started before this time.
    var notBefore = MonotonicTime(milliseconds: 0)
    /// How it ended, and when, until that is looked at.
    var ended: (ProcessEnd, MonotonicTime)?
    /// Where the log stood at the last start.
    private var logStart = 0
    /// The process stops when this closes: by us or by our death.
    private var lifeline: Int32 = -1

    /// - Parameter isNamedByLog: its rank may come to be another's, as that of servers where there are spares.
    init(role: Role, rank: Int, isNamedByLog: Bool, directory: String, run: RunDirectory) {
        self.role = role
        self.isNamedByLog = isNamedByLog
        self.rank = rank
        program = "\(directory)/ps-\(role.name)"
        log = "\(run.logs)/\(role.name)-\(rank).log"
    }

    var name: String {
        if role == .coordinator { return "the coordinator" }
        return isNamedByLog ? "the \(role.name) of logs/\(Paths.name(of: log))" : "\(role.name) \(rank)"
    }

    /// Starts the program with its output appended to its log, in a process group of its own: a terminal's Ctrl-C is
    /// for the supervisor, which ends the job in order.
    func start(_ arguments: [String]) throws(JobError) {
        let output = try openLog()
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else {
            let advice = [EMFILE, ENFILE].contains(errno) ? "; raise the limit of open files with ulimit -n" : ""
            throw .cannotStart(program: program, reason: String(cString: strerror(errno)) + advice)
        }
        // The child's copy as standard input is another descriptor, without this flag. And whoever started this process
        // may wait for the end of a pipe: a child that outlives this process must not hold it.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? [] {
            if let descriptor = Int32(name), descriptor > STDERR_FILENO { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        }
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
            close(ends[0])
        }
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output.number, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output.number, STDERR_FILENO)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let all = [program] + arguments + ["--lifeline"]
        var words = all.map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        logStart = (try? FileManager.default.attributesOfItem(atPath: log)[.size] as? Int) ?? 0
        // The engine has threads of its own; see also `CSingleThreadedBLAS`.
        var surroundings = ProcessInfo.processInfo.environment
        surroundings["OPENBLAS_NUM_THREADS"] = "1"
        var variables = surroundings.map { strdup("\($0)=\($1)") }
        variables.append(nil)
        defer { for variable in variables { free(variable) } }
        let code = posix_spawn(&pid, program, &actions, &attributes, words, variables)
        guard code == 0 else {
            close(ends[1])
            let advice =
                switch code {
                case EAGAIN: "too many processes and threads of this user: raise ulimit -u, or pids.max of a container"
                case EMFILE, ENFILE: "too many open files: raise ulimit -n"
                case _ where access(program, X_OK) == 0: "it can be executed: has this machine memory left?"
                default: "build it with: swift build -c release"
                }
            throw .cannotStart(program: program, reason: "\(String(cString: strerror(code))); \(advice)")
        }
        if lifeline >= 0 { close(lifeline) }
        lifeline = ends[1]
        isRunning = true
        wasStarted = true
    }

    /// Opened here, not in the child: there a pipe without a reader would wait, and this process with it.
    private func openLog() throws(JobError) -> Descriptor {
        do {
            let log = try Descriptor(
                "open", log, flags: O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, mode: 0o644)
            _ = fcntl(log.number, F_SETFL, O_APPEND)
            return log
        } catch {
            throw .cannotStart(program: program, reason: "its log: \(error)")
        }
    }

    /// How the process ended, once.
    func reap() -> ProcessEnd? {
        guard isRunning else { return nil }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
        isRunning = false
        let signal = status & 0x7F
        return signal == 0 ? .exited(Int(status >> 8) & 0xFF) : .killed(signal: Int(signal))
    }

    func send(_ signal: Int32) {
        if isRunning { kill(pid, signal) }
    }

    /// Ends it for good, as something else is to be started in its place.
    func end() {
        guard isRunning else { return }
        kill(pid, SIGKILL)
        while waitpid(pid, nil, 0) < 0, errno == EINTR {}
        isRunning = false
    }

    /// What the process said on its way out: its last error line since the start, else its last line; empty where
    /// the log cannot tell.
    var lastWords: String {
        guard let file = FileHandle(forReadingAtPath: log), let end = try? file.seekToEnd() else { return "" }
        // The end of a log, however long it is.
        try? file.seek(toOffset: max(UInt64(logStart), end - min(end, 64 << 10)))
        let text = String(decoding: (try? file.readToEnd()) ?? Data(), as: UTF8.self)
        let lines = text.split(separator: "\n")
        let prefix = "ps-\(role.name): error: "
        if let start = lines.lastIndex(where: { $0.hasPrefix(prefix) }) {
            // A long error goes on in the lines that follow.
            return String(lines[start].dropFirst(prefix.count)) + lines[(start + 1)...].map { "\n" + $0 }.joined()
        }
        return lines.last.map(String.init) ?? ""
    }
}
