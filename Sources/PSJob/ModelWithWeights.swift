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
    ///   - imageHeight: rows of the images to come.
    ///   - imageWidth: columns of the images to come.
    package init(
        model: String, weights: String, assignments: [String], imageHeight: Int, imageWidth: Int
    ) throws {
        var job = JobConfiguration()
        job.model = ModelSettings()
        try job.read(assignments: assignments)
        job.model.name = model
        let file = try SafetensorsFile(weights)
        // A file without the last layer is reported by `load`, together with all else it lacks.
        if let head = file.tensor(named: "fc.weight"), let classes = head.shape.first, classes > 0 {
            job.model.classes = classes
        }
        job.model.auxiliary = file.tensors.contains { $0.name.hasPrefix("AuxLogits.") }
        description = try ModelDescription(job.model, image: Extent(imageHeight, imageWidth))
        values = try WeightFile.load(weights, layout: description.layout)
    }
}
