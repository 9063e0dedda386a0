// A made set in the layouts that ImageNet comes in, of any size.

import PSDatasets
import PSParameters
import TestSupport

/// Names like ImageNet's and sizes distributed about like its: the median is 500 x 375, a few are much larger. The
/// pictures themselves come from whoever has an encoder. The same settings give the same set.
struct SyntheticSet {
    var classCount = 1000
    var trainPerClass = 3
    var testPerClass = 1
    /// Shards of a split, in the layouts that have some.
    var shardCount = 4

    struct Picture {
        let split: DatasetSplit
        let label: Int
        /// "n01440764/n01440764_10026.JPEG" or "n01440764/ILSVRC2012_val_00000293.JPEG".
        let name: String
        let rows: Int
        let columns: Int
        /// Different for every picture, for its content.
        let seed: UInt64
    }

    private let random = CounterRandom(seed: 2012, name: "synthetic set")

    /// Rising, as the order of bytes is that of labels.
    var classNames: [String] {
        (0..<classCount).map { label in
            let number = 1_440_764 + label * 13_634 + random.integer(UInt64(label), below: 13_000)
            let digits = String(number)
            return "n" + String(repeating: "0", count: max(0, 8 - digits.utf8.count)) + digits
        }
    }

    /// In the order in which a folder is numbered.
    func pictures(_ split: DatasetSplit) -> [Picture] {
        let perClass = split == .train ? trainPerClass : testPerClass
        return classNames.enumerated().flatMap { label, className in
            (0..<perClass).map { number in
                let place = label * perClass + number
                let draws = random.stream(UInt64(2 * place + (split == .train ? 0 : 1)))
                let digits = String(split == .train ? 10_000 + number * 37 : 10_000_001 + place)
                let file = split == .train ? "\(className)_\(digits)" : "ILSVRC2012_val_0\(digits.dropFirst())"
                let (rows, columns) = SyntheticSet.size(draws)
                return Picture(
                    split: split, label: label, name: "\(className)/\(file).JPEG", rows: rows, columns: columns,
                    seed: draws.bits(9))
            }
        }
    }

    private static func size(_ draws: CounterRandom) -> (rows: Int, columns: Int) {
        switch draws.integer(0, below: 100) {
        case 0..<35: (375, 500)
        case 35..<48: (333, 500)
        case 48..<58: (500, 375)
        case 58..<95: (60 + draws.integer(1, below: 380), 60 + draws.integer(2, below: 440))
        case 95..<99: (480 + draws.integer(1, below: 300), 640 + draws.integer(2, below: 400))
        default: (1000 + draws.integer(1, below: 900), 1400 + draws.integer(2, below: 1000))
        }
    }

    /// Writes both splits below a new directory, a picture at a time. Shards and records hold the samples dealt in turn,
    /// as those of ImageNet hold them shuffled; labels of records are counted from 1.
    func write(
        _ form: DatasetForm, to directory: String, _ encode: (Picture) throws -> [UInt8]
    ) throws {
        precondition(form == .folder || form == .shards || form == .tfrecord)
        let target = Directory(path: directory)
        for split in DatasetSplit.allCases {
            func shard(_ number: Int) -> String {
                form == .shards
                    ? "\(split == .train ? "train" : "val")/\(String(1_000_000 + number).dropFirst()).tar"
                    : "\(split == .train ? "train" : "validation")-\(five(number))-of-\(five(shardCount))"
            }
            for (place, picture) in pictures(split).enumerated() {
                let bytes = try encode(picture)
                switch form {
                case .folder: target.append("\(split == .train ? "train" : "val")/\(picture.name)", bytes)
                case .shards:
                    target.append(
                        shard(place % shardCount),
                        TarWriter.sample(name: picture.name, picture: bytes, label: picture.label))
                default:
                    target.append(
                        shard(place % shardCount),
                        TFRecordWriter.record(
                            name: String(picture.name.split(separator: "/")[1]), picture: bytes,
                            label: picture.label + 1, text: "class \(picture.label)"))
                }
            }
            for number in 0..<shardCount where form == .shards { target.append(shard(number), TarWriter.end) }
        }
        if form == .shards { target.write("classes.txt", Array(classNames.map { "\($0)\n" }.joined().utf8)) }
    }

    private func five(_ number: Int) -> String { String(String(100_000 + number).dropFirst()) }
}
