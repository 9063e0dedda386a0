// What a process of ours tells the shell, and which error gives what.

import PSConfiguration
import PSModel

/// Exit codes, the same for every command.
package enum CommandExit: Int32, Sendable {
    case succeeded = 0
    case failed = 1
    /// Arguments or settings that cannot be used (sysexits' EX_USAGE).
    case usage = 64
    /// Stopped by SIGTERM, SIGHUP or `psctl stop` after a checkpoint: can be resumed (sysexits' EX_TEMPFAIL).
    case preempted = 75
    /// Stopped by SIGINT after a checkpoint.
    case interrupted = 130
}

extension CommandExit {
    /// The code for a command that ended with `error`.
    package init(for error: any Error) {
        switch error {
        case is ConfigurationError, is ModelError: self = .usage
        default: self = .failed
        }
    }
}
