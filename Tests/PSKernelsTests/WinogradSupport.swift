// A convolution's three directions as plain loops in double precision, and the same by Winograd.

import PSKernels
import PSModel
import PSPlanning

/// One convolution's operands. `raw` is what lies in memory; with a norm, `input` is what the convolution sees of it.
struct WinogradCase {
    let shape: ConvolutionShape
    let weights: [Float]
    let raw: [Float]
    /// What lies in memory of the output's gradient.
    let rawGradient: [Float]
    /// If the gradient is read through a norm: the map it goes by; per channel scale, shift, mean, slope and offset.
    var gradientNorm: (x: [Float], vectors: [[Float]])?
    var scale: [Float]?
    var shift: [Float]?
    var bias: [Float]?

    init(_ shape: ConvolutionShape, norm: Bool, bias: Bool, _ generator: inout Generator) {
        self.shape = shape
        weights = generator.values(shape.outputChannels * shape.depth)
        raw = generator.values(shape.inputPixels * shape.inputChannels)
        rawGradient = generator.values(shape.outputPixels * shape.outputChannels)
        if norm {
            gradientNorm = (
                generator.values(rawGradient.count), (0..<5).map { _ in generator.values(shape.outputChannels) }
            )
            scale = generator.values(shape.inputChannels)
            shift = generator.values(shape.inputChannels)
        }
        if bias { self.bias = generator.values(shape.outputChannels) }
    }

    var input: [Double] {
        raw.enumerated().map { index, value in
            guard let scale, let shift else { return Double(value) }
            let channel = index % shape.inputChannels
            return max(0, Double(value) * Double(scale[channel]) + Double(shift[channel]))
        }
    }
}

extension WinogradCase {
    /// The gradient of what the convolution writes.
    var outputGradient: [Double] {
        rawGradient.enumerated().map { index, value in
            guard let (x, vectors) = gradientNorm else { return Double(value) }
            let (scale, shift) = (Double(vectors[0][index % shape.outputChannels]), vectors[1])
            let (mean, slope, offset) = (vectors[2], vectors[3], vectors[4])
            let channel = index % shape.outputChannels
            let open = Double(x[index]) * scale + Double(shift[channel]) > 0 ? Double(value) : 0
            return scale * open + Double(slope[channel]) * (Double(x[index]) - Double(mean[channel]))
                + Double(offset[channel])
        }
    }
}

/// A map of sums and the largest sum of absolute terms among them: a tile's outputs share their rounding.
struct PlainSums {
    var values: [Double]
    var scale: Double

    /// Largest distance relative to the scale.
    func error(of found: [Float], offset: Double = 0) -> Double {
        precondition(found.count == values.count)
        return zip(found, values).reduce(0) { worst, pair in
            // A NaN is a distance, too.
            let distance = abs(Double(pair.0) - pair.1 - offset)
            return distance.isNaN ? .infinity : max(worst, distance / (scale + abs(offset)))
        }
    }
}

/// The definition: out[n, y, x, o] = sum of in[n, y s + ky - p, x s + kx - p, i] * w[o, i, ky, kx].
struct PlainDirections {
    var output: PlainSums
    var inputGradient: PlainSums
    var weightGradient: PlainSums

    init(_ test: WinogradCase) {
        let shape = test.shape
        let window = shape.window
        let (inputs, outputs) = (shape.inputChannels, shape.outputChannels)
        let input = test.input
        let outputGradient = test.outputGradient
        var y = [(value: Double, scale: Double)](repeating: (0, 0), count: outputGradient.count)
        var dx = [(value: Double, scale: Double)](repeating: (0, 0), count: input.count)
        var dw = [(value: Double, scale: Double)](repeating: (0, 0), count: test.weights.count)
        func add(_ term: Double, _ sums: inout [(value: Double, scale: Double)], _ index: Int) {
            sums[index].value += term
            sums[index].scale += abs(term)
        }
        for pixel in 0..<shape.outputPixels {
            let (n, inside) = pixel.quotientAndRemainder(dividingBy: window.output.area)
            for tap in 0..<shape.taps {
                let row =
                    inside / window.output.width * window.stride.height + tap / window.kernel.width
                    - window.padding.height
                let column =
                    inside % window.output.width * window.stride.width + tap % window.kernel.width
                    - window.padding.width
                guard (0..<window.input.height).contains(row), (0..<window.input.width).contains(column) else {
                    continue
                }
                let from = ((n * window.input.height + row) * window.input.width + column) * inputs
                for o in 0..<outputs {
                    let gradient = outputGradient[pixel * outputs + o]
                    for i in 0..<inputs {
                        let index = (o * inputs + i) * shape.taps + tap
                        let weight = Double(test.weights[index])
                        add(input[from + i] * weight, &y, pixel * outputs + o)
                        add(gradient * weight, &dx, from + i)
                        add(gradient * input[from + i], &dw, index)
                    }
                }
            }
        }
        func sums(_ terms: [(value: Double, scale: Double)]) -> PlainSums {
            PlainSums(values: terms.map(\.value), scale: terms.map(\.scale).max() ?? 0)
        }
        (output, inputGradient, weightGradient) = (sums(y), sums(dx), sums(dw))
        guard let bias = test.bias else { return }
        for index in output.values.indices {
            output.values[index] = max(0, output.values[index] + Double(bias[index % outputs]))
        }
        output.scale += 1
    }
}

