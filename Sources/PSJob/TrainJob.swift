// `psctl train`: a run directory, the local processes, the evaluation, the summary.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSCoordinator
import PSModel
import PSNode
import PSProtocol

/// What to go on from.
package enum Resume: Sendable, Hashable {
    /// The state in the run directory's journal.
    case last
    /// A checkpoint's directory.
    case checkpoint(String)
}

package struct TrainJob {
    private let configuration: JobConfiguration
    private let run: RunDirectory
    private let resume: Resume?
    private let programs: String
    private let progress: Progress

    /// Checks all that can be checked before a process is started.
    ///
    /// - Parameters:
    ///   - runDirectory: nil: `runs/<name>-<time>`, or `runs/last` to resume.
    ///   - programs: the directory of the daemons' programs.
    package init(
        configuration: JobConfiguration, runDirectory: String?, resume: Resume?, programs: String, progress: Progress
    ) throws {
        self.configuration = configuration
        self.programs = programs
        self.progress = progress
        try LocalLimits.check(configuration)
        let description = try ModelDescription(configuration.model)
        let layout = description.layout
        let classes = try configuration.data.open(.train).classNames.count
        guard classes <= configuration.model.classes else {
            throw JobError.tooFewClasses(model: configuration.model.classes, data: classes)
        }
        switch resume {
        case .checkpoint(let path):
            try CheckpointReader(path).check(layout: layout)
            self.resume = .checkpoint(RunDirectory(path).path)
        default: self.resume = resume
        }
        // A plan that cannot be used is known before there is a run directory.
        if resume != .last {
            _ = try configuration.engine.trainingPlan(description: description, batch: configuration.train.batch)
        }
        if let runDirectory {
            run = RunDirectory(runDirectory)
        } else {
            run = RunDirectory(resume == .last ? RunDirectory.last : TrainJob.defaultDirectory(configuration.name))
        }
        if resume == nil, !run.isEmpty {
            // Somebody at work there is the better thing to say.
            _ = try RunDirectoryLock(runDirectory: run.path)
            throw JobError.notEmpty(runDirectory: run.path, hasJob: run.hasJob)
        }
        if resume == .last, !run.hasJob { throw JobError.nothingToResume(runDirectory: run.path) }
        // Held by the coordinator later; here only to say at once that somebody else has it.
        _ = try RunDirectoryLock(runDirectory: run.path)
        try run.create()
        run.becomeLast()
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
        progress.say(
            "training \(configuration.model.name) in \(run.path): \(configuration.cluster.workers) workers, "
                + "\(configuration.cluster.servers) servers")
        let resumeFrom: String? = if case .checkpoint(let path)? = resume { path } else { nil }
        let supervisor = Supervisor(
            run: run, configuration: configuration, programs: programs, resumeFrom: resumeFrom,
            note: { progress.say($0) })
        let code: Int
        do {
            defer { progress.finish() }
            var isPlanSaid = false
            code = try supervisor.supervise { status in
                if !isPlanSaid, let plan = status.plan {
                    progress.say("plan: \(plan)")
                    isPlanSaid = true
                }
                progress.show(status)
            }
        }
        // The job is saved and its processes are gone: nothing is left that a signal would have to wait for.
        Signals.uninstall()
        var summary = try RunSummary.read(from: run)
        summary.restarts = supervisor.restarts
        if code == 0, configuration.eval.atEnd, let checkpoint = summary.checkpoint {
            let threads = configuration.cluster.workers * configuration.cluster.threads
            let evaluation = try Evaluation(
                checkpoint: CheckpointReader(checkpoint), configuration: configuration, weights: .average,
                threads: min(threads, ProcessInfo.processInfo.activeProcessorCount))
            summary.eval = RunSummary.Evaluation(top1: evaluation.top1, top5: evaluation.top5)
        }
        try summary.write(to: run)
        return summary
    }
}

extension RunSummary {
    /// The last lines of `psctl train`, for people.
    package var text: String {
        var lines: [String] = []
        let end = exitCode == 0 ? "finished" : "stopped, can be resumed"
        lines.append(
            "\(end): \(steps) steps, \(Report.grouped(Int(samples))) images in \(Progress.duration(seconds)) "
                + "(\(Report.decimal(imagesPerSecond, places: 1)) images/s)"
                + (finalLoss.map { ", loss \(Report.decimal($0, places: 3))" } ?? ""))
        if let eval {
            lines.append("test accuracy: top-1 \(Report.percent(eval.top1)), top-5 \(Report.percent(eval.top5))")
        }
        lines.append(checkpoint.map { "checkpoint: \($0)" } ?? "stopped before the first checkpoint")
        return lines.joined(separator: "\n") + "\n"
    }
}
