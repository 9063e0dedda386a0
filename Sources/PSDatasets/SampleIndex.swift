// Reading an index of samples: any sample by number, with no more than a chunk in memory.

/// The list of a split's samples in the order of their numbers. May be used from many threads at once.
package final class SampleIndex: Sendable {
    let tail: IndexTail
    private let bytes: any RandomBytes

    /// Checks every part against its checksum and every number against its bounds.
    ///
    /// - Throws: `damaged` when the bytes are no sound index of this version.
    package init(_ bytes: any RandomBytes) throws(DatasetError) {
        func damaged(_ problem: String) -> DatasetError {
            .damaged(path: bytes.path, problem: "not a sound index of samples: \(problem)")
        }
        let magic = IndexFormat.magic
        guard bytes.byteCount >= magic.count + IndexFormat.trailerSize else {
            throw damaged("it has only \(bytes.byteCount) bytes")
        }
        guard try bytes.bytes(at: 0, count: magic.count) == magic else {
            throw damaged("it does not begin with PSINDX01")
        }
        let trailerPosition = bytes.byteCount - IndexFormat.trailerSize
        var trailer = ByteReader(try bytes.bytes(at: trailerPosition, count: IndexFormat.trailerSize)[...])
        guard let position = trailer.takeCount(), let length = trailer.takeCount(),
            let checksum = trailer.take(UInt32.self), trailer.take(UInt32.self) == 0,
            trailer.take(raw: 8).map(Array.init) == IndexFormat.endMagic
        else { throw damaged("its end is not there") }
        guard position <= trailerPosition, length == trailerPosition - position, length <= IndexFormat.largestTail
        else {
            throw damaged("its last bytes give it an impossible size")
        }
        let tailBytes = try bytes.bytes(at: position, count: length)
        guard IndexFormat.checksum(tailBytes) == checksum else { throw damaged("the checksum of its tail is wrong") }
        guard let tail = IndexTail(tailBytes, position: position) else { throw damaged("its tail makes no sense") }
        self.tail = tail
        self.bytes = bytes
        for chunk in tail.chunks.indices {
            let content = try bytes.bytes(at: tail.chunks[chunk].position, count: tail.chunks[chunk].byteCount)
            guard IndexFormat.checksum(content) == tail.chunks[chunk].checksum else {
                throw damaged("the checksum of its part \(chunk) is wrong")
            }
            let block = IndexBlock(content, count: IndexTail.samples(inChunk: chunk, of: tail.count))
            for row in 0..<block.count where !isSound(block.record(row), in: content.count) {
                throw damaged("sample \(chunk * IndexFormat.samplesPerChunk + row) is out of bounds")
            }
        }
    }

    /// The index in a file.
    package convenience init(path: String) throws(DatasetError) { try self.init(try FileBytes(path)) }

    package var path: String { bytes.path }
    package var form: DatasetForm { tail.form }
    package var split: DatasetSplit { tail.split }
    package var count: Int { tail.count }
    package var classNames: [String] { tail.classNames }
    /// SHA-256 of the list of samples: names, sizes, labels, in order, 64 hexadecimal digits. The same for a folder and
    /// for the shards it was packed into.
    package var digest: String { tail.digest }

    package func entry(of sample: Int) throws(DatasetError) -> SampleEntry { SampleEntry(try record(of: sample)) }

    package func name(of sample: Int) throws(DatasetError) -> String {
        let record = try record(of: sample)
        let chunk = tail.chunks[sample / IndexFormat.samplesPerChunk]
        let name = try bytes.bytes(at: chunk.position + record.namePosition, count: record.nameLength)
        return String(decoding: name, as: UTF8.self)
    }

    /// A chunk of samples, for whoever goes through them all. `chunk` is below `chunkCount`.
    func block(_ chunk: Int) throws(DatasetError) -> IndexBlock {
        let place = tail.chunks[chunk]
        let content = try bytes.bytes(at: place.position, count: place.byteCount)
        let block = IndexBlock(content, count: IndexTail.samples(inChunk: chunk, of: count))
        for row in 0..<block.count where !isSound(block.record(row), in: content.count) {
            throw outOfBounds(chunk * IndexFormat.samplesPerChunk + row)
        }
        return block
    }

    var chunkCount: Int { tail.chunks.count }

    private func record(of sample: Int) throws(DatasetError) -> IndexRecord {
        precondition((0..<count).contains(sample), "sample \(sample) of \(count)")
        let (chunk, row) = sample.quotientAndRemainder(dividingBy: IndexFormat.samplesPerChunk)
        let place = tail.chunks[chunk]
        let content = try bytes.bytes(
            at: place.position + row * IndexFormat.recordSize, count: IndexFormat.recordSize)
        let record = IndexBlock(content, count: 1).record(0)
        // Again: the file may have been written to since it was opened.
        guard isSound(record, in: place.byteCount) else { throw outOfBounds(sample) }
        return record
    }

    private func outOfBounds(_ sample: Int) -> DatasetError {
        .damaged(path: path, problem: "the entry of sample \(sample) is out of bounds; remove the file and start again")
    }

    private func isSound(_ record: IndexRecord, in chunkSize: Int) -> Bool {
        record.label < tail.classNames.count && record.byteCount <= IndexFormat.largestSample
            && record.container < max(tail.files.count, 1) && record.offset >= 0
            && record.nameLength <= IndexFormat.longestName && record.namePosition <= chunkSize
            && record.nameLength <= chunkSize - record.namePosition
    }
}

/// A record as it is stored, its numbers unchecked but none negative except `offset`.
struct IndexRecord {
    let offset: Int
    let byteCount: Int
    let label: Int
    let container: Int
    let namePosition: Int
    let nameLength: Int
}

extension SampleEntry {
    init(_ record: IndexRecord) {
        self.init(
            label: record.label, byteCount: record.byteCount, container: record.container, offset: record.offset)
    }
}

/// The records and names of a chunk, in memory.
struct IndexBlock {
    let count: Int
    private let bytes: [UInt8]

    init(_ bytes: [UInt8], count: Int) {
        precondition(bytes.count >= count * IndexFormat.recordSize)
        self.bytes = bytes
        self.count = count
    }

    func record(_ row: Int) -> IndexRecord {
        precondition(row < count)
        return bytes.withUnsafeBytes { bytes in
            let start = row * IndexFormat.recordSize
            func word(_ index: Int) -> Int {
                Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start + 8 + 4 * index, as: UInt32.self)))
            }
            return IndexRecord(
                offset: Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: start, as: Int64.self))),
                byteCount: word(0), label: word(1), container: word(2), namePosition: word(3), nameLength: word(4))
        }
    }

    /// Of a record that was checked.
    func name(_ record: IndexRecord) -> ArraySlice<UInt8> {
        bytes[record.namePosition..<record.namePosition + record.nameLength]
    }
}
