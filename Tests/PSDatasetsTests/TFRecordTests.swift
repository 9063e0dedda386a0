// TFRecord files: what TensorFlow writes, checksums, and everything that can be wrong with them.

import CChecksums
import PSDatasets
import SyntheticData
import TestSupport
import Testing

@testable import PSDatasets

/// The check values of RFC 3720, B.4, and of the catalogue of CRC algorithms.
@Test func checksumsAsPublished() {
    let cases: [([UInt8], UInt32)] = [
        (Array("123456789".utf8), 0xE306_9283), ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
        ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43), (Array(0..<32), 0x46DD_794E),
        ((0..<32).reversed(), 0x113F_DB5C), ([], 0),
    ]
    for (bytes, value) in cases {
        #expect(ps_crc32c(0, bytes, bytes.count) == value)
        #expect(ps_crc32c_portable(0, bytes, bytes.count) == value)
    }
}

/// By instruction and by tables, whole and in pieces, from any place on.
@Test func checksumsAreTheSameEitherWay() {
    let bytes = (0..<4000).map { UInt8(truncatingIfNeeded: $0 * $0 * 7 + $0 >> 3) }
    bytes.withUnsafeBytes { bytes in
        for length in Array(0..<70) + [255, 1000, 3990] {
            for start in 0..<9 {
                let place = bytes.baseAddress! + start
                let whole = ps_crc32c(0, place, length)
                #expect(ps_crc32c_portable(0, place, length) == whole)
                let cut = length * 3 / 7
                #expect(ps_crc32c(ps_crc32c_portable(0, place, cut), place + cut, length - cut) == whole)
                #expect(ps_crc32c_portable(ps_crc32c(0, place, cut), place + cut, length - cut) == whole)
            }
        }
    }
}

/// Every bit, every place and every byte of the length counts.
@Test func aFingerprintIsOfEveryBit() {
    var bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * $0 * 7 + $0 >> 3) }
    let whole = ps_fingerprint(bytes, 1000)
    #expect(Array(bytes).withUnsafeBytes { ps_fingerprint($0.baseAddress, 1000) } == whole)
    for bit in 0..<8000 {
        bytes[bit / 8] ^= 1 << (bit % 8)
        #expect(ps_fingerprint(bytes, 1000) != whole)
        bytes[bit / 8] ^= 1 << (bit % 8)
    }
    // Words that change places, within a lane (64 bytes apart) and between lanes.
    for (one, other) in [(0, 64), (0, 4), (128, 640), (960, 964), (4, 992)] {
        var turned = bytes
        for byte in 0..<4 { turned.swapAt(one + byte, other + byte) }
        #expect(ps_fingerprint(turned, 1000) != whole, "\(one), \(other)")
    }
    let zeros = [UInt8](repeating: 0, count: 1000)
    #expect(Set((0...1000).map { ps_fingerprint(zeros, $0) }).count == 1001)
}

private func scan(_ bytes: [UInt8], firstLabel: Int = 0) throws(DatasetError) -> TFRecordScan {
    try TFRecordScan(MemoryBytes(bytes, path: "memory.tfrecord"), firstLabel: firstLabel)
}

private func picture(_ bytes: [UInt8], _ row: SampleBlock.Row) throws(DatasetError) -> [UInt8] {
    let payload = try TFRecord.payload(of: MemoryBytes(bytes, path: "memory.tfrecord"), at: row.offset)
    var parser = ExampleParser(window: ByteWindow(MemoryBytes(payload, path: "record")), path: "record")
    return try parser.parse(0..<payload.count).picture.map { Array(payload[$0]) } ?? []
}

/// Everything in a file: labels, names, pictures.
private func read(_ bytes: [UInt8]) throws(DatasetError) -> [[UInt8]] {
    let block = try scan(bytes).block
    var found: [[UInt8]] = []
    for (index, row) in block.rows.enumerated() {
        found.append(try Array(block.name(index)) + [UInt8(truncatingIfNeeded: row.label)] + picture(bytes, row))
    }
    return found
}

private func problem(_ bytes: [UInt8], firstLabel: Int = 0) -> String {
    do throws(DatasetError) {
        _ = try scan(bytes, firstLabel: firstLabel)
        return "no error but \(try read(bytes).count)"
    } catch { return error.description }
}

@Test func whatTensorFlowWrote() throws {
    let bytes = fixture("tensorflow.tfrecord")
    let scan = try scan(bytes, firstLabel: 1)
    let lines = expected("tensorflow.txt")
    #expect(scan.block.rows.count == 6 && lines.count == 6)
    for (index, line) in lines.enumerated() {
        let row = scan.block.rows[index]
        #expect(String(decoding: scan.block.name(index), as: UTF8.self) == line[0])
        #expect("\(row.label + 1)" == line[1] && "\(row.byteCount)" == line[2])
        #expect(crc(try picture(bytes, row)) == line[3])
        #expect(scan.texts[row.label] == line[4])
    }
}

