// The index of samples: what is written comes back, damage is refused, old ones are made anew, two makers end well.

import Glibc
import PSDatasets
import PSFiles
import Synchronization
import TestSupport
import Testing

@testable import PSDatasets

/// An index being written, in memory.
private final class MemoryOutput: ByteOutput {
    private(set) var bytes: [UInt8] = []

    func write(_ bytes: [UInt8]) { self.bytes += bytes }
}

/// An index of `count` samples whose numbers all differ, in memory.
func formulaIndex(
    _ count: Int, classes: Int = 7, name: (Int) -> String = { "class/\($0).jpg" },
    size: (Int) -> Int = { $0 * 3 % 1000 },
    contents: [UInt32] = []
) throws(DatasetError) -> [UInt8] {
    let output = MemoryOutput()
    let writer = try SampleIndexWriter(form: .shards, split: .train, contents: contents, to: output)
    for sample in 0..<count {
        try writer.append(
            name: name(sample).utf8, byteCount: size(sample), label: sample % classes, container: sample % 2,
            offset: sample * 1000, of: "memory")
    }
    let files = (0..<2).map { IndexedFile(name: "\($0).tar", stamp: FileStamp(byteCount: 1 << 40, modified: -5)) }
    try writer.finish(
        recipe: "formula", classNames: (0..<classes).map { "class \($0)" }, files: files, remarks: ["a remark"])
    return output.bytes
}

func index(_ bytes: [UInt8]) throws(DatasetError) -> SampleIndex {
    try SampleIndex(MemoryBytes(bytes, path: "memory.index"))
}

@Test(arguments: [0, 1, 4095, 4096, 4097, 12288, 20000])
func anIndexComesBack(count: Int) throws {
    let index = try index(formulaIndex(count))
    #expect(index.count == count && index.classNames.count == 7 && index.form == .shards && index.split == .train)
    #expect(
        index.tail.remarks == ["a remark"] && index.tail.files[1].stamp == FileStamp(byteCount: 1 << 40, modified: -5))
    for sample in Set([0, 1, 4094, 4095, 4096, 8191, 8192, count / 2, count - 1]) where (0..<count).contains(sample) {
        #expect(
            try index.entry(of: sample)
                == SampleEntry(
                    label: sample % 7, byteCount: sample * 3 % 1000, container: sample % 2, offset: sample * 1000))
        #expect(try index.name(of: sample) == "class/\(sample).jpg")
    }
}

/// The digest as this file's header comment defines it, computed from scratch.
@Test func theDigestIsThatOfTheList() throws {
    var writer = ByteWriter()
    writer.put(UInt64(1))
    writer.put(UInt32(77))
    for sample in 0..<5000 {
        writer.put("class/\(sample).jpg")
        writer.put(UInt64(sample * 3 % 1000))
        writer.put(UInt32(sample % 7))
    }
    writer.put(UInt64(5000))
    var hash = SHA256()
    writer.bytes.withUnsafeBytes { hash.update($0) }
    #expect(try index(formulaIndex(5000, contents: [77])).digest == hash.hexadecimal())
}

/// Whatever of a sample changes, the digest does; and only then.
@Test func theDigestSeesEveryChange() throws {
    let sound = try index(formulaIndex(100)).digest
    #expect(try index(formulaIndex(100)).digest == sound)
    var digests: Set = [sound]
    digests.insert(try index(formulaIndex(99)).digest)
    digests.insert(try index(formulaIndex(101)).digest)
    digests.insert(try index(formulaIndex(100, classes: 6)).digest)
    digests.insert(try index(formulaIndex(100, name: { $0 == 50 ? "x" : "class/\($0).jpg" })).digest)
    digests.insert(try index(formulaIndex(100, size: { $0 == 50 ? 0 : $0 * 3 % 1000 })).digest)
    digests.insert(try index(formulaIndex(100, contents: [1])).digest)
    #expect(digests.count == 7)
}

@Test func aDamagedIndexIsRefused() throws {
    let sound = try formulaIndex(300)
    for length in 0..<sound.count {
        #expect(throws: DatasetError.self, "\(length)") { try index(Array(sound[..<length])) }
    }
    for bit in stride(from: 0, to: sound.count * 8, by: 5) {
        var damaged = sound
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(throws: DatasetError.self, "bit \(bit)") { try index(damaged) }
    }
    #expect(throws: DatasetError.self) { try index(sound + [0]) }
}

