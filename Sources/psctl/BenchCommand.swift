// `psctl bench`: how fast the parts of a job are, each alone.

import ArgumentParser
import PSBenchmarks
import PSCheckpoint
import PSConfiguration
import PSFiles
import PSJob
import PSMessages
import PSModel
import PSPlanning
import PSReport

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures the parts of a job.",
        subcommands: [
            Step.self, BenchPlanCommand.self, BenchErrorsCommand.self, Inference.self, BenchDataCommand.self,
            Exchange.self, Recovery.self, Storm.self, Bits.self,
        ])

    struct Step: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One training step in one process: forward, backward, clip and RMSProp on random images.",
            discussion: "Dropout is on. One step of warm-up is not counted.")

        @OptionGroup var model: BenchModelOptions
        @Option(help: "Measured steps.")
        var steps = 3
        @OptionGroup var engine: EngineOptions
        @Flag(
            help: ArgumentHelp(
                "Compute a data set's training images, read and augmented as a worker does it.",
                discussion: "The data set is the job's: --config, --set data.path=DIRECTORY."))
        var data = false
        @OptionGroup var settings: ConfigurationOptions
        @Flag(help: "Also print what each layer cost, and the machine's peak.")
        var plan = false
        @Option(help: "Write a picture of what each layer cost to this file.")
        var svg: String?
        @OptionGroup var threads: ThreadsOption
        @OptionGroup var json: JSONOption

        func validate() throws {
            if !(1...1_000_000).contains(steps) {
                throw ValidationError("--steps is \(steps), allowed is from 1 to 1000000")
            }
        }

        func run() throws {
            let svg = try svg.map { try checkedOutput($0) }
            let description = try model.description()
            let benchmark = try StepBenchmark(
                description: description, batch: model.batch, threads: threads.count, steps: steps,
                plan: engine.settings.trainingPlan(description: description, batch: model.batch),
                measuresLayers: plan || svg != nil, images: data ? settings.configuration() : nil)
            if let svg, let picture = benchmark.svg {
                try svg.write(Array(picture.utf8))
            }
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
        }
    }

    struct Inference: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Logits of batches of random images in one process, as an evaluation computes them.",
            discussion: "One batch of warm-up is not counted.")

        @OptionGroup var model: BenchModelOptions
        @Option(help: "Measured batches.")
        var batches = 5
        @OptionGroup var engine: EngineOptions
        @OptionGroup var threads: ThreadsOption
        @OptionGroup var json: JSONOption

        func validate() throws {
            if !(1...1_000_000).contains(batches) {
                throw ValidationError("--batches is \(batches), allowed is from 1 to 1000000")
            }
        }

        func run() throws {
            let description = try model.description()
            let benchmark = try InferenceBenchmark(
                description: description, batch: model.batch, threads: threads.count, batches: batches,
                plan: engine.settings.trainingPlan(description: description, batch: model.batch))
            write(json.isOn ? Report.json(benchmark) : benchmark.text)
        }
    }

    struct Exchange: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "One round of the service: push all gradients, clip, update, pull all weights.",
            discussion: """
                Real server and worker processes exchange the parameters of a network, the 27.2 million of Inception-v3 \
                unless told otherwise; the gradients are random. The weights that the workers pulled last are compared \
                with the same job computed in this process; if a bit differs the command fails.
                """)

        @Flag(
            help: ArgumentHelp(
                "Measure all ways that processes of one machine reach one another, in turn, and print a table.",
                discussion: "Unix sockets, TCP without keys, TCP with keys, which is encrypted."))
        var security = false
        @Option(
            help: ArgumentHelp(
                "Measure another way than ipc, the Unix sockets that 'psctl train' takes: tcp, or tcp-keys, encrypted.",
                valueName: "way"))
        var over: ExchangeWay?
        @Option(help: "Server processes.")
        var servers = 1
        @Option(help: "Replicas of each server's part: 0 or 1.")
        var replicas = 0
        @Option(help: "Worker processes; each pushes a whole gradient every round.")
        var workers = 1
        @Option(help: "Measured rounds; with --security, of each turn.")
        var rounds = 20
        @OptionGroup var network: BenchNetworkOptions
        @OptionGroup var json: JSONOption

        func validate() throws {
            if security, over != nil { throw ValidationError("--security and --over exclude each other") }
            if security, replicas != 0 { throw ValidationError("--security is measured without --replicas") }
            try checkReplicas(replicas, servers: servers)
            for (name, value, limit) in [
                ("--servers", servers, 64), ("--workers", workers, 64), ("--rounds", rounds, 10_000),
            ]
            where !(1...limit).contains(value) {
                throw ValidationError("\(name) is \(value), allowed is from 1 to \(limit)")
            }
        }

        func run() throws {
            let progress = Progress()
            let description = try network.description()
            let isVerified: Bool
            if security {
                let comparison = try ExchangeComparison(
                    description, servers: servers, workers: workers, rounds: rounds, programs: Programs.directory,
                    note: { progress.say($0) })
                write(json.isOn ? Report.json(comparison) : comparison.text)
                isVerified = comparison.verified
            } else {
                let benchmark = try ExchangeBenchmark(
                    description, over: over ?? .ipc, servers: servers, workers: workers, replicas: replicas,
                    rounds: rounds,
                    programs: Programs.directory, note: { progress.say($0) })
                write(json.isOn ? Report.json(benchmark) : benchmark.text)
                isVerified = benchmark.verified
            }
            if !isVerified { throw ExitCode.failure }
        }
    }
}
