// How far each convolution is from float64, by every algorithm it has: what a plan's choices cost in digits.

import Foundation
import PSModel
import PSNetwork
import PSPlanning
import PSReport

/// The result of `psctl bench errors`.
package struct ErrorBenchmark: Encodable {
    /// One way to compute the convolutions of a shape.
    package struct Algorithm: Encodable, Sendable, Hashable {
        /// As plans name it.
        package let algorithm: ConvolutionAlgorithm
        /// "im2col", "F(4x4,3x3)".
        package let name: String
        package let errors: RoundingErrors
    }

    /// The convolutions of one shape. Sizes are rows and columns.
    package struct Shape: Encodable, Sendable, Hashable {
        /// "35 x 35, 3 x 3, 64 -> 96".
        package let shape: String
        package let layers: [String]
        package let input: [Int]
        package let kernel: [Int]
        package let stride: [Int]
        package let padding: [Int]
        package let inputChannels: Int
        package let outputChannels: Int
        /// Direct first, then by ascending tile.
        package let algorithms: [Algorithm]

        init(_ shape: ConvolutionShape, layers: [String], algorithms: [Algorithm]) {
            func extents(_ size: Extent) -> [Int] { [size.height, size.width] }
            self.shape = shape.text
            self.layers = layers
            (input, kernel) = (extents(shape.window.input), extents(shape.window.kernel))
            (stride, padding) = (extents(shape.window.stride), extents(shape.window.padding))
            (inputChannels, outputChannels) = (shape.inputChannels, shape.outputChannels)
            self.algorithms = algorithms
        }
    }

    package let model: String
    package let imageSize: Int
    package let batch: Int
    package let seed: UInt64
    package let shapes: [Shape]

    /// - Parameter note: told before each shape.
    package init(
        description: ModelDescription, batch: Int, threads: Int, seed: UInt64, note: (String) -> Void = { _ in }
    ) throws {
        model = description.settings.name
        imageSize = description.settings.imageSize
        self.batch = batch
        self.seed = seed
        let convolutions = description.plannedConvolutions(batch: batch)
        var shapes: [Shape] = []
        for (place, convolution) in convolutions.enumerated() {
            let shape = convolution.shape
            if convolutions[..<place].contains(where: { $0.shape == shape }) { continue }
            note(shape.text)
            let sample = try RoundingSample(shape, seed: seed)
            let algorithms = try shape.candidates.map {
                Algorithm(
                    algorithm: $0.algorithm, name: shape.kernel($0.algorithm).name,
                    errors: try sample.errors($0.algorithm, threads: threads))
            }
            let layers = convolutions.filter { $0.shape == shape }.map(\.name)
            shapes.append(Shape(shape, layers: layers, algorithms: algorithms))
        }
        self.shapes = shapes
    }

    // MARK: For people

    package var text: String {
        var rows = [["convolution", "layers", "algorithm", "forward", "data gradient", "weight gradient"]]
        for shape in shapes {
            for (place, algorithm) in shape.algorithms.enumerated() {
                let errors = algorithm.errors
                let cells = [errors.forward, errors.dataGradient, errors.weightGradient]
                rows.append(
                    (place == 0 ? [shape.shape, "\(shape.layers.count)"] : ["", ""]) + [algorithm.name]
                        + cells.map { String(format: "%.1e", $0) })
            }
        }
        return "\(model), \(imageSize) x \(imageSize), batch \(batch); relative RMS errors against float64\n"
            + Report.table(rows)
    }

    /// A row for each shape, the algorithms beside each other.
    package var markdown: String {
        func cell(_ algorithm: Algorithm) -> String {
            let errors = algorithm.errors
            let numbers = [errors.forward, errors.dataGradient, errors.weightGradient].map {
                Report.decimal($0 * 1e7, places: $0 < 1e-6 ? 1 : 0)
            }
            let name = algorithm.algorithm == .direct ? "" : "\(algorithm.name): "
            return name + numbers.joined(separator: " / ")
        }
        var lines = ["| convolution | layers | im2col | smaller tile | larger tile |", "|---|---|---|---|---|"]
        for shape in shapes {
            let cells = shape.algorithms.map(cell)
            let row = [shape.shape, "\(shape.layers.count)"] + (0..<3).map { $0 < cells.count ? cells[$0] : "-" }
            lines.append("| \(row.joined(separator: " | ")) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
