// The layers without weights: pools, sums, ReLUs, local response norms, dropout.

import PSKernels
import PSModel

/// From one map to another, without weights: a max, average, global or adaptive average pool, or local response
/// normalisation across channels.
struct PlainLayer: Layer {
    enum Kind {
        case max(PoolShape, taps: UnsafeMutablePointer<UInt8>?)
        case average(PoolShape, countBorder: Bool)
        case adaptive(AdaptivePool)
        case responseNorm(LocalResponseNorm)
    }

    let name: String
    let kind: Kind
    let input: InputMap
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool

    private var algorithm: String {
        switch kind {
        case .max: "max pool"
        case .average, .adaptive: "average pool"
        case .responseNorm: "response norm"
        }
    }

    func forward(_ step: StepEnvironment) {
        step.clock.measure(name, .forward, algorithm) { infer(step.context) }
    }

    func infer(_ context: KernelContext) {
        switch kind {
        case .max(let shape, let taps): shape.maxForward(input, to: output, taps: taps, context: context)
        case .average(let shape, let countBorder):
            shape.averageForward(input, to: output, countBorder: countBorder, context: context)
        case .adaptive(let pool): pool.forward(input, to: output, context: context)
        case .responseNorm(let norm): norm.forward(input, to: output, context: context)
        }
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient, let inputGradient else { return }
        step.clock.measure(name, .dataGradient, algorithm) {
            switch kind {
            case .max(let shape, let taps):
                guard let taps else { preconditionFailure("max pool backward without the taps of its forward") }
                shape.maxBackward(
                    outputGradient: outputGradient, taps: taps, inputGradient: inputGradient, accumulate: accumulates,
                    context: step.context)
            case .average(let shape, let countBorder):
                shape.averageBackward(
                    outputGradient: outputGradient, inputGradient: inputGradient, countBorder: countBorder,
                    accumulate: accumulates, context: step.context)
            case .adaptive(let pool):
                pool.backward(
                    outputGradient: outputGradient, inputGradient: inputGradient, accumulate: accumulates,
                    context: step.context)
            case .responseNorm(let norm):
                norm.backward(
                    outputGradient: outputGradient, input, inputGradient: inputGradient, accumulate: accumulates,
                    context: step.context)
            }
        }
    }
}

/// A residual block's sum: max(first + factor * second, floor).
struct SumLayer: Layer {
    let name: String
    let factor: Float
    /// 0 with a ReLU, else minus infinity.
    let floor: Float
    /// Two.
    let inputs: [InputMap]
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let inputGradients: [FeatureMap?]
    let accumulates: [Bool]

    func forward(_ step: StepEnvironment) {
        step.clock.measure(name, .forward, "sum") { infer(step.context) }
    }

    func infer(_ context: KernelContext) {
        Elementwise.add(inputs[0], inputs[1], factor: factor, floor: floor, to: output, context: context)
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient else { return }
        step.clock.measure(name, .dataGradient, "sum") {
            // What lies above the floor after the sum did so before it.
            for (input, factor) in [(0, 1), (1, factor)] {
                guard let inputGradient = inputGradients[input] else { continue }
                Elementwise.openGradient(
                    outputGradient, through: InputMap(output), floor: floor, factor: factor, to: inputGradient,
                    accumulate: accumulates[input], context: step.context)
            }
        }
    }
}

/// A ReLU that no other layer takes along: forward its readers do the work.
struct ReLULayer: Layer {
    let name: String
    let input: InputMap
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool

    func forward(_ step: StepEnvironment) {}
    func infer(_ context: KernelContext) {}

    func backward(_ step: StepEnvironment) {
        guard let outputGradient, let inputGradient else { return }
        step.clock.measure(name, .dataGradient, "ReLU") {
            Elementwise.openGradient(
                outputGradient, through: input, floor: 0, to: inputGradient, accumulate: accumulates,
                context: step.context)
        }
    }
}

/// Inverted dropout: an element is zeroed with `probability`, the others are divided by the rest.
///
/// Whether element i (position in the batch's map) falls is a pure function of the step's random numbers and the stream.
struct DropoutLayer: Layer {
    let name: String
    let stream: Int
    let probability: Float
    let input: InputMap
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool

    func forward(_ step: StepEnvironment) {
        step.clock.measure(name, .forward, "dropout") {
            eachPixel(step) { pixel, factor in
                let from = read(pixel, step.context)
                let to = output.pixel(pixel)
                for channel in 0..<output.channels { to[channel] = from[channel] * factor(channel) }
            }
        }
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient, let inputGradient else { return }
        step.clock.measure(name, .dataGradient, "dropout") {
            eachPixel(step) { pixel, factor in
                let from = outputGradient.pixel(pixel)
                let to = inputGradient.pixel(pixel)
                for channel in 0..<output.channels {
                    let gradient = from[channel] * factor(channel)
                    to[channel] = accumulates ? to[channel] + gradient : gradient
                }
            }
        }
    }

    func infer(_ context: KernelContext) {
        for pixel in 0..<output.pixels {
            output.pixel(pixel).update(from: read(pixel, context), count: output.channels)
        }
    }

    /// A pixel as the layer sees it.
    private func read(_ pixel: Int, _ context: KernelContext) -> UnsafePointer<Float> {
        input.read(pixel..<pixel + 1, into: context.scratch(0), stride: output.channels).left
    }

    private func eachPixel(_ step: StepEnvironment, _ body: (_ pixel: Int, _ factor: (Int) -> Float) -> Void) {
        let random = step.random.stream(UInt64(stream))
        let kept: Float = step.dropout ? 1 / (1 - probability) : 1
        for pixel in 0..<output.pixels {
            body(pixel) { channel in
                let element = UInt64(pixel * output.channels + channel)
                return step.dropout && random.uniform(element) < probability ? 0 : kept
            }
        }
    }
}
