// Convolutions in all three directions against plain loops in double precision, over seeded random shapes.

import PSKernels
import PSPlanning
import Testing

/// Sums with the sum of absolute terms, by which rounding is judged.
private typealias Sums = [(value: Double, scale: Double)]

private func convolution(
    batch: Int, input: (Int, Int), inputChannels: Int, outputChannels: Int, kernel: (Int, Int),
    stride: (Int, Int) = (1, 1), padding: (Int, Int) = (0, 0)
) -> ConvolutionShape {
    let window = SlidingWindow(
        input: Size(input.0, input.1), kernel: Size(kernel.0, kernel.1), stride: Size(stride.0, stride.1),
        padding: Size(padding.0, padding.1))
    return ConvolutionShape(
        batch: batch, window: window, inputChannels: inputChannels, outputChannels: outputChannels)
}

/// The definition: out[n, y, x, o] = sum of in[n, y s + ky - p, x s + kx - p, i] * w[o, i, ky, kx].
private struct PlainConvolution {
    let shape: ConvolutionShape

    /// Calls `body` with the indices of every product: input and output in dense NHWC, weight in OIHW.
    func forEachProduct(_ body: (_ input: Int, _ weight: Int, _ output: Int) -> Void) {
        let s = shape
        let (input, output, kernel) = (s.window.input, s.window.output, s.window.kernel)
        for n in 0..<s.batch {
            for y in 0..<output.height {
                for x in 0..<output.width {
                    for ky in 0..<kernel.height {
                        let row = y * s.window.stride.height + ky - s.window.padding.height
                        if row < 0 || row >= input.height { continue }
                        for kx in 0..<kernel.width {
                            let column = x * s.window.stride.width + kx - s.window.padding.width
                            if column < 0 || column >= input.width { continue }
                            for o in 0..<s.outputChannels {
                                for i in 0..<s.inputChannels {
                                    body(
                                        ((n * input.height + row) * input.width + column) * s.inputChannels + i,
                                        ((o * s.inputChannels + i) * kernel.height + ky) * kernel.width + kx,
                                        ((n * output.height + y) * output.width + x) * s.outputChannels + o)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    func sums(into count: Int, _ term: (Int, Int, Int) -> (Int, Double)) -> Sums {
        var sums = Sums(repeating: (0, 0), count: count)
        forEachProduct { input, weight, output in
            let (target, value) = term(input, weight, output)
            sums[target].value += value
            sums[target].scale += abs(value)
        }
        return sums
    }
}

/// Everything one convolution computes, by the engine.
private struct EngineConvolution {
    var output: [Float] = []
    var inputGradient: [Float] = []
    var weightGradient: [Float] = []
    var gapsAreIntact = true

    init(
        _ shape: ConvolutionShape, weights: [Float], input: [Float], outputGradient: [Float], gap: Int,
        accumulate: Bool, threads: Int
    ) {
        let plan = ConvolutionPlan(shape)
        let data = DataGradientPlan(shape)
        let weight = WeightGradientPlan(shape)
        let test = TestContext(
            threads: threads, scratchFloats: max(plan.scratchFloats, data.scratchFloats, weight.scratchFloats))
        func map(_ size: Size, _ channels: Int) -> OwnedMap {
            OwnedMap(batch: shape.batch, height: size.height, width: size.width, channels: channels, gap: gap)
        }
        let x = map(shape.window.input, shape.inputChannels)
        let y = map(shape.window.output, shape.outputChannels)
        let dx = map(shape.window.input, shape.inputChannels)
        let dy = map(shape.window.output, shape.outputChannels)
        x.values = input
        dy.values = outputGradient
        // What must be overwritten starts as NaN, what is added to starts as 1.
        y.fill(accumulate ? 1 : .nan)
        dx.fill(accumulate ? 1 : .nan)

        let layout = WeightLayout(shape)
        var forward = [Float](repeating: .nan, count: layout.elementCount)
        var backward = forward
        // As slices do: some rows first, then the others.
        let half = shape.outputChannels / 2
        for outputs in [half..<shape.outputChannels, 0..<half] where !outputs.isEmpty {
            weights[(outputs.lowerBound * layout.elementCount / shape.outputChannels)...].withUnsafeBufferPointer {
                layout.load(outputs: outputs, from: $0.baseAddress!, forward: &forward, backward: &backward)
            }
        }
        plan.forward(
            input: x.map, weights: forward, output: y.map, accumulate: accumulate, context: test.context)
        data.compute(
            outputGradient: dy.map, weights: backward, inputGradient: dx.map, accumulate: accumulate,
            context: test.context)
        var parts = [Float](repeating: .nan, count: weight.partFloats)
        weightGradient = [Float](repeating: .nan, count: layout.elementCount)
        weight.compute(
            input: x.map, outputGradient: dy.map, parts: &parts, canonical: &weightGradient, context: test.context)
        output = y.values
        inputGradient = dx.values
        gapsAreIntact = y.gapsAreIntact && dx.gapsAreIntact
    }
}

private func check(_ shape: ConvolutionShape, gap: Int, accumulate: Bool, _ generator: inout Generator) {
    let input = generator.values(shape.inputPixels * shape.inputChannels)
    let outputGradient = generator.values(shape.outputPixels * shape.outputChannels)
    let weights = generator.values(shape.outputChannels * shape.depth)
    let engine = EngineConvolution(
        shape, weights: weights, input: input, outputGradient: outputGradient, gap: gap, accumulate: accumulate,
        threads: 1)
    let plain = PlainConvolution(shape: shape)
    func start(_ sums: Sums) -> Sums { accumulate ? sums.map { ($0.value + 1, $0.scale + 1) } : sums }
    let output = plain.sums(into: outputGradient.count) { ($2, Double(input[$0]) * Double(weights[$1])) }
    let inputGradient = plain.sums(into: input.count) { ($0, Double(outputGradient[$2]) * Double(weights[$1])) }
    let weightGradient = plain.sums(into: weights.count) { ($1, Double(outputGradient[$2]) * Double(input[$0])) }
    #expect(agree(engine.output, start(output), bound: 1e-6), "forward \(shape)")
    #expect(agree(engine.inputGradient, start(inputGradient), bound: 1e-6), "data gradient \(shape)")
    #expect(agree(engine.weightGradient, weightGradient, bound: 1e-6), "weight gradient \(shape)")
    #expect(engine.gapsAreIntact, "\(shape)")

    let shared = EngineConvolution(
        shape, weights: weights, input: input, outputGradient: outputGradient, gap: gap, accumulate: accumulate,
        threads: 3)
    #expect(sameBits(engine.output, shared.output))
    #expect(sameBits(engine.inputGradient, shared.inputGradient))
    #expect(sameBits(engine.weightGradient, shared.weightGradient))
}

@Suite struct ConvolutionTests {
    @Test func randomShapes() {
        var generator = Generator("convolution shapes")
        var seen: [ConvolutionAlgorithm: Int] = [:]
        var scattered = 0
        for index in 0..<60 {
            let kernel =
                switch index % 4 {
                case 0: (1, 1)
                case 1: (2 * generator.integer(1...3) + 1, 1)
                default: (generator.integer(1...5), generator.integer(1...7))
                }
            let input = (generator.integer(1...14), generator.integer(1...14))
            let stride = index % 4 < 2 ? (1, 1) : (generator.integer(1...3), generator.integer(1...2))
            let padding =
                index % 4 == 1 ? (kernel.0 / 2, 0) : (generator.integer(0...kernel.0), generator.integer(0...kernel.1))
            if input.0 + 2 * padding.0 < kernel.0 || input.1 + 2 * padding.1 < kernel.1 { continue }
            let shape = convolution(
                batch: generator.integer(1...3), input: input, inputChannels: generator.integer(1...40),
                outputChannels: generator.integer(1...90), kernel: kernel, stride: stride,
                padding: index % 4 == 0 ? (0, 0) : padding)
            seen[ConvolutionPlan(shape).algorithm, default: 0] += 1
            if shape.mirrored == nil { scattered += 1 }
            check(shape, gap: index % 3, accumulate: index % 5 == 0, &generator)
        }
        #expect(seen[.pointwise, default: 0] > 5 && seen[.shifted, default: 0] > 5 && seen[.columns, default: 0] > 5)
        #expect(scattered > 5)
    }

    @Test(
        "Cuts that small shapes do not reach: many work items, several depth pieces and panels",
        arguments: [
            convolution(batch: 2, input: (33, 31), inputChannels: 3, outputChannels: 16, kernel: (3, 3)),
            convolution(batch: 1, input: (9, 9), inputChannels: 300, outputChannels: 130, kernel: (1, 1)),
            convolution(
                batch: 2, input: (9, 8), inputChannels: 270, outputChannels: 70, kernel: (3, 1), padding: (1, 0)),
            convolution(
                batch: 1, input: (40, 40), inputChannels: 5, outputChannels: 6, kernel: (7, 1), padding: (3, 0)),
            convolution(
                batch: 1, input: (9, 9), inputChannels: 70, outputChannels: 270, kernel: (3, 3), stride: (2, 2)),
            convolution(
                batch: 3, input: (2, 1), inputChannels: 20, outputChannels: 20, kernel: (7, 1), padding: (3, 0)),
            convolution(
                batch: 1, input: (70, 70), inputChannels: 2, outputChannels: 3, kernel: (5, 5), padding: (2, 2)),
        ])
    func largerShapes(shape: ConvolutionShape) {
        var generator = Generator("larger \(shape.depth)")
        check(shape, gap: 0, accumulate: false, &generator)
    }

    /// Finite differences of the plain forward product: what backward means, apart from any formula for it.
    @Test func finiteDifferences() {
        let shape = convolution(
            batch: 2, input: (5, 6), inputChannels: 3, outputChannels: 4, kernel: (3, 2), stride: (2, 1),
            padding: (1, 0))
        var generator = Generator("convolution differences")
        let input = generator.values(shape.inputPixels * 3)
        let weights = generator.values(4 * shape.depth)
        let direction = generator.values(shape.outputPixels * 4)
        let plain = PlainConvolution(shape: shape)
        func objective(_ input: [Float], _ weights: [Float]) -> Double {
            var sum = 0.0
            plain.forEachProduct { sum += Double(input[$0]) * Double(weights[$1]) * Double(direction[$2]) }
            return sum
        }
        let engine = EngineConvolution(
            shape, weights: weights, input: input, outputGradient: direction, gap: 0, accumulate: false, threads: 1)
        for index in stride(from: 0, to: input.count, by: 7) {
            var (up, down) = (input, input)
            up[index] += 0.25
            down[index] -= 0.25
            let slope = (objective(up, weights) - objective(down, weights)) / Double(up[index] - down[index])
            #expect(abs(slope - Double(engine.inputGradient[index])) < 1e-4)
        }
        for index in stride(from: 0, to: weights.count, by: 5) {
            var (up, down) = (weights, weights)
            up[index] += 0.25
            down[index] -= 0.25
            let slope = (objective(input, up) - objective(input, down)) / Double(up[index] - down[index])
            #expect(abs(slope - Double(engine.weightGradient[index])) < 1e-4)
        }
    }

    @Test func finishSeesEveryPixelOnce() {
        for kernel in [(1, 1), (3, 1), (3, 3)] {
            let shape = convolution(
                batch: 3, input: (30, 20), inputChannels: 2, outputChannels: 2, kernel: kernel,
                padding: (kernel.0 / 2, kernel.1 / 2))
            let plan = ConvolutionPlan(shape)
            let test = TestContext(threads: 1, scratchFloats: plan.scratchFloats)
            let x = OwnedMap(batch: 3, height: 30, width: 20, channels: 2)
            x.fill(1)
            let y = OwnedMap(batch: 3, height: 30, width: 20, channels: 2)
            var seen = [Int](repeating: 0, count: shape.outputPixels)
            plan.forward(
                input: x.map, weights: [Float](repeating: 1, count: 2 * shape.depth), output: y.map,
                context: test.context
            ) { chunk, pixels in
                #expect(plan.pixels(ofChunk: chunk) == pixels)
                for pixel in pixels { seen[pixel] += 1 }
            }
            #expect(seen.allSatisfy { $0 == 1 })
        }
    }
}
