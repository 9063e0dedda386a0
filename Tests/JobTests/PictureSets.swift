// Small sets of picture files for tests of whole jobs.

import Foundation
import PSDatasets
import PSImages
import PSParameters

/// A folder of classes with train/ and val/, made once: pictures of different sizes and formats.
enum FewPictures {
    static let classes = ["cat", "dog", "eel"]

    static let path: String = {
        let root = "\(SharedFolder.path)/pictures"
        try! write(to: root)
        return root
    }()

    /// - Parameter perClass: training pictures of a class; of each class a third as many for evaluation.
    static func write(to root: String, perClass: Int = 9) throws {
        for (label, name) in classes.enumerated() {
            for index in 0..<perClass + perClass / 3 {
                let folder = "\(root)/\(index < perClass ? "train" : "val")/\(name)"
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                let picture = picture(label * 100 + index, rows: 60 + 7 * (index % 5), columns: 50 + 11 * (index % 4))
                // A PNG that is called a JPEG, as ImageNet has one.
                let bytes = try index % 7 == 3 ? picture.png() : picture.jpeg(quality: 90)
                try Data(bytes).write(to: URL(filePath: "\(folder)/\(name)_\(index).JPEG"))
            }
        }
    }

    static func picture(_ number: Int, rows: Int, columns: Int) -> Picture {
        let random = CounterRandom(seed: UInt64(number), name: "picture")
        let base = (0..<3).map { random.integer(UInt64($0), below: 200) }
        return Picture(
            rows: rows, columns: columns,
            pixels: (0..<rows * columns * 3).map { index in
                UInt8((base[index % 3] + index / 3 % columns + index / columns / 5) % 256)
            })
    }

    /// Settings of a job that takes seconds on such pictures.
    static func settings(_ path: String) -> [String] {
        [
            "data.path=\(path)", "data.augment=inception", "data.evaluate=inception", "model.width=0.1",
            "model.imageSize=48", "train.batch=4", "train.ticketsPerStep=2", "cluster.workers=1", "cluster.servers=1",
            "optimizer.averageDecay=0.9", "learningRate.shape=constant", "learningRate.base=0.01", "eval.atEnd=false",
        ]
    }
}
