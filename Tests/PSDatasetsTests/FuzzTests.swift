// Readers against inputs nobody would write: every one ends in a value within bounds or in a named error, soon.

import Foundation
import PSDatasets
import PSParameters
import SyntheticData
import TestSupport
import Testing

@testable import PSDatasets

/// Set: all inputs, more than two and a half million in a few minutes. Else a hundredth, to see that nothing came back.
private let isLong = ProcessInfo.processInfo.environment["PS_LONG_TESTS"] == "1"

/// Records what does not hold; `#expect` would take most of the time.
private func hold(_ condition: Bool, line: Int = #line) {
    if !condition { Issue.record("what line \(line) expects does not hold") }
}

/// What became of the inputs of one reader.
private struct Outcomes {
    var values = 0
    var errors = 0
    var slowest = Duration.zero

    /// Feeds a reader with inputs; `read` throws or gives a value, and checks what the value must hold to.
    static func of(
        _ count: Int, _ mutator: inout Mutator, _ read: (inout Mutator, [UInt8]) throws(DatasetError) -> Void
    ) -> Outcomes {
        var outcomes = Outcomes()
        let clock = ContinuousClock()
        for number in 0..<(isLong ? count : count / 100) {
            let input = mutator.input(number)
            let start = clock.now
            do throws(DatasetError) {
                try read(&mutator, input)
                outcomes.values += 1
            } catch {
                #expect(!error.description.isEmpty)
                outcomes.errors += 1
            }
            outcomes.slowest = max(outcomes.slowest, clock.now - start)
        }
        return outcomes
    }

    /// Both ends are reached, and no input takes long (most take microseconds; the machine may be busy).
    func check(_ name: String) {
        if isLong { print("\(name): \(values) values, \(errors) errors, slowest \(slowest)") }
        #expect(values > 0 && errors > 0)
        #expect(slowest < .seconds(2))
    }
}

@Suite(.serialized) struct Fuzz {
    @Test func tarShards() {
        var mutator = Mutator(
            [
                smallShard(), longNames, fixture("webdataset.tar"), fixture("python-gnu.tar"),
                fixture("gnutar-pax.tar"),
                fixture("gnutar-v7.tar"),
            ], name: "tar")
        let outcomes = Outcomes.of(900_000, &mutator) { (mutator, input) throws(DatasetError) in
            var input = input
            // Else hardly anything gets past the checksums.
            if mutator.draw(below: 4) != 0 { repairTarChecksums(&input) }
            let source = MemoryBytes(input, path: "fuzz.tar")
            let block = try ShardScan(source).block
            for (index, row) in block.rows.enumerated() {
                hold(String(validating: block.name(index), as: UTF8.self) != nil && row.label >= 0)
                hold(row.offset >= 512 && row.offset + row.byteCount <= input.count)
            }
        }
        outcomes.check("tar")
    }

    /// A sample whose name needs a pax header, and one as GNU tar writes it.
    private var longNames: [UInt8] {
        let name = String(repeating: "long/", count: 30) + "name.jpg"
        var long = TarWriter.member(name: Array("././@LongLink".utf8), Array(name.utf8) + [0])
        long[156] = UInt8(ascii: "L")
        let sample = TarWriter.sample(name: "x.jpg", picture: [1, 2, 3], label: 1)
        return withChecksum(long) + sample + TarWriter.sample(name: name, picture: [4], label: 0) + TarWriter.end
    }

    private func repairTarChecksums(_ bytes: inout [UInt8]) {
        for start in stride(from: 0, to: bytes.count - 511, by: 512) where bytes[start + 257] == UInt8(ascii: "u") {
            var sum = 8 * 32
            for index in start..<start + 512 where !(148..<156).contains(index - start) { sum += Int(bytes[index]) }
            for digit in 0..<6 { bytes[start + 153 - digit] = 48 + UInt8(sum >> (3 * digit) & 7) }
            (bytes[start + 154], bytes[start + 155]) = (0, 32)
        }
    }

    @Test func tfRecords() {
        var mutator = Mutator(
            [
                smallTFRecord(), TFRecordWriter.record(name: "a", picture: [1], label: 1),
                fixture("tensorflow.tfrecord"),
            ], name: "tfrecord")
        let outcomes = Outcomes.of(300_000, &mutator) { (_, input) throws(DatasetError) in
            try readRecords(input)
        }
        outcomes.check("tfrecord")
    }

    /// Messages with right checksums around them.
    @Test func examples() {
        let record = TFRecordWriter.record(name: "some/name.jpg", picture: Array(0..<50), label: 5, text: "class")
        let other = fixture("tensorflow.tfrecord")
        let length = Int(other[0]) | Int(other[1]) << 8
        var mutator = Mutator(
            [Array(record[12..<(record.count - 4)]), Array(other[12..<(12 + length)])], name: "example")
        let outcomes = Outcomes.of(500_000, &mutator) { (_, input) throws(DatasetError) in
            try readRecords(TFRecordWriter.record(input))
        }
        outcomes.check("example")
    }

