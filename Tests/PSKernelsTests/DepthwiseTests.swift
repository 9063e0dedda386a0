// Depthwise and grouped convolutions against plain loops in double precision.

import PSKernels
import PSModel
import PSPlanning
import Testing

/// A convolution of groups, tap by tap.
private struct PlainGrouped {
    let batch: Int
    let window: SlidingWindow
    let groups: Int
    let inputs: Int
    let outputs: Int

    /// Calls `body` with the flat indices of every product: NHWC values, OIHW weights.
    func forEachProduct(_ body: (_ input: Int, _ weight: Int, _ output: Int) -> Void) {
        let (perIn, perOut) = (inputs / groups, outputs / groups)
        for image in 0..<batch {
            for y in 0..<window.output.height {
                for x in 0..<window.output.width {
                    for tap in 0..<window.kernel.area {
                        let (ky, kx) = (tap / window.kernel.width, tap % window.kernel.width)
                        let row = y * window.stride.height - window.padding.height + ky
                        let column = x * window.stride.width - window.padding.width + kx
                        guard row >= 0, row < window.input.height, column >= 0, column < window.input.width else {
                            continue
                        }
                        let inputPixel = (image * window.input.height + row) * window.input.width + column
                        let outputPixel = (image * window.output.height + y) * window.output.width + x
                        for output in 0..<outputs {
                            for input in 0..<perIn {
                                body(
                                    inputPixel * inputs + output / perOut * perIn + input,
                                    (output * perIn + input) * window.kernel.area + tap, outputPixel * outputs + output)
                            }
                        }
                    }
                }
            }
        }
    }

    func sums(_ count: Int, start: Double, _ term: (Int, Int, Int) -> (Int, Double)) -> [(value: Double, scale: Double)]
    {
        var sums = Array(repeating: (value: start, scale: abs(start)), count: count)
        forEachProduct {
            let (index, value) = term($0, $1, $2)
            sums[index].value += value
            sums[index].scale += abs(value)
        }
        return sums
    }
}

@Suite struct DepthwiseTests {
    /// The kernel's three directions against the plain ones, with and without a norm on the way in.
    private func check(_ plain: PlainGrouped, floor: Float?, accumulate: Bool, threads: Int, seed: UInt64) {
        var generator = Generator("grouped \(seed)")
        let kernel = ConvolutionKernelUnderTest(plain.batch, plain.window, plain.groups, plain.inputs, plain.outputs)
        func map(_ extent: Extent, _ channels: Int) -> OwnedMap {
            OwnedMap(batch: plain.batch, height: extent.height, width: extent.width, channels: channels, gap: 3)
        }
        let (x, dx) = (map(plain.window.input, plain.inputs), map(plain.window.input, plain.inputs))
        let (y, dy) = (map(plain.window.output, plain.outputs), map(plain.window.output, plain.outputs))
        x.fill(&generator)
        dy.fill(&generator)
        dx.fill(1)
        let weights = generator.values(plain.outputs * plain.inputs / plain.groups * plain.window.kernel.area)
        let norm = generator.values(2 * plain.inputs)
        let seen = x.values.enumerated().map { index, value -> Float in
            guard let floor else { return value }
            let channel = index % plain.inputs
            return max(value * norm[channel] + norm[plain.inputs + channel], floor)
        }
        let test = TestContext(threads: threads, scratchFloats: kernel.scratchFloats)
        var gradient = [Float](repeating: .nan, count: weights.count)
        norm.withUnsafeBufferPointer { norm in
            let input = InputMap(
                x.map,
                norm: floor.map {
                    InputMap.Norm(scale: norm.baseAddress!, shift: norm.baseAddress! + plain.inputs, floor: $0)
                })
            kernel.run(
                input, weights, y.map, dy.map, dx.map, accumulate: accumulate, gradient: &gradient, test.context)
        }
        let dyValues = dy.values
        let (w, d) = (weights.map(Double.init), dyValues.map(Double.init))
        let forward = plain.sums(y.values.count, start: 0) { ($2, Double(seen[$0]) * w[$1]) }
        #expect(agree(y.values, forward, bound: 1e-6))
        let data = plain.sums(x.values.count, start: accumulate ? 1 : 0) { ($0, w[$1] * d[$2]) }
        #expect(agree(dx.values, data, bound: 1e-6))
        let weight = plain.sums(weights.count, start: 0) { ($1, Double(seen[$0]) * d[$2]) }
        #expect(agree(gradient, weight, bound: 1e-6))
        #expect(x.gapsAreIntact && y.gapsAreIntact && dx.gapsAreIntact && test.scratch.guardsAreIntact)
    }

