// A run as commands see it: its settings, and the checkpoints of the history that counts, by the word of its journal.

import PSCheckpoint
import PSConfiguration
import PSFiles
import PSParameters
import PSProtocol
import PSRun

extension RunDirectory {
    /// The run in `path`, or the last one.
    package static func existing(_ path: String?) throws -> RunDirectory {
        if path == "" { throw JobError.emptyPath(option: "--run-dir") }
        guard let place = path ?? LastRun.path else {
            throw JobError.noRunDirectory(path: LastRun.link, isDefault: true)
        }
        let run = RunDirectory(place)
        switch try run.files.entry(run.configuration) {
        case .file: return run
        case nil: throw JobError.noRunDirectory(path: path ?? LastRun.link, isDefault: path == nil)
        // The reading of a pipe would wait for its writer.
        default: throw StorageError.damaged(path: run.configuration, problem: "not a regular file")
        }
    }

    /// The settings the run was started with.
    package func readConfiguration() throws(ConfigurationError) -> JobConfiguration {
        try JobConfiguration(path: configuration, environment: [:], assignments: [])
    }

    /// The evaluations of the history that counts, by step.
    package func evaluations() throws -> [EvaluationReport] { try hasJob() ? Journal.read(self).evaluations : [] }

    /// The step of the best evaluation.
    package func bestStep() throws -> Int {
        guard let best = try evaluations().best else { throw JobError.notEvaluated(runDirectory: path) }
        return Int(clamping: best.version.number)
    }

    /// The checkpoint of `step` that counts, or the newest; compared with its hashes.
    package func checkpoint(step: Int?) throws -> CheckpointReader {
        let replay = try hasJob() ? Journal.read(self) : Replay()
        let wanted = step.flatMap { UInt64(exactly: $0) }.map { Version($0) }
        guard
            let reference = step == nil
                ? replay.checkpoints.last : replay.checkpoints.last(where: { $0.version == wanted })
        else {
            throw JobError.noCheckpoint(
                runDirectory: path, step: step, available: replay.checkpoints.map(\.version.number))
        }
        do throws(StorageError) {
            return try open(reference, job: replay.job)
        } catch {
            // For a person: another one is named and not taken in silence.
            let others = replay.checkpoints.filter { $0.version != reference.version }.map { "\($0.version)" }
            guard error.isDamage, !others.isEmpty else { throw error }
            throw JobError.damagedCheckpoint(
                "\(error); another one can be named with --step, there are: \(others.joined(separator: ", "))")
        }
    }
}
