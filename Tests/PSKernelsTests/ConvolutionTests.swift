// Convolutions in all three directions against plain loops in double precision, over seeded random shapes.

import PSKernels
import PSModel
import PSPlanning
import Testing

/// Sums with the sum of absolute terms, by which rounding is judged.
private typealias Sums = [(value: Double, scale: Double)]

private func convolution(
    batch: Int, input: (Int, Int), inputChannels: Int, outputChannels: Int, kernel: (Int, Int),
    stride: (Int, Int) = (1, 1), padding: (Int, Int) = (0, 0)
) -> ConvolutionShape {
    let window = SlidingWindow(
        input: Extent(input.0, input.1), kernel: Extent(kernel.0, kernel.1), stride: Extent(stride.0, stride.1),
        padding: Extent(padding.0, padding.1))
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
    /// Of scratch and parts.
    var guardsAreIntact = true

    init(
        _ shape: ConvolutionShape, weights: [Float], input: [Float], norm: [Float]? = nil, outputGradient: [Float],
        gap: Int, accumulate: Bool, threads: Int
    ) {
        let kernel = DirectConvolution(shape)
        let group = PointwiseGroup(
            pixels: shape.outputPixels, inputChannels: shape.inputChannels, outputChannels: [shape.outputChannels])
        let isPointwise = shape.window.isPointwise
        let test = TestContext(
            threads: threads, scratchFloats: isPointwise ? group.scratchFloats : kernel.scratchFloats)
        let parts = GuardedMemory(floats: isPointwise ? group.partFloats : kernel.partFloats)
        func map(_ size: Extent, _ channels: Int) -> OwnedMap {
            OwnedMap(batch: shape.batch, height: size.height, width: size.width, channels: channels, gap: gap)
        }
        let x = map(shape.window.input, shape.inputChannels)
        let y = map(shape.window.output, shape.outputChannels)
        let dx = map(shape.window.input, shape.inputChannels)
        let dy = map(shape.window.output, shape.outputChannels)
        x.values = input
        dy.values = outputGradient
        // What must be overwritten starts as NaN, what is added to starts as 1.
        y.fill(.nan)
        dx.fill(accumulate ? 1 : .nan)

        let count = shape.outputChannels * shape.depth
        let forward = UnsafeMutablePointer<Float>.allocate(capacity: count)
        let backward = UnsafeMutablePointer<Float>.allocate(capacity: count)
        let canonical = UnsafeMutablePointer<Float>.allocate(capacity: count)
        defer { for memory in [forward, backward, canonical] { memory.deallocate() } }
        canonical.initialize(repeating: .nan, count: count)
        withNorm(norm, channels: shape.inputChannels) { norm in
            let read = InputMap(x.map, norm: norm)
            if isPointwise {
                for item in (0..<group.prepareItems(member: 0)).reversed() {
                    group.prepare(
                        member: 0, item: item, canonical: weights, weights: forward, gradientWeights: backward)
                }
                group.forward(input: read, weights: [UnsafePointer(forward)], outputs: [y.map], context: test.context)
                group.backward(
                    input: read, outputGradients: [GradientMap(dy.map)], gradientWeights: backward,
                    inputGradient: dx.map, accumulate: accumulate, parts: parts.base, canonical: [canonical],
                    context: test.context)
            } else {
                for item in (0..<kernel.layout.prepareItems).reversed() {
                    kernel.layout.prepare(item: item, canonical: weights, forward: forward, backward: backward)
                }
                kernel.forward(input: read, weights: forward, output: y.map, context: test.context)
                kernel.backward(
                    input: read, outputGradient: GradientMap(dy.map), gradientWeights: backward,
                    inputGradient: dx.map, accumulate: accumulate, parts: parts.base, canonical: canonical,
                    context: test.context)
            }
        }
        weightGradient = Array(UnsafeBufferPointer(start: canonical, count: count))
        output = y.values
        inputGradient = dx.values
        gapsAreIntact = y.gapsAreIntact && dx.gapsAreIntact
        guardsAreIntact = test.scratch.guardsAreIntact && parts.guardsAreIntact
        withExtendedLifetime((test, x, dy)) {}
    }
}

