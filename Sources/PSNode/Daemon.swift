// The frame of the three daemons: logging, errors, exit codes.

import Glibc
import Logging

package enum DaemonArguments {
    /// `--bind ipc`: a socket of this machine in a directory of its own.
    package static let localBind = "ipc"
    /// As many servers, and as many workers, as the settings allow a job.
    private static let mostRanks = 10_000

    /// What is wrong with a daemon's arguments, or nil.
    package static func mistake(coordinator: String? = nil, bind: String? = nil, rank: Int? = nil) -> String? {
        for (option, value) in [("--coordinator", coordinator), ("--bind", bind)] {
            if let value, !(option == "--bind" && value == localBind), let mistake = Addresses.mistake(in: value) {
                return "\(option) \(value): \(mistake)"
            }
        }
        if let coordinator, let (host, port) = Addresses.parse(coordinator) {
            if host == "*" { return "--coordinator \(coordinator): expected a host, where the coordinator is" }
            guard ["*", "0"].contains(port) else { return rankMistake(rank) }
            return "--coordinator \(coordinator): expected the port that the coordinator printed"
        }
        return rankMistake(rank)
    }

    private static func rankMistake(_ rank: Int?) -> String? {
        guard let rank, !(0..<mostRanks).contains(rank) else { return nil }
        return "--rank \(rank): expected 0 to \(mostRanks - 1)"
    }
}

package enum Daemon {
    /// The exit code of settings that cannot be used (sysexits' EX_USAGE).
    package static let usage = 64
    /// The exit code of a process that was stopped before its end.
    static let resumable = 75

    /// Runs a daemon and ends the process with its exit code; what went wrong is one line on standard error.
    ///
    /// - Parameter need: what the process will need of the system before `body` knows its job.
    package static func run(
        _ name: String, need: ProcessLimits.Need, _ body: (Logger) throws -> (code: Int, text: String)
    ) -> Never {
        StandardStreams.prepare()
        FilePermissions.restrict()
        // A log whose reader is gone is a failed write, not the end.
        signal(SIGPIPE, SIG_IGN)
        LoggingSystem.bootstrap(PrintableLogHandler.init)
        let logger = Logger(label: name)
        let code: Int
        do {
            try ProcessLimits.check(need)
            let status = try body(logger)
            if !status.text.isEmpty { print(name, status.text, isError: [1, usage].contains(status.code)) }
            code = status.code
        } catch {
            print(name, "\(error)", isError: true)
            code = 1
        }
        // Other threads may still compute or write to sockets that are closed; nothing of theirs matters any more.
        fflush(nil)
        _exit(Int32(truncatingIfNeeded: code))
    }

    private static func print(_ name: String, _ text: String, isError: Bool) {
        StandardStreams.write("\(name): \(isError ? "error: " : "")\(text)\n", to: STDERR_FILENO)
    }
}

package enum FilePermissions {
    /// What a job writes is its owner's alone: weights, and names that let whoever knows them command it. `PS_UMASK`, an
    /// octal number as umask(1) takes it, says otherwise.
    package static func restrict() {
        guard let wish = getenv("PS_UMASK").map({ String(cString: $0) }) else {
            umask(0o077)
            return
        }
        guard let mask = mode_t(wish, radix: 8), mask <= 0o777 else {
            StandardStreams.write(
                "\(CommandLine.arguments[0].split(separator: "/").last ?? ""): error: PS_UMASK=\(wish): expected an octal number such as 022, the rights that others do not get\n",
                to: STDERR_FILENO)
            exit(Int32(Daemon.usage))
        }
        umask(mask)
    }
}
