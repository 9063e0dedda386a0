// `psctl predict`: logits of a batch of images in evaluation mode.

import ArgumentParser
import PSCheckpoint
import PSEvaluation
import PSJob

struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict",
        abstract: "Writes the logits of a batch of images: running statistics, no dropout.",
        discussion: "The number of classes is the weight file's.")

    @OptionGroup var input: WeightedInput

    @Option(help: "Safetensors file to write: logits.")
    var out: String

    @OptionGroup var threads: ThreadsOption

    func run() throws {
        let (model, batch) = try input.read(withoutAuxiliary: true)
        if model.engine.planFile != nil {
            throw ValidationError("engine.plan is for training; predict takes engine.convolution and engine.maxError")
        }
        // More images than this gain no speed, only memory.
        let predictor = try Predictor(
            description: model.description, values: model.values, batch: min(batch.count, 32), threads: threads.count,
            planning: model.engine.planning)
        let logits = predictor.logits(images: batch.images, count: batch.count)
        try SafetensorsWriter.write(
            path: out, metadata: [:],
            tensors: [OutgoingTensor(name: "logits", shape: [batch.count, predictor.classes], values: logits)])
    }
}
