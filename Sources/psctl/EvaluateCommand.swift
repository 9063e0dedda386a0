// `psctl evaluate`: how well a checkpoint names the test images.

import ArgumentParser
import PSEvaluation
import PSJob
import PSReport

extension WeightChoice: ExpressibleByArgument {}

/// `--run-dir`, `--step`, `--weights`: the weights of one checkpoint of one run.
struct CheckpointOptions: ParsableArguments {
    @OptionGroup var run: RunDirectoryOption

    @Option(help: "The checkpoint's step (default: the newest).")
    var step: Int?

    @Option(help: "The running average, or the weights of the last commit.")
    var weights = WeightChoice.average
}

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measures a checkpoint on the test images: top-1, top-5, the worst classes.")

    @OptionGroup var checkpoint: CheckpointOptions
    @OptionGroup var threads: ThreadsOption
    @OptionGroup var json: JSONOption

    func run() throws {
        let run = try checkpoint.run.existing()
        let evaluation = try Evaluation(
            checkpoint: run.checkpoint(step: checkpoint.step), configuration: run.readConfiguration(),
            weights: checkpoint.weights, threads: threads.count)
        write(json.isOn ? Report.json(evaluation) : evaluation.text)
    }
}
