// Sums, ReLUs, local response norms and adaptive pools against plain loops; and maps that are read without a ReLU.

import PSKernels
import PSModel
import PSPlanning
import Testing

/// A map, its norm, and what its readers see.
private struct SeenMap {
    let owned: OwnedMap
    let norm: [Float]
    let floor: Float?

    init(_ generator: inout Generator, height: Int, width: Int, channels: Int, floor: Float?) {
        owned = OwnedMap(batch: 2, height: height, width: width, channels: channels, gap: 5)
        owned.fill(&generator)
        norm = generator.values(2 * channels)
        self.floor = floor
    }

    private var channels: Int { owned.map.channels }

    /// Before the floor, and after it.
    var values: [(above: Float, seen: Float)] {
        owned.values.enumerated().map { index, value in
            guard let floor else { return (value, value) }
            let sum = value * norm[index % channels] + norm[channels + index % channels]
            return (sum, max(sum, floor))
        }
    }

    func read(_ body: (InputMap) -> Void) {
        norm.withUnsafeBufferPointer { norm in
            body(
                InputMap(
                    owned.map,
                    norm: floor.map {
                        InputMap.Norm(scale: norm.baseAddress!, shift: norm.baseAddress! + channels, floor: $0)
                    }))
        }
    }
}

@Suite struct ElementwiseTests {
    private static let floors: [Float?] = [nil, 0, -.infinity]

    @Test(arguments: floors, floors) func sums(first: Float?, second: Float?) {
        var generator = Generator("elementwise 3")
        let a = SeenMap(&generator, height: 5, width: 6, channels: 19, floor: first)
        let b = SeenMap(&generator, height: 5, width: 6, channels: 19, floor: second)
        let y = OwnedMap(batch: 2, height: 5, width: 6, channels: 19, gap: 2)
        let test = TestContext(threads: 2, scratchFloats: 1)
        for floor in [0, -Float.infinity] {
            a.read { a in
                b.read { b in Elementwise.add(a, b, factor: 0.25, floor: floor, to: y.map, context: test.context) }
            }
            let expected = zip(a.values, b.values).map { max($0.seen + 0.25 * $1.seen, floor) }
            #expect(sameBits(y.values, expected))
            #expect(y.gapsAreIntact)
        }
    }

    @Test(arguments: floors, [false, true]) func openGradients(floor: Float?, accumulate: Bool) {
        var generator = Generator("elementwise 4")
        let x = SeenMap(&generator, height: 4, width: 7, channels: 21, floor: floor)
        let gradient = OwnedMap(batch: 2, height: 4, width: 7, channels: 21)
        let out = OwnedMap(batch: 2, height: 4, width: 7, channels: 21, gap: 1)
        gradient.fill(&generator)
        out.fill(2)
        let test = TestContext(threads: 3, scratchFloats: 1)
        x.read {
            Elementwise.openGradient(
                gradient.map, through: $0, floor: 0, factor: 0.5, to: out.map, accumulate: accumulate,
                context: test.context)
        }
        let expected = zip(x.values, gradient.values).map {
            (accumulate ? 2 : 0) + ($0.above > 0 ? 0.5 * $1 : 0)
        }
        #expect(sameBits(out.values, expected))
        #expect(out.gapsAreIntact)
    }

    /// The formula in double precision, and finite differences of it.
    @Test(arguments: floors, [(5, 1), (5, 19), (3, 8), (1, 4)]) func responseNorm(floor: Float?, sizes: (Int, Int)) {
        let (size, channels) = sizes
        let norm = LocalResponseNorm(size: size, alpha: 0.7, k: 1.5)
        var generator = Generator("elementwise 6")
        let x = SeenMap(&generator, height: 3, width: 2, channels: channels, floor: floor)
        let y = OwnedMap(batch: 2, height: 3, width: 2, channels: channels, gap: 2)
        let dy = OwnedMap(batch: 2, height: 3, width: 2, channels: channels)
        let dx = OwnedMap(batch: 2, height: 3, width: 2, channels: channels, gap: 1)
        dy.fill(&generator)
        dx.fill(1)
        let test = TestContext(threads: 2, scratchFloats: norm.scratchFloats(channels: channels))
        x.read {
            norm.forward($0, to: y.map, context: test.context)
            norm.backward(
                outputGradient: dy.map, $0, inputGradient: dx.map, accumulate: true, context: test.context)
        }
        func plain(_ x: [Double]) -> [Double] {
            x.indices.map { index in
                let channel = index % channels
                let around = max(0, channel - size / 2)...min(channels - 1, channel + size / 2)
                let squares = around.reduce(0.0) { $0 + x[index - channel + $1] * x[index - channel + $1] }
                let base = 1.5 + 0.7 / Double(size) * squares
                return x[index] / (base.squareRoot() * base.squareRoot().squareRoot())
            }
        }
        let seen = x.values.map { Double($0.seen) }
        let d = dy.values.map(Double.init)
        #expect(zip(y.values, plain(seen)).allSatisfy { abs(Double($0) - $1) < 1e-6 })
        for index in seen.indices {
            var (up, down) = (seen, seen)
            up[index] += 1e-4
            down[index] -= 1e-4
            let slope = zip(zip(plain(up), plain(down)), d).reduce(0) { $0 + ($1.0.0 - $1.0.1) / 2e-4 * $1.1 }
            #expect(abs(Double(dx.values[index]) - 1 - slope) < 1e-5)
        }
        #expect(y.gapsAreIntact && dx.gapsAreIntact && test.scratch.guardsAreIntact)
    }

