// A run directory without a run.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSFiles
import PSJob
import PSMessages
import PSParameters
import PSProtocol
import PSRun

/// A run directory with one complete checkpoint, as one server would have written it.
func writeRun(
    _ directory: String, job: JobConfiguration, layout: ParameterLayout, step: Int, values: [StoredValue: [Float]]
) throws {
    try RunDirectory(directory).create()
    let store = CheckpointStore(runDirectory: directory)
    let part = try store.createPartDirectory(step: step, generation: 0)
    let writer = ShardWriter(directory: part, server: 0, serverCount: 1, layout: layout, values: Array(values.keys))
    let files = try writer.write(tensors: Array(layout.tensors.indices)) {
        (value, tensor, emit) throws(StorageError) in
        let piece = Array(values[value]![layout.range(ofTensor: tensor)])
        var failure: StorageError?
        piece.withUnsafeBytes { bytes in
            do throws(StorageError) { try emit(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
    }
    let manifest = Manifest(
        job: String(0x7e57, radix: 16), model: job.model.name, settings: job.resolvedYAML(), step: step, generation: 0,
        seed: job.seed,
        ticketsConsumed: 0, layoutDigest: layout.digest, serverCount: 1, files: files)
    try store.complete(manifest, layout: layout)
    // The journal says what counts.
    let journal = try Journal(RunDirectory(directory))
    for record in [
        .header(job: 0x7e57, seed: job.seed, layoutDigest: layout.digest, recipe: job.recipe),
        .rollback(generation: 0, base: nil),
        .step(
            .committed(
                Commit(
                    step: Step(UInt64(step - 1)), scale: 1, learningRate: 1, averageDecay: 0, skip: false), norm: nil)),
        .checkpoint(CheckpointReference(version: Version(UInt64(step)), generation: 0), keeping: nil),
    ] as [JournalRecord] { try journal.append(record, sync: false) }
    try job.resolvedYAML().write(
        toFile: RunDirectory(directory).configuration, atomically: true, encoding: .utf8)
}