    @Test(arguments: [nil, 0, -Float.infinity] as [Float?], [false, true])
    func depthwise(floor: Float?, accumulate: Bool) {
        for (index, channels) in [1, 16, 21, 40].enumerated() {
            for (kernel, stride, padding) in [(3, 1, 1), (3, 1, 0), (3, 2, 1), (5, 1, 2), (2, 3, 0)] {
                let window = SlidingWindow(
                    input: Extent(9, 7), kernel: Extent(kernel, kernel), stride: Extent(stride, stride),
                    padding: Extent(padding, padding))
                check(
                    PlainGrouped(batch: 3, window: window, groups: channels, inputs: channels, outputs: channels),
                    floor: floor, accumulate: accumulate, threads: 1 + index % 3, seed: UInt64(index))
            }
        }
        // A map narrower than the window's arm.
        let narrow = SlidingWindow(input: Extent(1, 1), kernel: Extent(3, 3), padding: Extent(1, 1))
        check(
            PlainGrouped(batch: 2, window: narrow, groups: 20, inputs: 20, outputs: 20), floor: floor,
            accumulate: accumulate, threads: 1, seed: 9)
    }

    @Test(arguments: [nil, 0, -Float.infinity] as [Float?], [false, true])
    func grouped(floor: Float?, accumulate: Bool) {
        for (groups, inputs, outputs) in [(2, 6, 8), (3, 9, 3), (4, 4, 20), (2, 2, 6)] {
            for (kernel, stride, padding) in [(3, 1, 1), (5, 1, 2), (3, 2, 0)] {
                let window = SlidingWindow(
                    input: Extent(8, 6), kernel: Extent(kernel, kernel), stride: Extent(stride, stride),
                    padding: Extent(padding, padding))
                check(
                    PlainGrouped(batch: 2, window: window, groups: groups, inputs: inputs, outputs: outputs),
                    floor: floor, accumulate: accumulate, threads: 2, seed: UInt64(groups))
            }
        }
    }

    @Test func threadsDoNotShow() {
        func run(threads: Int) -> [Float] {
            var generator = Generator("threads")
            let window = SlidingWindow(input: Extent(30, 31), kernel: Extent(3, 3), padding: Extent(1, 1))
            let kernel = ConvolutionKernelUnderTest(4, window, 24, 24, 24)
            func map() -> OwnedMap { OwnedMap(batch: 4, height: 30, width: 31, channels: 24) }
            let (x, y, dx, dy) = (map(), map(), map(), map())
            x.fill(&generator)
            dy.fill(&generator)
            let test = TestContext(threads: threads, scratchFloats: kernel.scratchFloats)
            var gradient = [Float](repeating: 0, count: 24 * 9)
            kernel.run(
                InputMap(x.map), generator.values(24 * 9), y.map, dy.map, dx.map, accumulate: false,
                gradient: &gradient, test.context)
            return y.values + dx.values + gradient
        }
        #expect(sameBits(run(threads: 1), run(threads: 3)))
    }
}

/// A kernel with memory of its own.
private struct ConvolutionKernelUnderTest {
    private let kernel: any ConvolutionKernel

    init(_ batch: Int, _ window: SlidingWindow, _ groups: Int, _ inputs: Int, _ outputs: Int) {
        func shape(_ outputs: Int) -> ConvolutionShape {
            ConvolutionShape(
                batch: batch, window: window, inputChannels: inputs / groups, outputChannels: outputs)
        }
        kernel =
            groups == inputs && groups == outputs
            ? DepthwiseConvolution(shape(outputs)) : GroupedConvolution(shape(outputs / groups), groups: groups)
    }

    var scratchFloats: Int { kernel.scratchFloats }

    func run(
        _ input: InputMap, _ canonical: [Float], _ y: FeatureMap, _ dy: FeatureMap, _ dx: FeatureMap,
        accumulate: Bool, gradient: inout [Float], _ context: KernelContext
    ) {
        let weights = GuardedMemory(floats: kernel.weightFloats)
        let turned = GuardedMemory(floats: kernel.gradientWeightFloats)
        let parts = GuardedMemory(floats: kernel.partFloats)
        for item in 0..<kernel.prepareItems {
            kernel.prepare(item: item, canonical: canonical, weights: weights.base, gradientWeights: turned.base)
        }
        kernel.forward(input: input, weights: weights.base, output: y, context: context)
        kernel.backward(
            input: input, outputGradient: GradientMap(dy), gradientWeights: turned.base, inputGradient: dx,
            accumulate: accumulate, parts: parts.base, canonical: &gradient, context: context)
        #expect(weights.guardsAreIntact && turned.guardsAreIntact && parts.guardsAreIntact)
    }
}
