// What can be wrong with the images and classes of an evaluation or a prediction.

package enum EvaluationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file of images and labels that is not what it should be.
    case unusableBatch(path: String, problem: String)
    case tooFewClasses(model: Int, data: Int)
    /// The data set has classes that the model does not know.
    case unknownClasses(path: String, classes: [String], known: [String])
    /// The text says where, and what to do.
    case noImages(String)
    /// No test image could be read.
    case nothingReadable(path: String)
    /// A worker is asked for what its configuration has switched off, or for a part that is not there.
    case notOfTheJob

    package var description: String {
        switch self {
        case .unusableBatch(let path, let problem): "\(path): \(problem)"
        case .tooFewClasses(let model, let data):
            "model.classes is \(model), but the data set has \(data) classes; set model.classes to \(data) or more"
        case .unknownClasses(let path, let classes, let known):
            "\(path) has \(classes.count == 1 ? "a class" : "\(classes.count) classes") that the model does not know: "
                + classes.prefix(5).joined(separator: ", ") + (classes.count > 5 ? ", ..." : "") + "; it knows "
                + known.prefix(5).joined(separator: ", ") + (known.count > 5 ? ", ..." : "")
        case .noImages(let text): text
        case .notOfTheJob: "the coordinator asks for an evaluation that the job does not have; install the same release"
        case .nothingReadable(let path):
            "\(path): none of its test images can be read; psctl data inspect says why"
        }
    }
}
