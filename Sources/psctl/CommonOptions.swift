// Options that several commands share.

import ArgumentParser
import Foundation
import PSCheckpoint
import PSConfiguration
import PSFiles
import PSJob
import PSNode
import PSRun

/// `--json`.
struct JSONOption: ParsableArguments {
    @Flag(name: .customLong("json"), help: "Print exactly one JSON value on standard output.")
    var isOn = false
}

/// `--config` and `--set`: the settings of a job.
struct ConfigurationOptions: ParsableArguments {
    @Option(name: .customLong("config"), help: "A job file (YAML); without one the default job's settings hold.")
    var path: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Gives a setting its value, for example train.steps=100; may be repeated.", valueName: "key=value"))
    var assignments: [String] = []

    /// Flags over environment over file over defaults.
    func configuration() throws(ConfigurationError) -> JobConfiguration { try configuration(over: path) }

    /// Flags over environment over this text over defaults.
    func configuration(overText text: String, of name: String) throws(ConfigurationError) -> JobConfiguration {
        try JobConfiguration(
            text: text, of: name, environment: ProcessInfo.processInfo.environment, assignments: assignments)
    }

    /// Flags over environment over this file over defaults.
    func configuration(over path: String?) throws(ConfigurationError) -> JobConfiguration {
        try JobConfiguration(
            path: path, environment: ProcessInfo.processInfo.environment, assignments: assignments)
    }
}

/// `--run-dir` of a run that exists.
struct RunDirectoryOption: ParsableArguments {
    @Option(name: .customLong("run-dir"), help: "The run's directory (default: runs/last).")
    var path: String?

    func existing() throws -> RunDirectory { try Self.existing(path) }

    static func existing(_ path: String?) throws -> RunDirectory { try RunDirectory.existing(path) }
}

/// `--threads` of a command that computes in its own process.
struct ThreadsOption: ParsableArguments {
    @Option(name: .customLong("threads"), help: "Compute threads (default: one for each processor).")
    var requested: Int?

    var count: Int { requested ?? ProcessInfo.processInfo.activeProcessorCount }

    func validate() throws {
        if let requested, !(1...1024).contains(requested) {
            throw ValidationError("--threads is \(requested), allowed is from 1 to 1024")
        }
    }
}

/// Writes to standard output without a newline of its own.
func write(_ text: String) {
    if !StandardStreams.write(text, to: STDOUT_FILENO) {
        StandardStreams.write("psctl: error: standard output cannot be written\n", to: STDERR_FILENO)
        exit(CommandExit.failed.rawValue)
    }
}

/// The daemons' programs lie beside this one.
enum Programs {
    static var directory: String {
        Bundle.main.executableURL?.resolvingSymlinksInPath().deletingLastPathComponent().path ?? "."
    }
}

/// Where a command writes what a person asked for.
///
/// - Parameter inputs: files that the command reads and that its result is no substitute for.
/// - Throws: when it cannot be written, would replace an input, or is a run's own file.
func checkedOutput(_ path: String, inputs: [String] = []) throws -> OutputFile {
    if let resolved = Paths.resolved(path) {
        if inputs.contains(where: { Paths.resolved($0) == resolved }) {
            throw ValidationError("\(path) is what the command reads; name another file to write")
        }
        if let run = RunDirectory.owner(of: resolved) {
            throw ValidationError("\(path) is one of the files of the run \(run); name another file to write")
        }
    }
    return try OutputFile(path)
}
