// Sets of TFRecord files: their index, and reading samples out of the records.

import PSFiles

/// The samples of one file.
struct TFRecordScan: Sendable {
    private(set) var block = SampleBlock()
    /// The name that a class has in the file, of its first sample.
    private(set) var texts: [Int: String] = [:]

    /// - Parameter firstLabel: what the files call class 0.
    init(_ source: any RandomBytes, firstLabel: Int) throws(DatasetError) {
        let path = source.path
        var reader = TFRecordReader(source)
        while let (position, payload) = try reader.nextRecord() {
            let example = try reader.example(payload)
            guard let picture = example.picture, let stored = example.label else {
                throw .damaged(
                    path: path,
                    problem: "the record at byte \(position) has no "
                        + (example.picture == nil ? "\"image/encoded\"" : "\"image/class/label\"")
                        + "; the names of its features must be those of ImageNet's files")
            }
            guard stored >= firstLabel, stored <= Int64(UInt32.max) else {
                throw .damaged(
                    path: path,
                    problem: "the record at byte \(position) has the label \(stored), and the first class is "
                        + "\(firstLabel) by the setting firstLabel"
                        + (stored == 0 ? "; let firstLabel be 0 for this set" : ""))
            }
            let label = Int(stored) - firstLabel
            // The number of the record is its name where it has none.
            let name =
                example.filename.flatMap { $0.isEmpty ? nil : $0 } ?? "\(Paths.name(of: path))#\(block.rows.count)"
            block.append(name: name.utf8, byteCount: picture.count, label: label, offset: position)
            if let text = example.text, !text.isEmpty, texts[label] == nil { texts[label] = text }
        }
    }
}

struct TFRecordSamples: SampleReader {
    private let files: OpenFiles

    /// Opens a split by its index, which is made when there is none or the files have changed.
    ///
    /// - Parameter progress: called with the files done and all files while the index is made.
    static func open(
        _ shards: ShardFiles, _ split: DatasetSplit, firstLabel: Int, progress: @escaping DatasetProgress
    ) throws(DatasetError) -> Dataset {
        let (index, remarks) = try index(shards, split, firstLabel, progress)
        return Dataset(index, TFRecordSamples(files: OpenFiles(root: shards.root, index.tail.files)), remarks: remarks)
    }

    private static func index(
        _ shards: ShardFiles, _ split: DatasetSplit, _ firstLabel: Int, _ progress: @escaping DatasetProgress
    ) throws(DatasetError) -> (index: SampleIndex, remarks: [String]) {
        var names = try ClassNameFile.read(in: [shards.root, "\(shards.root)/train"])
        // The classes without a file of names are those that training has.
        if names == nil && split == .test { names = try index(shards, .train, firstLabel, progress).index.classNames }
        let classNames = names
        let files = try shards.stamped(split)
        let recipe = "tfrecord 1, first label \(firstLabel), \(ClassNameFile.recipe(classNames))"
        return try IndexStore.kept(in: shards.root, form: .tfrecord, split: split, recipe: recipe, files: files) {
            (output) throws(DatasetError) in
            let writer = try SampleIndexWriter(form: .tfrecord, split: split, to: output)
            var texts: [Int: String] = [:]
            var hasFirst = false
            try Threads.inOrder(files.count) { (shard) throws(DatasetError) in
                try TFRecordScan(
                    try FileBytes("\(shards.root)/\(files[shard].name)", expected: files[shard].stamp),
                    firstLabel: firstLabel)
            } take: { (shard, scan) throws(DatasetError) in
                let path = "\(shards.root)/\(files[shard].name)"
                try LabelCheck.check(scan.block, classNames, path)
                texts.merge(scan.texts) { first, _ in first }
                hasFirst = hasFirst || scan.block.rows.contains { $0.label == 0 }
                try writer.append(scan.block, container: shard, of: path)
                progress(shard + 1, files.count)
            }
            if writer.largestLabel < 0 {
                throw .layout(path: shards.root, problem: "its TFRecord files for \(split.rawValue) have no records")
            }
            let numbers = try LabelCheck.names(classNames, writer.largestLabel, shards.root)
            try writer.finish(
                recipe: recipe,
                classNames: classNames ?? numbers.enumerated().map { texts[$0.offset] ?? $0.element }, files: files,
                remarks: !hasFirst && split == .train && firstLabel == 0
                    ? ["\(shards.root): no sample has the label 0; if labels are counted from 1, let firstLabel be 1"]
                    : [])
        }
    }

    func file(_ entry: SampleEntry, name: String) -> String { files.path(entry.container) }

    func read(_ sample: Int, _ entry: SampleEntry, of index: SampleIndex) throws(DatasetError) -> SampleContent {
        let file = try files.file(entry.container)
        let payload = try TFRecord.payload(of: file, at: entry.offset)
        let record = MemoryBytes(payload, path: file.path)
        var parser = ExampleParser(window: ByteWindow(record), path: file.path)
        guard let picture = try parser.parse(0..<payload.count).picture, picture.count == entry.byteCount else {
            throw .changed(
                path: file.path, problem: "the record at byte \(entry.offset) is not the picture that was indexed")
        }
        return .encoded(Array(payload[picture]))
    }
}
