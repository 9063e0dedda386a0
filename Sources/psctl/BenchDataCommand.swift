// `psctl bench data`: how fast pictures become batches.

import ArgumentParser
import PSBenchmarks
import PSReport

struct BenchDataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Reads, decodes and augments a data set's images as a worker does, without a network.",
        discussion: """
            The data set and what is done to its images are the job's (--config, --set data.path=DIRECTORY). One round \
            of warm-up is not counted: what is measured comes from memory if the images of a round fit into it.
            """)

    @OptionGroup var settings: ConfigurationOptions
    @Option(help: "Images of a round.")
    var images = 512
    @Option(help: "Measured rounds.")
    var rounds = 5
    @Option(help: "Threads that read and decode.")
    var threads = 1
    @Flag(help: "Images of the test split as evaluation sees them.")
    var evaluation = false
    @OptionGroup var json: JSONOption

    func validate() throws {
        for (name, value, limit) in [
            ("--images", images, 10_000_000), ("--rounds", rounds, 10_000), ("--threads", threads, 1024),
        ]
        where !(1...limit).contains(value) {
            throw ValidationError("\(name) is \(value), allowed is from 1 to \(limit)")
        }
    }

    func run() throws {
        let benchmark = try DataBenchmark(
            configuration: settings.configuration(), images: images, rounds: rounds, threads: threads,
            evaluates: evaluation)
        write(json.isOn ? Report.json(benchmark) : benchmark.text)
    }
}
