// What the scenarios share: a small layout and a job's rule.

import PSParameters
import PSProtocol

enum Layouts {
    /// Two slices.
    static let few = ParameterLayout(
        tensors: [
            TensorSpecification(name: "only", shape: [1000], kind: .weight, initialization: .constant(0)),
            TensorSpecification(name: "mean", shape: [64], kind: .statistic, initialization: .constant(0)),
        ])
}

enum Arithmetic {
    static let rule = StepRule(
        learningRate: { 1 + Float($0.number) / 8 }, averageDecay: { 1 / (2 + Float($0.number)) },
        clip: { norms in
            // A scale that any other order of the norms would change.
            let hash = norms.reduce(UInt64(7)) { ($0 &+ $1.bitPattern &+ 1) &* 0x9E37_79B9_7F4A_7C15 }
            return (norms.reduce(0, +).squareRoot(), Float(hash >> 40) / 0x1p24)
        })
}