/// Numbers that lie although every checksum is right: none is believed.
@Test func anIndexThatLiesIsRefused() throws {
    let sound = try formulaIndex(3)
    for (place, value) in [
        (8, UInt8(0)), (8, 250), (11, 255), (12, 7), (15, 1), (16, 2), (20, 200), (23, 128), (24, 255),
    ] {
        // A byte of the first record, behind the magic and the offset.
        var wrong = sound
        wrong[8 + place] = value
        let chunk = Array(wrong[8..<(8 + 3 * 32 + 3 * 11)])
        guard let tail = IndexTail(tail(of: sound), position: 8 + chunk.count) else {
            Issue.record("no tail")
            return
        }
        var lying = tail
        lying.chunks = [.init(position: 8, byteCount: chunk.count, checksum: IndexFormat.checksum(chunk))]
        let bytes = assemble(chunk, lying)
        if let opened = try? index(bytes) {
            // What is in bounds is believed, as the sum says that it was written so.
            #expect(try opened.entry(of: 0).label < 7 && opened.name(of: 0).utf8.count <= chunk.count)
        } else {
            #expect(![0, 250].contains(value) || place != 8)
        }
    }
    var tail = try #require(IndexTail(tail(of: sound), position: 8 + 3 * 43))
    let chunk = Array(sound[8..<(8 + 3 * 43)])
    for change in [
        { $0.count = 4 }, { $0.count = .max }, { $0.classNames = [] }, { $0.files = [] }, { $0.digest = "" },
        { $0.chunks = [] }, { $0.chunks[0] = .init(position: 0, byteCount: 129, checksum: $0.chunks[0].checksum) },
        { $0.chunks.append($0.chunks[0]) },
    ] as [(inout IndexTail) -> Void] {
        var lying = tail
        change(&lying)
        #expect(throws: DatasetError.self) { try index(assemble(chunk, lying)) }
    }
    tail.recipe = "other"
    #expect(try index(assemble(chunk, tail)).count == 3)
}

private func tail(of index: [UInt8]) -> [UInt8] {
    let position = index[(index.count - 32)...].prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    return Array(index[position..<(index.count - 32)])
}

/// An index of one chunk with right checksums.
private func assemble(_ chunk: [UInt8], _ tail: IndexTail) -> [UInt8] {
    let encoded = tail.encoded()
    var writer = ByteWriter()
    writer.put(raw: IndexFormat.magic + chunk + encoded)
    writer.put(UInt64(8 + chunk.count))
    writer.put(UInt64(encoded.count))
    writer.put(IndexFormat.checksum(encoded))
    writer.put(UInt32(0))
    writer.put(raw: IndexFormat.endMagic)
    return writer.bytes
}

@Suite struct KeptIndexes {
    private func shards() -> TemporaryDirectory {
        let directory = TemporaryDirectory()
        for name in ["train/1.tar", "train/2.tar", "val/1.tar"] { directory.write(name, smallShard()) }
        return directory
    }

    /// Opens and tells whether shards were gone through.
    private func open(_ directory: TemporaryDirectory) throws -> (Dataset, wasMade: Bool) {
        let made = Atomic<Int>(0)
        let set = try Dataset.open(directory.settings(), .train) { _, _ in made.add(1, ordering: .relaxed) }
        return (set, made.load(ordering: .relaxed) > 0)
    }

    private let name = ".train-shards.samples.index"

    @Test func anIndexIsMadeOnce() throws {
        let directory = shards()
        let (first, wasMade) = try open(directory)
        #expect(wasMade && first.remarks.isEmpty)
        #expect(names(in: directory.path) == [name, "train", "val"])
        let (second, wasMadeAgain) = try open(directory)
        #expect(!wasMadeAgain && second.digest == first.digest)
        #expect(try transcript(second) == transcript(first))
    }

    @Test func anOldOrDamagedOneIsMadeAnew() throws {
        let directory = shards()
        let digest = try open(directory).0.digest
        let path = "\(directory.path)/\(name)"
        let sound = readFile(path)
        var flipped = sound
        flipped[100] ^= 4
        for damaged in [flipped, Array(sound.dropLast(9)), [], Array("text".utf8)] {
            writeFile(path, damaged)
            let (set, wasMade) = try open(directory)
            #expect(wasMade && set.digest == digest)
            #expect(set.remarks.count == 1 && set.remarks[0].contains("not a sound index of samples"), "\(set.remarks)")
            #expect(set.remarks.first?.hasSuffix("it is made anew") == true)
            #expect(readFile(path).count == sound.count)
        }
        // The same size, another time.
        utimes("\(directory.path)/train/1.tar", [timeval(tv_sec: 5, tv_usec: 0), timeval(tv_sec: 5, tv_usec: 0)])
        let (touched, wasMade) = try open(directory)
        #expect(wasMade && touched.remarks.count == 1 && touched.remarks[0].contains("is older than the files"))
        #expect(try !open(directory).wasMade)
        directory.write("train/3.tar", smallShard())
        let (grown, wasMadeForThree) = try open(directory)
        #expect(wasMadeForThree && grown.count == 9)
        directory.write("classes.txt", Array("a\nb\nc\nd\n".utf8))
        let (named, wasMadeForNames) = try open(directory)
        #expect(wasMadeForNames && named.classNames == ["a", "b", "c", "d"] && named.digest == grown.digest)
    }

