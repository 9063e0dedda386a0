// Tar shards: what other programs write, and everything that can be wrong with them.

import CZlib
import Foundation
import PSDatasets
import TestSupport
import Testing

@testable import PSDatasets

/// A file beside this one.
func fixture(_ name: String) -> [UInt8] {
    let url = Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: nil)
    return url.map { readFile($0.path) } ?? []
}

/// The lines that a fixture's generator wrote, split at tabs.
func expected(_ name: String) -> [[String]] {
    String(decoding: fixture(name), as: UTF8.self).split(separator: "\n").map {
        $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    }
}

func crc(_ bytes: [UInt8]) -> String { String(crc32(0, bytes, UInt32(bytes.count))) }

/// What a shard holds, a line per sample as in the fixtures.
private func lines(_ bytes: [UInt8]) throws(DatasetError) -> [[String]] {
    let source = MemoryBytes(bytes, path: "memory.tar")
    let block = try ShardScan(source).block
    var lines: [[String]] = []
    for (index, row) in block.rows.enumerated() {
        let content = try source.bytes(at: row.offset, count: row.byteCount)
        lines.append([
            String(decoding: block.name(index), as: UTF8.self), "\(row.label)", "\(row.byteCount)", crc(content),
        ])
    }
    return lines
}

private func problem(_ bytes: [UInt8]) -> String {
    do throws(DatasetError) { return "no error but \(try lines(bytes))" } catch { return error.description }
}

@Test(
    arguments: [
        ("python-ustar", 5), ("python-gnu", 6), ("python-pax", 6), ("gnutar-v7", 4), ("gnutar-ustar", 5),
        ("gnutar-gnu", 6), ("gnutar-pax", 6), ("webdataset", 5),
    ])
func whatOthersPacked(name: String, count: Int) throws {
    let found = try lines(fixture("\(name).tar"))
    #expect(found == expected("\(name).txt"))
    #expect(found.count == count)
}

@Test func ourOwnShard() throws {
    let source = MemoryBytes(smallShard(), path: "memory.tar")
    let scan = try ShardScan(source)
    #expect(try lines(smallShard()).map { $0[0] } == smallSamples.map(\.name))
    #expect(scan.block.rows.map(\.label) == [0, 2, 1] && scan.leftOut == 0)
    // One key a picture: the dot within the stem is encoded.
    let text = String(decoding: smallShard(), as: UTF8.self)
    #expect(text.contains("cat/b%2Ec.png") && text.contains("cat/b%2Ec.cls"))
}

@Test(
    arguments: [
        "a/b.c/d.e%2E.f.jpg", "%25.png", "a/x", "a.b/c", "a%.jp%25",
        String(repeating: "long/", count: 60) + "ä.b.webp",
    ])
func namesComeBack(name: String) throws {
    let (key, ending) = MemberName.encoded(name.utf8)
    #expect(MemberName.decoded(key + ending) == Array(name.utf8))
    let base = key.split(separator: UInt8(ascii: "/")).last ?? []
    #expect(!base.contains(UInt8(ascii: ".")))
}

/// A size in binary, as GNU tar writes those above 8 GiB; and checksums of signed bytes, as old programs wrote them.
@Test func otherWaysToWriteNumbers() throws {
    var shard = smallShard()
    shard.replaceSubrange(124..<136, with: [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xBC])
    shard = withChecksum(shard)
    #expect(try lines(shard) == lines(smallShard()))
    var signed = smallShard()
    // A letter that is negative as a signed byte, in the group's name: not read.
    signed[300] = 0xE4
    signed = withChecksum(signed, signed: true)
    #expect(try lines(signed) == lines(smallShard()))
    for (first, text) in [(UInt8(0xFF), "is negative"), (0xBF, "impossibly large")] {
        var wrong = smallShard()
        wrong.replaceSubrange(124..<136, with: [first] + [UInt8](repeating: 0xFF, count: 11))
        #expect(problem(withChecksum(wrong)).contains(text))
    }
}

/// The shard with the checksum that its first header should have.
func withChecksum(_ shard: [UInt8], signed: Bool = false) -> [UInt8] {
    var shard = shard
    shard.replaceSubrange(148..<156, with: [UInt8](repeating: 32, count: 8))
    let sum = shard[..<512].reduce(0) { $0 + (signed ? Int(Int8(bitPattern: $1)) : Int($1)) }
    let octal = String(sum, radix: 8)
    let digits = String(repeating: "0", count: 6 - octal.count) + octal
    shard.replaceSubrange(148..<156, with: Array(digits.utf8) + [0, 32])
    return shard
}

