// What can be wrong with a plan that was read from a file or a message.

package enum PlanError: Error, Sendable, Hashable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    /// No plan, or one of another format.
    case damaged(path: String, problem: String)
    /// A sound plan that names other layers than the model has.
    case otherLayers(path: String, problem: String)
    /// A layer that has no form of the algorithm chosen for it.
    case noForm(path: String, layer: String, algorithm: ConvolutionAlgorithm, available: [ConvolutionAlgorithm])
    /// A job's plan that is not the one its journal names.
    case otherPlan(path: String, found: String, expected: String)

    package var description: String {
        switch self {
        case .unreadable(let path, let reason): "cannot read the plan \(path): \(reason)"
        case .damaged(let path, let problem):
            "\(path) is no plan of this release: \(problem); restore the file from a copy, or name another"
        case .otherLayers(let path, let problem):
            "\(path) is a plan for another model: \(problem); make one for this model with 'psctl bench plan'"
        case .noForm(let path, let layer, let algorithm, let available):
            "\(path): layer \(layer) has no form of \(algorithm), only of "
                + available.map(\.description).joined(separator: ", ")
        case .otherPlan(let path, let found, let expected):
            "\(path) holds plan \(found), but the job was begun with plan \(expected), and another gives other bits: "
                + "restore the file from a copy, or start a new run from the last checkpoint"
        }
    }
}
