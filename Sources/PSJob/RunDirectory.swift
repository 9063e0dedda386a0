// What commands need of a run directory besides its paths.

import Foundation
import PSCheckpoint
import PSConfiguration

extension RunDirectory {
    /// The link to the newest run, used by commands that are given none.
    package static let last = "runs/last"

    /// The run in `path`, or the last one.
    package static func existing(_ path: String?) throws(JobError) -> RunDirectory {
        let run = RunDirectory(path ?? last)
        guard FileManager.default.fileExists(atPath: run.configuration) else {
            throw .noRunDirectory(path: path ?? last, isDefault: path == nil)
        }
        return run
    }

    /// The settings the run was started with.
    package func readConfiguration() throws(ConfigurationError) -> JobConfiguration {
        try JobConfiguration(path: configuration, environment: [:], assignments: [])
    }

    /// The complete checkpoint of `step`, or the newest.
    package func checkpoint(step: Int?) throws -> CheckpointReader {
        let entries = try checkpoints.list()
        guard let entry = step == nil ? entries.last : entries.first(where: { $0.step == step }) else {
            throw JobError.noCheckpoint(runDirectory: path, step: step, available: entries.map(\.step))
        }
        return try CheckpointReader(entry.path)
    }

    /// Makes `runs/last` of the working directory point here, wherever the run lies.
    package func becomeLast() {
        let link = RunDirectory(RunDirectory.last).path
        try? FileManager.default.createDirectory(
            atPath: (link as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        // A link that cannot be made costs only the convenience: commands then need --run-dir.
        unlink(link)
        symlink(path, link)
    }
}
