// Pools against plain loops, both roundings and both border rules.

import PSKernels
import PSModel
import PSPlanning
import Testing

/// The windows of a pool, one output pixel after the other.
private struct PlainPool {
    let batch: Int
    let channels: Int
    let input: (Int, Int)
    let output: (Int, Int)
    let kernel: (Int, Int)
    let stride: (Int, Int)
    let padding: (Int, Int)

    var shape: PoolShape {
        PoolShape(
            batch: batch, channels: channels,
            window: SlidingWindow(
                input: Extent(input.0, input.1), kernel: Extent(kernel.0, kernel.1), stride: Extent(stride.0, stride.1),
                padding: Extent(padding.0, padding.1), output: Extent(output.0, output.1)))
    }

    /// Elements of the input (dense NHWC) under each output element, in row order, and PyTorch's divisor.
    func forEachWindow(countBorder: Bool, _ body: (_ output: Int, _ inputs: [Int], _ divisor: Int) -> Void) {
        for n in 0..<batch {
            for y in 0..<output.0 {
                for x in 0..<output.1 {
                    let rows = y * stride.0 - padding.0..<min(y * stride.0 - padding.0 + kernel.0, input.0 + padding.0)
                    let columns =
                        x * stride.1 - padding.1..<min(x * stride.1 - padding.1 + kernel.1, input.1 + padding.1)
                    let insideRows = rows.clamped(to: 0..<input.0)
                    let insideColumns = columns.clamped(to: 0..<input.1)
                    let divisor =
                        countBorder ? rows.count * columns.count : insideRows.count * insideColumns.count
                    for c in 0..<channels {
                        let inputs = insideRows.flatMap { row in
                            insideColumns.map { ((n * input.0 + row) * input.1 + $0) * channels + c }
                        }
                        body(((n * output.0 + y) * output.1 + x) * channels + c, inputs, divisor)
                    }
                }
            }
        }
    }
}

private func outputCount(_ input: Int, _ kernel: Int, _ stride: Int, _ padding: Int, ceil: Bool) -> Int {
    let span = input + 2 * padding - kernel
    let windows = (ceil ? (span + stride - 1) / stride : span / stride) + 1
    return ceil && (windows - 1) * stride >= input + padding ? windows - 1 : windows
}

/// Seeded random pools in which no window lies outside the map.
private func randomPools() -> [PlainPool] {
    var generator = Generator("pools")
    return (0..<40).map { index in
        let kernel = (generator.integer(1...4), generator.integer(1...4))
        let stride = (generator.integer(1...3), generator.integer(1...3))
        let padding = (generator.integer(0...kernel.0 / 2), generator.integer(0...kernel.1 / 2))
        let input = (generator.integer(4...11), generator.integer(4...11))
        let ceil = index % 2 == 1
        return PlainPool(
            batch: generator.integer(1...3), channels: generator.integer(1...80), input: input,
            output: (
                outputCount(input.0, kernel.0, stride.0, padding.0, ceil: ceil),
                outputCount(input.1, kernel.1, stride.1, padding.1, ceil: ceil)
            ), kernel: kernel, stride: stride, padding: padding)
    }
}

private func maps(_ pool: PlainPool, gap: Int) -> (x: OwnedMap, y: OwnedMap, dx: OwnedMap, dy: OwnedMap) {
    func map(_ extent: (Int, Int)) -> OwnedMap {
        OwnedMap(batch: pool.batch, height: extent.0, width: extent.1, channels: pool.channels, gap: gap)
    }
    return (map(pool.input), map(pool.output), map(pool.input), map(pool.output))
}

@Suite struct PoolingTests {
    @Test(arguments: [1, 3]) func maxPools(threads: Int) {
        var generator = Generator("max pool values")
        let test = TestContext(threads: threads, scratchFloats: 1)
        for (index, pool) in randomPools().enumerated() {
            let (x, y, dx, dy) = maps(pool, gap: index % 3)
            // Few different values, so that windows have several largest elements.
            x.values = (0..<x.map.pixels * pool.channels).map { _ in Float(generator.integer(-2...2)) }
            dy.fill(&generator)
            dx.fill(index % 4 == 0 ? 1 : .nan)
            y.fill(.nan)
            var taps = [UInt8](repeating: 255, count: dy.values.count)
            let norm = index % 3 == 1 ? generator.values(2 * pool.channels) : nil
            withNorm(norm, channels: pool.channels) {
                pool.shape.maxForward(InputMap(x.map, norm: $0), to: y.map, taps: &taps, context: test.context)
            }
            pool.shape.maxBackward(
                outputGradient: dy.map, taps: taps, inputGradient: dx.map, accumulate: index % 4 == 0,
                context: test.context)
            let (input, gradient) = (normalised(x.values, norm, channels: pool.channels), dy.values)
            var output = [Float](repeating: 0, count: gradient.count)
            var inputGradient = [(value: Double, scale: Double)](
                repeating: index % 4 == 0 ? (1, 1) : (0, 0), count: input.count)
            pool.forEachWindow(countBorder: false) { target, inputs, _ in
                var best = inputs[0]
                for candidate in inputs where input[candidate] > input[best] { best = candidate }
                output[target] = input[best]
                inputGradient[best].value += Double(gradient[target])
                inputGradient[best].scale += abs(Double(gradient[target]))
            }
            #expect(y.values == output, "\(pool)")
            #expect(agree(dx.values, inputGradient, bound: 1e-6), "\(pool)")
            #expect(y.gapsAreIntact && dx.gapsAreIntact)
        }
    }

