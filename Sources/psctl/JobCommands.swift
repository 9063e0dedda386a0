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

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Says how a job is doing and what each of its processes does.")

    @OptionGroup var directory: RunDirectoryOption
    @OptionGroup var json: JSONOption

    func run() throws {
        let run = try directory.connectable()
        let status = try LocalStatus.read(run)
        write(json.isOn ? Report.json(status) : StatusText.table(status, run: run.path))
    }
}

struct WatchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch", abstract: "Shows a job's status once a second until the job ends.")

    @OptionGroup var directory: RunDirectoryOption

    @Option(help: "Seconds between two looks.")
    var interval = 1.0

    func validate() throws {
        guard (0.1...3600).contains(interval) else {
            throw ValidationError("--interval is \(interval), allowed is from 0.1 to 3600 seconds")
        }
    }

    func run() throws {
        let run = try directory.connectable()
        let isRedrawn = Terminal.redraws(STDOUT_FILENO)
        while true {
            let status = try LocalStatus.read(run)
            if isRedrawn { StandardStreams.draw("\u{1B}[H\u{1B}[2J", to: STDOUT_FILENO) }
            write(StatusText.table(status, run: run.path) + (isRedrawn ? "" : "\n"))
            if [.finished, .failed, .stopped].contains(status.state) { return }
            Thread.sleep(forTimeInterval: interval)
        }
    }
}

struct StopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stop", abstract: "Saves a job's last step and stops it; it can be resumed.")

    @OptionGroup var directory: RunDirectoryOption

    @Option(help: "Stop when this many steps are committed (default: at once).")
    var afterStep: UInt64 = 0

    func run() throws {
        write(try RunningJob(run: directory.connectable()).request(.stop(after: Version(afterStep))) + "\n")
    }
}

struct CheckpointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint", abstract: "Has a running job write a checkpoint now.")

    @OptionGroup var directory: RunDirectoryOption

    func run() throws {
        write(try RunningJob(run: directory.connectable()).request(.checkpoint) + "\n")
    }
}
