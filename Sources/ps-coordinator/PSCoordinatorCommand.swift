// ps-coordinator: sequences one job.

import ArgumentParser
import PSCheckpoint
import PSConfiguration
import PSCoordinator
import PSNode
import PSRun

@main
struct PSCoordinatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ps-coordinator",
        abstract: "The coordinator: grants tickets, decides commits, keeps the journal of one job.",
        discussion: """
            A run directory that holds a job is taken up where its journal ends.
            Exit codes: 0 done, 1 failed, 64 usage, 75 stopped and resumable, 130 interrupted and resumable.
            """)

    @Option(help: "The job's settings, a YAML file.")
    var config: String

    @Option(help: "The job's directory, on storage that all its hosts share; created if it is not there.")
    var runDir: String

    @Option(
        help: """
            Where servers and workers reach the coordinator: tcp://HOST:PORT, a port of * is chosen free; or 'ipc': processes \
            of this user on this machine only, without a port.
            """)
    var bind: String = "tcp://127.0.0.1:*"

    @Option(
        help: """
            'last': go on with a job that was stopped; or a checkpoint's directory to go back to. Without it a stop that \
            was asked for holds.
            """)
    var resume: String?

    @Option(
        help: """
            The directory of the job's keys, made by psctl keys create; default: 'keys' in the run directory, where keys are \
            asked for (cluster.security).
            """)
    var keys: String?

    @Flag(help: .hidden)
    var restart = false

    @Flag(help: "Stop when standard input ends (for a process that starts this one).")
    var lifeline = false

    func validate() throws {
        if let mistake = DaemonArguments.mistake(bind: bind) { throw ValidationError(mistake) }
    }

    func run() throws {
        Daemon.run("ps-coordinator", need: ProcessLimits.need(threads: ProcessLimits.coordinatorThreads)) { logger in
            let configuration: JobConfiguration
            do throws(ConfigurationError) {
                configuration = try JobConfiguration(path: config, environment: [:], assignments: [])
            } catch {
                return (Daemon.usage, error.description)
            }
            let cluster = configuration.cluster
            try ProcessLimits.check(
                ProcessLimits.need(
                    threads: ProcessLimits.coordinatorThreads, peers: cluster.workers + cluster.servers))
            var options = CoordinatorOptions(
                configuration: configuration, runDirectory: RunDirectory(runDir), bind: bind)
            options.resume = resume.map { CoordinatorOptions.Resume($0) }
            options.isRestart = restart
            options.lifeline = lifeline
            do {
                options.keys = try CoordinatorOptions.keys(
                    cluster.security, given: keys, run: options.runDirectory, bind: bind)
            } catch {
                return (Daemon.usage, "\(error)")
            }
            let status = try CoordinatorNode(options, logger: logger).run()
            return (status.code, status.text)
        }
    }
}