    @Test(arguments: floors, [(14, 4), (6, 6), (3, 4), (7, 2)]) func adaptivePools(floor: Float?, sizes: (Int, Int)) {
        let (input, output) = sizes
        var generator = Generator("elementwise 8")
        let x = SeenMap(&generator, height: input, width: input + 1, channels: 18, floor: floor)
        let window = SlidingWindow(input: Extent(input, input + 1), kernel: 1, output: Extent(output, output))
        let pool = AdaptivePool(batch: 2, channels: 18, window: window)
        let y = OwnedMap(batch: 2, height: output, width: output, channels: 18, gap: 1)
        let dy = OwnedMap(batch: 2, height: output, width: output, channels: 18)
        let dx = OwnedMap(batch: 2, height: input, width: input + 1, channels: 18, gap: 2)
        dy.fill(&generator)
        dx.fill(1)
        let test = TestContext(threads: 2, scratchFloats: 1)
        x.read { pool.forward($0, to: y.map, context: test.context) }
        pool.backward(outputGradient: dy.map, inputGradient: dx.map, accumulate: true, context: test.context)
        func range(_ index: Int, _ length: Int) -> Range<Int> {
            index * length / output..<((index + 1) * length + output - 1) / output
        }
        let (seen, d) = (x.values.map { Double($0.seen) }, dy.values.map(Double.init))
        var forward = [(value: Double, scale: Double)](repeating: (0, 1), count: d.count)
        var backward = [(value: Double, scale: Double)](repeating: (1, 1), count: seen.count)
        for image in 0..<2 {
            for oy in 0..<output {
                for ox in 0..<output {
                    let (rows, columns) = (range(oy, input), range(ox, input + 1))
                    for channel in 0..<18 {
                        let target = ((image * output + oy) * output + ox) * 18 + channel
                        for row in rows {
                            for column in columns {
                                let source = ((image * input + row) * (input + 1) + column) * 18 + channel
                                forward[target].value += seen[source] / Double(rows.count * columns.count)
                                backward[source].value += d[target] / Double(rows.count * columns.count)
                            }
                        }
                    }
                }
            }
        }
        #expect(agree(y.values, forward, bound: 1e-6))
        #expect(agree(dx.values, backward, bound: 1e-6))
        #expect(y.gapsAreIntact && dx.gapsAreIntact)
    }

    /// A map read without a ReLU is as good as one that was normalised before.
    @Test func readingWithoutAReLU() throws {
        var generator = Generator("elementwise 11")
        let x = SeenMap(&generator, height: 9, width: 8, channels: 20, floor: -.infinity)
        let plain = OwnedMap(batch: 2, height: 9, width: 8, channels: 20)
        plain.values = x.values.map(\.seen)
        #expect(plain.values.contains { $0 < -0.5 })
        let window = SlidingWindow(input: Extent(9, 8), kernel: Extent(3, 3), padding: Extent(1, 1))
        let shape = ConvolutionShape(batch: 2, window: window, inputChannels: 20, outputChannels: 17)
        let weights = generator.values(shape.depth * 17)
        let y = OwnedMap(batch: 2, height: 9, width: 8, channels: 17)
        let test = TestContext(threads: 2, scratchFloats: 1 << 20)

        func both(_ body: (InputMap) -> [Float]) -> ([Float], [Float]) {
            var seen: [Float] = []
            x.read { seen = body($0) }
            return (seen, body(InputMap(plain.map)))
        }
        let direct = DirectConvolution(shape)
        let prepared = GuardedMemory(floats: direct.weightFloats)
        for item in 0..<direct.layout.prepareItems {
            direct.layout.prepare(item: item, canonical: weights, forward: prepared.base, backward: nil)
        }
        let columns = both {
            direct.forward(input: $0, weights: prepared.base, output: y.map, context: test.context)
            return y.values
        }
        #expect(sameBits(columns.0, columns.1))

        let winograd = try #require(WinogradConvolution(shape, tile: 4))
        let transformed = GuardedMemory(floats: winograd.weightFloats)
        for item in 0..<winograd.prepareItems {
            winograd.prepare(item: item, canonical: weights, weights: transformed.base, gradientWeights: nil)
        }
        let tiles = both {
            winograd.forward(input: $0, weights: transformed.base, output: y.map, context: test.context)
            return y.values
        }
        #expect(zip(tiles.0, tiles.1).allSatisfy { abs($0 - $1) < 1e-4 })

        let group = PointwiseGroup(pixels: 2 * 72, inputChannels: 20, outputChannels: [17])
        let panels = GuardedMemory(floats: group.weightFloats(member: 0))
        for item in 0..<group.prepareItems(member: 0) {
            group.prepare(member: 0, item: item, canonical: weights, weights: panels.base, gradientWeights: nil)
        }
        let points = both {
            group.forward(
                input: $0, weights: [UnsafePointer(panels.base)], outputs: [y.map], context: test.context)
            return y.values
        }
        #expect(sameBits(points.0, points.1))

        let pool = PoolShape(batch: 2, channels: 20, window: window)
        let pooled = OwnedMap(batch: 2, height: 9, width: 8, channels: 20)
        for countBorder in [true, false] {
            let means = both {
                pool.averageForward($0, to: pooled.map, countBorder: countBorder, context: test.context)
                return pooled.values
            }
            #expect(sameBits(means.0, means.1))
        }
        let largest = both {
            pool.maxForward($0, to: pooled.map, taps: nil, context: test.context)
            return pooled.values
        }
        #expect(sameBits(largest.0, largest.1))
    }
}
