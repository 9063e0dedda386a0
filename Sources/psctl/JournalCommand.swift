// `psctl journal`: what a run's journals tell, and whether it holds together.

import ArgumentParser
import PSAudit
import PSJob
import PSReport
import PSRun

struct JournalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal", abstract: "Shows what a run's journals tell, and verifies it.",
        subcommands: [JournalShowCommand.self, JournalVerifyCommand.self])
}

/// The run whose journals are read.
struct JournalOptions: ParsableArguments {
    @Argument(help: "The run's directory (default: runs/last).")
    var run: String?
    @OptionGroup var json: JSONOption

    func existing() throws -> RunDirectory { try RunDirectoryOption.existing(run) }
}

struct JournalShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Prints each record of a run's journals, from its first step on, a line each.",
        discussion: "Reads the files alone, also while the job runs.")

    @OptionGroup var options: JournalOptions

    func run() throws {
        let run = try options.existing()
        if options.json.isOn {
            var lines: [JournalListing.Line] = []
            try JournalListing.show(run) { lines.append($0) }
            return write(Report.json(lines))
        }
        try JournalListing.show(run) { line in
            write("\(line.place.journal) \(line.place.record): \(line.text)\n")
        }
    }
}

struct JournalVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract:
            "Proves from a run's journals that every ticket counted once and every sample was used once an epoch.",
        discussion: """
            Every ticket that was granted has one end; each step is the tickets that are its own; what was computed again \
            after a failure came to the same norm, scale and losses; each sample of each epoch was used once; no journal was \
            cut or changed. Ends with 1 when something contradicts itself. Reads the files alone, also while the job runs.
            """)

    @OptionGroup var options: JournalOptions

    func run() throws {
        let run = try options.existing()
        let audit = try RunAudit(run)
        write(options.json.isOn ? Report.json(audit) : audit.text(of: run.path))
        if !audit.problems.isEmpty { throw ExitCode(CommandExit.failed.rawValue) }
    }
}
