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
    /// The network.
    package let model: String
    /// Why the network's reference implementation cannot take the file, or nil if it can.
    package let notReference: String?

    /// - Parameter classNames: go into the file's header as a JSON list called `classes`; nil: they are not known.
    package init(
        checkpoint: CheckpointReader, configuration: JobConfiguration, weights: WeightChoice, classNames: [String]?,
        to output: OutputFile
    ) throws {
        let description = try ModelDescription(configuration.model)
        let written = try WeightFile.export(
            checkpoint, value: weights.storedValue, layout: description.layout, classNames: classNames,
            network: configuration.networkAssignments, to: output)
        file = output.path
        bytes = written.byteCount
        sha256 = written.sha256
        step = checkpoint.manifest.step
        self.weights = weights
        model = description.network.name
        let network = description.network
        notReference = Export.difference(from: configuration.model)
        reference = network.reference
        construction = network.construction(classes: description.classes, auxiliary: description.heads.count > 1)
    }

    private let reference: String
    /// Python that makes the reference implementation; nil where there is none.
    private let construction: String?

    private enum CodingKeys: CodingKey { case file, bytes, sha256, step, weights, model, notReference }

    /// What keeps the reference implementation from having this network's tensors or from computing the same.
    package static func difference(from settings: ModelSettings) -> String? {
        guard let network = try? Network.named(settings.name), network.constructor != nil else {
            return "no other implementation has this network"
        }
        if settings.width != 1 { return "model.width is \(settings.width), its own is 1" }
        if let stem = settings.settled.stem, stem != 299 {
            return "model.stem is \(stem), as published it is 299: train with model.stem=299"
        }
        if settings.groups != 1 { return "model.groups is \(settings.groups), its own is 1" }
        if !settings.batchNormScale { return "model.batchNormScale is off, its batch norms have a scale" }
        if settings.auxiliary, !settings.auxiliaryNorm {
            return "model.auxiliaryNorm is off, its auxiliary head has a batch norm there"
        }
        if settings.auxiliary, network.name == Network.inceptionV3.name, settings.imageSize < network.imageSize {
            return """
                model.imageSize is \(settings.imageSize), below 299, where the auxiliary head's kernel is smaller than \
                its own
                """
        }
        return nil
    }

    /// The lines for people.
    package var text: String {
        let use =
            switch (construction, notReference) {
            case (let call?, nil): "\(call) loads it with load_state_dict(..., strict=True)"
            case (let call?, let reason?): "\(call) cannot load it: \(reason)"
            case (nil, _): "no other implementation loads it; its names: \(reference)"
            }
        return """
            \(file): \(Report.bytes(bytes)), \(weights == .average ? "running-average" : "raw") weights of step \(step)
            \(use)

            """
    }
}
