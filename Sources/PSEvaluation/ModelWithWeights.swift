// A network whose classes and heads are those of a weight file.

import PSCheckpoint
import PSConfiguration
import PSModel

/// A network and its weights, read from a file in torchvision's names.
package struct ModelWithWeights: Sendable {
    package let description: ModelDescription
    /// The flat vector of `description.layout`.
    package let values: [Float]
    package let engine: EngineSettings

    /// - Parameters:
    ///   - assignments: `--set` texts for what the file cannot say, such as `model.stem=79` and the engine's settings.
    ///   - imageHeight: rows of the images to come.
    ///   - imageWidth: columns of the images to come.
    ///   - withoutAuxiliary: leaves the auxiliary head out, whatever the file holds of it.
    package init(
        model: String, weights: String, assignments: [String], imageHeight: Int, imageWidth: Int,
        withoutAuxiliary: Bool = false
    ) throws {
        var job = JobConfiguration()
        job.model = ModelSettings()
        try job.read(assignments: assignments)
        job.model.name = model
        engine = job.engine
        let file = try SafetensorsFile(weights)
        // A file without the last layer is reported by `load`, together with all else it lacks.
        if let head = file.tensor(named: "fc.weight"), let classes = head.shape.first, classes > 0 {
            job.model.classes = classes
        }
        let auxiliaryPrefix = "AuxLogits."
        job.model.auxiliary = !withoutAuxiliary && file.tensors.contains { $0.name.hasPrefix(auxiliaryPrefix) }
        description = try ModelDescription(job.model, image: Extent(imageHeight, imageWidth))
        values = try WeightFile.load(
            weights, layout: description.layout, ignoredPrefix: withoutAuxiliary ? auxiliaryPrefix : nil)
    }
}
