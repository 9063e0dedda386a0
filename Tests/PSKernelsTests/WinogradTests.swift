// Winograd convolutions in all three directions against plain loops in double precision, over seeded random shapes.

import PSKernels
import PSModel
import PSPlanning
import Testing

/// One entry of the catalogue, and how far from the plain sums it may be: the largest distance of any element relative
/// to the largest sum of absolute terms of its map. Measured over these shapes, times about three.
struct WinogradEntry: Sendable, CustomTestStringConvertible {
    let kernel: Extent
    let stride: Int
    let tile: Int
    let bound: Double

    var testDescription: String { "\(kernel.height)x\(kernel.width)/\(stride), tile \(tile)" }

    static let all: [WinogradEntry] = [
        WinogradEntry(kernel: Extent(3, 3), stride: 1, tile: 6, bound: 1.5e-5),
        WinogradEntry(kernel: Extent(3, 3), stride: 1, tile: 4, bound: 5e-6),
        WinogradEntry(kernel: Extent(5, 5), stride: 1, tile: 4, bound: 2e-5),
        WinogradEntry(kernel: Extent(5, 5), stride: 1, tile: 2, bound: 1.5e-5),
        WinogradEntry(kernel: Extent(1, 7), stride: 1, tile: 6, bound: 6e-5),
        WinogradEntry(kernel: Extent(1, 7), stride: 1, tile: 4, bound: 1.5e-5),
        WinogradEntry(kernel: Extent(7, 1), stride: 1, tile: 6, bound: 6e-5),
        WinogradEntry(kernel: Extent(7, 1), stride: 1, tile: 4, bound: 1.5e-5),
        WinogradEntry(kernel: Extent(1, 3), stride: 1, tile: 6, bound: 3e-6),
        WinogradEntry(kernel: Extent(1, 3), stride: 1, tile: 4, bound: 2e-6),
        WinogradEntry(kernel: Extent(3, 1), stride: 1, tile: 6, bound: 3e-6),
        WinogradEntry(kernel: Extent(3, 1), stride: 1, tile: 4, bound: 2e-6),
        WinogradEntry(kernel: Extent(3, 3), stride: 2, tile: 3, bound: 1e-6),
        WinogradEntry(kernel: Extent(3, 3), stride: 2, tile: 2, bound: 1.5e-6),
    ]

    func shape(
        batch: Int, input: Extent, padding: Extent, inputChannels: Int, outputChannels: Int
    ) -> ConvolutionShape? {
        guard input.height + 2 * padding.height >= kernel.height && input.width + 2 * padding.width >= kernel.width
        else { return nil }
        return ConvolutionShape(
            batch: batch,
            window: SlidingWindow(input: input, kernel: kernel, stride: Extent(stride, stride), padding: padding),
            inputChannels: inputChannels, outputChannels: outputChannels)
    }
}

@Suite struct WinogradTests {
    private func check(
        _ test: WinogradCase, _ entry: WinogradEntry, gap: Int, accumulate: Bool
    ) throws {
        let plan = try #require(WinogradConvolution(test.shape, tile: entry.tile))
        let plain = PlainDirections(test)
        let run = WinogradRun(test, plan, gap: gap, accumulate: accumulate, threads: 1)
        let errors = [
            plain.output.error(of: run.output),
            plain.inputGradient.error(of: run.inputGradient, offset: accumulate ? 1 : 0),
            plain.weightGradient.error(of: run.weightGradient),
        ]
        #expect(errors.allSatisfy { $0 <= entry.bound }, "\(errors) \(test.shape), norm \(test.scale != nil)")
        #expect(run.gapsAreIntact && run.guardsAreIntact, "\(test.shape)")
        #expect(sameBits(run.weightGradient, run.weightGradientAlone))
        #expect(run.dataShare > 0 && run.dataShare < 1)

        let shared = WinogradRun(test, plan, gap: gap, accumulate: accumulate, threads: 3)
        #expect(sameBits(run.output, shared.output))
        #expect(sameBits(run.inputGradient, shared.inputGradient))
        #expect(sameBits(run.weightGradient, shared.weightGradient))
    }

    @Test(arguments: WinogradEntry.all)
    func randomShapes(entry: WinogradEntry) throws {
        var generator = Generator("winograd \(entry.testDescription)")
        var tried = 0
        while tried < 16 {
            let input = Extent(generator.integer(1...40), generator.integer(1...40))
            let padding = Extent(
                generator.integer(0...entry.kernel.height - 1), generator.integer(0...entry.kernel.width - 1))
            let shape = entry.shape(
                batch: generator.integer(1...5), input: input, padding: padding,
                inputChannels: generator.integer(1...70), outputChannels: generator.integer(1...70))
            // As many multiplications as plain loops do in a moment.
            guard let shape, shape.outputPixels * shape.outputChannels * shape.depth < 4_000_000 else { continue }
            let test = WinogradCase(shape, norm: tried % 2 == 0, bias: tried % 3 == 0, &generator)
            try check(test, entry, gap: tried % 4, accumulate: tried % 5 < 2)
            tried += 1
        }
    }

