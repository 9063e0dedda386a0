// A worker's computing side: from a ticket to its contribution, slice by slice. Lives on the compute thread.

import PSConfiguration
import PSData
import PSMessages
import PSModel
import PSNetwork
import PSOptimization
import PSParameters
import PSPlanning
import PSTransport

/// What a worker does with tickets. Used by its compute thread only, but for `fixedGradients`.
package protocol TicketWork: AnyObject, Sendable {
    var layout: ParameterLayout { get }
    /// Takes the values of one slice, as a server published them.
    func load(slice: Int, values: Frame)
    /// The flat vector that holds the ticket's contribution already, where it needs no computing.
    func fixedGradients(of attempt: Attempt) -> SharedBuffer?
    /// Computes the ticket's contribution into `gradients`, the flat vector.
    /// - Parameter sliceReady: called as soon as a slice's part of `gradients` is final.
    func compute(
        _ attempt: Attempt, into gradients: SharedBuffer, sliceReady: (Int) -> Void
    ) throws -> Contribution
}

/// The network, the data and the recipe of one worker.
final class TicketComputer: TicketWork, @unchecked Sendable {
    // Sendable: handed to the compute thread once, used only there.

    let layout: ParameterLayout
    private let configuration: JobConfiguration
    private let network: TrainingNetwork
    private let batches: BatchMaker
    private let random: CounterRandom
    private let images: SharedBuffer
    private var labels: [Int32]

    /// - Parameter plan: the job's, as the coordinator sent it.
    init(configuration: JobConfiguration, plan: PlanFile) throws {
        let description = try ModelDescription(configuration.model)
        let batch = configuration.train.batch
        try plan.check(description: description, batch: batch, path: "the coordinator's plan")
        self.configuration = configuration
        layout = description.layout
        network = try TrainingNetwork(
            description: description, batch: batch, threads: configuration.cluster.threads,
            plan: plan.plan)
        batches = BatchMaker(
            source: try configuration.data.open(.train), imageSize: configuration.model.imageSize,
            settings: configuration.data, seed: configuration.seed, batch: batch)
        random = CounterRandom(seed: configuration.seed, name: "dropout")
        images = SharedBuffer(byteCount: batch * batches.imageElements * MemoryLayout<Float>.stride)
        labels = Array(repeating: 0, count: batch)
    }

    func fixedGradients(of attempt: Attempt) -> SharedBuffer? { nil }

    func load(slice: Int, values: Frame) {
        values.withFloats { network.load(elements: layout.slices[slice].range, from: $0) }
    }

    func compute(
        _ attempt: Attempt, into gradients: SharedBuffer, sliceReady: (Int) -> Void
    ) throws -> Contribution {
        try batches.fill(ticket: attempt.ticket, images: images.floats, labels: &labels)
        var options = StepOptions()
        options.labelSmoothing = configuration.train.labelSmoothing
        options.auxiliaryWeight = configuration.train.auxiliaryWeight
        options.dropout = configuration.model.dropout > 0
        // A clip by ticket needs the norm of the whole contribution before any slice may leave.
        let clipsTicket = configuration.optimizer.clipScope == .ticket && configuration.optimizer.clip > 0
        var waiting = layout.slices.map(\.pieces.count)
        let result = try network.step(
            images: images.floats, labels: labels, random: random.stream(attempt.ticket.number), options: options,
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
        return Contribution(
            attempt: attempt, loss: result.loss, correct: result.correct, samples: labels.count, norm: norm)
    }

    private func slices(of tensor: Int) -> Range<Int> {
        let range = layout.range(ofTensor: tensor)
        let first = layout.slices.partitioningIndex { $0.range.upperBound > range.lowerBound }
        let end = layout.slices.partitioningIndex { $0.range.lowerBound >= range.upperBound }
        return first..<end
    }

    /// Scales the weights' part of the contribution to the largest norm allowed; returns the norm before.
    private func clip(_ gradients: SharedBuffer) -> Double {
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
