// What can be wrong with the images and classes of an evaluation or a prediction.

package enum EvaluationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file of images and labels that is not what it should be.
    case unusableBatch(path: String, problem: String)
    case tooFewClasses(model: Int, data: Int)
    /// The data set has classes that the model does not know.
    case unknownClasses(path: String, classes: [String], known: [String])
    /// The text says where, and what to do.
    case noImages(String)
    /// Networks of one ensemble, by their paths, that tell other classes apart.
    case differentClassCounts(first: String, classes: Int, other: String, otherClasses: Int)
    /// The same for as many classes that are called otherwise, or stand in another order.
    case differentClassNames(first: String, other: String, label: Int, name: String, otherName: String)
    /// Lines of a list of images to leave out; `first` says what is wrong with the first of them.
    case unusableExclusions(path: String, first: String, others: Int)
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
        case .differentClassCounts(let first, let classes, let other, let otherClasses):
            "\(first) has \(classes) classes and \(other) has \(otherClasses); an ensemble needs networks of the same "
                + "classes"
        case .differentClassNames(let first, let other, let label, let name, let otherName):
            "class \(label) is \(name) in \(first) and \(otherName) in \(other); an ensemble needs networks of the same "
                + "classes in the same order"
        case .unusableExclusions(let path, let first, let others):
            "\(path): \(first)"
                + (others == 0 ? "" : others == 1 ? "; 1 more line is like it" : "; \(others) more lines are like it")
                + "; a line must be an image's name (a file's, with its folders below the data set or without), or the number that ends it"
        case .notOfTheJob: "the coordinator asks for an evaluation that the job does not have; install the same release"
        case .nothingReadable(let path):
            "\(path): none of its test images can be read; psctl data inspect says why"
        }
    }
}
