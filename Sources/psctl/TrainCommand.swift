// `psctl train`: trains on this machine, from start to evaluated checkpoint.

import ArgumentParser
import Foundation
import PSCheckpoint
import PSConfiguration
import PSCoordinator
import PSJob
import PSNode
import PSReport

struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Trains: starts a coordinator, servers and workers on this machine and looks after them.",
        discussion: """
            SIGINT (Ctrl-C), SIGTERM, SIGHUP (a terminal that closes) and 'psctl stop' save the last step before they \
            stop the job; a second signal stops at once. Resume with --resume last.

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
        let resume = resume.map { CoordinatorOptions.Resume($0) }
        let configuration = try resumedConfiguration(resume) ?? settings.configuration()
        if printConfig {
            write(configuration.resolvedYAML())
            return
        }
        FilePermissions.restrict()
        let job = try TrainJob(
            configuration: configuration, runDirectory: runDir, resume: resume, programs: Programs.directory,
            progress: Progress())
        let summary = try job.train()
        write(json.isOn ? Report.json(summary) : summary.text)
        if summary.exitCode != 0 { throw ExitCode(Int32(summary.exitCode)) }
    }

    /// A resumed job keeps its settings but for those given now.
    private func resumedConfiguration(_ resume: CoordinatorOptions.Resume?) throws -> JobConfiguration? {
        guard settings.path == nil else { return nil }
        switch resume {
        case nil: return nil
        case .last: return try settings.configuration(over: RunDirectoryOption.existing(runDir).configuration)
        case .checkpoint(let path):
            let manifest = try Manifest.read(from: path)
            return try settings.configuration(overText: manifest.settings, of: "the settings of \(path)")
        }
    }
}
