// ps-worker: one worker of a job.

import ArgumentParser
import PSMemberCommand
import PSNode
import PSWorker

@main
struct PSWorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps-worker",
        abstract: "A worker: takes tickets, pulls the weights, computes gradients, pushes them.",
        discussion: "Exit codes: 0 done, 1 failed, 64 usage, 75 stopped and resumable.")

    @OptionGroup var member: MemberArguments

    @Flag(help: .hidden)
    var exchangeBenchmark = false

    func validate() throws {
        if let mistake = member.mistake() { throw ValidationError(mistake) }
    }

    func run() throws {
        member.run("ps-worker", as: .worker, threads: ProcessLimits.workerThreads) { options, logger in
            try WorkerNode(options, isExchangeBenchmark: exchangeBenchmark, logger: logger).run()
        }
    }
}
