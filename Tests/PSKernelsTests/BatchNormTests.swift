// Batch norm with ReLU against plain loops and finite differences.

import PSKernels
import PSModel
import PSPlanning
import Testing

/// A layer's forward pass in double precision, all maps dense NHWC.
private struct PlainBatchNorm {
    let channels: Int
    let epsilon = 1e-3
    var gamma: [Double]
    var beta: [Double]

    /// Mean and biased variance of one channel.
    func moments(_ x: [Double], _ channel: Int) -> (mean: Double, variance: Double) {
        let values = stride(from: channel, to: x.count, by: channels).map { x[$0] }
        let mean = values.reduce(0, +) / Double(values.count)
        return (mean, values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count))
    }

    /// Before the ReLU.
    func normalised(_ x: [Double]) -> [Double] {
        let moments = (0..<channels).map { self.moments(x, $0) }
        return x.indices.map { index in
            let (mean, variance) = moments[index % channels]
            return (x[index] - mean) / (variance + epsilon).squareRoot() * gamma[index % channels]
                + beta[index % channels]
        }
    }
}

/// One layer by the engine.
private final class EngineBatchNorm {
    let x: OwnedMap
    let y: OwnedMap
    let gradient: OwnedMap
    var mean: [Float]
    var variance: [Float]
    var gammaGradient: [Float]
    var betaGradient: [Float]

    init(
        values: [Float], outputGradient: [Float], pixels: Int, channels: Int, gamma: [Float]?, beta: [Float],
        gap: Int = 0, unbiased: Bool = true, threads: Int = 1
    ) {
        func map() -> OwnedMap { OwnedMap(batch: 1, height: 1, width: pixels, channels: channels, gap: gap) }
        (x, y, gradient) = (map(), map(), map())
        x.values = values
        gradient.values = outputGradient
        mean = [Float](repeating: .nan, count: channels)
        (variance, gammaGradient, betaGradient) = (mean, mean, mean)
        let test = TestContext(threads: threads, scratchFloats: 1)
        let cut = EvenCut(pixels, atMost: 7)
        var moments = [Float](repeating: .nan, count: cut.pieces * 4 * channels)
        var vectors = [Float](repeating: .nan, count: (2 + BatchNormState.vectors) * channels)
        var parts = [Float](repeating: .nan, count: BatchNorm.partFloats(pixels: pixels, channels: channels))
        vectors.withUnsafeMutableBufferPointer { vectors in
            let base = vectors.baseAddress!
            let state = BatchNormState(
                scale: base, shift: base + channels, vectors: base + 2 * channels, channels: channels)
            // Parts as a kernel writes them that shares its work by pixels and by channels.
            let groups = EvenCut(channels, pieces: 2)
            moments.withUnsafeMutableBufferPointer { moments in
                for part in 0..<cut.pieces * groups.pieces {
                    BatchNorm.partMoments(
                        x.map, pixels: cut[part / groups.pieces], channels: groups[part % groups.pieces],
                        moments: moments.baseAddress! + part * 2 * channels)
                }
            }
            func finish(_ gamma: UnsafePointer<Float>?) {
                BatchNorm.finishMoments(
                    moments, parts: cut.pieces * groups.pieces,
                    part: { (cut[$0 / groups.pieces].count, groups[$0 % groups.pieces]) }, channels: channels,
                    gamma: gamma, beta: beta, epsilon: 1e-3, unbiased: unbiased, state: state, batchMean: &mean,
                    batchVariance: &variance)
            }
            if let gamma { gamma.withUnsafeBufferPointer { finish($0.baseAddress) } } else { finish(nil) }
            // A window of one pixel shows what readers see.
            PoolShape(
                batch: 1, channels: channels, window: SlidingWindow(input: Extent(1, pixels), kernel: Extent(1, 1))
            ).maxForward(
                InputMap(x.map, norm: InputMap.Norm(scale: state.scale, shift: state.shift)), to: y.map, taps: nil,
                context: test.context)
            gammaGradient.withUnsafeMutableBufferPointer { gammaGradient in
                _ = BatchNorm.backward(
                    gradient: gradient.map, x: x.map, state: state, parts: &parts,
                    gammaGradient: gamma == nil ? nil : gammaGradient.baseAddress, betaGradient: &betaGradient,
                    context: test.context
                ).materialised(test.context)
            }
        }
    }
}

@Suite struct BatchNormTests {
    @Test(arguments: [(1, 40), (3, 65), (20, 30), (64, 100), (85, 33), (144, 1000)])
    func forwardAgainstPlainLoops(channels: Int, pixels: Int) {
        var generator = Generator("norm \(channels)")
        // A mean far from zero, where a one-pass variance would lose its digits.
        let values = generator.values(pixels * channels).map { 30 + $0 }
        let gamma = generator.values(channels).map { 1 + 0.5 * $0 }
        let beta = generator.values(channels)
        let engine = EngineBatchNorm(
            values: values, outputGradient: values, pixels: pixels, channels: channels, gamma: gamma, beta: beta,
            gap: channels % 3)
        let plain = PlainBatchNorm(channels: channels, gamma: gamma.map(Double.init), beta: beta.map(Double.init))
        let expected = plain.normalised(values.map(Double.init)).map { max($0, 0) }
        #expect(zip(engine.y.values, expected).allSatisfy { abs(Double($0) - $1) < 3e-4 })
        for channel in 0..<channels {
            let (mean, variance) = plain.moments(values.map(Double.init), channel)
            let unbiased = variance * Double(pixels) / Double(pixels - 1)
            #expect(abs(Double(engine.mean[channel]) - mean) < 1e-5)
            #expect(abs(Double(engine.variance[channel]) / unbiased - 1) < 1e-5)
        }
        let biased = EngineBatchNorm(
            values: values, outputGradient: values, pixels: pixels, channels: channels, gamma: nil, beta: beta,
            unbiased: false)
        let (_, variance) = plain.moments(values.map(Double.init), 0)
        #expect(abs(Double(biased.variance[0]) / variance - 1) < 1e-5)
        #expect(engine.y.gapsAreIntact && engine.gradient.gapsAreIntact)
    }

