// What the tests of this target share: sources made of formulas, and a batch made at once.

import PSData
import PSDatasets
import PSImages
import Synchronization

/// Small pictures as pixels; by default all different from their neighbours' and from other pictures'.
struct PixelSource: SampleSource {
    let rows: Int
    let columns: Int
    let channels: Int
    let pictures: [[UInt8]]
    let classNames = ["even", "odd"]

    init(rows: Int, columns: Int, channels: Int = 1, pictures: [[UInt8]]) {
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.pictures = pictures
    }

    init(count: Int = 10, channels: Int = 1) {
        let pictures = (0..<count).map { (sample: Int) -> [UInt8] in
            (0..<36 * channels).map { (index: Int) -> UInt8 in UInt8(1 + (sample * 37 + index * 5) % 255) }
        }
        self.init(rows: 6, columns: 6, channels: channels, pictures: pictures)
    }

    var count: Int { pictures.count }

    func label(of sample: Int) -> Int { sample % 2 }
    func name(of sample: Int) -> String { "\(sample)" }
    func byteCount(of sample: Int) -> Int { pictures[sample].count }

    func read(_ sample: Int) -> SampleContent {
        .pixels(RawPixels(rows: rows, columns: columns, channels: channels, bytes: pictures[sample]))
    }
}

/// Files, some of which are no pictures.
final class FileSource: SampleSource {
    let files: [[UInt8]]
    let classNames = ["one"]
    /// What reading each sample throws.
    let failures: [Int: DatasetError]
    private let reads = Mutex(0)

    init(_ files: [[UInt8]], failures: [Int: DatasetError] = [:]) {
        self.files = files
        self.failures = failures
    }

    var readCount: Int { reads.withLock { $0 } }
    var count: Int { files.count }

    func label(of sample: Int) -> Int { 0 }
    func name(of sample: Int) -> String { "picture-\(sample)" }
    func byteCount(of sample: Int) -> Int { files[sample].count }

    func read(_ sample: Int) throws(DatasetError) -> SampleContent {
        reads.withLock { $0 += 1 }
        if let failure = failures[sample] { throw failure }
        return .encoded(files[sample])
    }
}

func made(
    _ maker: BatchMaker, _ request: BatchRequest, threads: Int = 1
) throws -> (images: [Float], labels: [Int32]) {
    let capacity = if case .evaluation(let samples) = request { samples.count } else { maker.stream.batch }
    let loader = BatchLoader(maker, capacity: capacity, threads: threads)
    defer { loader.close() }
    let batch = try loader.take(request)
    return (floats(batch, maker), batch.labels)
}

func floats(_ batch: Batch, _ maker: BatchMaker) -> [Float] {
    Array(UnsafeBufferPointer(start: batch.images, count: batch.labels.count * maker.imageElements))
}
