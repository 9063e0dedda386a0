// `psctl data pack`: a folder of pictures as tar shards.

import ArgumentParser
import PSDatasets
import PSJob
import PSReport

struct DataPackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pack",
        abstract: "Packs a folder of classes into WebDataset's tar shards, with classes.txt and an index.",
        discussion: """
            The shards hold the same pictures in the same order, byte for byte: training on them gives the same \
            weights. An interrupted pack goes on when it is started again.
            """)

    @Argument(help: "The folder: train/ and val/ with a folder for each class, or one folder of classes.")
    var folder: String
    @Argument(help: "The directory that gets train/ and val/ with the shards.")
    var out: String
    @Option(help: "Size of a shard in MiB.")
    var shardSize = 256
    @OptionGroup var settings: ConfigurationOptions
    @OptionGroup var threads: ThreadsOption
    @OptionGroup var json: JSONOption

    func validate() throws {
        if !(1...1_048_576).contains(shardSize) {
            throw ValidationError("--shard-size is \(shardSize), allowed is from 1 to 1048576 MiB")
        }
        if folder.isEmpty || out.isEmpty { throw ValidationError("both directories need a name") }
    }

    func run() throws {
        var set = try settings.configuration().data.set
        set.path = folder
        let progress = CountProgress()
        let report = try Pack.run(
            set, into: out, shardByteCount: shardSize << 20, threads: threads.count,
            progress: { progress.count("shards", done: $0, of: $1) })
        progress.finish()
        write(json.isOn ? Report.json(report) : report.text(out))
    }
}

extension PackReport {
    fileprivate func text(_ out: String) -> String {
        """
        \(out): \(Report.count(trainCount, "training picture")), \(Report.count(testCount, "picture")) for evaluation
        \(Report.count(shardsWritten, "shard")) written, \(Report.grouped(shardsKept)) kept from an earlier pack, \
        \(Report.bytes(byteCount)) in all
        train with: --set data.path=\(out)

        """
    }
}
