// The layers at work: each a pair of forward and backward over memory the plan gave it.

import PSKernels
import PSModel
import PSParameters

/// What a layer needs to know of the step it takes part in.
struct StepEnvironment {
    let context: KernelContext
    let clock: LayerClock
    /// The flat canonical vector of gradients and batch statistics.
    let gradients: UnsafeMutablePointer<Float>
    let random: CounterRandom
    let dropout: Bool
    let unbiasedVariance: Bool
    /// Whether batch norm goes by the running statistics.
    let usesRunningStatistics: Bool
}

/// One node with its memory.
protocol Layer {
    /// Overwrites the output; saves what `backward` needs.
    func forward(_ step: StepEnvironment)
    /// Turns the gradient of the output into that of the input (overwriting it, or adding if another layer wrote it
    /// before) and of the layer's own tensors (overwriting).
    func backward(_ step: StepEnvironment)
    /// The output from running statistics, without dropout.
    func infer(_ context: KernelContext)
}

/// A max, average or global average pool.
struct PoolLayer: Layer {
    enum Kind {
        case max(taps: UnsafeMutablePointer<UInt8>?)
        case average(countBorder: Bool)
    }

    let name: String
    let shape: PoolShape
    let kind: Kind
    let input: InputMap
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool

    private var algorithm: String {
        switch kind {
        case .max: "max pool"
        case .average: "average pool"
        }
    }

    func forward(_ step: StepEnvironment) {
        step.clock.measure(name, .forward, algorithm) { infer(step.context) }
    }

    func infer(_ context: KernelContext) {
        switch kind {
        case .max(let taps): shape.maxForward(input, to: output, taps: taps, context: context)
        case .average(let countBorder):
            shape.averageForward(input, to: output, countBorder: countBorder, context: context)
        }
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient, let inputGradient else { return }
        step.clock.measure(name, .dataGradient, algorithm) {
            switch kind {
            case .max(let taps):
                guard let taps else { preconditionFailure("max pool backward without the taps of its forward") }
                shape.maxBackward(
                    outputGradient: outputGradient, taps: taps, inputGradient: inputGradient, accumulate: accumulates,
                    context: step.context)
            case .average(let countBorder):
                shape.averageBackward(
                    outputGradient: outputGradient, inputGradient: inputGradient, countBorder: countBorder,
                    accumulate: accumulates, context: step.context)
            }
        }
    }
}

/// Inverted dropout: an element is zeroed with `probability`, the others are divided by the rest.
///
/// Whether element i (position in the batch's map) falls is a pure function of the step's random numbers and the node.
struct DropoutLayer: Layer {
    let name: String
    let node: Int
    let probability: Float
    let input: FeatureMap
    let output: FeatureMap
    let outputGradient: FeatureMap?
    let inputGradient: FeatureMap?
    let accumulates: Bool

    func forward(_ step: StepEnvironment) {
        step.clock.measure(name, .forward, "dropout") {
            forEachElement(step) { pixel, channel, factor in
                output.pixel(pixel)[channel] = input.pixel(pixel)[channel] * factor
            }
        }
    }

    func backward(_ step: StepEnvironment) {
        guard let outputGradient, let inputGradient else { return }
        step.clock.measure(name, .dataGradient, "dropout") {
            forEachElement(step) { pixel, channel, factor in
                let gradient = outputGradient.pixel(pixel)[channel] * factor
                let target = inputGradient.pixel(pixel) + channel
                target.pointee = accumulates ? target.pointee + gradient : gradient
            }
        }
    }

    func infer(_ context: KernelContext) {
        for pixel in 0..<input.pixels { output.pixel(pixel).update(from: input.pixel(pixel), count: input.channels) }
    }

    private func forEachElement(_ step: StepEnvironment, _ body: (_ pixel: Int, _ channel: Int, Float) -> Void) {
        let random = step.random.stream(UInt64(node))
        let kept: Float = step.dropout ? 1 / (1 - probability) : 1
        for pixel in 0..<input.pixels {
            for channel in 0..<input.channels {
                let element = UInt64(pixel * input.channels + channel)
                let falls = step.dropout && random.uniform(element) < probability
                body(pixel, channel, falls ? 0 : kept)
            }
        }
    }
}
