// A batch of images in a safetensors file, as other frameworks write it.

import PSCheckpoint
import PSPrediction

/// Images, and labels where the file has them.
package struct ImageBatch: Sendable {
    package let count: Int
    package let height: Int
    package let width: Int
    /// NHWC, three channels: the engine's order.
    package let images: [Float]
    /// One class an image, or nil where the file has none.
    package let labels: [Int64]?

    /// Reads `images` (N, 3, H, W; F32) and, if it is there, `labels` (N; I64).
    package init(path: String) throws {
        let file = try SafetensorsFile(path)
        guard let imageTensor = file.tensor(named: "images") else {
            throw EvaluationError.unusableBatch(
                path: path, problem: "has no tensor 'images'; expected F32 of N, 3, H, W")
        }
        let shape = imageTensor.shape
        guard imageTensor.dataType == .float32, shape.count == 4, shape[1] == 3, shape.allSatisfy({ $0 > 0 }) else {
            throw EvaluationError.unusableBatch(
                path: path, problem: "'images' is \(imageTensor.summary), expected F32 of N, 3, H, W")
        }
        let (count, height, width) = (shape[0], shape[2], shape[3])
        self.count = count
        self.height = height
        self.width = width
        images = try file.withBytes(of: imageTensor) { channelsLast($0, count: count, pixels: height * width) }

        guard let labelTensor = file.tensor(named: "labels") else {
            labels = nil
            return
        }
        guard labelTensor.dataType == .int64, labelTensor.shape == [count] else {
            throw EvaluationError.unusableBatch(
                path: path, problem: "'labels' is \(labelTensor.summary), expected I64 [\(count)]")
        }
        labels = try file.withBytes(of: labelTensor) { bytes in
            (0..<count).map { Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
        }
    }

    /// The labels as the engine takes them.
    package func checkedLabels(classes: Int, path: String) throws(EvaluationError) -> [Int32] {
        guard let labels else {
            throw .unusableBatch(path: path, problem: "has no tensor 'labels'; expected I64 [\(count)]")
        }
        if let bad = labels.firstIndex(where: { !(0..<Int64(classes)).contains($0) }) {
            throw .unusableBatch(
                path: path, problem: "label \(bad) is \(labels[bad]), the weights have classes 0 to \(classes - 1)")
        }
        return labels.map(Int32.init)
    }
}

/// The float32 elements of `bytes`, N, 3, pixels, as N, pixels, 3.
private func channelsLast(_ bytes: UnsafeRawBufferPointer, count: Int, pixels: Int) -> [Float] {
    [Float](unsafeUninitializedCapacity: count * pixels * 3) { output, initialized in
        for image in 0..<count {
            for channel in 0..<3 {
                let plane = (image * 3 + channel) * pixels
                for pixel in 0..<pixels {
                    output[(image * pixels + pixel) * 3 + channel] = bytes.loadUnaligned(
                        fromByteOffset: (plane + pixel) * 4, as: Float.self)
                }
            }
        }
        initialized = count * pixels * 3
    }
}
