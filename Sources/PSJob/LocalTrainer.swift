// Training steps in one process, for benchmarks: worker and server in one.

import PSModel
import PSNetwork
import PSOptimization
import PSParameters
import PSPlanning

/// Worker and server in one: the network on one side, the flat vectors of the update on the other, slice by slice as
/// they would travel.
final class LocalTrainer {
    struct Step {
        var load = 0.0
        var network = 0.0
        var update = 0.0
        var loss = 0.0
        /// Empty unless layers are measured.
        var timings: [LayerTiming] = []
        var seconds: Double { load + network + update }
    }

    private let network: TrainingNetwork
    private let layout: ParameterLayout
    private let images: [Float]
    private let labels: [Int32]
    private let optimizer = OptimizerSettings()
    private let random: CounterRandom
    private var weights: [Float]
    private var average: [Float]
    private var meanSquare: [Float]
    private var momentum: [Float]
    private var gradients: [Float]

    init(
        description: ModelDescription, batch: Int, threads: Int, plan: EnginePlan, measuresLayers: Bool
    ) throws(NetworkError) {
        network = try TrainingNetwork(description: description, batch: batch, threads: threads, plan: plan)
        network.measuresLayers = measuresLayers
        layout = description.layout
        random = CounterRandom(seed: 1, name: "bench")
        let imageElements = batch * description.nodes[0].shape.elements
        let pixels = random.stream(0)
        images = (0..<imageElements).map { 2 * pixels.uniform(UInt64($0)) - 1 }
        let classes = random.stream(1)
        labels = (0..<batch).map { Int32(classes.integer(UInt64($0), below: description.settings.classes)) }
        weights = layout.initialValues(seed: 1)
        average = weights
        meanSquare = [Float](repeating: RMSProp.initialMeanSquare, count: layout.weightCount)
        momentum = [Float](repeating: 0, count: layout.weightCount)
        gradients = [Float](repeating: 0, count: layout.count)
    }

    func step(number: Int) throws(NetworkError) -> Step {
        var step = Step()
        step.load = seconds {
            layout.eachSlice(of: weights, network.load)
        }
        let start = ContinuousClock.now
        step.loss = try network.step(
            images: images, labels: labels, random: random.stream(UInt64(2 + number)), options: StepOptions(),
            gradients: &gradients, ready: { _ in }
        ).loss
        step.network = (ContinuousClock.now - start).inSeconds
        step.timings = network.timings
        step.update = seconds { update(commit: number) }
        return step
    }

    /// What the coordinator and the servers do with the gradients of a step of one ticket.
    private func update(commit: Int) {
        var squaredNorms: [Double] = []
        for slice in layout.slices where slice.kind == .weight {
            gradients.withUnsafeMutableBufferPointer { gradients in
                let norm = Aggregate.finish(
                    gradients.baseAddress! + slice.range.lowerBound, weights: nil, scale: 1, weightDecay: 0,
                    count: slice.range.count)
                squaredNorms.append(norm.squaredNorm)
            }
        }
        let averageDecay = optimizer.averageDecay(commit: commit)
        let rates = UpdateRates(
            settings: optimizer,
            clipScale: clipScale(threshold: optimizer.clip, squaredNorms: squaredNorms).scale,
            learningRate: Float(LearningRateSchedule().base), averageDecay: averageDecay)
        withFlatVectors { weights, average, meanSquare, momentum, gradients in
            for slice in layout.slices {
                let first = slice.range.lowerBound
                switch slice.kind {
                case .weight:
                    RMSProp.update(
                        weights + first, weights: weights + first, gradient: gradients + first,
                        meanSquare: meanSquare + first, momentum: momentum + first, average: average + first,
                        rates: rates, count: slice.range.count)
                case .statistic:
                    Statistic.fold(
                        weights + first, running: weights + first, mean: gradients + first, average: average + first,
                        batchNormMomentum: Float(optimizer.batchNormMomentum), averageDecay: averageDecay,
                        count: slice.range.count)
                }
            }
        }
    }

    private func withFlatVectors(
        _ body: (
            _ weights: UnsafeMutablePointer<Float>, _ average: UnsafeMutablePointer<Float>,
            _ meanSquare: UnsafeMutablePointer<Float>, _ momentum: UnsafeMutablePointer<Float>,
            _ gradients: UnsafeMutablePointer<Float>
        ) -> Void
    ) {
        weights.withUnsafeMutableBufferPointer { weights in
            average.withUnsafeMutableBufferPointer { average in
                meanSquare.withUnsafeMutableBufferPointer { meanSquare in
                    momentum.withUnsafeMutableBufferPointer { momentum in
                        gradients.withUnsafeMutableBufferPointer { gradients in
                            body(
                                weights.baseAddress!, average.baseAddress!, meanSquare.baseAddress!,
                                momentum.baseAddress!, gradients.baseAddress!)
                        }
                    }
                }
            }
        }
    }

    private func seconds(_ body: () -> Void) -> Double {
        let start = ContinuousClock.now
        body()
        return (ContinuousClock.now - start).inSeconds
    }
}

extension Duration {
    /// The duration as a number of seconds.
    package var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

extension ParameterLayout {
    /// The flat vector a job with this seed starts from.
    package func initialValues(seed: UInt64) -> [Float] {
        var values = [Float](repeating: 0, count: count)
        values.withUnsafeMutableBufferPointer { values in
            for (index, tensor) in tensors.enumerated() {
                tensor.initialize(
                    seed: seed, elements: 0..<tensor.elementCount,
                    into: UnsafeMutableBufferPointer(rebasing: values[range(ofTensor: index)]))
            }
        }
        return values
    }
}
