// `psctl model`: the networks there are, what they are made of, what they cost.

import ArgumentParser
import PSBenchmarks
import PSConfiguration
import PSFiles
import PSJob
import PSModel
import PSModelTools
import PSPlanning
import PSReport

struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Describes networks.",
        subcommands: [List.self, Summary.self, Compare.self, Draw.self, Receptive.self])

    /// `NAME --set model.KEY=VALUE`: one network.
    struct NetworkChoice: ParsableArguments {
        @Argument(help: "The network; 'psctl model list' names them.")
        var name: String

        @Option(name: .customLong("set"), help: "A model setting, for example model.width=0.25; may be repeated.")
        var assignments: [String] = []

        func description() throws -> ModelDescription {
            // The defaults here are the network's own, not those of the default job.
            var job = JobConfiguration()
            job.model = ModelSettings(try Network.named(name))
            for assignment in assignments where !assignment.hasPrefix("model.") || assignment.hasPrefix("model.name=") {
                throw ValidationError(
                    "--set \(assignment): what is described is \(name) with model settings, such as model.width=0.25")
            }
            try job.read(assignments: assignments)
            return try ModelDescription(job.model)
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Names the networks, by their publication.")

        @OptionGroup var json: JSONOption

        func run() throws {
            write(
                json.isOn ? Report.json(Network.all.map(ModelComparison.Name.init)) : ModelComparison.list(Network.all))
        }
    }

    struct Summary: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints each row's output shape, parameters and multiply-accumulates, and the totals.",
            discussion: "The network is as published (width 1, 1000 classes) unless --set changes it.")

        @OptionGroup var network: NetworkChoice
        @OptionGroup var json: JSONOption

        func run() throws {
            let summary = ModelSummary(try network.description())
            write(json.isOn ? Report.json(summary) : summary.text)
        }
    }

    struct Compare: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints parameters, multiply-accumulates, memory and published errors of networks side by side.",
            discussion: "Each network is as published: its own image size, width 1, 1000 classes.")

        @Argument(help: "The networks (default: all).")
        var names: [String] = []

        @Flag(help: "Measure each network's training step on this machine, with a batch of 8.")
        var time = false

        @OptionGroup var threads: ThreadsOption
        @OptionGroup var json: JSONOption

        func run() throws {
            let networks = names.isEmpty ? Network.all : try names.map { try Network.named($0) }
            let progress = Progress()
            let comparison = try ModelComparison(networks, time: time ? { try measure($0, progress) } : nil)
            write(json.isOn ? Report.json(comparison) : comparison.text)
        }

        private func measure(_ description: ModelDescription, _ progress: Progress) throws -> Double {
            progress.say("measuring \(description.network.name)")
            let batch = 8
            let benchmark = try StepBenchmark(
                description: description, batch: batch, threads: threads.count, steps: 3,
                plan: EngineSettings().trainingPlan(description: description, batch: batch), measuresLayers: false)
            return benchmark.secondsPerStep / Double(batch)
        }
    }

    struct Draw: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Draws a network's graph, block by block, its branches side by side.")

        @OptionGroup var network: NetworkChoice

        @Option(help: ArgumentHelp("The picture to write.", valueName: "file"))
        var svg: String

        func run() throws {
            let output = try checkedOutput(svg)
            try output.write(Array(ModelPicture(try network.description()).svg.utf8))
        }
    }

    struct Receptive: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints each row's grid and its receptive field: what one of its values sees of the image.",
            discussion: "The step is the distance, in pixels of the image, between the fields of neighbouring values.")

        @OptionGroup var network: NetworkChoice
        @OptionGroup var json: JSONOption

        func run() throws {
            let summary = ModelSummary(try network.description())
            write(json.isOn ? Report.json(summary) : summary.receptiveFields)
        }
    }
}
