// `psctl model summary`: what a network is made of and what it costs.

import ArgumentParser
import PSConfiguration
import PSEvaluation
import PSJob
import PSModel
import PSReport

struct ModelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Describes networks.", subcommands: [Summary.self])

    struct Summary: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Prints each row's output shape, parameters and multiply-accumulates, and the totals.",
            discussion: "The network is as published (width 1, 1000 classes) unless --set changes it.")

        @Argument(help: "The network, for example inception-v3.")
        var name: String

        @Option(name: .customLong("set"), help: "A model setting, for example model.width=0.25; may be repeated.")
        var assignments: [String] = []

        @OptionGroup var json: JSONOption

        func run() throws {
            // The defaults here are the network's own, not those of the default job.
            var job = JobConfiguration()
            job.model = ModelSettings(try Network.named(name))
            try job.read(assignments: assignments)
            job.model.name = name
            let summary = ModelSummary(try ModelDescription(job.model))
            write(json.isOn ? Report.json(summary) : summary.text)
        }
    }
}
