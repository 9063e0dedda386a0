// The arithmetic of simulated jobs: gradients that depend on everything real ones depend on, and from them the values
// every version must have, computed in one plain loop over flat vectors.

import PSConfiguration
import PSMessages
import PSOptimization
import PSParameters
import PSProtocol
import PSTransport
import PSWorker

struct Arithmetic {
    let layout: ParameterLayout
    let stepShape: StepShape
    /// Steps whose gradient is not finite.
    let poisoned: Set<Step>
    let configuration: JobConfiguration
    /// By version: weights and statistics.
    private var expected: [[Float]] = []
    /// By version: hash of all weights, as a worker sees them.
    private var digests: [UInt64] = []
    /// By step.
    private(set) var commits: [Commit] = []
    private(set) var norms: [Double] = []

    init(layout: ParameterLayout, stepShape: StepShape, steps: Int, poisoned: Set<Step>) {
        self.layout = layout
        self.stepShape = stepShape
        self.poisoned = poisoned
        var configuration = JobConfiguration()
        configuration.train.ticketsPerStep = stepShape.ticketsPerStep
        configuration.optimizer.weightDecay = 0.01
        self.configuration = configuration
        let state = FlatState(
            SliceArithmetic(
                layout: layout, settings: configuration.optimizer, ticketsPerStep: stepShape.ticketsPerStep),
            seed: configuration.seed)
        var gradient = [Float](repeating: 0, count: layout.count)
        for step in (0..<UInt64(steps)).map(Step.init) {
            keep(state)
            var squaredNorms = [Double](repeating: 0, count: layout.slices.count)
            for ticket in stepShape.tickets(of: step) {
                let place = stepShape.place(of: ticket)
                for slice in layout.slices.indices {
                    gradient.withUnsafeMutableBufferPointer {
                        fill($0.baseAddress!, ticket: ticket, slice: slice, weights: digests[digests.count - 1])
                    }
                    squaredNorms[slice] =
                        gradient.withUnsafeBufferPointer {
                            state.fold(
                                slice, from: $0.baseAddress!, isFirst: place == 0, isLast: stepShape.isLast(place))
                        }.squaredNorm
                }
            }
            let clip = Arithmetic.rule.clip(squaredNorms)
            let skip = poisoned.contains(step)
            let commit = Commit(
                step: step, scale: skip ? 0 : clip.scale, learningRate: Arithmetic.rule.learningRate(step),
                averageDecay: Arithmetic.rule.averageDecay(step), skip: skip)
            commits.append(commit)
            norms.append(clip.norm)
            if skip { continue }
            for slice in layout.slices.indices {
                state.update(
                    slice,
                    CommitRates(
                        scale: commit.scale, learningRate: commit.learningRate, averageDecay: commit.averageDecay))
            }
        }
        keep(state)
    }

    private mutating func keep(_ state: FlatState) {
        expected.append(Array(UnsafeBufferPointer(start: state.weights, count: layout.count)))
        digests.append(Arithmetic.digest(state.weights, layout))
    }

    /// All weights and statistics of a version.
    func values(_ version: Version) -> [Float] { expected[Int(version.number)] }

    func digest(_ version: Version) -> UInt64 { digests[Int(version.number)] }

    /// What the test images come to under a version, in parts.
    func measurements(_ version: Version, _ schedule: EvaluationSchedule) -> [Measurement] {
        (0..<(schedule.images + schedule.batch - 1) / schedule.batch).map { part in
            let hash = mixed(digest(version), UInt64(part))
            let images = min(schedule.batch, schedule.images - part * schedule.batch)
            return Measurement(
                attempt: EvaluationAttempt(version: version, part: part, number: 0), images: images,
                top1: Int(hash % UInt64(images + 1)), top5: images, loss: Double(hash >> 40) / 0x1p20, excluded: 0)
        }
    }

    static let rule = StepRule(
        learningRate: { 0.01 + Float($0.number) / 800 }, averageDecay: { 1 / (2 + Float($0.number)) },
        clip: { norms in
            // A scale that any other order of the norms would change.
            let hash = norms.reduce(UInt64(0)) { mixed($0, $1.bitPattern) }
            return (norms.reduce(0, +).squareRoot(), Float(hash >> 40) / 0x1p24)
        })

