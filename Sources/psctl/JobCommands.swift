// `psctl status`, `watch`, `stop`, `checkpoint`: a job that runs.

import ArgumentParser
import Foundation
import PSCheckpoint
import PSJob
import PSMessages
import PSNode
import PSParameters
import PSProtocol
import PSReport
import PSRun

extension RunDirectoryOption {
    /// The run, where this process may have what asking its coordinator takes.
    fileprivate func connectable() throws -> RunDirectory {
        try ProcessLimits.check(ProcessLimits.need(threads: ProcessLimits.clientThreads))
        return try existing()
    }
}

/// A job by its run directory, or by a person's key.
struct JobOption: ParsableArguments {
    @OptionGroup var directory: RunDirectoryOption

    @Option(
        help: "Your key file of a job with keys, made by psctl keys: asks the coordinator that it names, from anywhere."
    )
    var join: String?

    fileprivate func status() throws -> (JobStatus, name: String) {
        if let join {
            let job = try RemoteJob(path: join)
            return (try job.status(), job.coordinator)
        }
        let run = try directory.connectable()
        return (try LocalStatus.read(run), run.path)
    }

    fileprivate func request(_ control: Control) throws -> String {
        if let join { return try RemoteJob(path: join).request(control) }
        return try RunningJob(run: directory.connectable()).request(control)
    }
}

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Says how a job is doing and what each of its processes does.")

    @OptionGroup var job: JobOption
    @OptionGroup var json: JSONOption

    func run() throws {
        let (status, name) = try job.status()
        write(json.isOn ? Report.json(status) : StatusText.table(status, run: name))
    }
}

struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Shows a job's status once a second until the job ends.")

    @OptionGroup var job: JobOption

    @Option(help: "Seconds between two looks.")
    var interval = 1.0

    func validate() throws {
        guard (0.1...3600).contains(interval) else {
            throw ValidationError("--interval is \(interval), allowed is from 0.1 to 3600 seconds")
        }
    }

    func run() throws {
        let isRedrawn = Terminal.redraws(STDOUT_FILENO)
        while true {
            let (status, name) = try job.status()
            if isRedrawn { StandardStreams.draw("\u{1B}[H\u{1B}[2J", to: STDOUT_FILENO) }
            write(StatusText.table(status, run: name) + (isRedrawn ? "" : "\n"))
            if [.finished, .failed, .stopped].contains(status.state) { return }
            Thread.sleep(forTimeInterval: interval)
        }
    }
}

struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Saves a job's last step and stops it; it can be resumed.")

    @OptionGroup var job: JobOption

    @Option(help: "Stop when this many steps are committed; 0: at once.")
    var afterStep: UInt64 = 0

    func run() throws {
        write(try job.request(.stop(after: Version(afterStep))) + "\n")
    }
}

struct CheckpointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint", abstract: "Has a running job write a checkpoint now.")

    @OptionGroup var job: JobOption

    func run() throws {
        write(try job.request(.checkpoint) + "\n")
    }
}
