// `psctl bench plan`: the fastest algorithm of each convolution on this machine, and what benchmarks compute.

import ArgumentParser
import PSBenchmarks
import PSCheckpoint
import PSConfiguration
import PSFiles
import PSJob
import PSModel
import PSPlanning
import PSReport

/// The network of a benchmark, as published unless told otherwise.
struct BenchNetworkOptions: ParsableArguments {
    @Option(name: .customLong("model"), help: "The network; 'psctl model list' names them.")
    var name = "inception-v3"
    @Option(help: "Rows and columns of an image (default: the published size).")
    var imageSize: Int?
    @Option(help: "Multiplier of the channels.")
    var width = 1.0
    @Option(
        help:
            "The first layers, by the input size of Inception-v3 they are made for: 299, 151 or 79 (default: by the size)."
    )
    var stem: Int?
    @Option(help: "Classes.")
    var classes = 1000
    @Flag(inversion: .prefixedNo, help: "The auxiliary heads (default: as published).")
    var auxiliary: Bool?

    func description() throws(ModelError) -> ModelDescription {
        var settings = ModelSettings(try Network.named(name))
        settings.imageSize = imageSize ?? settings.imageSize
        settings.width = width
        settings.stem = stem
        settings.classes = classes
        settings.auxiliary = auxiliary ?? settings.auxiliary
        return try ModelDescription(settings)
    }
}

/// The network and the batch of a benchmark.
struct BenchModelOptions: ParsableArguments {
    @OptionGroup var network: BenchNetworkOptions
    @Option(help: "Images computed at once.")
    var batch = 32

    func validate() throws { try BenchModelOptions.check(batch: batch) }

    static func check(batch: Int) throws {
        if !(1...65_536).contains(batch) {
            throw ValidationError("--batch is \(batch), allowed is from 1 to 65536")
        }
    }

    func description() throws(ModelError) -> ModelDescription { try network.description() }
}

extension PlanSettings.Convolution: ExpressibleByArgument {}

/// `--max-error`.
struct MaximumErrorOption: ParsableArguments {
    @Option(
        name: .customLong("max-error"),
        help: "Winograd: largest relative RMS error of a layer's algorithm against float64.")
    var value = PlanSettings().maximumError

    func validate() throws {
        guard value > 0 && value <= 1 else {
            throw ValidationError("--max-error is \(value), allowed is above 0, at most 1")
        }
    }
}

/// `--convolution`, `--max-error`, `--plan-file`: how the convolutions are computed.
struct EngineOptions: ParsableArguments {
    @Option(help: "Where convolutions go by Winograd: nowhere, wherever exact enough, or where also cheaper.")
    var convolution = PlanSettings().convolution
    @OptionGroup var maximumError: MaximumErrorOption
    @Option(help: "A plan as 'psctl bench plan' or a run's plan.json has it; wins over the two above.")
    var planFile: String?

    var settings: EngineSettings {
        var settings = EngineSettings()
        settings.planning.convolution = convolution
        settings.planning.maximumError = maximumError.value
        settings.planFile = planFile
        return settings
    }
}

struct BenchPlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Measures each convolution with every algorithm it has and writes the plan of the fastest.",
        discussion: """
            Whole training steps are timed, each with every convolution at the next of its algorithms. Give the file to \
            a job with --set engine.plan=FILE, or to 'psctl bench step' with --plan-file.
            """)

    @OptionGroup var model: BenchModelOptions
    @Option(help: "Measured steps of each plan.")
    var steps = 2
    @OptionGroup var maximumError: MaximumErrorOption
    @Option(help: "The plan file to write.")
    var out: String
    @OptionGroup var threads: ThreadsOption
    @OptionGroup var json: JSONOption

    func validate() throws {
        if !(1...10_000).contains(steps) {
            throw ValidationError("--steps is \(steps), allowed is from 1 to 10000")
        }
    }

    func run() throws {
        // Before minutes of measuring.
        let output = try checkedOutput(out)
        let progress = Progress()
        let benchmark = try PlanBenchmark(
            description: model.description(), batch: model.batch, threads: threads.count, steps: steps,
            maximumError: maximumError.value, note: { progress.say($0) })
        try output.write(Array(benchmark.file.text.utf8))
        write(json.isOn ? Report.json(benchmark) : benchmark.text)
    }
}
