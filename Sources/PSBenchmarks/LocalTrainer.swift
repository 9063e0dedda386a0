// Training steps in one process, for benchmarks: worker and server in one.

import Dispatch
import PSModel
import PSNetwork
import PSOptimization
import PSParameters
import PSPlanning
import PSReport

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
    private let threads: Int
    private let state: ServerState

    /// What the servers of a job hold, as flat vectors.
    private struct ServerState: @unchecked Sendable {
        // Threads work on different slices.
        let weights: UnsafeMutablePointer<Float>
        let average: UnsafeMutablePointer<Float>
        let meanSquare: UnsafeMutablePointer<Float>
        let momentum: UnsafeMutablePointer<Float>
        let gradients: UnsafeMutablePointer<Float>

        init(_ layout: ParameterLayout) {
            func vector(_ count: Int, _ value: Float = 0) -> UnsafeMutablePointer<Float> {
                let vector = UnsafeMutablePointer<Float>.allocate(capacity: count)
                vector.initialize(repeating: value, count: count)
                return vector
            }
            (weights, average, gradients) = (vector(layout.count), vector(layout.count), vector(layout.count))
            meanSquare = vector(layout.weightCount, RMSProp.initialMeanSquare)
            momentum = vector(layout.weightCount)
            let values = layout.initialValues(seed: 1)
            weights.update(from: values, count: layout.count)
            average.update(from: values, count: layout.count)
        }

        func deallocate() { for vector in [weights, average, meanSquare, momentum, gradients] { vector.deallocate() } }
    }

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
        self.threads = threads
        state = ServerState(layout)
    }

    deinit { state.deallocate() }

    func step(number: Int) throws(NetworkError) -> Step {
        var step = Step()
        step.load = seconds {
            for slice in layout.slices {
                network.load(elements: slice.range, from: state.weights + slice.range.lowerBound)
            }
        }
        let start = ContinuousClock.now
        step.loss = try network.step(
            images: images, labels: labels, random: random.stream(UInt64(2 + number)), options: StepOptions(),
            gradients: state.gradients, ready: { _ in }
        ).loss
        step.network = (ContinuousClock.now - start).inSeconds
        step.timings = network.timings
        step.update = seconds { update(commit: number) }
        return step
    }

    /// What the coordinator and the servers do with the gradients of a step of one ticket.
    private func update(commit: Int) {
        let slices = layout.slices
        let state = state
        let norms = UnsafeMutablePointer<Double>.allocate(capacity: slices.count)
        defer { norms.deallocate() }
        nonisolated(unsafe) let squaredNorms = norms
        shared(slices.count) { index in
            let slice = slices[index]
            squaredNorms[index] =
                slice.kind == .statistic
                ? 0
                : Aggregate.finish(
                    state.gradients + slice.range.lowerBound, weights: nil, scale: 1, weightDecay: 0,
                    count: slice.range.count
                ).squaredNorm
        }
        let averageDecay = optimizer.averageDecay(commit: commit)
        let sums = Array(UnsafeBufferPointer(start: norms, count: slices.count))
        let rates = UpdateRates(
            settings: optimizer, clipScale: clipScale(threshold: optimizer.clip, squaredNorms: sums).scale,
            learningRate: Float(LearningRateSchedule().base), averageDecay: averageDecay)
        let batchNormMomentum = Float(optimizer.batchNormMomentum)
        shared(slices.count) { index in
            let slice = slices[index]
            let first = slice.range.lowerBound
            switch slice.kind {
            case .weight:
                RMSProp.update(
                    state.weights + first, weights: state.weights + first, gradient: state.gradients + first,
                    meanSquare: state.meanSquare + first, momentum: state.momentum + first,
                    average: state.average + first, rates: rates, count: slice.range.count)
            case .statistic:
                Statistic.fold(
                    state.weights + first, running: state.weights + first, mean: state.gradients + first,
                    average: state.average + first, batchNormMomentum: batchNormMomentum, averageDecay: averageDecay,
                    count: slice.range.count)
            }
        }
    }

    /// Runs `body` for 0..<count on as many threads as the network has, as servers share their slices.
    private func shared(_ count: Int, _ body: @Sendable (Int) -> Void) {
        let threads = threads
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
            for index in stride(from: thread, to: count, by: threads) { body(index) }
        }
    }

    private func seconds(_ body: () -> Void) -> Double {
        let start = ContinuousClock.now
        body()
        return (ContinuousClock.now - start).inSeconds
    }
}
