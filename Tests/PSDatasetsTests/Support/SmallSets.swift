// Small sets of every form, as the tests of this target make them.

import CZlib
import FoundationEssentials
import Glibc
import PSDatasets
import SyntheticData
import TestSupport

/// A directory that files are put into.
struct Directory {
    let path: String

    /// Writes a file and the directories above it.
    func write(_ name: String, _ bytes: [UInt8]) {
        makeDirectory(name.split(separator: "/").dropLast().joined(separator: "/"))
        writeFile("\(path)/\(name)", bytes)
    }

    /// Writes at the end of a file, which is made with the directories above it.
    func append(_ name: String, _ bytes: [UInt8]) {
        makeDirectory(name.split(separator: "/").dropLast().joined(separator: "/"))
        guard let file = fopen("\(path)/\(name)", "a") else { preconditionFailure("cannot write \(path)/\(name)") }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }

    func makeDirectory(_ name: String) {
        try? FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
    }
}

extension TemporaryDirectory {
    func write(_ name: String, _ bytes: [UInt8]) { Directory(path: path).write(name, bytes) }

    func makeDirectory(_ name: String) { Directory(path: path).makeDirectory(name) }

    func link(_ name: String, to target: String) { symlink(target, "\(path)/\(name)") }

    func settings(_ kind: DatasetSettings.Kind = .auto) -> DatasetSettings {
        var settings = DatasetSettings(path: path)
        settings.kind = kind
        return settings
    }
}

func gzipped(_ bytes: [UInt8]) -> [UInt8] {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/file.gz"
    let file = gzopen(path, "wb")
    gzwrite(file, bytes, UInt32(bytes.count))
    gzclose(file)
    return readFile(path)
}

/// Bytes that are no picture, but differ from sample to sample.
func picture(_ seed: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 * 31 + seed * 7) } }

/// Two classes of three and two pictures to train with, of one and two for evaluation.
func smallFolder() -> TemporaryDirectory {
    let directory = TemporaryDirectory()
    for (seed, name) in [
        "train/cat/b.JPEG", "train/cat/a.jpg", "train/cat/c.d.png", "train/dog/x.webp", "train/dog/deep/y.ppm",
        "val/cat/e.jpg", "val/dog/f.jpg", "val/dog/g.jpg",
    ].enumerated() { directory.write(name, picture(seed, 20 + seed * 100)) }
    return directory
}

/// Everything about a set that can be seen, as text.
func transcript(_ set: Dataset) throws -> [String] {
    try (0..<set.count).map { sample in
        let content: String
        switch try set.read(sample) {
        case .encoded(let bytes):
            content = "\(bytes.count) bytes \(bytes.reduce(0) { ($0 * 31 + Int($1)) % 1_000_003 })"
        case .pixels(let pixels): content = "\(pixels.rows)x\(pixels.columns)x\(pixels.channels) \(pixels.bytes)"
        }
        return try "\(set.name(of: sample)) \(set.label(of: sample)) \(set.byteCount(of: sample)): \(content)"
    }
}

/// The text of the error that opening gives; empty when it gives none.
func problem(_ settings: DatasetSettings, _ split: DatasetSplit = .train) -> String {
    do throws(DatasetError) {
        _ = try Dataset.open(settings, split)
        return ""
    } catch { return error.description }
}

/// Three samples of three classes.
let smallSamples: [(name: String, picture: [UInt8], label: Int)] = [
    ("cat/a.jpg", picture(1, 700), 0), ("cat/b.c.png", picture(2, 512), 2), ("dog/a.JPEG", picture(3, 0), 1),
]

func smallShard() -> [UInt8] {
    smallSamples.flatMap { TarWriter.sample(name: $0.name, picture: $0.picture, label: $0.label) } + TarWriter.end
}

func smallTFRecord(firstLabel: Int = 0) -> [UInt8] {
    smallSamples.flatMap {
        TFRecordWriter.record(
            name: $0.name, picture: $0.picture, label: $0.label + firstLabel, text: "class \($0.label)")
    }
}

func idx(_ shape: [Int], _ elements: [UInt8]) -> [UInt8] {
    [0, 0, 8, UInt8(shape.count)]
        + shape.flatMap { [UInt8($0 >> 24 & 255), UInt8($0 >> 16 & 255), UInt8($0 >> 8 & 255), UInt8($0 & 255)] }
        + elements
}

/// Three images of 2 x 3 pixels a split, gzipped.
func smallIDX() -> TemporaryDirectory {
    let directory = TemporaryDirectory()
    for split in ["train", "t10k"] {
        directory.write("\(split)-images-idx3-ubyte.gz", gzipped(idx([3, 2, 3], Array(0..<18))))
        directory.write("\(split)-labels-idx1-ubyte.gz", gzipped(idx([3], [9, 0, 4])))
    }
    return directory
}

/// CIFAR-10 with two pictures a file.
func smallCIFAR() -> TemporaryDirectory {
    let directory = TemporaryDirectory()
    for number in 1...6 {
        let name = number == 6 ? "test_batch" : "data_batch_\(number)"
        directory.write("\(name).bin", [UInt8(number)] + picture(number, 3072) + [0] + picture(number + 10, 3072))
    }
    directory.write("batches.meta.txt", Array("a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".utf8))
    return directory
}
