// What a configuration takes from the data set.

import PSDatasets

extension JobConfiguration {
    /// This configuration with the data set's number of classes, where that was left open.
    package func with(classesOf dataset: Dataset) throws(ConfigurationError) -> JobConfiguration {
        let found = dataset.classNames.count
        var result = self
        result.model.classes = model.classes ?? found
        if let classes = model.classes, classes < found {
            throw .unusable(
                "model.classes",
                problem: "is \(classes), but \(data.set.path) has \(found) classes; set model.classes to \(found) or "
                    + "more, or leave it out")
        }
        return result
    }
}
