// Packing a folder of classes into tar shards.

import Glibc
import PSFiles

/// What a pack did.
package struct PackReport: Sendable, Hashable, Encodable {
    /// Samples in the shards.
    package let trainCount: Int
    package let testCount: Int
    package var shardsWritten = 0
    /// Found whole, from an earlier pack that was interrupted or had ended.
    package var shardsKept = 0
    /// Of all shards.
    package var byteCount = 0
}

private struct BothSplits: Sendable {
    let train: Dataset
    let test: Dataset

    subscript(split: DatasetSplit) -> Dataset { split == .train ? train : test }
}

package enum Pack {
    private static let planName = ".pack-plan"

    /// Writes the pictures of a folder of classes, unchanged and in its order, into `output/train/*.tar` and
    /// `output/val/*.tar` with `classes.txt` and the indexes beside them.
    ///
    /// A shard has its name only when it is whole and durable. A pack that was interrupted goes on where it was when it
    /// is started again; one that has ended is checked and left as it is. The set that comes out has the digests of the
    /// folder: that is checked at the end.
    ///
    /// - Parameters:
    ///   - shardByteCount: how large shards become, at least 1 MiB; the last picture of one goes over it.
    ///   - threads: shards being written at once.
    ///   - progress: called with the shards done and all shards.
    package static func run(
        _ source: DatasetSettings, into output: String, shardByteCount: Int = 256 << 20, threads: Int = 4,
        progress: DatasetProgress = { _, _ in }
    ) throws(DatasetError) -> PackReport {
        if shardByteCount < 1 << 20 {
            throw .setting(key: "shardByteCount", problem: "is \(shardByteCount); it must be 1 MiB (1048576) at least")
        }
        try checkApart(source.path, output)
        let sets = BothSplits(train: try Dataset.open(source, .train), test: try Dataset.open(source, .test))
        guard sets.train.form == .folder else {
            throw .layout(
                path: source.path, problem: "a data set of kind \(sets.train.form.rawValue); only folders are packed")
        }
        let shards =
            try PackPlan.shards(of: sets.train.index, shardByteCount: shardByteCount)
            + PackPlan.shards(of: sets.test.index, shardByteCount: shardByteCount)
        let lock = try begin(output, plan(sets, shardByteCount), shards, sets)
        defer { close(lock) }

        var report = PackReport(trainCount: sets.train.count, testCount: sets.test.count)
        try Threads.inOrder(shards.count, threads: max(threads, 1)) { (number) throws(DatasetError) in
            try write(shards[number], of: sets[shards[number].split], into: output)
        } take: { (number, isNew) in
            if isNew { report.shardsWritten += 1 } else { report.shardsKept += 1 }
            report.byteCount += shards[number].byteCount
            progress(number + 1, shards.count)
        }
        try check(output, sets)
        return report
    }

    /// - Returns: whether the shard was not there already.
    private static func write(
        _ shard: PackedShard, of set: Dataset, into output: String
    ) throws(DatasetError) -> Bool {
        let path = "\(output)/\(shard.name)"
        if access(path, F_OK) == 0, try FileStamp.of(path).byteCount == shard.byteCount { return false }
        let file = try FileOutput(path: path)
        for sample in shard.samples {
            guard case .encoded(let picture) = try set.read(sample) else { preconditionFailure("a folder has files") }
            try file.write(
                TarWriter.sample(name: try set.name(of: sample), picture: picture, label: try set.label(of: sample)))
        }
        try file.write(TarWriter.end)
        try file.commit()
        return true
    }

    /// What the content of the output follows from.
    private static func plan(_ sets: BothSplits, _ shardByteCount: Int) -> String {
        let lines = DatasetSplit.allCases.map { "\($0.rawValue) \(sets[$0].digest)\n" }
        return "pack 1\nshard bytes \(shardByteCount)\n" + lines.joined()
            + "\(ClassNameFile.recipe(sets.train.classNames))\n"
    }

    /// Prepares the output, or checks one that an earlier pack began.
    ///
    /// - Returns: a descriptor that holds the output for this process.
    private static func begin(
        _ output: String, _ plan: String, _ shards: [PackedShard], _ sets: BothSplits
    ) throws(DatasetError) -> Int32 {
        let files = LocalFileSystem()
        let path = "\(output)/\(planName)"
        try onFiles { () throws(StorageError) in try files.createDirectory(output) }
        let lock = try hold(output)
        do throws(DatasetError) {
            if files.exists(path) {
                let old = try onFiles { () throws(StorageError) in try files.read(path, atMost: 1 << 16) }
                if old != Array(plan.utf8) {
                    throw .layout(
                        path: output,
                        problem:
                            "holds a pack of other pictures or with another size of shards; name an empty directory, "
                            + "or remove this one to pack anew")
                }
            } else {
                let entries = try onFiles { () throws(StorageError) in try files.list(output) }
                // One of a pack that was interrupted at once.
                if let other = entries.first(where: { !$0.hasPrefix(".\(planName).") }) {
                    throw .layout(path: output, problem: "has other files, such as \(other); name an empty directory")
                }
                try writeWhole(path, plan)
            }
            for split in DatasetSplit.allCases {
                let directory = "\(output)/\(PackPlan.directory(split))"
                try onFiles { () throws(StorageError) in try files.createDirectory(directory) }
            }
            try removeRemains(output, shards)
            for name in sets.train.classNames where name.utf8.contains(UInt8(ascii: "\n")) {
                throw .layout(
                    path: output, problem: "the class \"\(name)\" has a line end in its name; rename its folder")
            }
            let names = sets.train.classNames.map { "\($0)\n" }.joined()
            try writeWhole("\(output)/\(ClassNameFile.name)", names)
            return lock
        } catch {
            close(lock)
            throw error
        }
    }

    private static func writeWhole(_ path: String, _ text: String) throws(DatasetError) {
        let output = try FileOutput(path: path)
        try output.write(Array(text.utf8))
        try output.commit()
    }

    /// Takes the directory for this process; the system lets it go when the process ends, however it ends.
    private static func hold(_ output: String) throws(DatasetError) -> Int32 {
        let lock = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if lock < 0 { throw .system(operation: "open", path: output, code: errno) }
        // A file system without locks is gone without.
        if flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK {
            close(lock)
            throw .layout(path: output, problem: "another process is packing into it; wait for it to end")
        }
        return lock
    }

    /// Removes the unfinished shards of a pack that was interrupted.
    ///
    /// - Throws: when something is in the output that no pack puts there.
    private static func removeRemains(_ output: String, _ shards: [PackedShard]) throws(DatasetError) {
        let files = LocalFileSystem()
        let known = Set(shards.map(\.name) + DatasetSplit.allCases.map(PackPlan.directory) + [ClassNameFile.name])
        for directory in [""] + DatasetSplit.allCases.map({ "\(PackPlan.directory($0))/" }) {
            for name in try onFiles({ () throws(StorageError) in try files.list("\(output)/\(directory)") }) {
                if name.hasPrefix(".\(directory.dropLast())-") && name.contains(".tar."), !directory.isEmpty {
                    try onFiles { () throws(StorageError) in try files.remove("\(output)/\(directory)\(name)") }
                } else if !name.hasPrefix("."), !known.contains(directory + name) {
                    throw .layout(
                        path: output, problem: "has other files, such as \(directory)\(name); name an empty directory")
                }
            }
        }
    }

    /// - Throws: when one of the two directories lies in the other.
    private static func checkApart(_ input: String, _ output: String) throws(DatasetError) {
        let (from, into) = (resolved(input), resolved(output))
        if from == into || into.hasPrefix(from + "/") || from.hasPrefix(into + "/") {
            throw .layout(
                path: output,
                problem: "lies in the data set \(input), or the other way round; name a directory apart from it")
        }
    }

    /// The path with its links followed as far as it is there.
    private static func resolved(_ path: String) -> String {
        let absolute = Paths.absolute(path)
        if absolute == "/" { return "" }
        return Paths.resolved(absolute) ?? "\(resolved(Paths.parent(of: absolute)))/\(Paths.name(of: absolute))"
    }

    /// Makes the indexes; the set that is there now must be the one that was packed.
    private static func check(_ output: String, _ sets: BothSplits) throws(DatasetError) {
        var settings = DatasetSettings(path: output)
        settings.kind = .shards
        for split in DatasetSplit.allCases {
            let packed = try Dataset.open(settings, split)
            if let difference = try SampleList.firstDifference(between: packed.index, and: sets[split].index) {
                throw .damaged(
                    path: output, problem: "is not what was packed: \(difference); remove it and pack anew")
            }
        }
    }
}