/// Scales and then shifts as one array; nil reads the map as it is.
func withNorm(_ norm: [Float]?, channels: Int, _ body: (InputMap.Norm?) -> Void) {
    guard let norm else { return body(nil) }
    norm.withUnsafeBufferPointer {
        body(InputMap.Norm(scale: $0.baseAddress!, shift: $0.baseAddress! + channels))
    }
}

/// What readers see of a dense map.
func normalised(_ values: [Float], _ norm: [Float]?, channels: Int) -> [Float] {
    guard let norm else { return values }
    return values.indices.map { max(values[$0] * norm[$0 % channels] + norm[channels + $0 % channels], 0) }
}

private func check(
    _ shape: ConvolutionShape, gap: Int, normed: Bool = false, accumulate: Bool, _ generator: inout Generator
) {
    let input = generator.values(shape.inputPixels * shape.inputChannels)
    let outputGradient = generator.values(shape.outputPixels * shape.outputChannels)
    let weights = generator.values(shape.outputChannels * shape.depth)
    let norm = normed ? generator.values(2 * shape.inputChannels) : nil
    func engine(threads: Int) -> EngineConvolution {
        EngineConvolution(
            shape, weights: weights, input: input, norm: norm, outputGradient: outputGradient, gap: gap,
            accumulate: accumulate, threads: threads)
    }
    let alone = engine(threads: 1)
    let plain = PlainConvolution(shape: shape)
    let read = normalised(input, norm, channels: shape.inputChannels)
    func start(_ sums: Sums) -> Sums { accumulate ? sums.map { ($0.value + 1, $0.scale + 1) } : sums }
    let output = plain.sums(into: outputGradient.count) { ($2, Double(read[$0]) * Double(weights[$1])) }
    let inputGradient = plain.sums(into: input.count) { ($0, Double(outputGradient[$2]) * Double(weights[$1])) }
    let weightGradient = plain.sums(into: weights.count) { ($1, Double(outputGradient[$2]) * Double(read[$0])) }
    #expect(agree(alone.output, output, bound: 1e-6), "forward \(shape)")
    #expect(agree(alone.inputGradient, start(inputGradient), bound: 1e-6), "data gradient \(shape)")
    #expect(agree(alone.weightGradient, weightGradient, bound: 1e-6), "weight gradient \(shape)")
    #expect(alone.gapsAreIntact && alone.guardsAreIntact, "\(shape)")

    let shared = engine(threads: 3)
    #expect(sameBits(alone.output, shared.output))
    #expect(sameBits(alone.inputGradient, shared.inputGradient))
    #expect(sameBits(alone.weightGradient, shared.weightGradient))
}