/// Everything one convolution computes, by Winograd.
struct WinogradRun {
    var output: [Float] = []
    var inputGradient: [Float] = []
    var weightGradient: [Float] = []
    /// The weight gradient when no data gradient is asked for.
    var weightGradientAlone: [Float] = []
    var dataShare = 0.0
    var gapsAreIntact = true
    /// Of scratch and parts.
    var guardsAreIntact = true

    init(_ test: WinogradCase, _ plan: WinogradConvolution, gap: Int, accumulate: Bool, threads: Int) {
        let shape = test.shape
        let context = TestContext(threads: threads, scratchFloats: plan.scratchFloats)
        func map(_ size: Extent, _ channels: Int) -> OwnedMap {
            OwnedMap(batch: shape.batch, height: size.height, width: size.width, channels: channels, gap: gap)
        }
        let x = map(shape.window.input, shape.inputChannels)
        let y = map(shape.window.output, shape.outputChannels)
        let dx = map(shape.window.input, shape.inputChannels)
        let dy = map(shape.window.output, shape.outputChannels)
        x.values = test.raw
        dy.values = test.rawGradient
        let before = map(shape.window.output, shape.outputChannels)
        before.values = test.gradientNorm?.x ?? test.rawGradient
        let vectors = UnsafeMutablePointer<Float>.allocate(capacity: 6 * shape.outputChannels)
        defer { vectors.deallocate() }
        let norm = test.gradientNorm.map { norm in
            let state = BatchNormState(
                scale: vectors, shift: vectors + shape.outputChannels, vectors: vectors + 2 * shape.outputChannels,
                channels: shape.outputChannels)
            for (target, values) in zip(
                [state.scale, state.shift, state.mean, state.slope, state.offset], norm.vectors)
            {
                target.initialize(from: values, count: values.count)
            }
            return GradientMap.Norm(x: before.map, state: state)
        }
        let gradient = GradientMap(dy.map, norm: norm)
        // What must be overwritten starts as NaN, what is added to starts as 1.
        y.fill(.nan)
        dx.fill(accumulate ? 1 : .nan)
        var weights = [Float](repeating: .nan, count: plan.weightFloats)
        var gradientWeights = [Float](repeating: .nan, count: plan.gradientWeightFloats)
        for item in (0..<plan.prepareItems).reversed() {
            plan.prepare(item: item, canonical: test.weights, weights: &weights, gradientWeights: &gradientWeights)
        }
        let parts = GuardedMemory(floats: plan.partFloats)
        weightGradient = [Float](repeating: .nan, count: test.weights.count)
        weightGradientAlone = weightGradient
        withExtendedLifetime((context, x, y, dx, dy, before)) {
            withOptional(test.scale) { scale in
                withOptional(test.shift) { shift in
                    let norm = scale.flatMap { scale in shift.map { InputMap.Norm(scale: scale, shift: $0) } }
                    let input = InputMap(x.map, norm: norm)
                    withOptional(test.bias) { bias in
                        plan.forward(
                            input: input, weights: weights, output: y.map, bias: bias, floor: 0,
                            context: context.context
                        ) { _, _, _ in }
                    }
                    dataShare = plan.backward(
                        input: input, outputGradient: gradient, gradientWeights: gradientWeights,
                        inputGradient: dx.map, accumulate: accumulate, parts: parts.base, canonical: &weightGradient,
                        context: context.context)
                    plan.backward(
                        input: input, outputGradient: gradient, gradientWeights: nil, inputGradient: nil,
                        accumulate: false, parts: parts.base, canonical: &weightGradientAlone,
                        context: context.context)
                }
            }
            output = y.values
            inputGradient = dx.values
            guardsAreIntact = context.scratch.guardsAreIntact && parts.guardsAreIntact
            gapsAreIntact = x.gapsAreIntact && y.gapsAreIntact && dx.gapsAreIntact && dy.gapsAreIntact
        }
    }

    private func withOptional<R>(_ values: [Float]?, _ body: (UnsafePointer<Float>?) -> R) -> R {
        guard let values else { return body(nil) }
        return values.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}
