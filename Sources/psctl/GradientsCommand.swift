// `psctl gradients`: one batch's loss, logits and gradients, for comparison with any other framework.

import ArgumentParser
import PSEvaluation
import PSJob
import PSModel

struct GradientsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gradients",
        abstract: "Writes loss, logits and all gradients of one batch.",
        discussion: """
            Dropout off, label smoothing 0.1, auxiliary heads weighted as the network's reference does (0.4, two heads \
            0.3 each), batch statistics. The number of classes and the auxiliary heads are the weight file's.
            """)

    @OptionGroup var input: WeightedInput

    @Option(help: "Safetensors file to write: loss, logits, aux_logits (aux1_logits, ...), grad.NAME.")
    var out: String

    @OptionGroup var threads: ThreadsOption

    func run() throws {
        let output = try checkedOutput(out, inputs: [input.weights, input.batch])
        let (model, batch) = try input.read(withoutAuxiliary: false)
        try GradientReport(model: model, batch: batch, path: input.batch, threads: threads.count).write(to: output)
    }
}

/// `--model`, `--weights`, `--batch`: a network with weights, and images for it.
struct WeightedInput: ParsableArguments {
    @Option(help: "The network (default: the one whose tensors the weights are).")
    var model: String?

    @Option(help: "Safetensors file of weights in the names of the network's reference implementation.")
    var weights: String

    @Option(help: "Safetensors file with 'images' (N, 3, H, W; F32) and, where needed, 'labels' (N; I64).")
    var batch: String

    @Option(
        name: .customLong("set"),
        help: "A setting of the model that the weights do not tell, or of the engine, for example model.stem=79.")
    var assignments: [String] = []

    /// - Parameter withoutAuxiliary: leaves the auxiliary head out, whose shape would tie the images to one size.
    func read(withoutAuxiliary: Bool) throws -> (ModelWithWeights, ImageBatch) {
        let batch = try ImageBatch(path: batch)
        let model = try ModelWithWeights(
            model: model, weights: weights, assignments: assignments, image: Extent(batch.height, batch.width),
            withoutAuxiliary: withoutAuxiliary)
        return (model, batch)
    }
}
