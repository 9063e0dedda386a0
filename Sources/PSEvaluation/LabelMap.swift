// Which of a model's classes a data set's labels are.

import PSDatasets
import PSPrediction

package struct LabelMap: Sendable {
    /// By label of the data set; nil: the same.
    package let classes: [Int]?

    /// Labels are matched by the names of classes where both sides have them, else by number.
    ///
    /// - Parameters:
    ///   - path: the data set's, for messages.
    ///   - names: the model's, by class; nil: they are not known.
    ///   - classes: the model's.
    /// - Throws: when the data set has a class that the model does not know.
    package init(
        of data: Dataset, path: String, onto names: [String]?, classes: Int
    ) throws(EvaluationError) {
        // As a run writes them down.
        let own = data.classNames.map { $0.replacing("\n", with: " ") }
        // "0", "1", ... are no names.
        func areNumbers(_ names: [String]) -> Bool { names.enumerated().allSatisfy { "\($0)" == $1 } }
        guard let names, !areNumbers(names), !areNumbers(own), names != own else {
            guard own.count <= classes else { throw .tooFewClasses(model: classes, data: own.count) }
            self.classes = nil
            return
        }
        let numbers = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
        let unknown = own.filter { numbers[$0] == nil }
        guard unknown.isEmpty else {
            throw .unknownClasses(path: path, classes: unknown, known: names)
        }
        self.classes = own.map { numbers[$0]! }
    }
}
