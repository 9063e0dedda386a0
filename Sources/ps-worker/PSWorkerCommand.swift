// ps-worker: one worker of a job.

import ArgumentParser
import PSNode
import PSWorker

@main
struct PSWorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps-worker",
        abstract: "A worker: takes tickets, pulls the weights, computes gradients, pushes them.",
        discussion: "Exit codes: 0 done, 1 failed, 64 usage, 75 stopped and resumable.")

    @Option(help: "Where the coordinator listens: tcp://HOST:PORT.")
    var coordinator: String

    @Option(help: "The rank to take; default: any that is free.")
    var rank: Int?

    @Flag(help: "Stop when standard input ends (for a process that starts this one).")
    var lifeline = false

    @Flag(help: .hidden)
    var exchangeBenchmark = false

    func validate() throws {
        if let mistake = DaemonArguments.mistake(coordinator: coordinator, rank: rank) {
            throw ValidationError(mistake)
        }
    }

    func run() throws {
        var options = WorkerOptions(coordinator: coordinator)
        options.rank = rank
        options.lifeline = lifeline
        options.isExchangeBenchmark = exchangeBenchmark
        Daemon.run("ps-worker", need: ProcessLimits.need(threads: ProcessLimits.workerThreads)) { logger in
            if let end = Daemon.awaitCoordinator(
                coordinator, lifeline: lifeline, milliseconds: options.timing.orphan, logger: logger)
            {
                return end
            }
            let status = try WorkerNode(options, logger: logger).run()
            return (status.code, status.text)
        }
    }
}
