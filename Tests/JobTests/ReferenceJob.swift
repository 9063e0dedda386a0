// What a job must come to, worked out a second time: gradients by the engine in this process, all that follows them in
// plain scalars from the formulas of the documentation. It shares no code with the servers' and the workers' arithmetic.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSData
import PSDatasets
import PSModel
import PSNetwork
import PSOptimization
import PSParameters

/// One job without processes. Vectors are flat, in the layout's order.
///
/// float32 where the job is, in the order the formulas are written in: a weight that differs in its last bit opens
/// another ReLU, and after three steps that is as far from the job as any fault (0.08 to 2.4 of a tensor's largest change
/// where the mean divides by the tickets instead of multiplying by their reciprocal).
struct ReferenceJob {
    let configuration: JobConfiguration
    let description: ModelDescription
    private(set) var weights: [Float]
    private(set) var average: [Float]
    private(set) var meanSquare: [Float]
    private(set) var momentum: [Float]
    /// Every factor a clip has chosen, of steps or of tickets.
    private(set) var clipScales: [Float] = []
    private let initial: [Float]
    /// Not rounded.
    private let stepsPerEpoch: Double

    private static let images = Result { try Dataset.open(DataSettings().set, .train) }

    private init(_ configuration: JobConfiguration) throws {
        let configuration = try configuration.with(classesOf: ReferenceJob.images.get())
        self.configuration = configuration
        description = try ModelDescription(configuration.model)
        let imagesPerStep = configuration.train.ticketsPerStep * configuration.train.batch
        stepsPerEpoch = Double(try ReferenceJob.images.get().count) / Double(imagesPerStep)
        let layout = description.layout
        var values = [Float](repeating: 0, count: layout.count)
        values.withUnsafeMutableBufferPointer { values in
            for (index, tensor) in layout.tensors.enumerated() {
                tensor.initialize(
                    seed: configuration.seed, elements: 0..<tensor.elementCount,
                    into: UnsafeMutableBufferPointer(rebasing: values[layout.range(ofTensor: index)]))
            }
        }
        (initial, weights, average) = (values, values, values)
        meanSquare = [Float](repeating: 1, count: layout.count)
        momentum = [Float](repeating: 0, count: layout.count)
    }

    /// The state after the job's last step.
    static func finished(_ configuration: JobConfiguration) throws -> ReferenceJob {
        var job = try ReferenceJob(configuration)
        let engine = try ReferenceEngine(job.configuration, job.description, images: images.get())
        for step in 0..<job.steps {
            let first = step * configuration.train.ticketsPerStep
            let tickets = try (first..<first + configuration.train.ticketsPerStep).map {
                try engine.contribution(ofTicket: $0, weights: job.weights)
            }
            job.commit(step: step, tickets)
        }
        return job
    }

    // MARK: The schedule

    /// Steps of the whole job: as many as are said, or those that begin within the epochs.
    private var steps: Int { configuration.train.steps ?? Int(ceil(configuration.train.epochs * stepsPerEpoch)) }

    /// What a tensor's learning rate is multiplied by; 0 where it is frozen.
    private func factor(_ name: String) -> Float {
        if configuration.train.freeze.contains(where: { name.hasPrefix($0) }) { return 0 }
        let groups = configuration.optimizer.groups.map { $0.split(separator: ":") }
        let longest = groups.filter { name.hasPrefix($0[0]) }.max { $0[0].count < $1[0].count }
        return longest.map { Float($0[1])! } ?? 1
    }

    private func learningRate(_ step: Int) -> Float {
        let schedule = configuration.learningRate
        let share = Double(step) / Double(steps)
        var rate = schedule.base
        switch schedule.shape {
        case .constant: break
        case .linear: rate -= schedule.base * share
        case .cosine: rate *= 0.5 + 0.5 * cos(Double.pi * share)
        case .exponential:
            let period = floor(schedule.everyEpochs * stepsPerEpoch)
            var decays = Double(step) / period
            if schedule.staircase { decays = floor(decays) }
            rate *= pow(schedule.factor, decays)
        }
        if step < schedule.warmupSteps { rate = rate * Double(step + 1) / Double(schedule.warmupSteps) }
        return Float(rate)
    }

    // MARK: A step

    private mutating func commit(step: Int, _ tickets: [[Float]]) {
        let optimizer = configuration.optimizer
        let layout = description.layout
        var tickets = tickets
        for (index, tensor) in layout.tensors.enumerated() where tensor.kind == .weight && factor(tensor.name) == 0 {
            // Of no effect, not even on the norm.
            for ticket in tickets.indices {
                for element in layout.range(ofTensor: index) { tickets[ticket][element] = 0 }
            }
        }
        let contributions = optimizer.clipScope == .ticket ? tickets.map { clipped($0) } : tickets
        var gradient = contributions[0]
        for contribution in contributions.dropFirst() {
            for element in gradient.indices { gradient[element] += contribution[element] }
        }

        let share = 1 / Float(tickets.count)
        for (index, tensor) in layout.tensors.enumerated() {
            // Kernels and dense weights have extents in and out; biases and batch norm have one extent.
            let decays = tensor.kind == .weight && tensor.shape.count > 1 && factor(tensor.name) > 0
            for element in layout.range(ofTensor: index) {
                // Statistics are averaged in any case. Weight decay is added once a step, however many tickets are summed:
                // before the clip of a step, after those of tickets.
                if optimizer.reduction == .mean || tensor.kind == .statistic { gradient[element] *= share }
                if decays { gradient[element] += Float(optimizer.weightDecay) * weights[element] }
            }
        }
        if optimizer.clipScope == .step { gradient = clipped(gradient) }

        let rate = learningRate(step)
        let averageDecay = Float(min(optimizer.averageDecay, (1 + Double(step)) / (10 + Double(step))))
        for (index, tensor) in layout.tensors.enumerated() {
            let factor = tensor.kind == .weight ? factor(tensor.name) : 1
            let rate = rate * factor
            for element in layout.range(ofTensor: index) {
                switch (tensor.kind, optimizer.rule) {
                case (.statistic, _) where configuration.model.batchNorm == .frozen: break
                case (.weight, _) where factor == 0: break
                case (.statistic, _):
                    weights[element] += Float(optimizer.batchNormMomentum) * (gradient[element] - weights[element])
                case (.weight, .rmsprop):
                    let g = gradient[element]
                    meanSquare[element] += (g * g - meanSquare[element]) * (1 - Float(optimizer.decay))
                    let root = (meanSquare[element] + Float(optimizer.epsilon)).squareRoot()
                    momentum[element] = Float(optimizer.momentum) * momentum[element] + rate * g / root
                    weights[element] -= momentum[element]
                case (.weight, .momentum):
                    momentum[element] = Float(optimizer.momentum) * momentum[element] + rate * gradient[element]
                    weights[element] -= momentum[element]
                }
                average[element] -= (1 - averageDecay) * (average[element] - weights[element])
            }
        }
    }