@Suite struct ConvolutionTests {
    @Test func randomShapes() {
        var generator = Generator("convolution shapes")
        var (pointwise, scattered) = (0, 0)
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
            if shape.window.isPointwise { pointwise += 1 }
            if shape.scattersGradient { scattered += 1 }
            check(
                shape, gap: index % 3, normed: index % 2 == 1 || index % 8 == 0, accumulate: index % 5 == 0, &generator)
        }
        #expect(pointwise > 5 && scattered > 5)
    }

    @Test(
        "Cuts that small shapes do not reach: many work items, several parts, depth pieces and panels",
        arguments: [
            convolution(batch: 2, input: (33, 31), inputChannels: 3, outputChannels: 16, kernel: (3, 3)),
            convolution(batch: 1, input: (9, 9), inputChannels: 300, outputChannels: 130, kernel: (1, 1)),
            convolution(batch: 2, input: (70, 70), inputChannels: 70, outputChannels: 20, kernel: (1, 1)),
            convolution(
                batch: 2, input: (9, 8), inputChannels: 270, outputChannels: 70, kernel: (3, 1), padding: (1, 0)),
            convolution(
                batch: 1, input: (9, 9), inputChannels: 70, outputChannels: 270, kernel: (3, 3), stride: (2, 2)),
            convolution(
                batch: 2, input: (70, 70), inputChannels: 2, outputChannels: 3, kernel: (5, 5), padding: (2, 2)),
            // Rows of scratch are padded.
            convolution(batch: 1, input: (5, 5), inputChannels: 256, outputChannels: 256, kernel: (1, 1)),
            // Forward needs the most scratch.
            convolution(
                batch: 2, input: (65, 65), inputChannels: 15, outputChannels: 8, kernel: (3, 3), stride: (2, 2)),
        ])
    func largerShapes(shape: ConvolutionShape) {
        var generator = Generator("larger \(shape.depth)")
        check(shape, gap: 0, normed: shape.depth % 2 == 0, accumulate: false, &generator)
    }

    /// Three branches of one map against each of them alone.
    @Test(arguments: [false, true]) func siblings(normed: Bool) {
        var generator = Generator("siblings")
        let outputs = [20, 7, 70]
        let (pixels, channels) = (300, 40)
        func map(_ channels: Int, gap: Int = 0) -> OwnedMap {
            OwnedMap(batch: 1, height: 15, width: 20, channels: channels, gap: gap)
        }
        let input = generator.values(pixels * channels)
        let norm = normed ? generator.values(2 * channels) : nil
        let read = normalised(input, norm, channels: channels).map(Double.init)
        let weights = outputs.map { generator.values($0 * channels) }
        let gradients = outputs.map { generator.values($0 * pixels) }
        let group = PointwiseGroup(pixels: pixels, inputChannels: channels, outputChannels: outputs)
        let test = TestContext(threads: 2, scratchFloats: group.scratchFloats)
        let (x, dx) = (map(channels, gap: 3), map(channels))
        x.values = input
        let y = outputs.map { map($0, gap: 5) }
        let dy = outputs.map { map($0) }
        for (map, values) in zip(dy, gradients) { map.values = values }
        let forward = outputs.map { UnsafeMutablePointer<Float>.allocate(capacity: $0 * channels) }
        let canonical = outputs.map { UnsafeMutablePointer<Float>.allocate(capacity: $0 * channels) }
        let backward = UnsafeMutablePointer<Float>.allocate(capacity: group.gradientWeightFloats)
        defer { for memory in forward + canonical + [backward] { memory.deallocate() } }
        for member in outputs.indices {
            for item in 0..<group.prepareItems(member: member) {
                group.prepare(
                    member: member, item: item, canonical: weights[member], weights: forward[member],
                    gradientWeights: backward)
            }
        }
        let parts = GuardedMemory(floats: group.partFloats)
        withNorm(norm, channels: channels) { norm in
            let read = InputMap(x.map, norm: norm)
            group.forward(
                input: read, weights: forward.map { UnsafePointer($0) }, outputs: y.map(\.map), context: test.context)
            group.backward(
                input: read, outputGradients: dy.map { GradientMap($0.map) }, gradientWeights: backward,
                inputGradient: dx.map, accumulate: false, parts: parts.base, canonical: canonical,
                context: test.context)
        }
        #expect(test.scratch.guardsAreIntact && parts.guardsAreIntact)
        withExtendedLifetime((x, dy)) {}
        var inputGradient = Sums(repeating: (0, 0), count: pixels * channels)
        for (member, count) in outputs.enumerated() {
            var output = Sums(repeating: (0, 0), count: pixels * count)
            var weightGradient = Sums(repeating: (0, 0), count: count * channels)
            for pixel in 0..<pixels {
                for o in 0..<count {
                    let d = Double(gradients[member][pixel * count + o])
                    for c in 0..<channels {
                        let w = Double(weights[member][o * channels + c])
                        let terms = [read[pixel * channels + c] * w, d * w, d * read[pixel * channels + c]]
                        output[pixel * count + o].value += terms[0]
                        output[pixel * count + o].scale += abs(terms[0])
                        inputGradient[pixel * channels + c].value += terms[1]
                        inputGradient[pixel * channels + c].scale += abs(terms[1])
                        weightGradient[o * channels + c].value += terms[2]
                        weightGradient[o * channels + c].scale += abs(terms[2])
                    }
                }
            }
            #expect(agree(y[member].values, output, bound: 1e-6) && y[member].gapsAreIntact)
            let found = Array(UnsafeBufferPointer(start: canonical[member], count: count * channels))
            #expect(agree(found, weightGradient, bound: 1e-6))
        }
        #expect(agree(dx.values, inputGradient, bound: 1e-6))
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

    /// A NaN reaches every sum it is a term of, and no other: read as it is and through a norm, by im2col and by 1x1.
    @Test(arguments: [1, 3], [false, true]) func aNotANumberIsNotHidden(kernel: Int, normed: Bool) {
        let shape = convolution(
            batch: 1, input: (5, 6), inputChannels: 37, outputChannels: 20, kernel: (kernel, kernel),
            padding: (kernel / 2, kernel / 2))
        var generator = Generator("convolution not a number")
        let weights = generator.values(shape.outputChannels * shape.depth)
        let norm = normed ? generator.values(2 * 37) : nil
        var input = generator.values(shape.inputPixels * 37)
        var outputGradient = generator.values(shape.outputPixels * 20)
        // In channels of whole vectors and in those that are left.
        for channel in [3, 35] { input[8 * 37 + channel] = .nan }
        for channel in [7, 18] { outputGradient[21 * 20 + channel] = .nan }
        let engine = EngineConvolution(
            shape, weights: weights, input: input, norm: norm, outputGradient: outputGradient, gap: 0,
            accumulate: false, threads: 1)
        let plain = PlainConvolution(shape: shape)
        let read = normalised(input, norm, channels: 37)
        let output = plain.sums(into: outputGradient.count) { ($2, Double(read[$0]) * Double(weights[$1])) }
        let inputGradient = plain.sums(into: input.count) { ($0, Double(outputGradient[$2]) * Double(weights[$1])) }
        let weightGradient = plain.sums(into: weights.count) { ($1, Double(outputGradient[$2]) * Double(read[$0])) }
        #expect(engine.output.map(\.isNaN) == output.map(\.value.isNaN))
        #expect(engine.inputGradient.map(\.isNaN) == inputGradient.map(\.value.isNaN))
        #expect(engine.weightGradient.map(\.isNaN) == weightGradient.map(\.value.isNaN))
    }

    @Test func finishSeesEveryPixelOnce() {
        let shape = convolution(
            batch: 3, input: (30, 20), inputChannels: 2, outputChannels: 2, kernel: (3, 3), padding: (1, 1))
        let kernel = DirectConvolution(shape)
        let test = TestContext(threads: 1, scratchFloats: kernel.scratchFloats)
        let x = OwnedMap(batch: 3, height: 30, width: 20, channels: 2)
        x.fill(1)
        let y = OwnedMap(batch: 3, height: 30, width: 20, channels: 2)
        var seen = [Int](repeating: 0, count: shape.outputPixels)
        kernel.forward(
            input: InputMap(x.map), weights: [Float](repeating: 1, count: 2 * shape.depth), output: y.map,
            context: test.context
        ) { item, pixels, channels in
            #expect(kernel.pixels(ofItem: item) == pixels && channels == 0..<2)
            for pixel in pixels { seen[pixel] += 1 }
        }
        withExtendedLifetime((test, x, y)) {}
        #expect(seen.allSatisfy { $0 == 1 })
    }
}
