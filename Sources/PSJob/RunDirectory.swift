// Where a job keeps what it leaves behind: its resolved settings, checkpoints, logs, summary.

import Foundation
import PSCheckpoint
import PSConfiguration

/// A run's directory.
package struct RunDirectory: Sendable, Hashable {
    /// The link to the newest run, used by commands that are given none.
    package static let last = "runs/last"
    package static let configurationFileName = "config.yaml"

    package let path: String

    package init(path: String) { self.path = path }

    /// The run in `path`, or the last one.
    package static func existing(_ path: String?) throws(JobError) -> RunDirectory {
        let run = RunDirectory(path: path ?? last)
        guard FileManager.default.fileExists(atPath: run.configurationPath) else {
            throw .noRunDirectory(path: run.path, isDefault: path == nil)
        }
        return run
    }

    package var configurationPath: String { "\(path)/\(RunDirectory.configurationFileName)" }

    /// The settings the run was started with.
    package func configuration() throws(ConfigurationError) -> JobConfiguration {
        try JobConfiguration(path: configurationPath, environment: [:], assignments: [])
    }

    /// The complete checkpoint of `step`, or the newest.
    package func checkpoint(step: Int?) throws -> CheckpointReader {
        let entries = try CheckpointStore(runDirectory: path).list()
        guard let entry = step == nil ? entries.last : entries.first(where: { $0.step == step }) else {
            throw JobError.noCheckpoint(runDirectory: path, step: step, available: entries.map(\.step))
        }
        return try CheckpointReader(entry.path)
    }
}
