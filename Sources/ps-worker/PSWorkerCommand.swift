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

    @Flag(help: .hidden)
    var exchangeBenchmark = false

    func validate() throws {
        if let mistake = DaemonArguments.mistake(coordinator: coordinator, rank: rank) {
            throw ValidationError(mistake)
        }
    }

    func run() throws {
        Daemon.run("ps-worker", need: ProcessLimits.need(threads: ProcessLimits.workerThreads)) { logger in
            let joining: JoinOptions
            do {
                joining = try JoinOptions(coordinator: coordinator, path: join, role: .worker)
            } catch {
                return (Daemon.usage, "\(error)")
            }
            var options = WorkerOptions(joining)
            options.rank = rank
            options.takesOver = takeOver
            options.lifeline = lifeline
            options.isExchangeBenchmark = exchangeBenchmark
            if let end = Daemon.awaitCoordinator(
                joining.coordinator, lifeline: lifeline, milliseconds: options.timing.orphan, logger: logger)
            {
                return end
            }
            let status = try WorkerNode(options, logger: logger).run()
            return (status.code, status.text)
        }
    }
}