    /// Shortened to the largest norm allowed; statistics neither count nor change.
    private mutating func clipped(_ gradient: [Float]) -> [Float] {
        let threshold = configuration.optimizer.clip
        let learned = 0..<description.layout.weightCount
        let norm = learned.reduce(0.0) { $0 + Double(gradient[$1]) * Double(gradient[$1]) }.squareRoot()
        guard threshold > 0, norm > threshold else { return gradient }
        let scale = Float(threshold / norm)
        clipScales.append(scale)
        var result = gradient
        for element in learned { result[element] *= scale }
        return result
    }
}

/// What a worker does up to the gradient: the ticket's images and dropout, the network's forward and backward pass.
private struct ReferenceEngine {
    let configuration: JobConfiguration
    let network: TrainingNetwork
    let loader: BatchLoader

    init(_ configuration: JobConfiguration, _ description: ModelDescription, images: any SampleSource) throws {
        self.configuration = configuration
        let batch = configuration.train.batch
        network = try TrainingNetwork(
            description: description, batch: batch, threads: 1,
            plan: configuration.engine.trainingPlan(description: description, batch: batch).plan)
        loader = BatchLoader(
            BatchMaker(
                source: images, settings: configuration.data, imageSize: configuration.model.imageSize,
                seed: configuration.seed, batch: batch), capacity: batch, threads: 1)
    }

    /// Gradients of the weights, and the batch's statistics.
    func contribution(ofTicket ticket: Int, weights: [Float]) throws -> [Float] {
        for slice in network.layout.slices {
            weights.withUnsafeBufferPointer {
                network.load(elements: slice.range, from: $0.baseAddress! + slice.range.lowerBound)
            }
        }
        let batch = try loader.take(.training(Ticket(UInt64(ticket))))
        defer { loader.giveBack(batch) }
        var options = StepOptions()
        options.labelSmoothing = configuration.train.labelSmoothing
        options.auxiliaryWeight = configuration.train.auxiliaryWeight
        options.dropout = configuration.model.dropout > 0
        options.second = batch.second
        var contribution = [Float](repeating: 0, count: network.layout.count)
        _ = try network.step(
            images: batch.images, labels: batch.labels,
            random: CounterRandom(seed: configuration.seed, name: "dropout").stream(UInt64(ticket)),
            options: options, gradients: &contribution, ready: { _ in })
        return contribution
    }
}

// MARK: Comparison

extension ReferenceJob {
    /// How far a tensor's value in a checkpoint is from this one.
    struct Difference: CustomStringConvertible {
        var value = StoredValue.current
        var tensor = ""
        /// Largest difference of an element, over the largest change of an element since the job began.
        var share = 0.0

        var description: String {
            share == 0 ? "none" : "\(value) of \(tensor) by \(share) of its largest change"
        }
    }

    /// The largest difference, over all kinds of value that the checkpoint holds and all tensors.
    func difference(from checkpoint: CheckpointReader) throws -> Difference {
        var worst = Difference()
        for value in StoredValue.allCases where checkpoint.holds(value) {
            let (mine, start) = values(value)
            for (index, tensor) in description.layout.tensors.enumerated()
            where tensor.kind == .weight || value.coversStatistics {
                let range = description.layout.range(ofTensor: index)
                var found = [Float](repeating: 0, count: range.count)
                try checkpoint.read(value, tensor: tensor.name, elements: 0..<range.count, into: &found)
                var (difference, change) = (0.0, 0.0)
                for (element, found) in zip(range, found) {
                    let distance = abs(Double(found) - Double(mine[element]))
                    // A NaN is as far away as can be.
                    difference = max(difference, distance.isNaN ? .infinity : distance)
                    change = max(change, abs(Double(mine[element]) - Double(start[element])))
                }
                let share = difference == 0 ? 0 : difference / change
                if share > worst.share { worst = Difference(value: value, tensor: tensor.name, share: share) }
            }
        }
        return worst
    }

    /// A value and what it began as.
    private func values(_ value: StoredValue) -> ([Float], start: [Float]) {
        switch value {
        case .current: (weights, initial)
        case .average: (average, initial)
        case .meanSquare: (meanSquare, [Float](repeating: 1, count: meanSquare.count))
        case .momentum: (momentum, [Float](repeating: 0, count: momentum.count))
        }
    }
}
