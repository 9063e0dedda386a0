// `psctl bench`: how fast the parts of a job are, each alone.

import ArgumentParser
import PSConfiguration
import PSJob
import PSModel

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures the parts of a job.", subcommands: [Step.self])

    struct Step: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One training step in one process: forward, backward, clip and RMSProp on random images.",
            discussion: "Dropout and the auxiliary head are on. One step of warm-up is not counted.")

        @Option(help: "The network.")
        var model = "inception-v3"
        @Option(help: "Rows and columns of an image.")
        var imageSize = 299
        @Option(help: "Images of a step.")
        var batch = 32
        @Option(help: "Measured steps.")
        var steps = 3
        @Option(help: "Multiplier of the channels.")
        var width = 1.0
        @Option(help: "The first layers, by the input size they are made for: 299, 151 or 79.")
        var stem = 299
        @Option(help: "Classes.")
        var classes = 1000
        @OptionGroup var threads: ThreadsOption
        @OptionGroup var json: JSONOption

        func validate() throws {
            if !(1...65_536).contains(batch) {
                throw ValidationError("--batch is \(batch), allowed is from 1 to 65536")
            }
            if !(1...1_000_000).contains(steps) {
                throw ValidationError("--steps is \(steps), allowed is from 1 to 1000000")
            }
        }

        func run() throws {
            var settings = ModelSettings()
            settings.name = model
            settings.imageSize = imageSize
            settings.width = width
            settings.stem = stem
            settings.classes = classes
            let benchmark = try StepBenchmark(
                description: ModelDescription(settings), batch: batch, threads: threads.count, steps: steps)
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
        }
    }
}
