// What ps-server and ps-worker are told on their command lines, and how both begin.

import ArgumentParser
import Logging
import PSNode
import PSProofs
import PSProtocol
import PSRun

package struct MemberArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where the coordinator listens: tcp://HOST:PORT, or ipc:///PATH as it printed it, or run:DIRECTORY.",
            discussion:
                "With run:DIRECTORY it is found by the files of its run, also when it is started again elsewhere."))
    var coordinator: String?

    @Option(
        help:
            "The key file of this process in a job with keys, made by psctl keys; it may say where the coordinator is.")
    var join: String?

    @Option(help: "The rank to take; default: any that is free.")
    var rank: Int?

    @Flag(
        help: "The process that had the rank has ended: take it over at once, without waiting until it counts as gone.")
    var takeOver = false

    @Flag(help: "Stop when standard input ends (for a process that starts this one).")
    var lifeline = false

    package init() {}

    /// What is wrong with the arguments, or nil.
    package func mistake(bind: String? = nil) -> String? {
        if takeOver, rank == nil { return "--take-over needs --rank, which says whose place is taken" }
        let endpoint = runDirectory == nil ? coordinator : nil
        if runDirectory == "" { return "--coordinator run: expected run:DIRECTORY, the directory of a run" }
        if let endpoint, !endpoint.contains("://") {
            return "--coordinator \(endpoint): expected tcp://HOST:PORT, ipc:///PATH, or run:DIRECTORY"
        }
        return DaemonArguments.mistake(coordinator: endpoint, bind: bind, rank: rank)
    }

    /// Of `run:DIRECTORY`.
    private var runDirectory: String? {
        guard let coordinator, coordinator.hasPrefix(Whereabouts.scheme) else { return nil }
        return String(coordinator.dropFirst(Whereabouts.scheme.count))
    }

    private var whereabouts: Whereabouts? {
        runDirectory.map { path in
            let run = RunDirectory(path)
            return Whereabouts(directory: path) { Endpoints.read(from: run)?.coordinator }
        }
    }

    /// Finds the coordinator, runs the node that `body` makes to its end, and ends the process.
    ///
    /// - Parameter threads: those of the node.
    package func run(
        _ name: String, as role: KeyRole, threads: Int, _ body: (MemberOptions, Logger) throws -> ExitStatus
    ) -> Never {
        Daemon.run(name, need: ProcessLimits.need(threads: threads)) { logger in
            let joining: JoinOptions
            let whereabouts = whereabouts
            var endpoint = coordinator
            if let whereabouts {
                guard let found = whereabouts.wait(milliseconds: Timing().orphan, logger: logger) else {
                    return (
                        ExitStatus.preempted,
                        "no coordinator of the run \(whereabouts.directory) was found; check --coordinator, and that this "
                            + "host sees the directory"
                    )
                }
                endpoint = found
            }
            do {
                joining = try JoinOptions(coordinator: endpoint, path: join, role: role)
            } catch {
                return (Daemon.usage, "\(error)")
            }
            let end = Daemon.awaitCoordinator(
                joining.coordinator, lifeline: lifeline, milliseconds: Timing().orphan, logger: logger)
            if let end { return end }
            let status = try body(
                MemberOptions(
                    joining: joining, whereabouts: whereabouts, rank: rank, takesOver: takeOver, lifeline: lifeline),
                logger)
            return (status.code, status.text)
        }
    }
}