    private func readRecords(_ input: [UInt8]) throws(DatasetError) {
        let source = MemoryBytes(input, path: "fuzz.tfrecord")
        let block = try TFRecordScan(source, firstLabel: 0).block
        for row in block.rows {
            hold(row.label >= 0 && row.byteCount <= input.count)
            let payload = try TFRecord.payload(of: source, at: row.offset)
            let window = ByteWindow(MemoryBytes(payload, path: "record"))
            var parser = ExampleParser(window: window, path: "record")
            let picture = try parser.parse(0..<payload.count).picture
            hold(picture?.count == row.byteCount)
        }
    }

    @Test func idxFiles() {
        var mutator = Mutator(
            [
                idx([3, 2, 3], Array(0..<18)), gzipped(idx([3, 2, 3], Array(0..<18))),
                idx([2, 1, 2, 3], Array(0..<12)),
                gzipped(idx([40, 5, 5], (0..<1000).map { UInt8($0 % 7) })), idx([3], [9, 0, 4]),
            ], name: "idx")
        let outcomes = Outcomes.of(400_000, &mutator) { (mutator, input) throws(DatasetError) in
            let file = try IDXFile(
                MemoryBytes(input, path: "fuzz.idx"), dimensions: mutator.draw(below: 2) == 0 ? 1...1 : 3...4)
            let elements = try file.elements()
            hold(elements.count == file.elementCount && !elements.isEmpty)
        }
        outcomes.check("idx")
    }

    @Test func cifarFiles() {
        let record = [UInt8(3)] + picture(3, 3072)
        var mutator = Mutator([record, record + record], name: "cifar")
        let names = (0..<10).map { "\($0)" }
        let outcomes = Outcomes.of(20_000, &mutator) { (mutator, input) throws(DatasetError) in
            let whole = mutator.draw(below: 2) == 0 ? Array((input + input).prefix(3073)) : input
            let set = try CIFARSamples.open(
                [MemoryBytes(whole, path: "fuzz.bin")], labelBytes: 1, classNames: names, .train)
            for sample in 0..<set.count {
                let (label, content) = (try set.label(of: sample), try set.read(sample))
                hold(label < 10 && content != .encoded([]))
            }
        }
        outcomes.check("cifar")
    }

    @Test func indexes() throws {
        var mutator = Mutator([try formulaIndex(3), try formulaIndex(0), try formulaIndex(60)], name: "index")
        let reference = try index(formulaIndex(60))
        let outcomes = Outcomes.of(500_000, &mutator) { (mutator, input) throws(DatasetError) in
            var input = input
            if mutator.draw(below: 8) != 0 { repairIndexChecksums(&input) }
            let opened = try index(input)
            for sample in 0..<min(opened.count, 100) {
                let (entry, name) = (try opened.entry(of: sample), try opened.name(of: sample))
                hold(entry.label < opened.classNames.count && entry.container < max(opened.tail.files.count, 1))
                hold(entry.offset >= 0 && name.utf8.count <= 3 * IndexFormat.longestName)
            }
            _ = try SampleList.firstDifference(between: opened, and: reference)
        }
        outcomes.check("index")
    }

    /// Of a tail that is where the last bytes say, and of the one chunk before it.
    private func repairIndexChecksums(_ bytes: inout [UInt8]) {
        let trailer = bytes.count - 32
        guard trailer >= 8 else { return }
        let position = Int(bytes[trailer]) | Int(bytes[trailer + 1]) << 8
        guard position >= 8, position <= trailer else { return }
        let body = Array(bytes[8..<position])
        var tail = Array(bytes[position..<trailer])
        // The chunk's place, size and checksum are the last things in the tail.
        if tail.count >= 20, !body.isEmpty {
            var place = ByteWriter()
            place.put(UInt64(8))
            place.put(UInt64(body.count))
            place.put(IndexFormat.checksum(body))
            tail.replaceSubrange((tail.count - 20)..., with: place.bytes)
        }
        var writer = ByteWriter()
        writer.put(UInt64(tail.count))
        writer.put(IndexFormat.checksum(tail))
        writer.put(UInt32(0))
        bytes.replaceSubrange(position..<trailer, with: tail)
        bytes.replaceSubrange((trailer + 8)..<(trailer + 24), with: writer.bytes)
    }

    /// Names, labels and lists of classes.
    @Test func texts() {
        var mutator = Mutator(
            [
                Array("12\n".utf8), Array("{\"label\": 3, \"cls\": 4}".utf8), Array("a%2Eb%25.jpg".utf8),
                Array("cat\ndog\r\neel\n".utf8), Array("folder/b.c.png".utf8),
            ], name: "texts")
        let outcomes = Outcomes.of(100_000, &mutator) { (_, input) throws(DatasetError) in
            hold(ShardScan.number(input) ?? 0 >= 0 && ShardScan.label(input) ?? 0 >= 0)
            let (key, ending) = MemberName.encoded(input)
            hold(MemberName.decoded(key + ending) == input)
            _ = ShardScan.split(input)
            let names = try ClassNameFile.names(input, path: "classes.txt")
            hold(names.count >= 2 && !names.contains(""))
        }
        outcomes.check("texts")
    }
}
