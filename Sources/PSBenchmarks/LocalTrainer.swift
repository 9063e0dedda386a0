// Training steps in one process, for benchmarks: worker and server in one.

import Dispatch
import PSData
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
        /// Waiting for the images.
        var data = 0.0
        var load = 0.0
        var network = 0.0
        var update = 0.0
        var loss = 0.0
        /// Empty unless layers are measured.
        var timings: [LayerTiming] = []
        var seconds: Double { data + load + network + update }
    }

    private let network: TrainingNetwork
    private let layout: ParameterLayout
    private let images: [Float]
    private let labels: [Int32]
    private let optimizer = OptimizerSettings()
    private let random: CounterRandom
    private let threads: Int
    private let state: FlatState
    private let loader: BatchLoader?

    /// - Parameter loader: makes the images; without one they are random and always the same.
    init(
        description: ModelDescription, batch: Int, threads: Int, plan: EnginePlan, measuresLayers: Bool,
        loader: BatchLoader? = nil
    ) throws(NetworkError) {
        self.loader = loader
        network = try TrainingNetwork(description: description, batch: batch, threads: threads, plan: plan)
        network.measuresLayers = measuresLayers
        layout = description.layout
        random = CounterRandom(seed: 1, name: "bench")
        let imageElements = batch * description.nodes[0].shape.elements
        let pixels = random.stream(0)
        images = (0..<imageElements).map { 2 * pixels.uniform(UInt64($0)) - 1 }
        let classes = random.stream(1)
        labels = (0..<batch).map { Int32(classes.integer(UInt64($0), below: description.classes)) }
        self.threads = threads
        state = FlatState(SliceArithmetic(layout: layout, settings: optimizer, ticketsPerStep: 1), seed: 1)
    }

    func step(number: Int) throws -> Step {
        var step = Step()
        let asked = ContinuousClock.now
        let made = try loader?.take(.training(Ticket(UInt64(number))))
        defer { if let made { loader?.giveBack(made) } }
        step.data = (ContinuousClock.now - asked).inSeconds
        loader?.prepare(.training(Ticket(UInt64(number + 1))))
        step.load = seconds {
            for slice in layout.slices {
                network.load(elements: slice.range, from: state.weights + slice.range.lowerBound)
            }
        }
        let start = ContinuousClock.now
        var options = StepOptions()
        options.second = made?.second
        step.loss = try images.withUnsafeBufferPointer { images in
            try network.step(
                images: made.map { UnsafePointer($0.images) } ?? images.baseAddress!, labels: made?.labels ?? labels,
                random: random.stream(UInt64(2 + number)), options: options, gradients: state.sum, ready: { _ in }
            ).loss
        }
        step.network = (ContinuousClock.now - start).inSeconds
        step.timings = network.timings
        step.update = seconds { update(commit: number) }
        return step
    }

    /// What the coordinator and the servers do with the gradients of a step of one ticket.
    private func update(commit: Int) {
        let count = layout.slices.count
        let norms = UnsafeMutablePointer<Double>.allocate(capacity: count)
        defer { norms.deallocate() }
        nonisolated(unsafe) let squaredNorms = norms
        shared(count) { [state] index in
            // The step's only contribution lies where its sum is to be.
            squaredNorms[index] = state.fold(index, from: state.sum, isFirst: true, isLast: true).squaredNorm
        }
        let sums = Array(UnsafeBufferPointer(start: norms, count: count))
        let commit = CommitRates(
            scale: clipScale(threshold: optimizer.clip, squaredNorms: sums).scale,
            learningRate: Float(LearningRateSchedule().base), averageDecay: optimizer.averageDecay(commit: commit))
        shared(count) { [state] index in state.update(index, commit) }
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
