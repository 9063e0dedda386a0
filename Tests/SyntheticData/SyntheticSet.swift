// A data set of ImageNet's form from nothing: 1000 classes under their real names, pictures of its sizes, as folders, as tar
// shards and as TFRecord files of the same pictures in the same order.

import Dispatch
import Foundation
import PSDatasets
import PSImages

package struct SyntheticSet: Sendable {
    /// At most 1000.
    package let classCount: Int
    package let trainPerClass: Int
    package let testPerClass: Int

    package init(classCount: Int, trainPerClass: Int, testPerClass: Int) {
        self.classCount = classCount
        self.trainPerClass = trainPerClass
        self.testPerClass = testPerClass
    }

    /// Rising, as the order of bytes is that of labels.
    package func classNames() throws -> [String] {
        let file = Bundle.module.url(forResource: "Resources/synsets", withExtension: "txt")!
        return try String(contentsOf: file, encoding: .utf8).split(separator: "\n").prefix(classCount).map(String.init)
    }

    /// Writes `folder`, `shards` and `tfrecord` below a directory.
    package func write(to root: String) throws {
        try writeFolder("\(root)/folder")
        let set = DatasetSettings(path: "\(root)/folder")
        _ = try Pack.run(set, into: "\(root)/shards", shardByteCount: 32 << 20)
        try SyntheticSet.writeRecords(set, "\(root)/tfrecord", fileCounts: [.train: 8, .test: 2])
    }

    private func writeFolder(_ root: String) throws {
        let classes = try classNames()
        let made = trainPerClass + testPerClass
        DispatchQueue.concurrentPerform(iterations: classes.count) { label in
            for index in 0..<made {
                let number = UInt64(label * made + index)
                let size = SyntheticPicture.size(number: number)
                let picture = SyntheticPicture(number: number).picture(rows: size.rows, columns: size.columns)
                // ImageNet's own names; of validation as scripts sort them into folders.
                let folder = "\(root)/\(index < trainPerClass ? "train" : "val")/\(classes[label])"
                let name =
                    index < trainPerClass
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

    /// Writes a set's samples as TensorFlow's script for ImageNet names and numbers them: the first class is 1.
    package static func writeRecords(
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
