// `psctl train`: trains on this machine, from start to evaluated checkpoint.

import ArgumentParser
import Foundation
import PSConfiguration
import PSJob
import PSReport

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Trains: starts a coordinator, servers and workers on this machine and looks after them.",
        discussion: """
            SIGINT (Ctrl-C), SIGTERM and 'psctl stop' save the last step before they stop the job; a second signal \
            stops at once. Resume with --resume last.

            Settings (--set KEY=VALUE, or in the file of --config):
            \(SettingsTable.helpText())
            """)

    @OptionGroup var settings: ConfigurationOptions

    @Option(help: "The run's directory, created with its parents (default: runs/<name>-<time>).")
    var runDir: String?

    @Option(help: "Go on with the job of the run directory ('last'), or from a checkpoint's directory.")
    var resume: String?

    @Flag(help: "Print the complete configuration as YAML and stop.")
    var printConfig = false

    @OptionGroup var json: JSONOption

    func run() throws {
        var configuration: JobConfiguration
        // A resumed job keeps its settings but for those given now.
        if resume == "last", settings.path == nil {
            let former = try RunDirectoryOption.existing(runDir)
            configuration = try settings.configuration(over: former.configuration)
        } else {
            configuration = try settings.configuration()
        }
        if printConfig {
            write(configuration.resolvedYAML())
            return
        }
        let job = try TrainJob(
            configuration: configuration, runDirectory: runDir,
            resume: resume.map { $0 == "last" ? .last : .checkpoint($0) }, programs: Programs.directory,
            progress: Progress())
        let summary = try job.train()
        write(json.isOn ? Report.json(summary) : summary.text)
        if summary.exitCode != 0 { throw ExitCode(Int32(summary.exitCode)) }
    }
}