    /// Where nothing can be written beside the shards, the user's cache has it; else it is made each time.
    @Test func placesThatCannotBeWritten() throws {
        let directory = shards()
        let cache = TemporaryDirectory()
        func kept(_ cache: String) throws(DatasetError) -> (index: SampleIndex, remarks: [String]) {
            let files = [IndexedFile(name: "train/1.tar", stamp: try .of("\(directory.path)/train/1.tar"))]
            return try IndexStore.kept(
                in: directory.path, cache: cache, form: .shards, split: .train, recipe: "r", files: files
            ) { (output) throws(DatasetError) in
                let writer = try SampleIndexWriter(form: .shards, split: .train, to: output)
                try writer.append(name: "a".utf8, byteCount: 1, label: 0, container: 0, offset: 0, of: "x")
                try writer.finish(recipe: "r", classNames: ["c"], files: files, remarks: [])
            }
        }
        // A directory in the index's place cannot be renamed over.
        directory.makeDirectory(name)
        let first = try kept("\(cache.path)/not/there/yet")
        #expect(first.index.count == 1)
        let kept1 = names(in: "\(cache.path)/not/there/yet")
        #expect(kept1.count == 1 && kept1[0].hasSuffix("-train-shards.samples.index"), "\(kept1)")
        let before = try FileStamp.of("\(cache.path)/not/there/yet/\(kept1[0])")
        #expect(try kept("\(cache.path)/not/there/yet").index.count == 1)
        #expect(try FileStamp.of("\(cache.path)/not/there/yet/\(kept1[0])") == before)
        cache.write("file", [1])
        let third = try kept("\(cache.path)/file/below")
        #expect(third.index.count == 1 && third.remarks.count == 2)
        #expect(third.remarks.last?.contains("cannot be kept, neither there nor in the user's cache") == true)
        #expect(names(in: directory.path) == [name, "train", "val"])
    }

    /// What a maker that was killed left is removed by the next, unless it may still be at work.
    @Test func remainsAreRemoved() throws {
        let directory = shards()
        let old = "\(directory.path)/.\(name).old"
        for path in [old, "\(directory.path)/.\(name).new"] { writeFile(path, [1]) }
        utimes(old, [timeval(tv_sec: 5, tv_usec: 0), timeval(tv_sec: 5, tv_usec: 0)])
        _ = try open(directory)
        #expect(names(in: directory.path) == [".\(name).new", name, "train", "val"])
    }

    /// Eight openers at once: all have the whole set, one index is left and nothing else.
    @Test func makersAtTheSameTime() throws {
        for _ in 0..<5 {
            let directory = shards()
            let settings = directory.settings()
            let right = (0..<8).concurrentSum { _ in
                guard let set = try? Dataset.open(settings, .train), let last = try? set.read(5) else { return 0 }
                return set.count == 6 && last == .encoded(smallSamples[2].picture) ? 1 : 0
            }
            #expect(right == 8)
            #expect(names(in: directory.path) == [name, "train", "val"])
        }
    }
}

@Suite struct Lists {
    @Test func aListIsWrittenAndComparesEqual() throws {
        let directory = smallFolder()
        let set = try Dataset.open(directory.settings(), .train)
        let path = "\(directory.path)/samples.index"
        try SampleList.write(set.index, to: path)
        let list = try SampleList.open(path)
        #expect(list.digest == set.digest && list.count == set.count && list.classNames == set.classNames)
        #expect(try (0..<list.count).map(list.name) == (0..<set.count).map(set.name))
        #expect(try SampleList.firstDifference(between: set.index, and: list) == nil)
        let big = try index(formulaIndex(10000))
        let output = MemoryOutput()
        try SampleList.write(big, to: output)
        #expect(try index(output.bytes).digest == big.digest)
    }

    @Test func theFirstDifferenceIsNamed() throws {
        let here = try index(formulaIndex(9000))
        func said(_ bytes: [UInt8]) throws -> String? {
            try SampleList.firstDifference(between: here, and: index(bytes)).map { "\($0)" }
        }
        #expect(try said(formulaIndex(9000)) == nil)
        #expect(
            try said(formulaIndex(9000, size: { $0 == 5017 ? 1250 : $0 * 3 % 1000 }))
                == "sample 5017 of train is class/5017.jpg, 51 bytes, class class 5; there it is class/5017.jpg, "
                + "1250 bytes, class class 5")
        #expect(
            try said(formulaIndex(9000, name: { $0 < 8999 ? "class/\($0).jpg" : "z" }))
                == "sample 8999 of train is class/8999.jpg, 997 bytes, class class 4; there it is z, 997 bytes, "
                + "class class 4"
        )
        #expect(
            try said(formulaIndex(8192))
                == "sample 8192 of train is class/8192.jpg, 576 bytes, class class 2; there the set has 8192 samples "
                + "only"
        )
        #expect(
            try said(formulaIndex(9001))
                == "the set has 9000 samples of train only; there sample 9000 is class/9000.jpg, 0 bytes, class class 5"
        )
        #expect(try said(formulaIndex(9000, classes: 6))?.hasPrefix("sample 6 of train is") == true)
        #expect(
            try said(formulaIndex(9000, contents: [1]))?.hasPrefix(
                "the 9000 samples of train have the same names, sizes and labels, but the files") == true)
    }
}
