// Batches of images as other frameworks write them.

import Foundation
import PSCheckpoint
import PSEvaluation
import PSFiles
import PSJob
import Testing

@Suite struct ImageBatchTests {
    /// Writes `tensors` to a file that `body` may read.
    private func withFile<Result>(
        _ tensors: [OutgoingTensor], _ body: (String) throws -> Result
    ) throws -> Result {
        let path = FileManager.default.temporaryDirectory.appending(path: "batch-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try SafetensorsWriter.write(path: path, metadata: [:], tensors: tensors)
        return try body(path)
    }

    private func labels(_ values: [Int64]) -> OutgoingTensor {
        OutgoingTensor(name: "labels", dataType: .int64, shape: [values.count]) { (emit) throws(StorageError) in
            for value in values {
                try withUnsafePointer(to: value.littleEndian) { (pointer) throws(StorageError) in
                    try emit(UnsafeRawBufferPointer(start: pointer, count: 8))
                }
            }
        }
    }

    private func message(_ tensors: [OutgoingTensor], classes: Int = 10) throws -> String {
        try withFile(tensors) { path in
            do {
                _ = try ImageBatch(path: path).checkedLabels(classes: classes, path: path)
                return "no error"
            } catch {
                return "\(error)".replacing(path, with: "B")
            }
        }
    }

    @Test func channelsGoLast() throws {
        func value(_ image: Int, _ channel: Int, _ pixel: Int) -> Float { Float(100 * image + 10 * channel + pixel) }
        // Two images of three rows and two columns.
        var planes: [Float] = []
        for image in 0..<2 {
            for channel in 0..<3 { for pixel in 0..<6 { planes.append(value(image, channel, pixel)) } }
        }
        var pixels: [Float] = []
        for image in 0..<2 {
            for pixel in 0..<6 { for channel in 0..<3 { pixels.append(value(image, channel, pixel)) } }
        }
        let images = OutgoingTensor(name: "images", shape: [2, 3, 3, 2], values: planes)
        let batch = try withFile([images, labels([4, 9])]) { try ImageBatch(path: $0) }
        #expect(batch.count == 2)
        #expect(batch.height == 3)
        #expect(batch.width == 2)
        #expect(batch.images == pixels)
        #expect(batch.labels == [4, 9])
    }

    @Test func mistakesAreNamed() throws {
        let images = OutgoingTensor(name: "images", shape: [1, 3, 1, 1], values: [1, 2, 3])
        #expect(try message([labels([1])]) == "B: has no tensor 'images'; expected F32 of N, 3, H, W")
        #expect(try message([images]) == "B: has no tensor 'labels'; expected I64 [1]")
        #expect(try message([images, labels([1, 2])]) == "B: 'labels' is I64 [2], expected I64 [1]")
        #expect(try message([images, labels([10])]) == "B: label 0 is 10, the weights have classes 0 to 9")
        #expect(try message([images, labels([-1])]) == "B: label 0 is -1, the weights have classes 0 to 9")
        #expect(try message([images, labels([9])]) == "no error")
        let grey = OutgoingTensor(name: "images", shape: [1, 1, 1, 3], values: [1, 2, 3])
        #expect(try message([grey]) == "B: 'images' is F32 [1, 1, 1, 3], expected F32 of N, 3, H, W")
    }
}
