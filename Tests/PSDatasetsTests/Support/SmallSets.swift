// Small sets of every form, as the tests of this target make them.

import CZlib
import FoundationEssentials
import Glibc
import PSDatasets
import TestSupport

extension TemporaryDirectory {
    /// Writes a file and the directories above it.
    func write(_ name: String, _ bytes: [UInt8]) {
        makeDirectory(name.split(separator: "/").dropLast().joined(separator: "/"))
        writeFile("\(path)/\(name)", bytes)
    }

    func makeDirectory(_ name: String) {
        try? FileManager.default.createDirectory(atPath: "\(path)/\(name)", withIntermediateDirectories: true)
    }

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
