// Packing a folder into tar shards: the same pictures in the same order, whatever interrupts it.

import Glibc
import PSDatasets
import TestSupport
import Testing

@testable import PSDatasets

/// Sixty pictures of 40 kB in six classes, names with everything that a name may have.
private func largeFolder() -> TemporaryDirectory {
    let directory = TemporaryDirectory()
    for number in 0..<60 {
        let split = number % 5 == 4 ? "val" : "train"
        let name = ["a.b.c.JPEG", "100%.png", "%2E.jpg", "sub/ä ö.jpg", "plain.webp"][number % 5]
        directory.write("\(split)/class-\(number % 6)/\(number)-\(name)", picture(number, 40_000 + number))
    }
    return directory
}

private func pack(
    _ source: TemporaryDirectory, _ output: String, size: Int = 1 << 20, progress: DatasetProgress = { _, _ in }
) throws(DatasetError) -> PackReport {
    try Pack.run(DatasetSettings(path: source.path), into: output, shardByteCount: size, progress: progress)
}

private func problem(
    _ source: TemporaryDirectory, _ output: String, size: Int = 1 << 20, _ settings: DatasetSettings? = nil
) -> String {
    do throws(DatasetError) {
        _ = try Pack.run(settings ?? source.settings(), into: output, shardByteCount: size)
        return ""
    } catch { return error.description }
}

@Test func aPackHasTheSamePictures() throws {
    let (source, target) = (largeFolder(), TemporaryDirectory())
    let output = "\(target.path)/new/out"
    let report = try pack(source, output)
    #expect(report.trainCount == 48 && report.testCount == 12 && report.shardsWritten == 3 && report.shardsKept == 0)
    #expect(
        names(in: "\(output)/train") == ["train-000000.tar", "train-000001.tar"]
            && names(in: "\(output)/val") == ["val-000000.tar"])
    #expect(
        report.byteCount
            == ["train/train-000000", "train/train-000001", "val/val-000000"].reduce(0) {
                $0 + readFile("\(output)/\($1).tar").count
            })
    for split in DatasetSplit.allCases {
        let folder = try Dataset.open(source.settings(), split)
        let shards = try Dataset.open(DatasetSettings(path: output), split)
        #expect(shards.form == .shards && shards.digest == folder.digest && shards.classNames == folder.classNames)
        #expect(try transcript(shards) == transcript(folder))
        #expect(try SampleList.firstDifference(between: shards.index, and: folder.index) == nil)
    }
}

/// A folder without train and val is divided as it is when it is trained on.
@Test func aShareIsPackedAsItIsDivided() throws {
    let (source, target) = (TemporaryDirectory(), TemporaryDirectory())
    for number in 0..<40 { source.write("\(number % 2)/\(number).jpg", [UInt8(number)]) }
    let report = try pack(source, target.path)
    let test = try Dataset.open(source.settings(), .test)
    #expect(report.testCount == test.count && report.trainCount == 40 - test.count && test.count > 0)
    #expect(try Dataset.open(target.settings(), .test).digest == test.digest)
}

@Test func anInterruptedPackGoesOn() throws {
    let (source, target) = (largeFolder(), TemporaryDirectory())
    _ = try pack(source, target.path)
    let second = "\(target.path)/train/train-000001.tar"
    let sound = readFile(second)
    // As if it had been killed: a shard is missing, its beginning lies there under another name.
    unlink(second)
    target.write("train/.train-000001.tar.abc12", Array(sound.prefix(1000)))
    let report = try pack(source, target.path)
    #expect(report.shardsWritten == 1 && report.shardsKept == 2)
    #expect(readFile(second) == sound)
    #expect(names(in: "\(target.path)/train") == ["train-000000.tar", "train-000001.tar"])
    // One that is not whole, as a copy that was cut off.
    writeFile(second, Array(sound.dropLast(700)))
    #expect(try pack(source, target.path).shardsWritten == 1)
    #expect(readFile(second) == sound)
    #expect(try pack(source, target.path).shardsKept == 3)
    let other = TemporaryDirectory()
    _ = try pack(source, other.path)
    #expect(readFile("\(other.path)/train/train-000001.tar") == sound)
}

@Test func packsThatAreRefused() throws {
    let (source, target) = (largeFolder(), TemporaryDirectory())
    #expect(problem(source, "\(source.path)/packed").contains("packed: lies in the data set"))
    #expect(problem(source, source.path).contains("lies in the data set"))
    target.link("link", to: source.path)
    #expect(problem(source, "\(target.path)/link/x/y").contains("lies in the data set"))
    unlink("\(target.path)/link")
    #expect(problem(source, target.path, size: 100).contains("shardByteCount is 100; it must be 1 MiB"))
    target.write("notes.txt", [1])
    #expect(problem(source, target.path).contains("has other files, such as notes.txt; name an empty directory"))
    #expect(names(in: target.path) == ["notes.txt"])
    unlink("\(target.path)/notes.txt")
    _ = try pack(source, target.path)
    #expect(problem(source, target.path, size: 2 << 20).contains("holds a pack of other pictures or with another size"))
    target.write("train/more.tar", [1])
    #expect(problem(source, target.path).contains("has other files, such as train/more.tar"))
    unlink("\(target.path)/train/more.tar")
    source.write("train/class-0/new.jpg", [1])
    #expect(problem(source, target.path).contains("holds a pack of other pictures"))
    let idx = smallIDX()
    #expect(problem(idx, "\(target.path)/idx").contains("a data set of kind idx; only folders are packed"))
}

@Test func twoPicturesWithOneKey() {
    let (source, target) = (smallFolder(), TemporaryDirectory())
    source.write("train/cat/a.png", [1])
    #expect(
        problem(source, target.path).contains(
            "cat/a.png and the picture before it have the same name up to its ending"))
}

@Test func twoPacksAtOnce() throws {
    let (source, target) = (largeFolder(), TemporaryDirectory())
    let (settings, output) = (source.settings(), target.path)
    let outcomes = (0..<4).concurrentSum { _ in
        do throws(DatasetError) {
            _ = try Pack.run(settings, into: output, shardByteCount: 1 << 20)
            return 1
        } catch { return error.description.contains("another process is packing into it") ? 1 : 0 }
    }
    #expect(outcomes == 4)
    #expect(try pack(source, output).shardsKept == 3)
}

/// Shards end where the size is reached, every sample is in one, and the sizes are those of the files.
@Test(arguments: [1, 2, 4095, 4096, 4097, 9000])
func plansCoverEverySample(count: Int) throws {
    let index = try index(formulaIndex(count))
    let shards = try PackPlan.shards(of: index, shardByteCount: 100_000)
    #expect(shards.map(\.samples).reduce(into: []) { $0 += $1 } == Array(0..<count))
    for (number, shard) in shards.enumerated() {
        let sizes = try shard.samples.map {
            TarWriter.sampleSize(
                name: Array(try index.name(of: $0).utf8), byteCount: try index.byteCount(of: $0),
                label: try index.entry(of: $0).label)
        }
        #expect(shard.byteCount == sizes.reduce(1024, +))
        #expect(sizes.dropLast().reduce(0, +) < 100_000)
        #expect(number == shards.count - 1 || sizes.reduce(0, +) >= 100_000)
    }
    let content = TarWriter.sample(name: "a.b.jpg", picture: picture(1, 777), label: 12)
    #expect(content.count == TarWriter.sampleSize(name: Array("a.b.jpg".utf8), byteCount: 777, label: 12))
}

extension SampleIndex {
    fileprivate func byteCount(of sample: Int) throws(DatasetError) -> Int { try entry(of: sample).byteCount }
}
