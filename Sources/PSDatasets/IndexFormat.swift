// The binary form of an index of samples.
//
//     magic "PSINDX01"
//     chunks: of every `samplesPerChunk` samples their records, then their names; the last chunk may have fewer
//     tail: everything about the set as a whole, and where the chunks are (`IndexTail`)
//     trailer: u64 position of the tail   u64 its length   u32 its CRC-32   u32 0   magic "PSINDXND"
//
// Little-endian. A record is
//
//     u64 offset in the container   u32 byte count   u32 label   u32 container   u32 place of the name in the chunk
//     u32 length of the name   u32 0
//
// It is written from front to back and read by position, with no more than a chunk in memory either way.

import CZlib

enum IndexFormat {
    static let magic = Array("PSINDX01".utf8)
    static let endMagic = Array("PSINDXND".utf8)
    static let recordSize = 32
    static let trailerSize = 32
    static let samplesPerChunk = 4096
    /// Larger files are no pictures to train with, and a reader must be able to hold one.
    static let largestSample = 256 << 20
    /// A path cannot be longer either.
    static let longestName = 4096
    /// The most a tail may take: a thousand times ImageNet's.
    static let largestTail = 64 << 20
    static let largestChunk = samplesPerChunk * (recordSize + longestName)

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        // In pieces, as zlib counts in 32 bits on some systems; no part of an index is that large.
        UInt32(truncatingIfNeeded: crc32(0, bytes.bindMemory(to: UInt8.self).baseAddress, UInt32(bytes.count)))
    }

    static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { checksum($0) } }
}

/// One sample as its record has it.
package struct SampleEntry: Sendable, Hashable {
    package let label: Int
    package let byteCount: Int
    /// Which of the index's files it lies in; 0 where every sample is a file of its own.
    let container: Int
    /// Where in the container.
    let offset: Int
}

/// A file whose samples an index lists, as it was then.
struct IndexedFile: Sendable, Hashable {
    /// Relative to the directory of the set.
    let name: String
    let stamp: FileStamp
}

/// What an index says about the set as a whole.
struct IndexTail: Sendable, Hashable {
    struct Chunk: Sendable, Hashable {
        let position: Int
        let byteCount: Int
        let checksum: UInt32
    }

    var form: DatasetForm
    var split: DatasetSplit
    /// What the index depends on besides the files: settings, names of classes. An index made by another recipe is old.
    var recipe: String
    var count: Int
    var classNames: [String]
    var files: [IndexedFile]
    /// Checksums of content that the list of samples does not show: CRC-32 of the files of IDX and CIFAR.
    var contents: [UInt32]
    /// What a person may want to know about the set, found while it was listed.
    var remarks: [String]
    /// SHA-256 of the list of samples, 64 hexadecimal digits.
    var digest: String
    var chunks: [Chunk]

    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.put(form.rawValue)
        writer.put(split.rawValue)
        writer.put(recipe)
        writer.put(UInt64(count))
        writer.put(UInt64(classNames.count))
        for name in classNames { writer.put(name) }
        writer.put(UInt64(files.count))
        for file in files {
            writer.put(file.name)
            writer.put(UInt64(file.stamp.byteCount))
            writer.put(file.stamp.modified)
        }
        writer.put(UInt64(contents.count))
        for checksum in contents { writer.put(checksum) }
        writer.put(UInt64(remarks.count))
        for remark in remarks { writer.put(remark) }
        writer.put(digest)
        for chunk in chunks {
            writer.put(UInt64(chunk.position))
            writer.put(UInt64(chunk.byteCount))
            writer.put(chunk.checksum)
        }
        return writer.bytes
    }

    /// nil when the bytes are no tail, or one that contradicts itself or its place.
    init?(_ bytes: [UInt8], position tailPosition: Int) {
        var reader = ByteReader(bytes[...])
        guard let form = reader.takeText().flatMap(DatasetForm.init(rawValue:)),
            let split = reader.takeText().flatMap(DatasetSplit.init(rawValue:)),
            let recipe = reader.takeText(), let count = reader.takeCount(), count <= UInt32.max,
            let classNames = reader.takeList({ $0.takeText() }),
            let files = reader.takeList({ reader -> IndexedFile? in
                guard let name = reader.takeText(), let size = reader.takeCount(),
                    let modified = reader.take(Int64.self)
                else { return nil }
                return IndexedFile(name: name, stamp: FileStamp(byteCount: size, modified: modified))
            }),
            let contents = reader.takeList({ $0.take(UInt32.self) }),
            let remarks = reader.takeList({ $0.takeText() }),
            let digest = reader.takeText(), digest.utf8.count == 64
        else { return nil }
        var chunks: [Chunk] = []
        var next = IndexFormat.magic.count
        while !reader.isAtEnd {
            guard let position = reader.takeCount(), let length = reader.takeCount(),
                let checksum = reader.take(UInt32.self), position == next, length <= IndexFormat.largestChunk
            else { return nil }
            chunks.append(Chunk(position: position, byteCount: length, checksum: checksum))
            next += length
        }
        guard next == tailPosition, chunks.count == IndexTail.chunkCount(count) else { return nil }
        for (index, chunk) in chunks.enumerated()
        where chunk.byteCount < IndexTail.samples(inChunk: index, of: count) * IndexFormat.recordSize { return nil }
        self.init(
            form: form, split: split, recipe: recipe, count: count, classNames: classNames, files: files,
            contents: contents, remarks: remarks, digest: digest, chunks: chunks)
    }

    init(
        form: DatasetForm, split: DatasetSplit, recipe: String, count: Int, classNames: [String],
        files: [IndexedFile], contents: [UInt32], remarks: [String], digest: String, chunks: [Chunk]
    ) {
        self.form = form
        self.split = split
        self.recipe = recipe
        self.count = count
        self.classNames = classNames
        self.files = files
        self.contents = contents
        self.remarks = remarks
        self.digest = digest
        self.chunks = chunks
    }

    static func chunkCount(_ count: Int) -> Int {
        (count + IndexFormat.samplesPerChunk - 1) / IndexFormat.samplesPerChunk
    }

    static func samples(inChunk chunk: Int, of count: Int) -> Int {
        min(IndexFormat.samplesPerChunk, count - chunk * IndexFormat.samplesPerChunk)
    }
}

extension ByteReader {
    /// A counted list; one whose count exceeds the bytes that are left is no list.
    fileprivate mutating func takeList<Element>(_ take: (inout ByteReader) -> Element?) -> [Element]? {
        guard let count = takeCount(), count <= remaining else { return nil }
        var elements: [Element] = []
        for _ in 0..<count {
            guard let element = take(&self) else { return nil }
            elements.append(element)
        }
        return elements
    }
}
