// What one convolution's rounding costs: its three directions in float32 by one algorithm, against sums in float64 at
// points drawn at random.

import Foundation
import PSKernels
import PSModel
import PSNetwork
import PSParameters
import PSPlanning

/// Relative RMS errors of one convolution's directions.
package struct RoundingErrors: Sendable, Hashable, Encodable {
    package let forward: Double
    package let dataGradient: Double
    package let weightGradient: Double
}

/// Operands of one shape and the true values of some of its results. The inputs are standard normal, then rectified, as
/// a convolution finds them after batch norm and ReLU; the output's gradient is standard normal, and so are the weights,
/// over the root of the terms of a sum.
final class RoundingSample {
    private let shape: ConvolutionShape
    // NHWC, NHWC and OIHW.
    private let input: FloatMemory
    private let outputGradient: FloatMemory
    private let weights: FloatMemory
    private let output: SampledValues
    private let inputGradient: SampledValues
    private let weightGradient: SampledValues

    /// Points compared: a weight's gradient is a sum over the whole map, so there are fewer of them.
    private static let mapPoints = 1024
    private static let weightPoints = 256

    init(_ shape: ConvolutionShape, seed: UInt64) throws(NetworkError) {
        self.shape = shape
        func random(_ name: String) -> CounterRandom { CounterRandom(seed: seed, name: "\(shape) \(name)") }
        input = try FloatMemory(shape.inputPixels * shape.inputChannels)
        outputGradient = try FloatMemory(shape.outputPixels * shape.outputChannels)
        weights = try FloatMemory(shape.outputChannels * shape.depth)
        input.fill(random("input")) { max($0, 0) }
        outputGradient.fill(random("output gradient")) { $0 }
        let scale = 1 / Float(shape.depth).squareRoot()
        weights.fill(random("weights")) { $0 * scale }

        let terms = ConvolutionTerms(
            shape: shape, input: input.base, outputGradient: outputGradient.base, weights: weights.base)
        output = SampledValues(
            of: outputGradient.count, points: RoundingSample.mapPoints, random("output points"), terms.output)
        inputGradient = SampledValues(
            of: input.count, points: RoundingSample.mapPoints, random("input points"), terms.inputGradient)
        weightGradient = SampledValues(
            of: weights.count, points: RoundingSample.weightPoints, random("weight points"), terms.weightGradient)
    }

    /// Computes all directions by an algorithm the shape has.
    func errors(_ algorithm: ConvolutionAlgorithm, threads: Int) throws -> RoundingErrors {
        let kernel = shape.kernel(algorithm)
        let prepared = try FloatMemory(kernel.weightFloats)
        let preparedForGradient = try FloatMemory(kernel.gradientWeightFloats)
        let parts = try FloatMemory(kernel.partFloats)
        let scratch = try FloatMemory(threads * kernel.scratchFloats)
        let y = try FloatMemory(outputGradient.count)
        let dx = try FloatMemory(input.count)
        let dw = try FloatMemory(weights.count)
        let context = try KernelContext(threads: threads, scratch: scratch.base, scratchFloats: kernel.scratchFloats)
        return withExtendedLifetime((self, prepared, preparedForGradient, parts, scratch)) {
            for item in 0..<kernel.prepareItems {
                kernel.prepare(
                    item: item, canonical: weights.base, weights: prepared.base,
                    gradientWeights: preparedForGradient.base)
            }
            func map(_ memory: FloatMemory, _ size: Extent, _ channels: Int) -> FeatureMap {
                FeatureMap(
                    base: memory.base, batch: shape.batch, height: size.height, width: size.width, channels: channels)
            }
            let x = InputMap(map(input, shape.window.input, shape.inputChannels))
            kernel.forward(
                input: x, weights: prepared.base, output: map(y, shape.window.output, shape.outputChannels),
                context: context, finish: { _, _, _ in })
            _ = kernel.backward(
                input: x, outputGradient: GradientMap(map(outputGradient, shape.window.output, shape.outputChannels)),
                gradientWeights: preparedForGradient.base,
                inputGradient: map(dx, shape.window.input, shape.inputChannels), accumulate: false, parts: parts.base,
                canonical: dw.base, context: context)
            return RoundingErrors(
                forward: output.error(of: y), dataGradient: inputGradient.error(of: dx),
                weightGradient: weightGradient.error(of: dw))
        }
    }
}

// MARK: Parts

/// Floats that start as NaN, so that one which is not overwritten shows.
private final class FloatMemory {
    private let arena: Arena
    let count: Int

    init(_ count: Int) throws(NetworkError) {
        self.count = count
        arena = try Arena(floats: max(count, 1))
        base.update(repeating: .nan, count: count)
    }

    var base: UnsafeMutablePointer<Float> { arena.base }