private func member(_ name: String, _ text: String) -> [UInt8] {
    TarWriter.member(name: Array(name.utf8), Array(text.utf8))
}

@Test(
    arguments: [
        (member("a.jpg", "x"), "a.jpg has no label beside it: neither a.cls nor a .json"),
        (member("a.jpg", "x") + member("a.json", "{}"), "has no label beside it"),
        (member("a.jpg", "x") + member("a.json", "{\"label\": -1}"), "has no label beside it"),
        (member("a.jpg", "x") + member("a.json", "{\"label\": 1e30}"), "has no label beside it"),
        (member("a.jpg", "x") + member("a.json", "nonsense"), "has no label beside it"),
        (member("a.jpg", "x") + member("a.cls", "-1"), "a.cls does not hold the number of a class"),
        (member("a.jpg", "x") + member("a.cls", ""), "a.cls does not hold the number of a class"),
        (member("a.jpg", "x") + member("a.cls", "12345678901"), "a.cls does not hold the number of a class"),
        (member("a.jpg", "x") + member("a.cls", "1 2"), "a.cls does not hold the number of a class"),
        (member("a.jpg", "x") + member("a.png", "x"), "a.jpg and a.png are pictures of one sample"),
        (withKind("2", member("a.jpg", "")), "a.jpg is a link or sparse"),
        (withKind("S", member("a.jpg", "x")), "a.jpg is a link or sparse"),
        (gzipped(member("a.jpg", "x")), "is compressed with gzip; unpack it"),
        ([], "is cut off within a header: it has 0 bytes"),
        ([1, 2, 3], "is cut off within a header: it has 3 bytes"),
        ([UInt8](repeating: 65, count: 1024), "no tar header is there"),
    ] as [([UInt8], String)])
func aWrongShardIsNamed(content: [UInt8], reason: String) {
    let text = problem(content + (content.count < 512 ? [] : TarWriter.end))
    #expect(text.hasPrefix("memory.tar: ") && text.contains(reason), "\(text)")
}

private func withKind(_ kind: Character, _ member: [UInt8]) -> [UInt8] {
    var member = member
    member[156] = kind.asciiValue ?? 0
    return withChecksum(member)
}

@Test func labelsInEveryPlace() throws {
    let shard =
        member("a.json", "{\"cls\": 3, \"label\": 4}") + member("a.jpg", "1")
        + member("b.cls", "5\n") + member("b.json", "{\"label\": 6}") + member("b.jpg", "22")
        + member("c.json", "{\"label\": \"six\"}") + member("c.jpg", "333") + member("c.cls", " 7 ")
        + member("d.txt", "no picture") + member("d.cls", "1") + TarWriter.end
    #expect(try lines(shard).map { $0[0] + " " + $0[1] } == ["a.jpg 3", "b.jpg 5", "c.jpg 7"])
    #expect(try ShardScan(MemoryBytes(shard, path: "x")).leftOut == 2)
}

/// Cut anywhere, a shard is refused: what is left of it is never taken for the whole.
@Test func aShardThatIsCutOff() {
    for name in ["python-pax.tar", "gnutar-gnu.tar"] {
        let sound = fixture(name)
        // Between members too, where only the closing blocks are missing.
        let lengths =
            Array(stride(from: 0, to: sound.count - 1024, by: 97)) + stride(from: 0, to: sound.count - 1023, by: 512)
        for length in lengths {
            #expect(problem(Array(sound[..<length])).hasPrefix("memory.tar: "), "\(length) of \(name)")
        }
    }
}

/// One flipped bit in a header is seen by its checksum.
@Test func flippedBitsInHeaders() {
    let sound = smallShard()
    for bit in 0..<512 * 8 {
        var damaged = sound
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        let text = problem(damaged)
        // Spaces and zeros around the checksum's digits, and upper bits of padding, carry nothing.
        if (148..<156).contains(bit / 8) && text.hasPrefix("no error") { continue }
        #expect(text.hasPrefix("memory.tar: "), "bit \(bit): \(text)")
    }
}

