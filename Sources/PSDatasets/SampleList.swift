// The list of a set's samples as a file of a run, and what differs between two lists.

/// Lists are indexes without containers: names, sizes and labels in the order of numbers. A run keeps the one it began
/// with; whoever has other data is told the first sample that differs.
package enum SampleList {
    /// Writes the list of `index` to a file, which has its name only when it is whole and durable. Streamed: a chunk at
    /// a time is in memory. Its digest is that of `index`.
    package static func write(_ index: SampleIndex, to path: String) throws(DatasetError) {
        let output = try FileOutput(path: path)
        try write(index, to: output)
        try output.commit()
    }

    static func write(_ index: SampleIndex, to output: any ByteOutput) throws(DatasetError) {
        let writer = try SampleIndexWriter(
            form: index.form, split: index.split, contents: index.tail.contents, to: output)
        for chunk in 0..<index.chunkCount {
            let block = try index.block(chunk)
            for row in 0..<block.count {
                let record = block.record(row)
                try writer.append(
                    name: block.name(record), byteCount: record.byteCount, label: record.label, container: 0, offset: 0,
                    of: index.path)
            }
        }
        try writer.finish(recipe: "list", classNames: index.classNames, files: [], remarks: [])
    }

    /// The list in a file, for reading and comparing.
    package static func open(_ path: String) throws(DatasetError) -> SampleIndex { try SampleIndex(path: path) }

    /// What differs first, or nil where both are the same samples. Streamed.
    package static func firstDifference(
        between here: SampleIndex, and there: SampleIndex
    ) throws(DatasetError) -> SampleDifference? {
        if here.digest == there.digest { return nil }
        for chunk in 0..<min(here.chunkCount, there.chunkCount) {
            let (mine, other) = (try here.block(chunk), try there.block(chunk))
            for row in 0..<min(mine.count, other.count) {
                let (first, second) = (mine.record(row), other.record(row))
                if first.byteCount == second.byteCount, first.label == second.label,
                    mine.name(first) == other.name(second)
                {
                    continue
                }
                return SampleDifference(
                    sample: chunk * IndexFormat.samplesPerChunk + row, split: here.split,
                    here: SampleDescription(mine, first, here), there: SampleDescription(other, second, there))
            }
        }
        let common = min(here.count, there.count)
        return SampleDifference(
            sample: common, split: here.split, here: try SampleDescription(here, common),
            there: try SampleDescription(there, common))
    }
}

/// A sample as lists name it.
package struct SampleDescription: Sendable, Hashable, CustomStringConvertible {
    package let name: String
    package let byteCount: Int
    package let className: String

    package var description: String { "\(name), \(byteCount) bytes, class \(className)" }

    fileprivate init(_ block: IndexBlock, _ record: IndexRecord, _ index: SampleIndex) {
        name = String(decoding: block.name(record), as: UTF8.self)
        byteCount = record.byteCount
        className = index.classNames[record.label]
    }

    fileprivate init?(_ index: SampleIndex, _ sample: Int) throws(DatasetError) {
        if sample >= index.count { return nil }
        let block = try index.block(sample / IndexFormat.samplesPerChunk)
        self.init(block, block.record(sample % IndexFormat.samplesPerChunk), index)
    }
}

/// The first sample that two lists do not have in common.
package struct SampleDifference: Sendable, Hashable, CustomStringConvertible {
    /// Its number.
    package let sample: Int
    package let split: DatasetSplit
    /// nil where the list has ended.
    package let here: SampleDescription?
    package let there: SampleDescription?

    package var description: String {
        switch (here, there) {
        case (let here?, let there?): "sample \(sample) of \(split.rawValue) is \(here); there it is \(there)"
        case (let here?, nil):
            "sample \(sample) of \(split.rawValue) is \(here); there the set has \(sample) samples only"
        case (nil, let there?):
            "the set has \(sample) samples of \(split.rawValue) only; there sample \(sample) is \(there)"
        case (nil, nil):
            "the \(sample) samples of \(split.rawValue) have the same names, sizes and labels, but the files they lie "
                + "in have other content"
        }
    }
}
