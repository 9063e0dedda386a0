// `psctl`, the person's tool: the list of its commands, and the one way out for errors.

import ArgumentParser
import Foundation
import PSJob
import PSNode

@main
struct Psctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "psctl",
        abstract: "Trains the Inception networks through a parameter server, and looks after the result.",
        discussion: """
            Exit codes: 0 done; 1 failed; 64 arguments or settings that cannot be used; 75 stopped by SIGTERM, \
            SIGHUP or 'psctl stop' after a checkpoint, can be resumed; 130 the same after SIGINT.
            With --json, standard output is exactly one JSON value and everything else goes to standard error.
            """,
        subcommands: [
            TrainCommand.self, StatusCommand.self, WatchCommand.self, StopCommand.self, CheckpointCommand.self,
            EvaluateCommand.self, PredictCommand.self, ImportCommand.self, ExportCommand.self, GradientsCommand.self,
            ModelCommand.self,
            DataCommand.self, KeysCommand.self, JournalCommand.self, BenchCommand.self, DoctorCommand.self,
        ])

    static func main() {
        StandardStreams.prepare()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            exit(printing: error)
        }
    }

    /// Prints what is wrong as one line on standard error, or what was asked for (help) on standard output, and ends.
    private static func exit(printing error: any Error) -> Never {
        let code = exitCode(for: error)
        if let requested = error as? ExitCode { Foundation.exit(requested.rawValue) }
        if code == .success {
            print(fullMessage(for: error))
            Foundation.exit(CommandExit.succeeded.rawValue)
        }
        var line = message(for: error)
        if code == .validationFailure { line += " (psctl --help says more)" }
        StandardStreams.write("psctl: error: \(line)\n", to: STDERR_FILENO)
        Foundation.exit(code == .validationFailure ? code.rawValue : CommandExit(for: error).rawValue)
    }
}