    @Test(
        "Cuts that small shapes do not reach: many blocks, panels, groups and chunks",
        arguments: [
            (0, 2, Extent(70, 65), 3, 5), (0, 1, Extent(13, 12), 70, 150), (1, 9, Extent(8, 8), 130, 200),
            (1, 1, Extent(4, 4), 530, 70), (4, 20, Extent(5, 17), 20, 33), (6, 5, Extent(17, 17), 140, 70),
            (13, 12, Extent(17, 16), 70, 130), (12, 1, Extent(60, 60), 16, 3),
        ])
    func largerShapes(index: Int, batch: Int, input: Extent, inputChannels: Int, outputChannels: Int) throws {
        let entry = WinogradEntry.all[index]
        var generator = Generator("larger winograd \(index) \(batch)")
        let shape = try #require(
            entry.shape(
                batch: batch, input: input, padding: Extent(entry.kernel.height / 2, entry.kernel.width / 2),
                inputChannels: inputChannels, outputChannels: outputChannels))
        try check(WinogradCase(shape, norm: true, bias: false, &generator), entry, gap: 0, accumulate: false)
    }

    @Test func finishSeesEveryElementOnce() throws {
        let shape = try #require(
            WinogradEntry.all[1].shape(
                batch: 5, input: Extent(9, 7), padding: Extent(1, 1), inputChannels: 3, outputChannels: 200))
        let plan = try #require(WinogradConvolution(shape, tile: 4))
        let test = TestContext(threads: 1, scratchFloats: plan.scratchFloats)
        let x = OwnedMap(batch: 5, height: 9, width: 7, channels: 3)
        x.fill(1)
        let y = OwnedMap(batch: 5, height: 9, width: 7, channels: 200)
        y.fill(.nan)
        var seen = [Int](repeating: 0, count: shape.outputPixels * 200)
        plan.forward(
            input: InputMap(x.map), weights: [Float](repeating: 1, count: plan.weightFloats), output: y.map,
            context: test.context
        ) { item, pixels, channels in
            #expect(plan.pixels(ofItem: item) == pixels && plan.channels(ofItem: item) == channels)
            for pixel in pixels {
                for channel in channels {
                    seen[pixel * 200 + channel] += 1
                    if y.map.pixel(pixel)[channel].isNaN { seen[pixel * 200 + channel] += 100 }
                }
            }
        }
        withExtendedLifetime((test, x, y)) {}
        #expect(seen.allSatisfy { $0 == 1 })
    }

    /// Chunks of five and of four images, of which the shorter one has the longer blocks; and other uneven cuts.
    @Test(arguments: [(9, 16, 160, 200, 1), (7, 8, 40, 70, 1), (3, 30, 33, 20, 1), (9, 16, 160, 200, 3)])
    func scratchIsEnough(batch: Int, size: Int, inputChannels: Int, outputChannels: Int, index: Int) throws {
        let entry = WinogradEntry.all[index]
        let shape = try #require(
            entry.shape(
                batch: batch, input: Extent(size, size), padding: Extent(1, 1), inputChannels: inputChannels,
                outputChannels: outputChannels))
        let plan = try #require(WinogradConvolution(shape, tile: entry.tile))
        let test = TestContext(threads: 1, scratchFloats: plan.scratchFloats)
        let parts = GuardedMemory(floats: plan.partFloats)
        func map(_ size: Extent, _ channels: Int) -> OwnedMap {
            let map = OwnedMap(batch: batch, height: size.height, width: size.width, channels: channels)
            map.fill(1)
            return map
        }
        let (x, dx) = (map(shape.window.input, inputChannels), map(shape.window.input, inputChannels))
        let (y, dy) = (map(shape.window.output, outputChannels), map(shape.window.output, outputChannels))
        let weights = [Float](repeating: 1, count: plan.weightFloats)
        var canonical = [Float](repeating: .nan, count: outputChannels * shape.depth)
        withExtendedLifetime((x, y, dx, dy)) {
            plan.forward(input: InputMap(x.map), weights: weights, output: y.map, context: test.context)
            plan.backward(
                input: InputMap(x.map), outputGradient: GradientMap(dy.map), gradientWeights: weights,
                inputGradient: dx.map, accumulate: false, parts: parts.base, canonical: &canonical,
                context: test.context)
        }
        #expect(test.scratch.guardsAreIntact && parts.guardsAreIntact)
    }

    /// Diverged training must show: max(NaN, 0) is NaN, on the way in as on the way out.
    @Test(arguments: [3, 17]) func notANumberStaysOne(channel: Int) throws {
        var generator = Generator("winograd not a number")
        let shape = try #require(
            WinogradEntry.all[0].shape(
                batch: 1, input: Extent(6, 6), padding: Extent(1, 1), inputChannels: 20, outputChannels: 20))
        let plan = try #require(WinogradConvolution(shape, tile: 6))
        var test = WinogradCase(shape, norm: true, bias: true, &generator)
        test.shift![channel] = .nan
        #expect(WinogradRun(test, plan, gap: 0, accumulate: false, threads: 1).output.allSatisfy { $0.isNaN })
    }

    @Test func noSchemeForOtherKernels() {
        for (kernel, stride, padding) in [
            (Extent(1, 1), 1, Extent(0, 0)), (Extent(7, 7), 1, Extent(3, 3)), (Extent(5, 5), 2, Extent(0, 0)),
            (Extent(3, 3), 1, Extent(3, 1)),
        ] {
            let window = SlidingWindow(
                input: Extent(20, 20), kernel: kernel, stride: Extent(stride, stride), padding: padding)
            let shape = ConvolutionShape(batch: 1, window: window, inputChannels: 4, outputChannels: 4)
            #expect(WinogradScheme.tiles(for: shape).isEmpty)
            #expect(WinogradConvolution(shape, tile: 4) == nil)
        }
    }
}