@Test func aSetOfRecords() throws {
    let directory = TemporaryDirectory()
    for split in ["train", "validation"] {
        directory.write("\(split)-00000-of-00002", smallTFRecord(firstLabel: 1))
        directory.write("\(split)-00001-of-00002", fixture("tensorflow.tfrecord"))
    }
    var settings = directory.settings()
    settings.firstLabel = 1
    for split in DatasetSplit.allCases {
        let set = try Dataset.open(settings, split)
        #expect(set.form == .tfrecord && set.count == 9)
        // The text of a class's first sample; what the second file says comes later.
        #expect(set.classNames == ["class 0", "class 1", "class 2"])
        #expect(try set.name(of: 1) == "cat/b.c.png" && set.label(of: 1) == 2)
        #expect(try set.read(1) == .encoded(TestPictures.second))
        #expect(try set.name(of: 3) == "n01440764_0.JPEG" && set.byteCount(of: 8) == 20000)
        guard case .encoded(let last) = try set.read(8) else { return }
        #expect(crc(last) == "2622616752")
    }
    // Another first label is another set: its index is not this one's.
    settings.firstLabel = 0
    let shifted = try Dataset.open(settings, .train)
    #expect(try shifted.label(of: 1) == 3 && shifted.classNames.count == 4)
    #expect(
        shifted.remarks.contains { $0.contains("no sample has the label 0; if labels are counted from 1") },
        "\(shifted.remarks)")
    directory.write("classes.txt", Array("tench\ngoldfish\nshark\n".utf8))
    settings.firstLabel = 1
    #expect(try Dataset.open(settings, .test).classNames == ["tench", "goldfish", "shark"])
}

private enum TestPictures { static let second = smallSamples[1].picture }

@Test func labelsBelowTheFirst() {
    #expect(
        problem(smallTFRecord(), firstLabel: 1).contains(
            "the record at byte 0 has the label 0, and the first class is 1 by the setting firstLabel; let firstLabel "
                + "be 0"
        ))
    let negative = TFRecordWriter.record(name: "a", picture: [1], label: -5)
    #expect(problem(negative).contains("has the label -5, and the first class is 0"))
    let large = TFRecordWriter.record(name: "a", picture: [1], label: 1 << 40)
    #expect(problem(large).contains("has the label 1099511627776"))
}

@Test(
    arguments: [
        ([0x1F, 0x8B] + [UInt8](repeating: 0, count: 30), "is compressed with gzip; unpack it"),
        ([UInt8](repeating: 0, count: 32), "no TFRecord is at byte 0: the checksum of its length is wrong"),
        ([1, 2, 3], "the record at byte 0 is cut off: the file has 3 bytes"),
        (TFRecordWriter.record([]), "has no \"image/encoded\""),
        (TFRecordWriter.record([8, 1]), "has no \"image/encoded\""),
        (TFRecordWriter.record([0x0A, 0x05, 0]), "no Example message is around byte 12: a field ends behind it"),
        (TFRecordWriter.record([0x0A, 0x02, 0]), "no Example message is around byte 12: a field ends behind it"),
        (TFRecordWriter.record([0x0B, 0x0C]), "a field is of the unknown type 3"),
        (
            TFRecordWriter.record([UInt8](repeating: 0xFF, count: 12)),
            "a number ends behind it or has more than 64 bits"
        ),
        (TFRecordWriter.record(name: "a", picture: [1], label: 1).dropLast(1), "the file ends before"),
    ] as [([UInt8], String)])
func aWrongRecordIsNamed(content: [UInt8], reason: String) {
    let text = problem(content)
    #expect(text.hasPrefix("memory.tfrecord: ") && text.contains(reason), "\(text)")
}

/// Cut anywhere but between records, or with one flipped bit, a file never gives other pictures than were written.
@Test func recordsCutOffAndFlipped() throws {
    let records = smallSamples.map { TFRecordWriter.record(name: $0.name, picture: $0.picture, label: $0.label) }
    let sound = records.flatMap { $0 }
    let whole = try read(sound)
    let ends = Set([0, records[0].count, records[0].count + records[1].count])
    for length in 0..<sound.count {
        let text = problem(Array(sound[..<length]))
        #expect(text.hasPrefix("no error but") == ends.contains(length), "\(length): \(text)")
    }
    for bit in stride(from: 0, to: sound.count * 8, by: 3) {
        var damaged = sound
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(throws: DatasetError.self, "bit \(bit)") { _ = try read(damaged) }
    }
    #expect(whole.count == 3)
}

/// An order of fields, unknown fields and packing that TensorFlow does not write but others may.
@Test func everyWayToWriteAnExample() throws {
    func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] { [number << 3 | 2, UInt8(bytes.count)] + bytes }
    func entry(_ key: String, _ feature: [UInt8]) -> [UInt8] {
        // The value before the key, and a field nobody knows.
        field(1, field(2, feature) + [0x18, 0x96, 0x01] + field(1, Array(key.utf8)))
    }
    let unpacked = field(3, [0x08, 0x07])
    let packed = field(3, field(1, [0x07, 0x08]))
    for integer in [unpacked, packed] {
        let example =
            [0x15, 1, 2, 3, 4, 0x11, 1, 2, 3, 4, 5, 6, 7, 8]
            + field(1, entry("image/encoded", field(1, field(1, [9, 9]) + field(1, [8]))))
            + field(1, entry("image/class/label", integer) + entry("image/filename", field(1, field(1, [0xFF]))))
        let bytes = TFRecordWriter.record(example)
        let block = try scan(bytes).block
        #expect(block.rows.map(\.label) == [7] && block.rows[0].byteCount == 2)
        #expect(try picture(bytes, block.rows[0]) == [9, 9])
        // A name that is not UTF-8 is no name.
        #expect(String(decoding: block.name(0), as: UTF8.self) == "memory.tfrecord#0")
    }
}

@Test func damageInARecordIsSeenWhenItIsRead() throws {
    let directory = TemporaryDirectory()
    var bytes = fixture("tensorflow.tfrecord")
    directory.write("train-0.tfrecord", bytes)
    bytes[bytes.count - 300] ^= 1
    directory.write("train-1.tfrecord", bytes)
    let set = try Dataset.open(directory.settings(), .train)
    #expect(set.count == 12)
    #expect(try set.read(5) != .encoded([]))
    let error = #expect(throws: DatasetError.self) { try set.read(11) }
    #expect(error?.description.contains("train-1.tfrecord: the checksum of the record at byte") == true)
}
