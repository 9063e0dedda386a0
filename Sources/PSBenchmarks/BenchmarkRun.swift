// A real job on this machine, run by a benchmark until it has seen enough.

import Foundation
import PSConfiguration
import PSJob
import PSParameters
import PSProtocol
import PSRun

enum BenchmarkRun {
    struct End {
        let step: UInt64
        let weights: String?
        /// Generations that began with a checkpoint, but for the first, and those that began with the memory of servers.
        let rollbacks: Int
        let handovers: Int
    }

    /// Runs the job until it has stopped behind the version that `stop` names.
    static func run(
        _ configuration: JobConfiguration, programs: String, stop: (RunDirectory, JobStatus) -> Version?
    ) throws -> End {
        let run = RunDirectory(NSTemporaryDirectory() + "/psctl-bench-\(UUID().uuidString)")
        // Processes that are killed on purpose, one after the other, are no sign that none of them can work.
        var configuration = configuration
        configuration.cluster.maxRestarts = 1_000_000
        try run.create()
        defer { try? FileManager.default.removeItem(atPath: run.path) }
        let supervisor = Supervisor(run: run, configuration: configuration, programs: programs, note: { _ in })
        var asked: Version?
        let summary = try supervisor.supervise { status in
            let version = stop(run, status)
            guard asked == nil, let version else { return }
            if (try? RunningJob(run: run).request(.stop(after: version))) != nil { asked = version }
        }
        guard summary.exitCode == ExitStatus.preempted, asked != nil else {
            throw JobError.jobFailed("stopped by a signal")
        }
        let replay = try Journal.read(run)
        let generations = Int(replay.generation)
        let log = (try? String(contentsOfFile: "\(run.logs)/coordinator-0.log", encoding: .utf8)) ?? ""
        let rollbacks = max(0, log.components(separatedBy: "goes back to its last checkpoint").count - 1)
        return End(
            step: summary.steps, weights: summary.weightsSHA256, rollbacks: rollbacks,
            handovers: max(0, generations - 1 - rollbacks))
    }
}
