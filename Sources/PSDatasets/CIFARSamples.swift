// CIFAR-10 and CIFAR-100 in their binary versions. Source of the format: https://www.cs.toronto.edu/~kriz/cifar.html.

import PSFiles

/// Where the files of a CIFAR set lie, and which of the two it is.
struct CIFARLayout: Sendable, Hashable {
    let directory: String
    /// 1 byte of label in CIFAR-10; in CIFAR-100 2, the coarse class and the fine one, which counts.
    let labelBytes: Int

    static func find(in place: Surroundings) throws(DatasetError) -> CIFARLayout? {
        let files = LocalFileSystem()
        var found: [CIFARLayout] = []
        for directory in ["", "/cifar-10-batches-bin", "/cifar-100-binary"].map({ place.root + $0 }) {
            if files.isRegularFile("\(directory)/data_batch_1.bin")
                || files.isRegularFile("\(directory)/test_batch.bin")
            {
                found.append(CIFARLayout(directory: directory, labelBytes: 1))
            }
            if files.isRegularFile("\(directory)/train.bin") || files.isRegularFile("\(directory)/test.bin") {
                found.append(CIFARLayout(directory: directory, labelBytes: 2))
            }
        }
        if found.count > 1 {
            throw .layout(
                path: place.root,
                problem: "has both CIFAR-10 and CIFAR-100; let the path name the directory of the one to train with")
        }
        return found.first
    }

    func files(_ split: DatasetSplit) -> [String] {
        if labelBytes == 2 { return ["\(directory)/\(split == .train ? "train" : "test").bin"] }
        if split == .test { return ["\(directory)/test_batch.bin"] }
        return (1...5).map { "\(directory)/data_batch_\($0).bin" }
    }

    func classNames() throws(DatasetError) -> [String] {
        let name = labelBytes == 2 ? "fine_label_names.txt" : "batches.meta.txt"
        let count = labelBytes == 2 ? 100 : 10
        guard let names = try ClassNameFile.read(in: [directory], name) else {
            throw .missing(
                path: "\(directory)/\(name)", advice: "it came with the set and has the names of its classes")
        }
        if names.count != count {
            throw .damaged(path: "\(directory)/\(name)", problem: "names \(names.count) classes, not \(count)")
        }
        return names
    }
}

struct CIFARSamples: SampleReader {
    static let size = 32
    private static let pixels = size * size

    private let files: [any RandomBytes]

    static func open(_ layout: CIFARLayout, _ split: DatasetSplit) throws(DatasetError) -> Dataset {
        let names = try layout.classNames()
        var files: [any RandomBytes] = []
        for path in layout.files(split) {
            if !LocalFileSystem().exists(path) {
                throw .missing(path: path, advice: "the set is not whole; unpack its archive again")
            }
            files.append(try FileBytes(path))
        }
        return try open(files, labelBytes: layout.labelBytes, classNames: names, split)
    }

    static func open(
        _ files: [any RandomBytes], labelBytes: Int, classNames: [String], _ split: DatasetSplit
    ) throws(DatasetError) -> Dataset {
        let recordSize = labelBytes + 3 * pixels
        var contents: [UInt32] = []
        for file in files {
            if file.byteCount == 0 || file.byteCount % recordSize != 0 {
                throw .damaged(
                    path: file.path,
                    problem:
                        "has \(file.byteCount) bytes, not a multiple of the \(recordSize) of a picture and its label")
            }
            contents.append(try checksum(of: file))
        }
        let index = try IndexStore.transient { (output) throws(DatasetError) in
            let writer = try SampleIndexWriter(form: .cifar, split: split, contents: contents, to: output)
            var sample = 0
            for (number, file) in files.enumerated() {
                for start in stride(from: 0, to: file.byteCount, by: recordSize) {
                    let label = Int(try file.bytes(at: start + labelBytes - 1, count: 1)[0])
                    if label >= classNames.count {
                        throw .damaged(
                            path: file.path,
                            problem: "label \(label) of its picture \(start / recordSize) is out of range "
                                + "0...\(classNames.count - 1)")
                    }
                    try writer.append(
                        name: String(sample).utf8, byteCount: 3 * pixels, label: label, container: number,
                        offset: start + labelBytes, of: file.path)
                    sample += 1
                }
            }
            let indexed = files.map {
                IndexedFile(name: Paths.name(of: $0.path), stamp: FileStamp(byteCount: $0.byteCount, modified: 0))
            }
            try writer.finish(recipe: "cifar", classNames: classNames, files: indexed, remarks: [])
        }
        return Dataset(index, CIFARSamples(files: files))
    }

    func file(_ entry: SampleEntry, name: String) -> String { files[entry.container].path }

    func read(_ sample: Int, _ entry: SampleEntry, of index: SampleIndex) throws(DatasetError) -> SampleContent {
        let planes = try files[entry.container].bytes(at: entry.offset, count: entry.byteCount)
        // Stored as a plane of red, one of green, one of blue.
        let bytes = [UInt8](unsafeUninitializedCapacity: planes.count) { bytes, count in
            for pixel in 0..<CIFARSamples.pixels {
                for channel in 0..<3 { bytes[3 * pixel + channel] = planes[channel * CIFARSamples.pixels + pixel] }
            }
            count = planes.count
        }
        return .pixels(RawPixels(rows: CIFARSamples.size, columns: CIFARSamples.size, channels: 3, bytes: bytes))
    }
}
