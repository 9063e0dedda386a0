// Sets of tar shards: their index, and reading samples out of the shards.

import PSFiles

struct ShardSamples: SampleReader {
    private let files: OpenFiles

    /// Opens a split by its index, which is made when there is none or the shards have changed.
    ///
    /// - Parameter progress: called with the shards done and all shards while the index is made.
    static func open(
        _ shards: ShardFiles, _ split: DatasetSplit, progress: @escaping DatasetProgress
    ) throws(DatasetError) -> Dataset {
        let (index, remarks) = try index(shards, split, progress: progress)
        return Dataset(index, ShardSamples(files: OpenFiles(root: shards.root, index.tail.files)), remarks: remarks)
    }

    private static func index(
        _ shards: ShardFiles, _ split: DatasetSplit, progress: @escaping DatasetProgress
    ) throws(DatasetError) -> (index: SampleIndex, remarks: [String]) {
        var names = try ClassNameFile.read(in: [shards.root, "\(shards.root)/train"])
        // The classes without names are those that training has.
        if names == nil && split == .test { names = try index(shards, .train, progress: progress).index.classNames }
        let classNames = names
        let files = try shards.stamped(split)
        return try IndexStore.kept(
            in: shards.root, form: .shards, split: split, recipe: "shards 1, \(ClassNameFile.recipe(classNames))",
            files: files
        ) { (output) throws(DatasetError) in
            let writer = try SampleIndexWriter(form: .shards, split: split, to: output)
            var leftOut = 0
            try Threads.inOrder(files.count) { (shard) throws(DatasetError) in
                try ShardScan(try FileBytes("\(shards.root)/\(files[shard].name)", expected: files[shard].stamp))
            } take: { (shard, scan) throws(DatasetError) in
                let path = "\(shards.root)/\(files[shard].name)"
                if scan.block.rows.isEmpty {
                    throw .damaged(
                        path: path,
                        problem:
                            "has no samples: no member is a picture (\(PictureName.endings.joined(separator: ", ")))")
                }
                try LabelCheck.check(scan.block, classNames, path)
                leftOut += scan.leftOut
                try writer.append(scan.block, container: shard, of: path)
                progress(shard + 1, files.count)
            }
            try writer.finish(
                recipe: "shards 1, \(ClassNameFile.recipe(classNames))",
                classNames: try LabelCheck.names(classNames, writer.largestLabel, shards.root), files: files,
                remarks: leftOut > 0
                    ? ["\(shards.root): \(leftOut) members for \(split.rawValue) belong to no picture and are left out"]
                    : [])
        }
    }

    func file(_ entry: SampleEntry, name: String) -> String { files.path(entry.container) }

    func read(_ sample: Int, _ entry: SampleEntry, of index: SampleIndex) throws(DatasetError) -> SampleContent {
        .encoded(try files.file(entry.container).bytes(at: entry.offset, count: entry.byteCount))
    }
}

/// Labels of files against the names of classes.
enum LabelCheck {
    static func check(_ block: SampleBlock, _ classNames: [String]?, _ path: String) throws(DatasetError) {
        guard let classNames, let bad = block.rows.firstIndex(where: { $0.label >= classNames.count }) else { return }
        throw .damaged(
            path: path,
            problem:
                "the label \(block.rows[bad].label) of \(String(decoding: block.name(bad), as: UTF8.self)) is out of "
                + "range 0...\(classNames.count - 1), the classes of \(ClassNameFile.name) or of the training files")
    }

    /// The names that were given, or numbers up to the largest label.
    static func names(_ given: [String]?, _ largest: Int, _ path: String) throws(DatasetError) -> [String] {
        if let given { return given }
        // A label is a number in a file: it must not decide how much memory is taken.
        guard largest < 1 << 20 else {
            throw .damaged(path: path, problem: "has the label \(largest), too large for the number of a class")
        }
        guard largest > 0 else {
            throw .damaged(path: path, problem: "has samples of one class only; there must be two at least")
        }
        return (0...largest).map { String($0) }
    }
}
