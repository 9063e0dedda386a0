// TensorFlow's record files. Source of the format: tensorflow.org, "TFRecord and tf.train.Example"; the masking of
// checksums is that of LevelDB's log format.
//
//     u64 length   u32 masked CRC-32C of the length   payload   u32 masked CRC-32C of the payload
//
// little-endian, one record behind the other.

import CChecksums

enum TFRecord {
    static let headSize = 12
    static let tailSize = 4

    /// CRC-32C as the files have it: rotated and moved, so that a checksum of checksums is not a special value.
    static func maskedChecksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        let crc = ps_crc32c(0, bytes.baseAddress, bytes.count)
        return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
    }

    static func maskedChecksum(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.withUnsafeBytes { maskedChecksum($0) } }

    /// The payload of the record at a place in a file, both of its checksums checked.
    static func payload(of source: any RandomBytes, at position: Int) throws(DatasetError) -> [UInt8] {
        let length = try length(try source.bytes(at: position, count: headSize)[...], source, position)
        var bytes = try source.bytes(at: position + headSize, count: length + tailSize)
        let stored = bytes[length...].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        bytes.removeLast(tailSize)
        guard maskedChecksum(bytes[...]) == stored else {
            throw .damaged(
                path: source.path,
                problem: "the checksum of the record at byte \(position) is wrong: the file is damaged, fetch it again")
        }
        return bytes
    }

    /// The length that a record's first bytes give, checked, and that so many are there.
    static func length(
        _ head: ArraySlice<UInt8>, _ source: any RandomBytes, _ position: Int
    ) throws(DatasetError) -> Int {
        var reader = ByteReader(head)
        let length = reader.take(UInt64.self) ?? 0
        guard reader.take(UInt32.self) == maskedChecksum(head.prefix(8)) else {
            let gzip = position == 0 && head.starts(with: [0x1F, 0x8B])
            throw .damaged(
                path: source.path,
                problem: gzip
                    ? "is compressed with gzip; unpack it (gunzip), as samples are read from the middle of it"
                    : "no TFRecord is at byte \(position): the checksum of its length is wrong")
        }
        guard length <= IndexFormat.largestSample, Int(length) <= source.byteCount - position - headSize - tailSize
        else {
            throw .damaged(
                path: source.path,
                problem: "the record at byte \(position) has \(length) bytes, but the file ends before or that is more "
                    + "than a record may have (\(IndexFormat.largestSample)); fetch it again")
        }
        return Int(length)
    }
}

/// Goes through a file from front to back. The checksums of the lengths are checked, those of the payloads when they
/// are read: an index is made without reading the pictures.
struct TFRecordReader {
    private(set) var window: ByteWindow
    private let source: any RandomBytes
    private var next = 0

    init(_ source: any RandomBytes) {
        self.source = source
        window = ByteWindow(source)
    }

    /// Where the next record and its payload are; nil at the end of the file.
    mutating func nextRecord() throws(DatasetError) -> (position: Int, payload: Range<Int>)? {
        let position = next
        if position == source.byteCount { return nil }
        guard let head = try window.slice(at: position, count: TFRecord.headSize) else {
            throw .damaged(
                path: source.path,
                problem:
                    "the record at byte \(position) is cut off: the file has \(source.byteCount) bytes; fetch it again")
        }
        let length = try TFRecord.length(head, source, position)
        let start = position + TFRecord.headSize
        next = start + length + TFRecord.tailSize
        return (position, start..<start + length)
    }

    /// The example in a payload.
    mutating func example(_ payload: Range<Int>) throws(DatasetError) -> Example {
        var parser = ExampleParser(window: window, path: source.path)
        defer { window = parser.window }
        return try parser.parse(payload)
    }
}
