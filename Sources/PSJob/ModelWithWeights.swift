// A network whose classes and heads are those of a weight file.

import PSCheckpoint
import PSConfiguration
import PSModel

/// A network and its weights, read from a file in torchvision's names.
package struct ModelWithWeights: Sendable {
    package let description: ModelDescription
    /// The flat vector of `description.layout`.
    package let values: [Float]

    /// - Parameters:
    ///   - assignments: `--set` texts for what the file cannot say, such as `model.stem=79`.
    ///   - imageSize: rows and columns of the images to come.
    package init(model: String, weights: String, assignments: [String], imageSize: Int) throws {
        var job = JobConfiguration()
        job.model = ModelSettings()
        try job.read(assignments: assignments)
        job.model.name = model
        job.model.imageSize = imageSize
        let file = try SafetensorsFile(weights)
        // A file without the last layer is reported by `load`, together with all else it lacks.
        if let head = file.tensor(named: "fc.weight"), let classes = head.shape.first, classes > 0 {
            job.model.classes = classes
        }
        job.model.auxiliary = file.tensors.contains { $0.name.hasPrefix("AuxLogits.") }
        description = try ModelDescription(job.model)
        values = try WeightFile.load(weights, layout: description.layout)
    }
}
