// From a checkpoint's reference in the journal to its files.

import Glibc
import PSCheckpoint
import PSFiles
import PSMessages
import PSProtocol

extension RunDirectory {
    /// Where a checkpoint lies: below this directory, wherever it is now, or where another run has it.
    package func directory(of reference: CheckpointReference) -> String {
        reference.foreign ?? checkpoints.path(step: Int(clamping: reference.version.number))
    }

    /// Opens a checkpoint that the journal names.
    ///
    /// Damage is thrown only where it is proved. A directory of this run that is not there is damage when the run itself
    /// is seen and has others; a disk that fails, a folder that was moved or shows nothing, and another run's directory
    /// that is away are not.
    ///
    /// - Parameter nonce: the job's, where a coordinator runs: proof that the run is seen and not an old mount of it.
    package func open(
        _ reference: CheckpointReference, job: UInt64? = nil, nonce: String? = nil,
        verifying: CheckpointReader.Verification = .everything
    ) throws(StorageError) -> CheckpointReader {
        let directory = directory(of: reference)
        if reference.foreign == nil {
            if let nonce { try check(nonce: nonce) }
            if try files.entry(directory) == nil {
                // An empty folder is what a place looks like where nothing is mounted now, or where a link leads nowhere.
                guard try files.list(checkpoints.directory).contains(where: { $0.hasPrefix("step-") }) else {
                    throw .system(operation: "find", path: directory, code: ENOENT)
                }
                throw .damaged(path: directory, problem: "is gone")
            }
        }
        let reader = try CheckpointReader(directory, in: files, verifying: verifying)
        let manifest = reader.manifest
        if UInt64(manifest.step) != reference.version.number {
            throw .damaged(path: directory, problem: "is of step \(manifest.step), not \(reference.version)")
        }
        if reference.foreign == nil, let job, manifest.job != String(job, radix: 16) {
            throw .damaged(path: directory, problem: "is of another job, \(manifest.job)")
        }
        if let generation = reference.generation, manifest.generation != Int(generation) {
            throw .damaged(
                path: directory,
                problem: "is of generation \(manifest.generation), the journal means the one of \(generation)")
        }
        return reader
    }
}
