// A network whose classes and heads are those of a weight file.

import PSCheckpoint
import PSConfiguration
import PSFiles
import PSModel

/// A network and its weights, read from a file in the names of the network's reference implementation.
package struct ModelWithWeights: Sendable {
    package let description: ModelDescription
    /// The flat vector of `description.layout`.
    package let values: [Float]
    /// The default job's with this model: `assignments` over it.
    package let configuration: JobConfiguration
    /// The names of the classes, if the file has them as `psctl export` writes them.
    package let classNames: [String]?

    /// - Parameters:
    ///   - model: nil: the one that the file's tensors are of.
    ///   - assignments: `--set` texts for what the file cannot say, such as `model.stem=79` and the engine's settings.
    ///   - image: rows and columns of the images to come; nil: the model's, `model.imageSize`.
    ///   - withoutAuxiliary: leaves the auxiliary head out, whatever the file holds of it.
    package init(
        model: String?, weights: String, assignments: [String], image: Extent? = nil, withoutAuxiliary: Bool = false
    ) throws {
        let file = try SafetensorsFile(weights)
        var described = JobConfiguration()
        if let header = file.networkAssignments {
            do {
                try described.read(networkAssignments: header)
            } catch {
                throw StorageError.damaged(path: weights, problem: "says of its network in its header: \(error)")
            }
        }
        let isDescribed = file.networkAssignments != nil && (model == nil || model == described.model.name)
        let named = model ?? (isDescribed ? described.model.name : file.network?.name)
        guard let named else { throw StorageError.damaged(path: weights, problem: file.unknownNetwork) }
        let network = try Network.named(named)
        var job = JobConfiguration()
        job.model = ModelSettings(network)
        if isDescribed, let header = file.networkAssignments {
            try job.read(networkAssignments: header)
        } else {
            // As its reference has it, whatever the size of the images.
            job.model.stem = 299
        }
        try job.read(assignments: assignments)
        job.model.name = network.name
        let prefixes = network.auxiliaryPrefixes
        func isAuxiliary(_ name: String) -> Bool { prefixes.contains(where: name.hasPrefix) }
        job.model.auxiliary = !withoutAuxiliary && file.tensors.contains { isAuxiliary($0.name) }
        // A file without the last layer is reported by `load`, together with all else it lacks.
        let last = try ModelDescription(job.model, image: image).lastLayers.filter { !isAuxiliary($0) }
        if let classes = last.compactMap({ file.tensor(named: $0)?.shape.first }).first, classes > 0 {
            job.model.classes = classes
        }
        configuration = job
        description = try ModelDescription(job.model, image: image)
        classNames = file.classNames?.count == description.classes ? file.classNames : nil
        values = try WeightFile.load(
            weights, of: description, ignoredPrefixes: withoutAuxiliary ? prefixes : [])
    }
}
