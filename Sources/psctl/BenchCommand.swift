// `psctl bench`: how fast the parts of a job are, each alone.

import ArgumentParser
import PSConfiguration
import PSJob
import PSModel

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures the parts of a job.", subcommands: [Step.self, Exchange.self])

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

    struct Exchange: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One round of the service: push all gradients, clip, update, pull all weights.",
            discussion: """
                Real server and worker processes over TCP exchange the 27.2 million parameters of Inception-v3; the \
                gradients are random. The weights that the workers pulled last are compared with the same job computed \
                in this process; if a bit differs the command fails.
                """)

        @Option(help: "Server processes.")
        var servers = 1
        @Option(help: "Worker processes; each pushes a whole gradient every round.")
        var workers = 1
        @Option(help: "Measured rounds.")
        var rounds = 20
        @OptionGroup var json: JSONOption

        func validate() throws {
            for (name, value, limit) in [
                ("--servers", servers, 64), ("--workers", workers, 64), ("--rounds", rounds, 10_000),
            ]
            where !(1...limit).contains(value) {
                throw ValidationError("\(name) is \(value), allowed is from 1 to \(limit)")
            }
        }

        func run() throws {
            let progress = Progress()
            let benchmark = try ExchangeBenchmark(
                servers: servers, workers: workers, rounds: rounds, programs: Programs.directory,
                note: { progress.say($0) })
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
            if !benchmark.verified { throw ExitCode.failure }
        }
    }
}
