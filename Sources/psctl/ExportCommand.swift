// `psctl export`: a checkpoint as one weight file.

import ArgumentParser
import PSEvaluation
import PSJob
import PSPrediction
import PSReport

extension WeightChoice: ExpressibleByArgument {}

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract:
            "Writes a checkpoint's weights as one safetensors file in the names of the network's reference implementation.",
        discussion: """
            The reference implementation takes the file where width is 1 and the first layers are the published ones; \
            elsewhere the command says why not. The file's header has the names of the classes as a JSON list.
            """)

    @OptionGroup var checkpoint: CheckpointChoice

    @Option(help: "The running average, or the weights of the last commit.")
    var weights = WeightChoice.average

    @Option(help: "The file to write.")
    var out: String

    @OptionGroup var json: JSONOption

    func run() throws {
        let output = try checkedOutput(out)
        let run = try checkpoint.directory.existing()
        let export = try Export(
            checkpoint: checkpoint.read(run), configuration: run.readConfiguration(), weights: weights,
            classNames: run.classNames(), to: output)
        write(json.isOn ? Report.json(export) : export.text)
    }
}