    /// Standard normal draws, each passed through `change`.
    func fill(_ random: CounterRandom, _ change: (Float) -> Float) {
        for index in stride(from: 0, to: count, by: 2) {
            // Box and Muller's method gives two at once.
            let radius = (-2 * log(1 - random.uniform(UInt64(index)))).squareRoot()
            let angle = 2 * Float.pi * random.uniform(UInt64(index + 1))
            base[index] = change(radius * cos(angle))
            if index + 1 < count { base[index + 1] = change(radius * sin(angle)) }
        }
    }
}

/// The true values of some elements of a result.
private struct SampledValues {
    private let points: [(index: Int, value: Double)]

    init(of count: Int, points: Int, _ random: CounterRandom, _ value: (Int) -> Double) {
        self.points = (0..<points).map { point in
            let index = random.integer(UInt64(point), below: count)
            return (index, value(index))
        }
    }

    /// The root of the mean square distance over that of the mean square value.
    func error(of found: FloatMemory) -> Double {
        withExtendedLifetime(found) {
            let sums = points.reduce(into: (distance: 0.0, value: 0.0)) { sums, point in
                let distance = Double(found.base[point.index]) - point.value
                sums.distance += distance * distance
                sums.value += point.value * point.value
            }
            return (sums.distance / sums.value).squareRoot()
        }
    }
}

/// Single elements of a convolution's results by their definition, out[n, y, x, o] = sum of
/// in[n, y s + ky - p, x s + kx - p, i] * w[o, i, ky, kx], in float64.
private struct ConvolutionTerms {
    let shape: ConvolutionShape
    let input: UnsafePointer<Float>
    let outputGradient: UnsafePointer<Float>
    let weights: UnsafePointer<Float>

    init(
        shape: ConvolutionShape, input: UnsafePointer<Float>, outputGradient: UnsafePointer<Float>,
        weights: UnsafePointer<Float>
    ) {
        (self.shape, self.input, self.outputGradient, self.weights) = (shape, input, outputGradient, weights)
    }

    /// Element `index` of the output.
    func output(_ index: Int) -> Double {
        let (pixel, outputChannel) = index.quotientAndRemainder(dividingBy: shape.outputChannels)
        var sum = 0.0
        for tap in 0..<shape.taps {
            guard let from = inputPixel(pixel, tap) else { continue }
            for channel in 0..<shape.inputChannels {
                sum += Double(input[from * shape.inputChannels + channel]) * weight(outputChannel, channel, tap)
            }
        }
        return sum
    }

    /// Element `index` of the input's gradient: all outputs whose window reads it.
    func inputGradient(_ index: Int) -> Double {
        let (window, (pixel, channel)) = (shape.window, index.quotientAndRemainder(dividingBy: shape.inputChannels))
        let (image, inside) = pixel.quotientAndRemainder(dividingBy: window.input.area)
        var sum = 0.0
        for tap in 0..<shape.taps {
            let row = inside / window.input.width + window.padding.height - tap / window.kernel.width
            let column = inside % window.input.width + window.padding.width - tap % window.kernel.width
            guard row >= 0, column >= 0, row % window.stride.height == 0, column % window.stride.width == 0,
                row / window.stride.height < window.output.height, column / window.stride.width < window.output.width
            else { continue }
            let reader =
                image * window.output.area + row / window.stride.height * window.output.width
                + column / window.stride.width
            for outputChannel in 0..<shape.outputChannels {
                sum +=
                    Double(outputGradient[reader * shape.outputChannels + outputChannel])
                    * weight(outputChannel, channel, tap)
            }
        }
        return sum
    }

    /// Element `index` of the weights' gradient.
    func weightGradient(_ index: Int) -> Double {
        let (outputChannel, inside) = index.quotientAndRemainder(dividingBy: shape.depth)
        let (channel, tap) = inside.quotientAndRemainder(dividingBy: shape.taps)
        var sum = 0.0
        for pixel in 0..<shape.outputPixels {
            guard let from = inputPixel(pixel, tap) else { continue }
            sum +=
                Double(input[from * shape.inputChannels + channel])
                * Double(outputGradient[pixel * shape.outputChannels + outputChannel])
        }
        return sum
    }

    private func weight(_ outputChannel: Int, _ channel: Int, _ tap: Int) -> Double {
        Double(weights[(outputChannel * shape.inputChannels + channel) * shape.taps + tap])
    }

    /// The pixel that an output pixel reads by a tap of its window; nil in the padding.
    private func inputPixel(_ pixel: Int, _ tap: Int) -> Int? {
        let window = shape.window
        let (image, inside) = pixel.quotientAndRemainder(dividingBy: window.output.area)
        let row =
            inside / window.output.width * window.stride.height + tap / window.kernel.width - window.padding.height
        let column =
            inside % window.output.width * window.stride.width + tap % window.kernel.width - window.padding.width
        guard (0..<window.input.height).contains(row), (0..<window.input.width).contains(column) else { return nil }
        return image * window.input.area + row * window.input.width + column
    }
}
