// `psctl train`: a run directory, the local processes, the evaluation, the summary.

import Foundation
import PSConfiguration
import PSCoordinator
import PSFiles
import PSModel
import PSNetwork
import PSNode
import PSParameters
import PSProtocol
import PSReport
import PSRun

package struct TrainJob {
    private let configuration: JobConfiguration
    private let run: RunDirectory
    private let resume: CoordinatorOptions.Resume?
    private let programs: String
    private let progress: Progress

    /// Checks all that can be checked before a process is started or a byte is written.
    ///
    /// - Parameters:
    ///   - runDirectory: nil: `runs/<name>-<time>`, or the last run to resume.
    ///   - programs: the directory of the daemons' programs.
    package init(
        configuration: JobConfiguration, runDirectory: String?, resume: CoordinatorOptions.Resume?, programs: String,
        progress: Progress
    ) throws {
        self.programs = programs
        self.progress = progress
        try LocalLimits.check(configuration)
        if runDirectory == "" { throw JobError.emptyPath(option: "--run-dir") }
        switch resume {
        // Read now: the path may lead through a link that is about to move.
        case .checkpoint(let path): self.resume = .checkpoint(Paths.resolved(path) ?? Paths.absolute(path))
        default: self.resume = resume
        }
        let last = resume == .last ? LastRun.path : nil
        run = RunDirectory(runDirectory ?? last ?? TrainJob.defaultDirectory(configuration.name))
        if resume == .last, try !run.hasJob() { throw JobError.nothingToResume(runDirectory: run.path) }
        if resume == nil, !run.isEmpty {
            // Somebody at work there is the better thing to say.
            try RunLock.check(run)
            throw JobError.notEmpty(runDirectory: run.path, hasJob: try run.hasJob())
        }
        try RunAvailability(run, say: { progress.say($0) }).wait()
        let opening = try JobOpening(configuration: configuration, run: run, resume: self.resume)
        if opening.hasNothingLeft {
            let reached = max(opening.replay.version, Version(UInt64(opening.stepCount)))
            progress.say(
                "the run has reached step \(reached) already, of \(opening.stepCount) by train.steps or train.epochs: raise "
                    + "them to train on")
        }
        for remark in opening.data.remarks { progress.say(remark) }
        if let initial = opening.initial { progress.say(initial.remark) }
        self.configuration = opening.configuration
        // What no worker could compute.
        _ = try TrainingNetwork.arenaByteCount(
            description: opening.description, batch: configuration.train.batch, threads: configuration.cluster.threads,
            plan: opening.plan.plan)
    }

    private static func defaultDirectory(_ name: String) -> String {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.dateFormat = "yyyyMMdd-HHmmss"
        return "runs/\(name)-\(format.string(from: .now))"
    }

    /// Trains to the end, or until the job is stopped.
    /// - Returns: the summary, which is also in the run directory; its exit code is that of the command.
    package func train() throws -> RunSummary {
        try run.create()
        // Tried, so that a person hears of it here and not only in a log.
        _ = try RunLock(run)
        for line in Shortcomings.takeNew() { progress.say(line) }
        if let remark = Doctor.memoryRemark(configuration) { progress.say(remark) }
        progress.say(
            "training \(configuration.model.name) in \(run.path): "
                + "\(Report.count(configuration.cluster.workers, "worker")), "
                + Report.count(configuration.cluster.servers, "server"))
        let supervisor = Supervisor(
            run: run, configuration: configuration, programs: programs, resume: resume, note: { progress.say($0) })
        supervisor.whenUp = {
            if let remark = LastRun.become(run) { progress.say(remark) }
        }
        let summary: RunSummary
        do {
            defer { progress.finish() }
            var isPlanSaid = false
            summary = try supervisor.supervise { status in
                if !isPlanSaid, let plan = status.plan {
                    progress.say("plan: \(plan)")
                    isPlanSaid = true
                }
                progress.show(status)
            }
        }
        // The job is saved and its processes are gone: nothing is left that a signal would have to wait for.
        Signals.uninstall()
        for line in Shortcomings.takeNew() { progress.say(line) }
        return summary
    }
}

extension RunSummary {
    /// The last lines of `psctl train`, for people.
    package var text: String {
        var lines: [String] = []
        let end = exitCode == 0 ? "finished" : "stopped, can be resumed"
        lines.append(
            "\(end): \(Report.count(Int(clamping: steps), "step")), \(Report.count(Int(clamping: samples), "image")); "
                + (seconds > 0 ? "the last start took \(Progress.duration(seconds))" : "no start computed any")
                + (imagesPerSecond > 0 ? " (\(Report.decimal(imagesPerSecond, places: 1)) images/s)" : "")
                + (finalLoss.map { ", loss \(Report.decimal($0, places: 3))" } ?? ""))
        if let eval {
            lines.append(
                "test accuracy: \(eval.figures)" + (eval.version.number == steps ? "" : " at step \(eval.version)"))
            if let best = bestEval, best.version != eval.version {
                lines.append("best: \(best.figures) at step \(best.version)")
            }
        }
        if let unreadable = unreadableSamples, let first = unreadable.first {
            lines.append(
                "\(Report.count(unreadable.count, "training image")) could not be read and others took their place: "
                    + (unreadable.count == 1 ? first : "\(first) and more, see unreadable_samples in summary.json"))
        }
        lines.append(checkpoint.map { "checkpoint: \($0)" } ?? "stopped before the first checkpoint")
        return lines.joined(separator: "\n") + "\n"
    }
}