    @Test(arguments: [true, false]) func averagePools(countBorder: Bool) {
        var generator = Generator("average pool values")
        let test = TestContext(threads: 2, scratchFloats: 1)
        for (index, pool) in randomPools().enumerated() {
            let (x, y, dx, dy) = maps(pool, gap: index % 3)
            x.fill(&generator)
            dy.fill(&generator)
            dx.fill(index % 4 == 0 ? 1 : .nan)
            y.fill(.nan)
            let norm = index % 3 == 1 ? generator.values(2 * pool.channels) : nil
            withNorm(norm, channels: pool.channels) {
                pool.shape.averageForward(
                    InputMap(x.map, norm: $0), to: y.map, countBorder: countBorder, context: test.context)
            }
            pool.shape.averageBackward(
                outputGradient: dy.map, inputGradient: dx.map, countBorder: countBorder, accumulate: index % 4 == 0,
                context: test.context)
            let (input, gradient) = (normalised(x.values, norm, channels: pool.channels), dy.values)
            var output = [(value: Double, scale: Double)](repeating: (0, 0), count: gradient.count)
            var inputGradient = [(value: Double, scale: Double)](
                repeating: index % 4 == 0 ? (1, 1) : (0, 0), count: input.count)
            pool.forEachWindow(countBorder: countBorder) { target, inputs, divisor in
                for source in inputs {
                    output[target].value += Double(input[source]) / Double(divisor)
                    output[target].scale += abs(Double(input[source])) / Double(divisor)
                    inputGradient[source].value += Double(gradient[target]) / Double(divisor)
                    inputGradient[source].scale += abs(Double(gradient[target])) / Double(divisor)
                }
            }
            #expect(agree(y.values, output, bound: 1e-6), "\(pool)")
            #expect(agree(dx.values, inputGradient, bound: 1e-6), "\(pool)")
            #expect(y.gapsAreIntact && dx.gapsAreIntact)
        }
    }

    /// In channels taken sixteen at a time and in those that are left, at every place of the window; and nowhere else.
    @Test(arguments: [false, true]) func aNotANumberWins(normed: Bool) {
        let channels = 37
        let pool = PlainPool(
            batch: 1, channels: channels, input: (1, 3), output: (1, 1), kernel: (1, 3), stride: (1, 1),
            padding: (0, 0))
        let (x, y, _, _) = maps(pool, gap: 0)
        let test = TestContext(threads: 1, scratchFloats: 1)
        // The fourth of each four channels has none.
        x.values = (0..<3 * channels).map { $0 / channels == $0 % channels % 4 ? .nan : Float($0 / channels) }
        let expected = (0..<channels).map { $0 % 4 < 3 }
        var taps = [UInt8](repeating: 255, count: channels)
        let norm = normed ? [Float](repeating: 0.5, count: 2 * channels) : nil
        withNorm(norm, channels: channels) { norm in
            pool.shape.maxForward(InputMap(x.map, norm: norm), to: y.map, taps: &taps, context: test.context)
            #expect(y.values.map(\.isNaN) == expected)
            #expect(taps == (0..<channels).map { UInt8(min($0 % 4, 2)) })
            pool.shape.averageForward(
                InputMap(x.map, norm: norm), to: y.map, countBorder: false, context: test.context)
            #expect(y.values.map(\.isNaN) == expected)
        }
        withExtendedLifetime(x) {}
    }

    @Test func globalAverage() {
        let shape = PoolShape.global(batch: 2, map: Extent(3, 5), channels: 70)
        let x = OwnedMap(batch: 2, height: 3, width: 5, channels: 70)
        let y = OwnedMap(batch: 2, height: 1, width: 1, channels: 70)
        var generator = Generator("global")
        x.fill(&generator)
        let test = TestContext(threads: 2, scratchFloats: 1)
        shape.averageForward(InputMap(x.map), to: y.map, countBorder: false, context: test.context)
        for image in 0..<2 {
            for channel in 0..<70 {
                let mean = (0..<15).map { Double(x.values[(image * 15 + $0) * 70 + channel]) }.reduce(0, +) / 15
                #expect(abs(Double(y.values[image * 70 + channel]) - mean) < 1e-6)
            }
        }
    }
}
