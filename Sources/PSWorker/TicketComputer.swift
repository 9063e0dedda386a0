// A worker's computing side: from a ticket to its contribution, slice by slice. Lives on the compute thread.

import PSConfiguration
import PSData
import PSDatasets
import PSMessages
import PSModel
import PSNetwork
import PSOptimization
import PSParameters
import PSPlanning
import PSPrediction
import PSRun
import PSTransport

/// What a worker does with tickets. Used by its compute thread only, but for `fixedGradients` and `prepare`.
package protocol TicketWork: AnyObject, Sendable {
    var layout: ParameterLayout { get }
    /// Whether computing needs the statistics of a version as well as its weights.
    var readsStatistics: Bool { get }
    /// Takes the values of one slice, as a server published them.
    func load(slice: Int, values: Frame)
    /// The flat vector that holds the ticket's contribution already, where it needs no computing.
    func fixedGradients(of attempt: Attempt) -> SharedBuffer?
    /// The ticket will be computed once its weights are there. Called on any thread.
    func prepare(_ attempt: Attempt)
    /// Computes the ticket's contribution into `gradients`, the flat vector.
    /// - Parameter sliceReady: called as soon as a slice's part of `gradients` is final.
    func compute(
        _ attempt: Attempt, into gradients: SharedBuffer, sliceReady: (Int) -> Void
    ) throws -> Contribution
    /// Measures a part of the test images with a version's checkpoint.
    func measure(_ attempt: EvaluationAttempt) throws -> Measurement
}

extension TicketWork {
    package var readsStatistics: Bool { false }
    package func fixedGradients(of attempt: Attempt) -> SharedBuffer? { nil }
    package func prepare(_ attempt: Attempt) {}
    package func measure(_ attempt: EvaluationAttempt) throws -> Measurement {
        throw EvaluationError.notOfTheJob
    }
}

/// The network, the data and the recipe of one worker.
final class TicketComputer: TicketWork, @unchecked Sendable {
    // Sendable: handed to the compute thread once, used only there.

    let layout: ParameterLayout
    private let configuration: JobConfiguration
    private let network: TrainingNetwork
    private let loader: BatchLoader
    private let random: CounterRandom
    private var expected = TicketForecast()
    private let evaluation: PartMeasurer?
    /// Those that are frozen stay outside the clip.
    private let rates: TensorRates
    var readsStatistics: Bool { configuration.model.batchNorm == .frozen }

    /// - Parameters:
    ///   - plan: the job's, as the coordinator sent it.
    ///   - data: the training samples.
    ///   - test: the test samples, where the job looks at them, and the run whose checkpoints are measured.
    init(
        configuration: JobConfiguration, plan: PlanFile, data: any SampleSource,
        test: (data: Dataset, run: RunDirectory)? = nil
    ) throws {
        let description = try ModelDescription(configuration.model)
        let batch = configuration.train.batch
        try plan.check(description: description, batch: batch, path: "the coordinator's plan")
        self.configuration = configuration
        layout = description.layout
        network = try TrainingNetwork(
            description: description, batch: batch, threads: configuration.cluster.threads,
            plan: plan.plan)
        loader = BatchLoader(
            BatchMaker(
                source: data, settings: configuration.data, imageSize: configuration.model.imageSize,
                seed: configuration.seed, batch: batch),
            capacity: batch,
            threads: configuration.data.threads > 0 ? configuration.data.threads : configuration.cluster.threads)
        random = CounterRandom(seed: configuration.seed, name: "dropout")
        rates = try configuration.rates(of: description.layout)
        evaluation = try test.map { test in
            PartMeasurer(
                run: test.run, layout: description.layout,
                images: try TestImages(
                    test.data, configuration: configuration, description: description,
                    threads: configuration.cluster.threads))
        }
    }

    deinit { loader.close() }

    func prepare(_ attempt: Attempt) { loader.prepare(.training(attempt.ticket)) }

    func load(slice: Int, values: Frame) {
        values.withFloats { network.load(elements: layout.slices[slice].range, from: $0) }
    }

    func compute(
        _ attempt: Attempt, into gradients: SharedBuffer, sliceReady: (Int) -> Void
    ) throws -> Contribution {
        let start = ContinuousClock.now
        let batch = try loader.take(.training(attempt.ticket))
        defer { loader.giveBack(batch) }
        let waited = ContinuousClock.now - start
        if let next = expected.next(after: attempt.ticket) { loader.prepare(.training(next)) }
        var options = StepOptions()
        options.labelSmoothing = configuration.train.labelSmoothing
        options.auxiliaryWeight = configuration.train.auxiliaryWeight
        options.dropout = configuration.model.dropout > 0
        options.second = batch.second
        // A clip by ticket needs the norm of the whole contribution before any slice may leave.
        let clipsTicket = configuration.optimizer.clipScope == .ticket && configuration.optimizer.clip > 0
        var waiting = layout.slices.map(\.pieces.count)
        let result = try network.step(
            images: batch.images, labels: batch.labels, random: random.stream(attempt.ticket.number), options: options,
            gradients: gradients.floats
        ) { tensor in
            for slice in slices(of: tensor) {
                waiting[slice] -= 1
                if waiting[slice] == 0, !clipsTicket { sliceReady(slice) }
            }
        }
        var norm = 0.0
        if clipsTicket {
            norm = clip(gradients)
            layout.slices.indices.forEach(sliceReady)
        }
        var contribution = Contribution(
            attempt: attempt, loss: result.loss, correct: result.correct, samples: batch.labels.count, norm: norm)
        contribution.seconds = (ContinuousClock.now - start) / .seconds(1)
        contribution.dataSeconds = waited / .seconds(1)
        if !batch.replaced.isEmpty { contribution.replaced = batch.replaced.map { UInt64($0) } }
        return contribution
    }

    func measure(_ attempt: EvaluationAttempt) throws -> Measurement {
        guard let evaluation else { throw EvaluationError.notOfTheJob }
        return try evaluation.measure(attempt)
    }

    private func slices(of tensor: Int) -> Range<Int> {
        let range = layout.range(ofTensor: tensor)
        let first = layout.slices.partitioningIndex { $0.range.upperBound > range.lowerBound }
        let end = layout.slices.partitioningIndex { $0.range.lowerBound >= range.upperBound }
        return first..<end
    }

    /// Scales the weights' part of the contribution to the largest norm allowed; returns the norm before.
    private func clip(_ gradients: SharedBuffer) -> Double {
        for tensor in layout.tensors.indices where rates.isFrozen(tensor) {
            let range = layout.range(ofTensor: tensor)
            (gradients.floats + range.lowerBound).update(repeating: 0, count: range.count)
        }
        let weights = layout.slices.filter { $0.kind == .weight }
        func pass(scale: Float) -> [Double] {
            weights.map {
                Aggregate.finish(
                    gradients.floats + $0.range.lowerBound, weights: nil, scale: scale, weightDecay: 0,
                    count: $0.range.count
                ).squaredNorm
            }
        }
        let (norm, scale) = clipScale(threshold: configuration.optimizer.clip, squaredNorms: pass(scale: 1))
        if scale < 1 { _ = pass(scale: scale) }
        return norm
    }
}

extension Array {
    /// The first index whose element satisfies a predicate that is false, then true, along the array.
    fileprivate func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
