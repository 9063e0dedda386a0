// The checkpoints of a run: where they lie, how one becomes complete, which are kept.

import PSParameters

/// The directory `checkpoints` of a run: `step-N` holds a complete checkpoint, `step-N.part-G` one being written.
package struct CheckpointStore: Sendable {
    /// A complete checkpoint.
    package struct Entry: Sendable, Hashable {
        package let step: Int
        package let path: String
    }

    package static let indexFileName = "model.safetensors.index.json"

    package let directory: String

    package init(runDirectory: String) { directory = "\(runDirectory)/checkpoints" }

    /// Where the checkpoint of `step` lies once complete.
    package func path(step: Int) -> String { "\(directory)/step-\(step)" }

    /// Where the servers of `generation` write the checkpoint of `step`.
    package func partDirectory(step: Int, generation: Int) -> String { "\(path(step: step)).part-\(generation)" }

    /// Creates a part directory, unless another server has.
    package func createPartDirectory(step: Int, generation: Int) throws(CheckpointError) -> String {
        let path = partDirectory(step: step, generation: generation)
        try FileSystem.createDirectory(path)
        return path
    }

    /// Turns a part directory whose shards are all written into a complete checkpoint: checks the shards, writes the
    /// Hugging Face index and last the manifest, renames the directory. Returns its new path.
    ///
    /// A checkpoint of the same step, left from a history that was rolled back, is replaced.
    package func complete(_ manifest: Manifest, layout: ParameterLayout) throws(CheckpointError) -> String {
        let part = partDirectory(step: manifest.step, generation: manifest.generation)
        let reader = try CheckpointReader(directory: part, manifest: manifest)
        try reader.check(layout: layout)
        try AtomicFile.write("\(part)/\(CheckpointStore.indexFileName)", encodeJSON(ShardIndex(reader, layout: layout)))
        try manifest.write(to: part)
        let final = path(step: manifest.step)
        if FileSystem.exists(final) {
            let replaced = "\(final).part-replaced"
            if FileSystem.exists(replaced) { try FileSystem.removeDirectory(replaced) }
            try FileSystem.rename(final, to: replaced)
            try FileSystem.rename(part, to: final)
            try FileSystem.removeDirectory(replaced)
        } else {
            try FileSystem.rename(part, to: final)
        }
        return final
    }

    /// Complete checkpoints, oldest step first.
    package func list() throws(CheckpointError) -> [Entry] {
        guard FileSystem.exists(directory) else { return [] }
        return try FileSystem.list(directory)
            .compactMap { name -> Entry? in
                guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)), step >= 0,
                    FileSystem.exists("\(directory)/\(name)/\(Manifest.fileName)")
                else { return nil }
                return Entry(step: step, path: "\(directory)/\(name)")
            }
            .sorted { $0.step < $1.step }
    }

    package func latest() throws(CheckpointError) -> Entry? { try list().last }

    /// Removes complete checkpoints but the `count` newest and those of the steps in `kept`, say one being loaded.
    @discardableResult
    package func prune(keeping count: Int, except kept: Set<Int> = []) throws(CheckpointError) -> [Int] {
        precondition(count > 0, "pruning every checkpoint would lose the job")
        let removed = try list().dropLast(count).filter { !kept.contains($0.step) }
        for entry in removed {
            // Renamed first: a checkpoint under its own name is always whole.
            let doomed = "\(entry.path).part-pruned"
            if FileSystem.exists(doomed) { try FileSystem.removeDirectory(doomed) }
            try FileSystem.rename(entry.path, to: doomed)
            try FileSystem.removeDirectory(doomed)
        }
        return removed.map(\.step)
    }

    /// Removes what interrupted writers left behind. Call it only while no server writes.
    package func removeStaleParts() throws(CheckpointError) {
        guard FileSystem.exists(directory) else { return }
        for name in try FileSystem.list(directory) where name.hasPrefix("step-") && name.contains(".part-") {
            try FileSystem.removeDirectory("\(directory)/\(name)")
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
