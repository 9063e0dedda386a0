// What stands for tensors in the simulation: a slice's values are one hash, which depends on everything the real values
// depend on and on every order that must not vary.

import PSMessages
import PSParameters
import PSProtocol

/// The job's arithmetic, and from it the values every version must have, computed in one plain loop.
struct Arithmetic {
    let layout: ParameterLayout
    let stepShape: StepShape
    /// Steps whose gradient is not finite.
    let poisoned: Set<Step>
    /// By version, then slice.
    private var expected: [[UInt64]]
    /// By step.
    private(set) var commits: [Commit] = []

    init(layout: ParameterLayout, stepShape: StepShape, steps: Int, poisoned: Set<Step>) {
        self.layout = layout
        self.stepShape = stepShape
        self.poisoned = poisoned
        expected = [layout.slices.indices.map { Arithmetic.initial(slice: $0) }]
        for step in (0..<UInt64(steps)).map(Step.init) {
            let weights = expected[expected.count - 1]
            let seen = Arithmetic.digest(weights, layout)
            let sums = layout.slices.indices.map { slice -> UInt64 in
                stepShape.tickets(of: step).reduce(UInt64(0)) { sum, ticket in
                    Arithmetic.fold(sum, Arithmetic.gradient(ticket: ticket, slice: slice, weights: seen))
                }
            }
            let clip = Arithmetic.rule.clip(sums.map { Arithmetic.squaredNorm($0) })
            let skip = poisoned.contains(step)
            let commit = Commit(
                step: step, scale: skip ? 0 : clip.scale, learningRate: Arithmetic.rule.learningRate(step),
                averageDecay: Arithmetic.rule.averageDecay(step), skip: skip)
            commits.append(commit)
            expected.append(zip(weights, sums).map { Arithmetic.update($0, sum: $1, commit) })
        }
    }

    /// A slice's values at a version.
    func values(_ version: Version, slice: Int) -> UInt64 { expected[Int(version.number)][slice] }

    static let rule = StepRule(
        learningRate: { 1 + Float($0.number) / 8 }, averageDecay: { 1 / (2 + Float($0.number)) },
        clip: { norms in
            // A scale that any other order of the norms would change.
            let hash = norms.reduce(UInt64(0)) { mixed($0, $1.bitPattern) }
            return (norms.reduce(0, +).squareRoot(), Float(hash >> 40) / 0x1p24)
        })

    static func initial(slice: Int) -> UInt64 { mixed(7, UInt64(slice)) }

    /// What a worker sees: all weights, statistics apart.
    static func digest(_ values: [UInt64], _ layout: ParameterLayout) -> UInt64 {
        layout.slices.reduce(0) { $1.kind == .weight ? mixed($0, values[$1.index]) : $0 }
    }

    static func gradient(ticket: Ticket, slice: Int, weights: UInt64) -> UInt64 {
        mixed(ticket.number, UInt64(slice), weights)
    }

    static func fold(_ sum: UInt64, _ gradient: UInt64) -> UInt64 { mixed(sum, gradient) }

    static func squaredNorm(_ sum: UInt64) -> Double { Double(sum >> 40) / 1000 }

    static func update(_ weights: UInt64, sum: UInt64, _ commit: Commit) -> UInt64 {
        commit.skip
            ? weights
            : mixed(
                weights, sum, UInt64(commit.scale.bitPattern), UInt64(commit.learningRate.bitPattern),
                UInt64(commit.averageDecay.bitPattern))
    }
}

/// Layouts whose slices fall on several servers.
enum Layouts {
    /// Ten slices in seven units, the last one a statistic.
    static let several = ParameterLayout(
        tensors: (0..<5).map { weight("single\($0)", [300_000 + $0]) } + [
            weight("large", [8, 400_000]),
            TensorSpecification(name: "mean", shape: [64], kind: .statistic, initialization: .constant(0)),
        ])

    /// Two units: a third server has nothing to hold.
    static let few = ParameterLayout(
        tensors: [
            weight("only", [1000]),
            TensorSpecification(name: "mean", shape: [64], kind: .statistic, initialization: .constant(0)),
        ])

    private static func weight(_ name: String, _ shape: [Int]) -> TensorSpecification {
        TensorSpecification(name: name, shape: shape, kind: .weight, initialization: .constant(0))
    }
}
