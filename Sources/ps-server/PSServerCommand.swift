// ps-server: one parameter server of a job.

import ArgumentParser
import PSNode
import PSServer

@main
struct PSServerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps-server",
        abstract: "A parameter server: holds a part of the weights, adds gradients up, applies updates, publishes.",
        discussion: "Exit codes: 0 done, 1 failed, 64 usage, 75 stopped and resumable.")

    @Option(help: "Where the coordinator listens: tcp://HOST:PORT, or ipc:///PATH as it printed it.")
    var coordinator: String?

    @Option(
        help:
            "The key file of this process in a job with keys, made by psctl keys; it may say where the coordinator is.")
    var join: String?

    @Option(
        help:
            "Where workers reach this server: tcp://HOST:PORT; default: the address that faces the coordinator, a free port."
    )
    var bind: String?

    @Option(help: "The rank to take; default: any that is free.")
    var rank: Int?

    @Flag(
        help: "The process that had the rank has ended: take it over at once, without waiting until it counts as gone.")
    var takeOver = false

    @Flag(help: "Stop when standard input ends (for a process that starts this one).")
    var lifeline = false

    func validate() throws {
        if let mistake = DaemonArguments.mistake(coordinator: coordinator, bind: bind, rank: rank) {
            throw ValidationError(mistake)
        }
    }

    func run() throws {
        Daemon.run("ps-server", need: ProcessLimits.need(threads: ProcessLimits.serverThreads)) { logger in
            let joining: JoinOptions
            do {
                joining = try JoinOptions(coordinator: coordinator, path: join, role: .server)
            } catch {
                return (Daemon.usage, "\(error)")
            }
            var options = ServerOptions(joining)
            options.bind = bind
            options.rank = rank
            options.takesOver = takeOver
            options.lifeline = lifeline
            if let end = Daemon.awaitCoordinator(
                joining.coordinator, lifeline: lifeline, milliseconds: options.timing.orphan, logger: logger)
            {
                return end
            }
            let status = try ServerNode(options, logger: logger).run()
            return (status.code, status.text)
        }
    }
}
