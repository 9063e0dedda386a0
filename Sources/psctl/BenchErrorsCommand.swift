// `psctl bench errors`: what each convolution's rounding is, by every algorithm it has.

import ArgumentParser
import PSBenchmarks
import PSJob
import PSReport

struct BenchErrorsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "errors",
        abstract: "Measures how far each convolution is from float64, with every algorithm it has.",
        discussion: """
            One line a shape and algorithm: relative RMS errors of the output and of the inputs' gradient at 1,024 \
            random points and of the weights' gradient at 256, on random operands. 1x1 convolutions are plain products and have no choice; they are left out.
            """)

    @OptionGroup var network: BenchNetworkOptions
    @Option(help: "Images computed at once.")
    var batch = 4
    @Option(help: "The source of the random operands.")
    var seed: UInt64 = 1
    @Flag(help: "Print a table in Markdown, its errors in units of 1e-7.")
    var markdown = false
    @OptionGroup var threads: ThreadsOption
    @OptionGroup var json: JSONOption

    func validate() throws {
        try BenchModelOptions.check(batch: batch)
        if markdown && json.isOn { throw ValidationError("--markdown and --json exclude each other") }
    }

    func run() throws {
        let progress = Progress()
        let benchmark = try ErrorBenchmark(
            description: network.description(), batch: batch, threads: threads.count, seed: seed,
            note: { progress.say($0) })
        write(json.isOn ? Report.json(benchmark) : markdown ? benchmark.markdown : benchmark.text)
    }
}
