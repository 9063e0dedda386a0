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

    @Option(help: "Where the coordinator listens: tcp://HOST:PORT.")
    var coordinator: String

    @Option(
        help:
            "Where workers reach this server: tcp://HOST:PORT; default: the address that faces the coordinator, a free port."
    )
    var bind: String?

    @Option(help: "The rank to take; default: any that is free.")
    var rank: Int?

    @Flag(help: "Stop when standard input ends (for a process that starts this one).")
    var lifeline = false

    func validate() throws {
        if let mistake = DaemonArguments.mistake(coordinator: coordinator, bind: bind, rank: rank) {
            throw ValidationError(mistake)
        }
    }

    func run() throws {
        var options = ServerOptions(coordinator: coordinator)
        options.bind = bind
        options.rank = rank
        options.lifeline = lifeline
        Daemon.run("ps-server", need: ProcessLimits.need(threads: ProcessLimits.serverThreads)) { logger in
            if let end = Daemon.awaitCoordinator(
                coordinator, lifeline: lifeline, milliseconds: options.timing.orphan, logger: logger)
            {
                return end
            }
            let status = try ServerNode(options, logger: logger).run()
            return (status.code, status.text)
        }
    }
}
