// A split of a data set, opened.

/// Called with the parts done and all parts, on one thread.
package typealias DatasetProgress = @Sendable (_ done: Int, _ all: Int) -> Void

/// How samples of one form are read. May be used from many threads at once.
protocol SampleReader: Sendable {
    func read(_ sample: Int, _ entry: SampleEntry, of index: SampleIndex) throws(DatasetError) -> SampleContent

    /// The file that a sample is, or that it lies in.
    func file(_ entry: SampleEntry, name: String) -> String
}

/// Labelled pictures of one split, whatever their form. What it holds in memory does not grow with the set; only a
/// gzipped IDX set is unpacked into memory as a whole, when the first picture is read.
package final class Dataset: SampleSource {
    /// What is there: names, sizes and labels in the order of numbers.
    package let index: SampleIndex
    /// What a person should be told once: files left out, an index made anew.
    package let remarks: [String]
    private let reader: any SampleReader

    init(_ index: SampleIndex, _ reader: any SampleReader, remarks: [String] = []) {
        self.index = index
        self.reader = reader
        self.remarks = index.tail.remarks + remarks
    }

    /// Opens a split: finds the form, lists the samples or takes the list that was made before.
    ///
    /// - Parameter progress: called while samples are listed, which may take minutes the first time.
    package static func open(
        _ settings: DatasetSettings, _ split: DatasetSplit, progress: @escaping DatasetProgress = { _, _ in }
    ) throws(DatasetError) -> Dataset {
        try settings.validate()
        switch try Discovery.find(settings) {
        case .idx(let directory): return try IDXSamples.open(directory, split)
        case .cifar(let layout): return try CIFARSamples.open(layout, split)
        case .folder(let layout):
            let (index, reader) = try FolderSamples.open(
                layout, split, share: settings.validationShare, progress: progress)
            return Dataset(index, reader)
        case .shards(let files): return try ShardSamples.open(files, split, progress: progress)
        case .tfrecord(let files):
            return try TFRecordSamples.open(files, split, firstLabel: settings.firstLabel, progress: progress)
        }
    }

    package var form: DatasetForm { index.form }
    package var split: DatasetSplit { index.split }
    package var count: Int { index.count }
    package var classNames: [String] { index.classNames }
    package var digest: String { index.digest }

    package func label(of sample: Int) throws(DatasetError) -> Int { try index.entry(of: sample).label }

    package func name(of sample: Int) throws(DatasetError) -> String { try index.name(of: sample) }

    package func byteCount(of sample: Int) throws(DatasetError) -> Int { try index.entry(of: sample).byteCount }

    /// Where a sample is, for whoever finds its content damaged: "set/train/cat/a.jpg" or
    /// "set/train/0.tar (cat/a.jpg)".
    package func place(of sample: Int) throws(DatasetError) -> String {
        let name = try name(of: sample)
        let file = reader.file(try index.entry(of: sample), name: name)
        return form == .folder ? file : "\(file) (\(name))"
    }

    package func read(_ sample: Int) throws(DatasetError) -> SampleContent {
        try reader.read(sample, try index.entry(of: sample), of: index)
    }
}
