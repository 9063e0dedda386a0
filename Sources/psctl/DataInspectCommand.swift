// `psctl data inspect` and `psctl data verify`: what a data set holds, and whether all of it can be used.

import ArgumentParser
import PSDataTools
import PSDatasets
import PSFiles
import PSJob
import PSReport

struct DataInspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Classes, counts, sizes, formats, unreadable and duplicate files of a data set.",
        discussion: "Reads every file and its header, but decodes no picture: 'psctl data verify' does.")

    @OptionGroup var data: DataOptions
    @Flag(help: "Only list the samples: no file of a picture is read.")
    var quick = false
    @Option(help: "Write a sheet of samples of all classes to this file, a PNG.")
    var sheet: String?
    @OptionGroup var threads: ThreadsOption
    @OptionGroup var json: JSONOption

    func run() throws {
        let configuration = try data.configuration()
        let sheet = try sheet.map { try checkedOutput($0) }
        let progress = CountProgress()
        let inspection = try DataInspection(
            configuration.data, depth: quick ? .list : .headers, threads: threads.count
        ) { split, done, all in progress.count("\(split.rawValue): read", done: done, of: all) }
        progress.finish()
        if let sheet {
            let training = try Dataset.open(configuration.data.set, .train)
            let picture = try ContactSheet.samples(
                of: training, settings: configuration.data, columns: 16, rows: 12, size: 96
            ).sheet.picture()
            try sheet.write(try picture.png())
        }
        write(json.isOn ? Report.json(inspection) : inspection.text)
    }
}

struct DataVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Decodes every picture of a data set; ends with 1 if one cannot be read.")

    @OptionGroup var data: DataOptions
    @OptionGroup var threads: ThreadsOption
    @OptionGroup var json: JSONOption

    func run() throws {
        let configuration = try data.configuration()
        let progress = CountProgress()
        let inspection = try DataInspection(configuration.data, depth: .pixels, threads: threads.count) {
            split, done, all in progress.count("\(split.rawValue): decoded", done: done, of: all)
        }
        progress.finish()
        write(json.isOn ? Report.json(inspection) : inspection.text)
        if inspection.unreadableCount > 0 { throw ExitCode.failure }
    }
}