    /// What a worker sees: all weights, statistics apart.
    static func digest(_ values: UnsafePointer<Float>, _ layout: ParameterLayout) -> UInt64 {
        (0..<layout.weightCount).reduce(0) { mixed($0, UInt64(values[$1].bitPattern)) }
    }

    /// A slice's part of a ticket's gradient, within the flat vector.
    func fill(_ vector: UnsafeMutablePointer<Float>, ticket: Ticket, slice: Int, weights: UInt64) {
        let base = mixed(ticket.number, UInt64(slice), weights)
        for element in layout.slices[slice].range {
            vector[element] = Float(mixed(base &+ UInt64(element)) >> 40) / 0x1p23 - 1
        }
        if poisoned.contains(stepShape.step(of: ticket)), slice == 0 {
            vector[layout.slices[0].range.lowerBound] = .infinity
        }
    }
}

/// A worker's computing side in the simulation.
final class SimulatedWork: TicketWork, @unchecked Sendable {
    // Sendable: the simulation has one thread.

    private let arithmetic: Arithmetic
    private var weights: [Float]
    private let complain: (String) -> Void
    private let schedule: EvaluationSchedule?
    /// Weights and statistics of a checkpoint.
    private let read: (Version) throws -> [Float]

    init(
        _ arithmetic: Arithmetic, schedule: EvaluationSchedule?, read: @escaping (Version) throws -> [Float],
        complain: @escaping (String) -> Void
    ) {
        self.arithmetic = arithmetic
        self.schedule = schedule
        self.read = read
        weights = Array(repeating: 0, count: arithmetic.layout.count)
        self.complain = complain
    }

    var layout: ParameterLayout { arithmetic.layout }

    func load(slice: Int, values: Frame) {
        let range = layout.slices[slice].range
        values.withFloats { source in
            for (offset, element) in range.enumerated() { weights[element] = source[offset] }
        }
    }

    func compute(
        _ attempt: Attempt, into gradients: SharedBuffer, sliceReady: (Int) -> Void
    ) throws -> Contribution {
        let version = arithmetic.stepShape.step(of: attempt.ticket).before
        let seen = weights.withUnsafeBufferPointer { Arithmetic.digest($0.baseAddress!, layout) }
        if seen != arithmetic.digest(version) {
            complain("ticket \(attempt.ticket) computes with weights that are not version \(version)")
        }
        for slice in layout.slices.indices.reversed() {
            arithmetic.fill(gradients.floats, ticket: attempt.ticket, slice: slice, weights: seen)
            sliceReady(slice)
        }
        return Contribution(
            attempt: attempt, loss: Double(attempt.ticket.number), correct: 1, samples: 2, norm: 1)
    }

    func measure(_ attempt: EvaluationAttempt) throws -> Measurement {
        let values = try read(attempt.version)
        let seen = values.withUnsafeBufferPointer { Arithmetic.digest($0.baseAddress!, layout) }
        if seen != arithmetic.digest(attempt.version) {
            complain("the evaluation of step \(attempt.version) reads other weights")
        }
        var measurement = arithmetic.measurements(attempt.version, schedule!)[attempt.part]
        measurement.attempt = attempt
        return measurement
    }
}

/// Layouts whose slices fall on several servers, of few values.
enum Layouts {
    /// Ten slices in seven units, the last one a statistic.
    static let several = ParameterLayout(
        tensors: (0..<5).map { weight("single\($0)", [20 + $0]) } + [weight("large", [8, 16]), mean],
        sliceBytes: 64...128)

    /// Two units: a third server has nothing to hold.
    static let few = ParameterLayout(tensors: [weight("only", [12]), mean], sliceBytes: 64...128)

    private static let mean = TensorSpecification(
        name: "mean", shape: [6], kind: .statistic, initialization: .constant(0))

    private static func weight(_ name: String, _ shape: [Int]) -> TensorSpecification {
        TensorSpecification(name: name, shape: shape, kind: .weight, initialization: .uniform(bound: 0.5))
    }
}
