// The checkpoints of a run: where they lie, how one becomes complete, which are kept.

import Glibc
import PSFiles
import PSParameters

/// The directory `checkpoints` of a run: `step-N` holds a complete checkpoint, `step-N.part-G` one being written.
package struct CheckpointStore: Sendable {
    /// A complete checkpoint.
    package struct Entry: Sendable, Hashable {
        package let step: Int
        package let path: String
    }

    package static let indexFileName = "model.safetensors.index.json"

    private let runDirectory: String
    package let directory: String
    private let files: any FileSystem

    package init(runDirectory: String, in files: any FileSystem = LocalFileSystem()) {
        self.runDirectory = runDirectory
        directory = "\(runDirectory)/checkpoints"
        self.files = files
    }

    /// Where the checkpoint of `step` lies once complete.
    package func path(step: Int) -> String { "\(directory)/step-\(step)" }

    /// Where the servers of `generation` write the checkpoint of `step`.
    package func partDirectory(step: Int, generation: Int) -> String { "\(path(step: step)).part-\(generation)" }

    /// Creates a part directory, unless another server has. A run directory that has been moved away is not made anew.
    package func createPartDirectory(step: Int, generation: Int) throws(StorageError) -> String {
        let path = partDirectory(step: step, generation: generation)
        guard try files.entry(runDirectory) == .directory else {
            throw .system(operation: "write below", path: runDirectory, code: ENOENT)
        }
        try files.createDirectory(path)
        return path
    }

    /// Turns a part directory whose shards are all written into a complete checkpoint: checks the shards, writes the
    /// Hugging Face index and last the manifest, renames the directory. Returns its new path.
    ///
    /// A checkpoint of the same step, left from a history that was rolled back, is replaced.
    @discardableResult
    package func complete(_ manifest: Manifest, layout: ParameterLayout) throws(StorageError) -> String {
        let part = partDirectory(step: manifest.step, generation: manifest.generation)
        // A manifest that could not be read later must not get as far as being one.
        try manifest.check(path: "\(part)/\(Manifest.fileName)")
        let reader = try CheckpointReader(directory: part, manifest: manifest, in: files, verifying: .structure)
        try reader.check(layout: layout)
        try AtomicFile.write(
            "\(part)/\(CheckpointStore.indexFileName)", JSON.pretty(ShardIndex(reader, layout: layout)), in: files)
        try manifest.write(to: part, in: files)
        let final = path(step: manifest.step)
        if files.exists(final) {
            let replaced = "\(final).part-replaced"
            if files.exists(replaced) { try files.removeDirectory(replaced) }
            try files.renameDurably(final, to: replaced)
            try files.renameDurably(part, to: final)
            try files.removeDirectory(replaced)
        } else {
            try files.renameDurably(part, to: final)
        }
        return final
    }

    /// Complete checkpoints, oldest step first, of whatever history: what counts is what the journal names.
    package func list() throws(StorageError) -> [Entry] {
        guard files.exists(directory) else { return [] }
        return try files.list(directory)
            .compactMap { name -> Entry? in
                guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0,
                    files.exists("\(directory)/\(name)/\(Manifest.fileName)")
                else { return nil }
                return Entry(step: step, path: "\(directory)/\(name)")
            }
            .sorted { $0.step < $1.step }
    }

    /// Removes complete checkpoints but those of the steps in `kept`.
    ///
    /// One whose step is above all of them is of a history that was abandoned; it stays until the history that counts has
    /// come as far, since going back may have been a mistake.
    @discardableResult
    package func prune(keeping kept: Set<Int>) throws(StorageError) -> [Int] {
        guard let newest = kept.max() else { return [] }
        let removed = try list().filter { $0.step < newest && !kept.contains($0.step) }
        for entry in removed {
            // Renamed first: a checkpoint under its own name is always whole.
            let doomed = "\(entry.path).part-pruned"
            if files.exists(doomed) { try files.removeDirectory(doomed) }
            try files.renameDurably(entry.path, to: doomed)
            try files.removeDirectory(doomed)
        }
        return removed.map(\.step)
    }

    /// Removes what interrupted writers of a generation and of those before it left behind. Call it only while no server
    /// of that generation writes; those of a later one may.
    package func removeStaleParts(through generation: Int) throws(StorageError) {
        guard files.exists(directory) else { return }
        for name in try files.list(directory) where name.hasPrefix("step-") {
            guard let part = name.firstRange(of: ".part-") else { continue }
            // What a replaced checkpoint left has no generation.
            if let writer = Int(name[part.upperBound...]), writer > generation { continue }
            try files.removeDirectory("\(directory)/\(name)")
        }
    }
}

/// `model.safetensors.index.json`: which shard holds which tensor.
private struct ShardIndex: Encodable {
    struct Metadata: Encodable { let totalSize: Int }
    let metadata: Metadata
    let weightMap: [String: String]

    init(_ reader: CheckpointReader, layout: ParameterLayout) {
        metadata = Metadata(totalSize: layout.count * MemoryLayout<Float>.stride)
        weightMap = Dictionary(
            uniqueKeysWithValues: layout.tensors.map { ($0.name, reader.fileName(.current, tensor: $0.name)!) })
    }
}
