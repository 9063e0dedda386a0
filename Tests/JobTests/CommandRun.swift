// Runs the built programs as a person would.

import Foundation
import Testing

/// What a command left behind.
struct CommandRun {
    let exitCode: Int32
    let output: String
    let errors: String

    /// Runs a program of this package and waits for it.
    ///
    /// - Parameter environment: added to a small environment without any `PSCTL_` variable.
    init(
        _ program: String, _ arguments: [String], environment: [String: String] = [:], directory: String = "/tmp"
    ) throws {
        let process = Process()
        process.executableURL = try CommandRun.executable(program)
        process.arguments = arguments
        process.environment = ["PATH": "/usr/bin:/bin"].merging(environment) { $1 }
        process.currentDirectoryURL = URL(filePath: directory)
        let (output, errors) = (Pipe(), Pipe())
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        // Errors are read after the output: no command writes more of them than a pipe holds.
        self.output = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        self.errors = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        exitCode = process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    /// The programs lie beside the tests.
    static func executable(_ program: String) throws -> URL {
        let tests = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        let url = tests.appending(path: program)
        try #require(
            FileManager.default.isExecutableFile(atPath: url.path), "\(url.path) is missing: swift build -c release")
        return url
    }

    /// The one JSON object on standard output.
    func json() throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any], "\(output)\(errors)")
    }
}
