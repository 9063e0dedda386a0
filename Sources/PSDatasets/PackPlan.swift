// Which samples go into which shard: a pure function of the list of samples and the size of a shard.

/// One shard to be written.
struct PackedShard: Sendable, Hashable {
    let split: DatasetSplit
    /// "train/train-000017.tar": relative to the output, in an order by bytes that is the order of samples.
    let name: String
    let samples: Range<Int>
    /// Of the whole file.
    let byteCount: Int
}

enum PackPlan {
    /// Six digits: more shards would not be in order by their names.
    static let mostShards = 1_000_000

    static func directory(_ split: DatasetSplit) -> String { split.directoryNames[0] }

    /// Shards end with the sample that makes them as large as wanted.
    static func shards(of index: SampleIndex, shardByteCount: Int) throws(DatasetError) -> [PackedShard] {
        var shards: [PackedShard] = []
        var first = 0
        var size = 0
        var sample = 0
        var lastKey: [UInt8] = []
        for chunk in 0..<index.chunkCount {
            let block = try index.block(chunk)
            for row in 0..<block.count {
                let record = block.record(row)
                let name = Array(block.name(record))
                let key = MemberName.encoded(name).key
                if key == lastKey {
                    throw .layout(
                        path: index.path,
                        problem:
                            "\(String(decoding: name, as: UTF8.self)) and the picture before it have the same name up "
                            + "to its ending, so they would be one sample in a tar file; rename one of them")
                }
                lastKey = key
                size += TarWriter.sampleSize(name: name, byteCount: record.byteCount, label: record.label)
                sample += 1
                if size >= shardByteCount || sample == index.count {
                    let number = String(shards.count)
                    let stem = directory(index.split)
                    let digits = String(repeating: "0", count: max(0, 6 - number.utf8.count)) + number
                    shards.append(
                        PackedShard(
                            split: index.split, name: "\(stem)/\(stem)-\(digits).tar", samples: first..<sample,
                            byteCount: size + TarWriter.end.count))
                    (first, size) = (sample, 0)
                }
            }
        }
        if shards.count > mostShards {
            throw .setting(
                key: "shardByteCount",
                problem: "is \(shardByteCount), which makes \(shards.count) shards; let it be larger")
        }
        return shards
    }
}
