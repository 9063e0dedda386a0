// Fashion-MNIST and other sets in MNIST's format: one IDX file of pictures, one of labels.

import Glibc
import PSFiles
import Synchronization

/// Pictures of one size: grey (samples x rows x columns) or RGB (samples x rows x columns x 3).
final class IDXSamples: SampleReader {
    static let fashionMNISTClasses = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]

    private let images: IDXFile
    /// Of a gzipped file, from the first picture that is read on: it has no middle to begin in.
    private let unpacked = Mutex<[UInt8]?>(nil)

    private init(_ images: IDXFile) { self.images = images }

    /// The directory with MNIST's file names: the set's own, or one of those torchvision makes.
    static func directory(in place: Surroundings) -> String? {
        ["", "/raw", "/FashionMNIST/raw", "/MNIST/raw"].map { place.root + $0 }.first { directory in
            DatasetSplit.allCases.contains { file("images", $0, in: directory) != nil }
        }
    }

    static func open(_ directory: String, _ split: DatasetSplit) throws(DatasetError) -> Dataset {
        let images = try IDXFile(FileBytes(try required("images", split, in: directory)), dimensions: 3...4)
        let labels = try readLabels(try required("labels", split, in: directory))
        // Both splits have the classes that training has.
        let trainLabels = split == .train ? labels : try readLabels(try required("labels", .train, in: directory))
        let names = try classNames(directory, largestLabel: trainLabels.values.max().map { Int($0) } ?? 0)
        return try open(images, labels, classNames: names, split)
    }

    typealias Labels = (file: IDXFile, values: [UInt8])

    static func readLabels(_ path: String) throws(DatasetError) -> Labels { try readLabels(FileBytes(path)) }

    static func readLabels(_ source: any RandomBytes) throws(DatasetError) -> Labels {
        let file = try IDXFile(source, dimensions: 1...1)
        return (file, try file.elements())
    }

    static func open(
        _ images: IDXFile, _ labels: Labels, classNames: [String], _ split: DatasetSplit
    ) throws(DatasetError) -> Dataset {
        let path = labels.file.source.path
        if images.shape.count == 4 && images.shape[3] != 3 {
            throw .damaged(
                path: images.source.path,
                problem: "has \(images.shape[3]) bytes a pixel; a file of 4 dimensions must have 3, red, green and blue"
            )
        }
        if labels.values.count != images.shape[0] {
            throw .damaged(
                path: path,
                problem: "has \(labels.values.count) labels for the \(images.shape[0]) images of \(images.source.path)")
        }
        if let bad = labels.values.firstIndex(where: { Int($0) >= classNames.count }) {
            throw .damaged(
                path: path,
                problem: "label \(labels.values[bad]) of sample \(bad) is out of range 0...\(classNames.count - 1)")
        }
        let size = images.elementCount / images.shape[0]
        let index = try IndexStore.transient { (output) throws(DatasetError) in
            let writer = try SampleIndexWriter(
                form: .idx, split: split, contents: [images.checksum, labels.file.checksum], to: output)
            for (sample, label) in labels.values.enumerated() {
                try writer.append(
                    name: String(sample).utf8, byteCount: size, label: Int(label), container: 0,
                    offset: sample * size, of: images.source.path)
            }
            try writer.finish(recipe: "idx", classNames: classNames, files: [], remarks: [])
        }
        return Dataset(index, IDXSamples(images))
    }

    static func classNames(_ directory: String, largestLabel: Int) throws(DatasetError) -> [String] {
        if let names = try ClassNameFile.read(in: [directory]) { return names }
        if directory.lowercased().contains("fashion") { return fashionMNISTClasses }
        return (0..<max(10, largestLabel + 1)).map { String($0) }
    }

    private static func file(_ what: String, _ split: DatasetSplit, in directory: String) -> String? {
        for dimensions in what == "images" ? [3, 4] : [1] {
            for ending in ["", ".gz"] {
                let path = "\(directory)/\(prefix(split))-\(what)-idx\(dimensions)-ubyte\(ending)"
                if LocalFileSystem().isRegularFile(path) { return path }
            }
        }
        return nil
    }

    private static func required(
        _ what: String, _ split: DatasetSplit, in directory: String
    ) throws(DatasetError) -> String {
        if let path = file(what, split, in: directory) { return path }
        throw .missing(
            path: "\(directory)/\(prefix(split))-\(what)-idx\(what == "images" ? 3 : 1)-ubyte.gz",
            advice: "install the data set with: apt-get install dataset-fashion-mnist, or set the path of another")
    }

    private static func prefix(_ split: DatasetSplit) -> String { split == .train ? "train" : "t10k" }

    func file(_ entry: SampleEntry, name: String) -> String { images.source.path }

    func read(_ sample: Int, _ entry: SampleEntry, of index: SampleIndex) throws(DatasetError) -> SampleContent {
        let bytes =
            images.isGzipped
            ? try fromMemory(entry)
            : try images.source.bytes(at: images.headSize + entry.offset, count: entry.byteCount)
        return .pixels(
            RawPixels(
                rows: images.shape[1], columns: images.shape[2], channels: images.shape.count == 4 ? 3 : 1,
                bytes: bytes))
    }

    private func fromMemory(_ entry: SampleEntry) throws(DatasetError) -> [UInt8] {
        try unpacked.withLock { (unpacked) throws(DatasetError) in
            let all = if let unpacked { unpacked } else { try images.elements() }
            unpacked = all
            return Array(all[entry.offset..<entry.offset + entry.byteCount])
        }
    }
}