    @Test(arguments: [(5, 12), (37, 9)]) func finiteDifferences(channels: Int, pixels: Int) {
        var generator = Generator("norm differences \(channels)")
        let values = generator.values(pixels * channels)
        let gamma = generator.values(channels).map { 1 + 0.5 * $0 }
        let beta = generator.values(channels)
        let direction = generator.values(values.count)
        let engine = EngineBatchNorm(
            values: values, outputGradient: direction, pixels: pixels, channels: channels, gamma: gamma, beta: beta)
        let exact = values.map(Double.init)
        let plain = PlainBatchNorm(channels: channels, gamma: gamma.map(Double.init), beta: beta.map(Double.init))
        // Which ReLUs are open does not change under a small step, away from their edges.
        let open = plain.normalised(exact).map { $0 > 0 }
        func objective(_ plain: PlainBatchNorm, _ x: [Double]) -> Double {
            zip(plain.normalised(x), zip(open, direction)).reduce(0) { $0 + ($1.1.0 ? $1.0 * Double($1.1.1) : 0) }
        }
        let step = 1e-5
        for index in values.indices {
            var (up, down) = (exact, exact)
            up[index] += step
            down[index] -= step
            let slope = (objective(plain, up) - objective(plain, down)) / (2 * step)
            #expect(abs(slope - Double(engine.gradient.values[index])) < 1e-4)
        }
        for channel in 0..<channels {
            var (up, down) = (plain, plain)
            up.gamma[channel] += step
            down.gamma[channel] -= step
            let gammaSlope = (objective(up, exact) - objective(down, exact)) / (2 * step)
            #expect(abs(gammaSlope - Double(engine.gammaGradient[channel])) < 1e-4)
            (up, down) = (plain, plain)
            up.beta[channel] += step
            down.beta[channel] -= step
            let betaSlope = (objective(up, exact) - objective(down, exact)) / (2 * step)
            #expect(abs(betaSlope - Double(engine.betaGradient[channel])) < 1e-4)
        }
    }

    @Test func threadsDoNotShow() {
        var generator = Generator("norm threads")
        let values = generator.values(5000 * 48)
        let direction = generator.values(values.count)
        let layers = [1, 2, 3].map {
            EngineBatchNorm(
                values: values, outputGradient: direction, pixels: 5000, channels: 48,
                gamma: [Float](repeating: 1.5, count: 48), beta: [Float](repeating: 0.1, count: 48), threads: $0)
        }
        for layer in layers.dropFirst() {
            #expect(sameBits(layer.y.values, layers[0].y.values))
            #expect(sameBits(layer.gradient.values, layers[0].gradient.values))
            #expect(sameBits(layer.gammaGradient, layers[0].gammaGradient))
        }
    }

    /// In channels of every kind of loop: their sums run over 64, 32 and 16 channels at a time and single ones.
    @Test func aNotANumberIsNotHidden() {
        let (pixels, channels) = (4, 2 * (64 + 16 + 13))
        let numbers = (0..<pixels * channels).map { Float($0 / channels) }
        let poisoned = numbers.indices.map { $0 / channels == 2 && $0 % 3 == 0 ? Float.nan : numbers[$0] }
        let isPoisoned = (0..<channels).map { (2 * channels + $0) % 3 == 0 }
        func layer(_ values: [Float], gradient: [Float]) -> EngineBatchNorm {
            // All ReLUs are open.
            EngineBatchNorm(
                values: values, outputGradient: gradient, pixels: pixels, channels: channels,
                gamma: [Float](repeating: 1, count: channels), beta: [Float](repeating: 9, count: channels))
        }
        let everyPixel = (0..<pixels).flatMap { _ in isPoisoned }
        let forward = layer(poisoned, gradient: numbers)
        #expect(forward.mean.map(\.isNaN) == isPoisoned && forward.variance.map(\.isNaN) == isPoisoned)
        #expect(forward.y.values.map(\.isNaN) == everyPixel)
        #expect(forward.gammaGradient.map(\.isNaN) == isPoisoned)
        #expect(forward.gradient.values.map(\.isNaN) == everyPixel)
        let backward = layer(numbers, gradient: poisoned)
        #expect(backward.gammaGradient.map(\.isNaN) == isPoisoned && backward.betaGradient.map(\.isNaN) == isPoisoned)
        #expect(backward.gradient.values.map(\.isNaN) == everyPixel)
    }

    @Test func runningStatistics() {
        var (scale, shift): ([Float], [Float]) = ([.nan, .nan], [.nan, .nan])
        BatchNorm.runningScale(
            mean: [1, 2], variance: [4, 0.25], channels: 2, gamma: [2, 1], beta: [0.5, 0.25], epsilon: 0,
            scale: &scale, shift: &shift)
        #expect(normalised([3, -1, 5, 2], scale + shift, channels: 2) == [2.5, 0, 4.5, 0.25])
        let y = OwnedMap(batch: 1, height: 1, width: 2, channels: 2)
        y.values = [3, -1, .nan, 2]
        Bias.add([-4, 1.5], floor: 0, to: y.map, pixels: 0..<2)
        #expect(y.values[0] == 0 && y.values[1] == 0.5 && y.values[2].isNaN && y.values[3] == 3.5)
    }
}
