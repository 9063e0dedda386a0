// Makes a data set of ImageNet's form from nothing: 1000 classes under their real names, pictures of its sizes, as
// folders, as tar shards and as TFRecord files of the same pictures in the same order.

import Dispatch
import Foundation
import PSDatasets
import PSImages

@main
struct SyntheticImageNet {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard let out = arguments.first, arguments.count <= 4 else {
            print("synthetic-imagenet OUT [CLASSES [TRAINING-PICTURES-A-CLASS [VALIDATION-PICTURES-A-CLASS]]]")
            exit(64)
        }
        func number(_ index: Int, _ usual: Int) -> Int {
            arguments.count > index ? Int(arguments[arguments.startIndex + index]) ?? usual : usual
        }
        let classes = Array(try names().prefix(number(1, 1000)))
        try writeFolder("\(out)/folder", classes, training: number(2, 2), validation: number(3, 1))
        let set = DatasetSettings(path: "\(out)/folder")
        _ = try Pack.run(set, into: "\(out)/shards", shardByteCount: 32 << 20)
        try writeRecords(set, "\(out)/tfrecord", fileCounts: [.train: 8, .test: 2])
        print("\(out): folder, shards, tfrecord")
    }

    private static func names() throws -> [String] {
        let file = Bundle.module.url(forResource: "Resources/synsets", withExtension: "txt")!
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    private static func writeFolder(_ root: String, _ classes: [String], training: Int, validation: Int) throws {
        let made = training + validation
        DispatchQueue.concurrentPerform(iterations: classes.count) { label in
            for index in 0..<made {
                let number = UInt64(label * made + index)
                let size = SyntheticPicture.size(number: number)
                let picture = SyntheticPicture(number: number).picture(rows: size.rows, columns: size.columns)
                // ImageNet's own names; of validation as scripts sort them into folders.
                let folder = "\(root)/\(index < training ? "train" : "val")/\(classes[label])"
                let name =
                    index < training
                    ? "\(classes[label])_\(index + 1).JPEG"
                    : "ILSVRC2012_val_" + String(repeating: "0", count: 8 - "\(number)".count) + "\(number).JPEG"
                do {
                    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                    try Data(picture.jpeg(quality: 90)).write(to: URL(filePath: "\(folder)/\(name)"))
                } catch {
                    fatalError("\(folder)/\(name): \(error)")
                }
            }
        }
    }

    /// As TensorFlow's script for ImageNet names and numbers them: the first class is 1.
    private static func writeRecords(
        _ set: DatasetSettings, _ directory: String, fileCounts: [DatasetSplit: Int]
    ) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        for (split, files) in fileCounts {
            let source = try Dataset.open(set, split)
            for file in 0..<files {
                func digits(_ value: Int) -> String { String(repeating: "0", count: 5 - "\(value)".count) + "\(value)" }
                let name = split == .train ? "train" : "validation"
                let path = "\(directory)/\(name)-\(digits(file))-of-\(digits(files))"
                _ = FileManager.default.createFile(atPath: path, contents: nil)
                let output = try FileHandle(forWritingTo: URL(filePath: path))
                for sample in file * source.count / files..<(file + 1) * source.count / files {
                    guard case .encoded(let bytes) = try source.read(sample) else { continue }
                    let label = try source.label(of: sample)
                    try output.write(
                        contentsOf: TFRecordWriter.record(
                            name: source.name(of: sample), picture: bytes, label: label + 1,
                            text: source.classNames[label]))
                }
                try output.close()
            }
        }
    }
}
