// `psctl data preview`: what the network is shown of a data set, as a picture.

import ArgumentParser
import PSConfiguration
import PSDataTools
import PSDatasets
import PSFiles
import PSParameters

struct DataPreviewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview",
        abstract: "Draws training images as the network is shown them: those of a ticket, or samples of a class.",
        discussion: """
            Of a class each row is a sample: first as evaluation sees it, then as training would change it. The data \
            set, its augmentation and the image's size are the job's (--config, --set).
            """)

    @OptionGroup var settings: ConfigurationOptions
    @Option(help: "The ticket whose images are drawn (default: 0).")
    var ticket: UInt64?
    @Option(name: .customLong("class"), help: "The class whose samples are drawn, by name.")
    var className: String?
    @Option(help: "Pictures of a row.")
    var columns = 8
    @Option(help: "With --class: samples.")
    var rows = 6
    @Option(help: "The file to write, a PNG.")
    var out: String

    func validate() throws {
        if ticket != nil && className != nil { throw ValidationError("--ticket and --class exclude each other") }
        for (name, value) in [("--columns", columns), ("--rows", rows)] where !(1...100).contains(value) {
            throw ValidationError("\(name) is \(value), allowed is from 1 to 100")
        }
    }

    func run() throws {
        let output = try checkedOutput(out)
        let configuration = try settings.configuration()
        let dataset = try Dataset.open(configuration.data.set, .train)
        let made: (sheet: ContactSheet, names: [String])
        if let className {
            guard let label = dataset.classNames.firstIndex(of: className) else {
                throw ConfigurationError.unusable(
                    "--class",
                    problem: "is '\(className)', but \(configuration.data.set.path) has no such class; "
                        + "'psctl data inspect' and a run's classes.txt have the names")
            }
            made = try ContactSheet.ofClass(
                label, of: dataset, configuration: configuration, columns: columns, rows: rows)
        } else {
            made = try ContactSheet.ticket(
                Ticket(ticket ?? 0), of: dataset, configuration: configuration, columns: columns)
        }
        try output.write(try made.sheet.picture().png())
        let rowNames = className == nil ? "in rows of \(columns)" : "a row each"
        write("\(out): \(made.sheet.count) images, \(rowNames)\n" + made.names.map { "  \($0)\n" }.joined())
    }
}
