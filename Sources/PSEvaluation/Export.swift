// A checkpoint as one weight file for other frameworks.

import PSCheckpoint
import PSConfiguration
import PSFiles
import PSModel
import PSPrediction
import PSReport

/// The result of `psctl export`.
package struct Export: Encodable, Sendable {
    package let file: String
    package let bytes: Int
    package let sha256: String
    package let step: Int
    package let weights: WeightChoice
    /// Why torchvision's `inception_v3` cannot take the file, or nil if it can.
    package let notTorchvision: String?

    /// - Parameter classNames: go into the file's header as a JSON list called `classes`; nil: they are not known.
    package init(
        checkpoint: CheckpointReader, configuration: JobConfiguration, weights: WeightChoice, classNames: [String]?,
        to path: String
    ) throws {
        let description = try ModelDescription(configuration.model)
        let written = try WeightFile.export(
            checkpoint, value: weights.storedValue, layout: description.layout, classNames: classNames, to: path)
        file = path
        bytes = written.byteCount
        sha256 = written.sha256
        step = checkpoint.manifest.step
        self.weights = weights
        notTorchvision = Export.difference(from: configuration.model)
    }

    /// What keeps torchvision's network from having this one's tensors or from computing the same.
    package static func difference(from settings: ModelSettings) -> String? {
        if settings.name != Network.inceptionV3.name { return "it is \(settings.name)" }
        if settings.width != 1 { return "model.width is \(settings.width), torchvision's network has width 1" }
        if let stem = settings.settled.stem, stem != 299 {
            return "model.stem is \(stem), torchvision's network has stem 299"
        }
        if settings.auxiliary, !settings.auxiliaryNorm {
            return "model.auxiliaryNorm is off, torchvision's auxiliary head has a batch norm there"
        }
        if !settings.batchNormScale { return "model.batchNormScale is off, torchvision's batch norms have a scale" }
        if settings.auxiliary, settings.imageSize < 299 {
            return """
                model.imageSize is \(settings.imageSize), below 299, where the auxiliary head's kernel is smaller than \
                torchvision's
                """
        }
        return nil
    }

    /// The lines for people.
    package var text: String {
        let use =
            notTorchvision.map { "torchvision's inception_v3 cannot load it: \($0)" }
            ?? "torchvision's inception_v3 loads it with load_state_dict(..., strict=True)"
        return """
            \(file): \(Report.bytes(bytes)), \(weights == .average ? "running-average" : "raw") weights of step \(step)
            \(use)

            """
    }
}
