// What ps-server and ps-worker are told on their command lines, and how both begin.

import ArgumentParser
import Logging
import PSNode
import PSProofs
import PSProtocol

package struct MemberArguments: ParsableArguments {
    @Option(help: "Where the coordinator listens: tcp://HOST:PORT, or ipc:///PATH as it printed it.")
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
        return DaemonArguments.mistake(coordinator: coordinator, bind: bind, rank: rank)
    }

    /// Finds the coordinator, runs the node that `body` makes to its end, and ends the process.
    ///
    /// - Parameter threads: those of the node.
    package func run(
        _ name: String, as role: KeyRole, threads: Int, _ body: (MemberOptions, Logger) throws -> ExitStatus
    ) -> Never {
        Daemon.run(name, need: ProcessLimits.need(threads: threads)) { logger in
            let joining: JoinOptions
            do {
                joining = try JoinOptions(coordinator: coordinator, path: join, role: role)
            } catch {
                return (Daemon.usage, "\(error)")
            }
            let end = Daemon.awaitCoordinator(
                joining.coordinator, lifeline: lifeline, milliseconds: Timing().orphan, logger: logger)
            if let end { return end }
            let status = try body(
                MemberOptions(joining: joining, rank: rank, takesOver: takeOver, lifeline: lifeline), logger)
            return (status.code, status.text)
        }
    }
}
