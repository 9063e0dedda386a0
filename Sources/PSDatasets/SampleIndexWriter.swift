// Writing an index of samples, front to back, with its digest.

import PSFiles

/// Where an index is written.
protocol ByteOutput: AnyObject {
    func write(_ bytes: [UInt8]) throws(DatasetError)
}

/// Samples of one class or one shard, listed but not yet numbered.
struct SampleBlock: Sendable {
    struct Row: Sendable {
        let nameEnd: Int
        let byteCount: Int
        let label: Int
        let offset: Int
    }

    private(set) var names: [UInt8] = []
    private(set) var rows: [Row] = []

    mutating func append(name: some Collection<UInt8>, byteCount: Int, label: Int, offset: Int) {
        names.append(contentsOf: name)
        rows.append(Row(nameEnd: names.count, byteCount: byteCount, label: label, offset: offset))
    }

    func name(_ row: Int) -> ArraySlice<UInt8> {
        names[(row == 0 ? 0 : rows[row - 1].nameEnd)..<rows[row].nameEnd]
    }
}

/// Writes one index. Holds a chunk at most.
final class SampleIndexWriter {
    private let output: any ByteOutput
    private let form: DatasetForm
    private let split: DatasetSplit
    private let contents: [UInt32]
    private var count = 0
    private var position: Int
    private var chunks: [IndexTail.Chunk] = []
    private var records = ByteWriter()
    private var names: [UInt8] = []
    private var rows: [(record: SampleEntry, nameEnd: Int)] = []
    /// What goes into the digest, gathered by chunks: a call per sample would cost more than the hashing.
    private var hashed = ByteWriter()
    private var hash = SHA256()
    private(set) var largestLabel = -1

    /// - Parameter contents: checksums that belong to the list, see `IndexTail.contents`.
    init(
        form: DatasetForm, split: DatasetSplit, contents: [UInt32] = [], to output: any ByteOutput
    ) throws(DatasetError) {
        self.output = output
        self.form = form
        self.split = split
        self.contents = contents
        position = IndexFormat.magic.count
        hashed.put(UInt64(contents.count))
        for checksum in contents { hashed.put(checksum) }
        try output.write(IndexFormat.magic)
    }

    /// - Parameter path: what an error names: where the sample lies.
    func append(
        name: some Collection<UInt8>, byteCount: Int, label: Int, container: Int, offset: Int, of path: String
    ) throws(DatasetError) {
        func shown() -> String { String(decoding: name, as: UTF8.self) }
        if byteCount > IndexFormat.largestSample {
            throw .damaged(
                path: path,
                problem: "\(shown()) has \(byteCount) bytes; a picture may have \(IndexFormat.largestSample) at most")
        }
        if name.count > IndexFormat.longestName {
            throw .damaged(
                path: path, problem: "has a sample whose name is longer than \(IndexFormat.longestName) bytes")
        }
        if count >= Int(UInt32.max) || label > Int(UInt32.max) || container > Int(UInt32.max) {
            throw .damaged(path: path, problem: "has more samples, classes or files than 32 bits can number")
        }
        hashed.put(UInt32(name.count))
        hashed.put(raw: name)
        hashed.put(UInt64(byteCount))
        hashed.put(UInt32(label))
        names.append(contentsOf: name)
        rows.append(
            (SampleEntry(label: label, byteCount: byteCount, container: container, offset: offset), names.count))
        largestLabel = max(largestLabel, label)
        count += 1
        if rows.count == IndexFormat.samplesPerChunk { try flush() }
    }

    func append(_ block: SampleBlock, container: Int, of path: String) throws(DatasetError) {
        for (index, row) in block.rows.enumerated() {
            try append(
                name: block.name(index), byteCount: row.byteCount, label: row.label, container: container,
                offset: row.offset, of: path)
        }
    }

    /// Nothing may be appended afterwards.
    ///
    /// - Returns: the tail as it was written.
    @discardableResult
    func finish(
        recipe: String, classNames: [String], files: [IndexedFile], remarks: [String]
    ) throws(DatasetError) -> IndexTail {
        precondition(largestLabel < classNames.count)
        if !rows.isEmpty { try flush() }
        hashed.put(UInt64(count))
        hashed.bytes.withUnsafeBytes { hash.update($0) }
        let tail = IndexTail(
            form: form, split: split, recipe: recipe, count: count, classNames: classNames, files: files,
            contents: contents, remarks: remarks, digest: exchange(&hash, with: SHA256()).hexadecimal(),
            chunks: chunks)
        let encoded = tail.encoded()
        var trailer = ByteWriter()
        trailer.put(UInt64(position))
        trailer.put(UInt64(encoded.count))
        trailer.put(IndexFormat.checksum(encoded))
        trailer.put(UInt32(0))
        trailer.put(raw: IndexFormat.endMagic)
        try output.write(encoded)
        try output.write(trailer.bytes)
        return tail
    }

    private func flush() throws(DatasetError) {
        records.removeAll()
        let namesStart = rows.count * IndexFormat.recordSize
        var nameStart = 0
        for (entry, nameEnd) in rows {
            records.put(UInt64(entry.offset))
            records.put(UInt32(entry.byteCount))
            records.put(UInt32(entry.label))
            records.put(UInt32(entry.container))
            records.put(UInt32(namesStart + nameStart))
            records.put(UInt32(nameEnd - nameStart))
            records.put(UInt32(0))
            nameStart = nameEnd
        }
        records.put(raw: names)
        try output.write(records.bytes)
        chunks.append(
            IndexTail.Chunk(
                position: position, byteCount: records.bytes.count, checksum: IndexFormat.checksum(records.bytes)))
        position += records.bytes.count
        hashed.bytes.withUnsafeBytes { hash.update($0) }
        hashed.removeAll()
        rows.removeAll(keepingCapacity: true)
        names.removeAll(keepingCapacity: true)
    }
}
