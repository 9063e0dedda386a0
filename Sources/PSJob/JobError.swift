// What can be wrong with a command that its settings and files do not already say.

package enum JobError: Error, Sendable, Hashable, CustomStringConvertible {
    case noRunDirectory(path: String, isDefault: Bool)
    case noCheckpoint(runDirectory: String, step: Int?, available: [Int])
    /// A file of images and labels that is not what it should be.
    case unusableBatch(path: String, problem: String)
    case tooFewClasses(model: Int, data: Int)

    package var description: String {
        switch self {
        case .noRunDirectory(let path, let isDefault):
            isDefault
                ? "there is no run in \(path); name one with --run-dir, or train first"
                : "\(path) is no run directory: it has no config.yaml"
        case .noCheckpoint(let runDirectory, let step, let available):
            if let step, !available.isEmpty {
                "\(runDirectory) has no checkpoint of step \(step), only of: "
                    + available.map(String.init).joined(separator: ", ")
            } else {
                "\(runDirectory) has no complete checkpoint"
            }
        case .unusableBatch(let path, let problem): "\(path): \(problem)"
        case .tooFewClasses(let model, let data):
            "model.classes is \(model), but the data set has \(data) classes; set model.classes to \(data) or more"
        }
    }
}