@Suite struct ShardSets {
    private func directory(_ classNames: String? = nil) -> TemporaryDirectory {
        let directory = TemporaryDirectory()
        directory.write("train/b.tar", smallShard())
        directory.write("train/a.tar", member("z.jpg", "zz") + member("z.cls", "1") + TarWriter.end)
        directory.write("val/a.tar", smallShard())
        if let classNames { directory.write("classes.txt", Array(classNames.utf8)) }
        return directory
    }

    @Test func byShardThenPlace() throws {
        let directory = self.directory()
        let set = try Dataset.open(directory.settings(), .train)
        #expect(try (0..<set.count).map(set.name) == ["z.jpg", "cat/a.jpg", "cat/b.c.png", "dog/a.JPEG"])
        #expect(try (0..<set.count).map(set.label) == [1, 0, 2, 1])
        #expect(set.classNames == ["0", "1", "2"])
        #expect(try set.place(of: 1) == "\(directory.path)/train/b.tar (cat/a.jpg)")
        #expect(try set.read(2) == .encoded(picture(2, 512)))
        #expect(try set.read(0) == .encoded(Array("zz".utf8)))
        let withNames = self.directory("\u{FEFF}cat\r\ndog\nlarge eel \n")
        let named = try Dataset.open(withNames.settings(), .test)
        #expect(named.classNames == ["cat", "dog", "large eel "] && named.count == 3)
    }

    @Test func labelsWithoutAClass() {
        for (names, reason) in [
            ("cat\ndog\n", "label 2 of cat/b.c.png is out of range 0...1, the classes"),
            ("cat\n", "names 1 classes; there must be two"), ("cat\n\ndog\n", "line 2 is empty"),
            ("", "names 0 classes"),
        ] {
            let directory = self.directory(names)
            #expect(problem(directory.settings()).contains(reason))
        }
        let directory = self.directory()
        directory.write("val/b.tar", member("q.jpg", "q") + member("q.cls", "3") + TarWriter.end)
        #expect(problem(directory.settings(), .test).contains("label 3 of q.jpg is out of range 0...2"))
        directory.write("train/b.tar", member("q.jpg", "q") + member("q.cls", "4000000") + TarWriter.end)
        #expect(problem(directory.settings()).contains("has the label 4000000, too large"))
        directory.write("train/b.tar", member("q.txt", "q") + TarWriter.end)
        #expect(problem(directory.settings()).contains("train/b.tar: has no samples: no member is a picture"))
    }

    @Test func aShardThatChangedUnderReading() throws {
        let directory = self.directory()
        let set = try Dataset.open(directory.settings(), .train)
        _ = try set.read(0)
        // Still open: the file is cut under the reader.
        truncate("\(directory.path)/train/a.tar", 513)
        #expect(throws: DatasetError.self) { try set.read(0) }
        directory.write("train/b.tar", smallShard() + [0])
        let changed = #expect(throws: DatasetError.self) { try set.read(3) }
        #expect(changed?.description.contains("b.tar has changed: it has") == true)
    }

    /// A set of more shards than files may be open, read by eight threads at once.
    @Test func manyShardsAtOnce() throws {
        let directory = TemporaryDirectory()
        for shard in 0..<100 {
            let number = String(1000 + shard)
            directory.write(
                "train/\(number).tar",
                (0..<3).flatMap {
                    TarWriter.sample(name: "c/\(number)-\($0).jpg", picture: picture(shard * 3 + $0, 300), label: $0)
                } + TarWriter.end)
        }
        let set = try Dataset.open(directory.settings(), .train)
        #expect(set.count == 300)
        let files = OpenFiles(root: directory.path, set.index.tail.files, limit: 8)
        let wrong = (0..<8).concurrentSum { thread in
            (0..<900).count { step in
                let sample = (step * 37 + thread * 11) % 300
                let entry = try? set.index.entry(of: sample)
                let bytes = entry.flatMap { entry in
                    try? files.file(entry.container).bytes(at: entry.offset, count: entry.byteCount)
                }
                return bytes != picture(sample, 300) || (try? set.read(sample)) != .encoded(picture(sample, 300))
            }
        }
        #expect(wrong == 0)
        #expect(files.openCount == 8)
    }
}

extension Range<Int> {
    /// The sum of what a function gives for each, computed at the same time.
    func concurrentSum(_ body: @escaping @Sendable (Int) -> Int) -> Int {
        var sum = 0
        try? Threads.inOrder(count, threads: count) { (item) throws(DatasetError) in
            body(item)
        } take: {
            sum += $1
        }
        return sum
    }
}
