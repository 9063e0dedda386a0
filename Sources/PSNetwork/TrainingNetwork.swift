// A network that computes training steps: forward, losses, backward.

import PSKernels
import PSModel
import PSParameters
import PSPlanning

/// What the recipe decides about a step.
package struct StepOptions: Sendable, Hashable {
    /// Share of a label's probability that is spread over all classes.
    package var labelSmoothing = 0.1
    /// Weight of each auxiliary head's loss beside the main one's 1; nil: the network's own.
    package var auxiliaryWeight: Double?
    package var dropout = true
    /// Of images that are mixed of two.
    package var second: SecondLabels?

    package init() {}
}

/// What a step found.
package struct StepResult: Sendable, Hashable {
    /// mainLoss + auxiliaryWeight * (the sum of auxiliaryLosses), nats, mean over the batch.
    package let loss: Double
    package let mainLoss: Double
    /// One of each auxiliary head.
    package let auxiliaryLosses: [Double]
    /// Images whose largest main logit was their label's.
    package let correct: Int
}

/// One network of one worker. The memory for parameters, maps and scratch is taken when it is made; a step takes no more.
///
/// Not to be called from two threads at once. The same inputs give the same bits with any number of threads.
package final class TrainingNetwork {
    package let description: ModelDescription
    package let batch: Int
    private let memory: NetworkMemory

    private let clock = LayerClock()

    /// Whether steps fill `timings`.
    package var measuresLayers: Bool {
        get { clock.isRunning }
        set { clock.isRunning = newValue }
    }

    /// The layers' times of the last step, in the order they ran; empty unless `measuresLayers`.
    package var timings: [LayerTiming] { clock.timings }

    /// - Throws: `NetworkError` if a batch norm would see one value per channel, or if memory is refused.
    package init(
        description: ModelDescription, batch: Int, threads: Int, plan engine: EnginePlan
    ) throws(NetworkError) {
        self.description = description
        self.batch = batch
        let plan = try NetworkPlan(
            description: description, batch: batch, threads: threads, mode: .training, engine: engine)
        memory = try NetworkMemory(plan: plan, threads: threads)
    }

    /// Bytes a network would take, worked out without taking them.
    package static func arenaByteCount(
        description: ModelDescription, batch: Int, threads: Int, plan engine: EnginePlan
    ) throws(NetworkError) -> Int {
        let plan = try NetworkPlan(
            description: description, batch: batch, threads: threads, mode: .training, engine: engine)
        return Arena.byteCount(floats: plan.arena.floatCount)
    }

    /// Bytes of memory this network holds.
    package var arenaByteCount: Int { memory.arena.byteCount }

    package var layout: ParameterLayout { description.layout }

    /// Takes the values of one slice.
    ///
    /// - Parameters:
    ///   - elements: exactly one slice's range of the layout.
    ///   - values: that many canonical values (OIHW and so on).
    package func load(elements: Range<Int>, from values: UnsafePointer<Float>) {
        memory.load(elements: elements, from: values)
    }

    /// One training step on the weights loaded last.
    ///
    /// - Parameters:
    ///   - images: NHWC, batch x imageSize x imageSize x 3.
    ///   - labels: one class an image.
    ///   - random: dropout's random numbers.
    ///   - gradients: the flat canonical vector, overwritten: gradients of the mean loss over the batch; tensors of kind
    ///     `statistic` get this batch's mean and variance.
    ///   - ready: called with a tensor's index as soon as its part of `gradients` is final: statistics in the order of
    ///     the forward pass, weights in the order backward makes them.
    /// - Throws: `NetworkError.labelOutOfRange`, before anything is computed.
    package func step(
        images: UnsafePointer<Float>, labels: UnsafePointer<Int32>, random: CounterRandom, options: StepOptions,
        gradients: UnsafeMutablePointer<Float>, ready: (Int) -> Void
    ) throws(NetworkError) -> StepResult {
        try checkLabels(labels)
        if let second = options.second {
            precondition(second.labels.count == batch && (0...1).contains(second.share))
            try checkLabels(second.labels)
        }
        let step = StepEnvironment(
            context: memory.context, clock: clock, gradients: gradients, random: random, dropout: options.dropout,
            unbiasedVariance: description.settings.unbiasedVariance,
            usesRunningStatistics: description.settings.batchNorm == .frozen)
        clock.reset()
        memory.prepareWeights(clock)
        clock.measure("images", .forward, "copy") { memory.takeImages(images, count: batch) }
        for layer in memory.layers {
            layer.work.forward(step)
            for tensor in layer.stages.flatMap(\.statistics) { ready(tensor) }
        }
        let auxiliaryWeight = options.auxiliaryWeight ?? description.network.auxiliaryWeight
        let losses = memory.plan.heads.enumerated().map { index, head in
            loss(head: head, weight: index == 0 ? 1 : auxiliaryWeight, labels: labels, options: options)
        }
        let auxiliary = losses.dropFirst().map(\.loss)
        for layer in memory.layers.reversed() {
            layer.work.backward(step)
            for tensor in layer.stages.flatMap(\.learned) { ready(tensor) }
        }
        return StepResult(
            loss: losses[0].loss + auxiliaryWeight * auxiliary.reduce(0, +), mainLoss: losses[0].loss,
            auxiliaryLosses: auxiliary, correct: losses[0].correct)
    }

    /// The main head's output of the last step, batch x classes.
    package var logits: [Float] { values(memory.plan.heads[0]) }

    /// Each auxiliary head's output of the last step, batch x classes.
    package var auxiliaryLogits: [[Float]] { memory.plan.heads.dropFirst().map(values) }

    private func values(_ head: Int) -> [Float] {
        let map = memory.map(head)
        return (0..<map.pixels).flatMap { UnsafeBufferPointer(start: map.pixel($0), count: map.channels) }
    }

    private func checkLabels(_ labels: UnsafePointer<Int32>) throws(NetworkError) {
        let classes = description.classes
        for image in 0..<batch where labels[image] < 0 || labels[image] >= classes {
            throw .labelOutOfRange(label: Int(labels[image]), image: image, classes: classes)
        }
    }

    private func loss(
        head: Int, weight: Double, labels: UnsafePointer<Int32>, options: StepOptions
    ) -> (loss: Double, correct: Int) {
        clock.measure(memory.plan.stages[head].stage.name + " loss", .forward, "softmax") {
            SoftmaxCrossEntropy.compute(
                logits: memory.map(head), labels: labels, second: options.second, smoothing: options.labelSmoothing,
                weight: weight, gradient: memory.gradient(head))
        }
    }
}
