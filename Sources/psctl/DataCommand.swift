// `psctl data`: what is in a data set, what training shows of it, and packing it.

import ArgumentParser
import PSConfiguration
import PSDatasets

struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Looks at data sets, checks them and packs them.",
        discussion: """
            A data set is named by its path: a folder of classes (or of train/ and val/ with such), WebDataset's tar \
            shards, TFRecord files, MNIST's IDX files or CIFAR's binary ones.
            """,
        subcommands: [DataInspectCommand.self, DataVerifyCommand.self, DataPreviewCommand.self, DataPackCommand.self])
}

/// The data set and how its pictures are read: an argument, and the settings of a job.
struct DataOptions: ParsableArguments {
    @Argument(help: "The data set's directory.")
    var path: String

    @OptionGroup var settings: ConfigurationOptions

    func configuration() throws -> JobConfiguration {
        var job = try settings.configuration()
        if path.isEmpty { throw ValidationError("the data set's path is empty") }
        job.data.set.path = path
        return job
    }
}
