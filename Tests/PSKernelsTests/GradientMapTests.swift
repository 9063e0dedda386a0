// Gradients read through batch norm and ReLU against the same gradients written out first.

import PSKernels
import PSModel
import PSPlanning
import Testing

@Suite struct GradientMapTests {
    private static let shape = ConvolutionShape(
        batch: 3, window: SlidingWindow(input: Extent(9, 11), kernel: Extent(3, 3), padding: Extent(1, 1)),
        inputChannels: 20, outputChannels: 37)
    private static let pointwise = ConvolutionShape(
        batch: 3, window: SlidingWindow(input: Extent(9, 11), kernel: Extent(1, 1)), inputChannels: 20,
        outputChannels: 37)

    /// Maps and the vectors of a batch norm, seeded.
    private struct Case {
        let (x, gradient, written): (OwnedMap, OwnedMap, OwnedMap)
        let vectors: UnsafeMutablePointer<Float>
        let state: BatchNormState

        init() {
            var generator = Generator("gradient maps")
            func map() -> OwnedMap { OwnedMap(batch: 3, height: 9, width: 11, channels: 37, gap: 3) }
            (x, gradient, written) = (map(), map(), map())
            x.fill(&generator)
            gradient.fill(&generator)
            vectors = .allocate(capacity: (2 + BatchNormState.vectors) * 37)
            for index in 0..<(2 + BatchNormState.vectors) * 37 { vectors[index] = generator.value() }
            state = BatchNormState(
                scale: vectors, shift: vectors + 37, vectors: vectors + 2 * 37, channels: 37)
            written.values = zip(x.values, gradient.values).enumerated().map { index, pair in
                let (value, d, c) = (pair.0, pair.1, index % 37)
                let open = value * state.scale[c] + state.shift[c] > 0 ? d : 0
                return state.scale[c] * open + state.slope[c] * (value - state.mean[c]) + state.offset[c]
            }
        }

        var read: GradientMap { GradientMap(gradient.map, norm: GradientMap.Norm(x: x.map, state: state)) }
    }

    /// Both gradients of a kernel, one vector after the other.
    private typealias Backward = (
        _ gradient: GradientMap, _ input: InputMap, _ inputGradient: FeatureMap,
        _ weightGradient: UnsafeMutablePointer<Float>, _ context: KernelContext
    ) -> Void

    private func compare(_ shape: ConvolutionShape, scratch: Int, _ backward: Backward) {
        var generator = Generator("gradient map inputs")
        let test = Case()
        defer { test.vectors.deallocate() }
        let context = TestContext(threads: 2, scratchFloats: scratch)
        let input = OwnedMap(batch: 3, height: 9, width: 11, channels: 20)
        input.fill(&generator)
        func run(_ gradient: GradientMap) -> [Float] {
            let dx = OwnedMap(batch: 3, height: 9, width: 11, channels: 20)
            var dw = [Float](repeating: .nan, count: shape.outputChannels * shape.depth)
            backward(gradient, InputMap(input.map), dx.map, &dw, context.context)
            return dx.values + dw
        }
        let through = run(test.read)
        let written = run(GradientMap(test.written.map))
        let scale = written.map { abs($0) }.max()!
        #expect(zip(through, written).allSatisfy { abs($0 - $1) < 1e-5 * scale })
        withExtendedLifetime((test, context, input)) {}
    }

    private func weights(_ count: Int) -> [Float] {
        var generator = Generator("gradient map weights")
        return generator.values(count)
    }

    @Test(arguments: [4, 6]) func winograd(tile: Int) throws {
        let kernel = try #require(WinogradConvolution(Self.shape, tile: tile))
        var prepared = [Float](repeating: .nan, count: kernel.gradientWeightFloats)
        for item in 0..<kernel.prepareItems {
            kernel.prepare(
                item: item, canonical: weights(37 * 20 * 9), weights: nil, gradientWeights: &prepared)
        }
        var parts = [Float](repeating: .nan, count: kernel.partFloats)
        compare(Self.shape, scratch: kernel.scratchFloats) { gradient, input, dx, dw, context in
            kernel.backward(
                input: input, outputGradient: gradient, gradientWeights: prepared, inputGradient: dx,
                accumulate: false, parts: &parts, canonical: dw, context: context)
        }
    }

    @Test func direct() {
        let kernel = DirectConvolution(Self.shape)
        var prepared = [Float](repeating: .nan, count: kernel.gradientWeightFloats)
        for item in 0..<kernel.layout.prepareItems {
            kernel.layout.prepare(item: item, canonical: weights(37 * 20 * 9), forward: nil, backward: &prepared)
        }
        var parts = [Float](repeating: .nan, count: kernel.partFloats)
        compare(Self.shape, scratch: kernel.scratchFloats) { gradient, input, dx, dw, context in
            kernel.backward(
                input: input, outputGradient: gradient, gradientWeights: prepared, inputGradient: dx,
                accumulate: false, parts: &parts, canonical: dw, context: context)
        }
    }

    @Test func pointwise() {
        let group = PointwiseGroup(pixels: Self.pointwise.outputPixels, inputChannels: 20, outputChannels: [37])
        var forward = [Float](repeating: .nan, count: group.weightFloats(member: 0))
        var prepared = [Float](repeating: .nan, count: group.gradientWeightFloats)
        for item in 0..<group.prepareItems(member: 0) {
            group.prepare(
                member: 0, item: item, canonical: weights(37 * 20), weights: &forward, gradientWeights: &prepared)
        }
        var parts = [Float](repeating: .nan, count: group.partFloats)
        compare(Self.pointwise, scratch: group.scratchFloats) { gradient, input, dx, dw, context in
            group.backward(
                input: input, outputGradients: [gradient], gradientWeights: prepared, inputGradient: dx,
                accumulate: false, parts: &parts, canonical: [dw], context: context)
        }
    }
}
