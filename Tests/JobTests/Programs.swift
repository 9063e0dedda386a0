// Real processes for tests: the programs of this build, run with a deadline, their output kept.

import Foundation
import PSJob
import PSNode
import PSProtocol
import PSTransport
import Testing

struct Finished {
    let code: Int32
    let output: String
    let errors: String

    func json() throws -> [String: Any] {
        try #require(JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any])
    }

    func json<T: Decodable>(_ type: T.Type) throws -> T { try JSONDecoder().decode(type, from: Data(output.utf8)) }
}

/// A program of this build, running.
final class Running {
    let process = Process()
    private let outputFile: URL
    private let errorFile: URL
    private var end: Int32?

    static let directory = Bundle.main.executableURL!.resolvingSymlinksInPath().deletingLastPathComponent()

    /// - Parameter folder: where it runs; nil: where this process does.
    convenience init(
        _ program: String, _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:]
    ) throws {
        try self.init(Running.directory.appending(path: program), arguments, in: folder, environment: environment)
    }

    /// - Parameter folder: where it runs; nil: where this process does.
    convenience init(shell command: String, in folder: String? = nil, environment: [String: String] = [:]) throws {
        try self.init(URL(filePath: "/bin/bash"), ["-c", command], in: folder, environment: environment)
    }

    /// Sends bytes to a tcp:// endpoint, as far as they are taken, and closes.
    static func raw(endpoint: String, bytes: [UInt8]) throws {
        let (host, port) = try #require(Addresses.parse(endpoint))
        let text = String(decoding: bytes, as: UTF8.self).debugDescription.dropFirst().dropLast()
        let sent = try Running(shell: "exec 3<>/dev/tcp/\(host)/\(port) || exit 9; printf '\(text)' >&3; exit 0")
        #expect(try sent.finish(within: 10).code == 0, "nobody listens at \(endpoint)")
    }

    private init(
        _ program: URL, _ arguments: [String], in folder: String? = nil, environment: [String: String] = [:]
    ) throws {
        let scratch = FileManager.default.temporaryDirectory
        outputFile = scratch.appending(path: UUID().uuidString)
        errorFile = scratch.appending(path: UUID().uuidString)
        for file in [outputFile, errorFile] { try Data().write(to: file) }
        process.executableURL = program
        process.arguments = arguments
        if let folder { process.currentDirectoryURL = URL(filePath: folder) }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: outputFile)
        process.standardError = try FileHandle(forWritingTo: errorFile)
        try process.run()
    }

    deinit { for file in [outputFile, errorFile] { try? FileManager.default.removeItem(at: file) } }

    var pid: Int { Int(process.processIdentifier) }

    /// Whether it has not ended. Asked of the kernel: Foundation learns of an end by a socket that another test's
    /// program, started at the same moment, may hold open for as long as it runs.
    var isRunning: Bool { endedWith == nil }

    /// The exit code, or the number of the signal that ended it; nil while it runs.
    private var endedWith: Int32? {
        // What was found once stays: Foundation takes the end away a moment before it says so itself.
        if let end { return end }
        var information = siginfo_t()
        if waitid(P_PID, id_t(process.processIdentifier), &information, WEXITED | WNOHANG | WNOWAIT) == 0 {
            if information.si_signo == SIGCHLD { end = information._sifields._sigchld.si_status }
        } else if !process.isRunning {
            end = process.terminationStatus
        }
        return end
    }

    /// Waits for the end, by a clock that stands still when the machine does; a process that is not done in time is ended
    /// and the test fails.
    func finish(within seconds: Double = 60) throws -> Finished {
        let deadline = SuspendingClock.now + .seconds(seconds)
        while isRunning, SuspendingClock.now < deadline { usleep(10_000) }
        if isRunning {
            kill(process.processIdentifier, SIGKILL)
            while isRunning { usleep(10_000) }
            Issue.record("\(process.arguments ?? []) was not done after \(seconds) s: \(try text(errorFile))")
        }
        let code = try #require(endedWith)
        return Finished(code: code, output: try text(outputFile), errors: try text(errorFile))
    }

    func errorsSoFar() throws -> String { try text(errorFile) }

    private func text(_ file: URL) throws -> String { String(decoding: try Data(contentsOf: file), as: UTF8.self) }
}

@discardableResult
func psctl(_ arguments: String..., within seconds: Double = 60) throws -> Finished {
    try Running("psctl", arguments).finish(within: seconds)
}

/// A directory that goes when the test is done.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "ps-test-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Looks again until the condition holds; fails after the time.
func eventually(
    within seconds: Double = 20, _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () throws -> Bool
) rethrows {
    let deadline = SuspendingClock.now + .seconds(seconds)
    while SuspendingClock.now < deadline {
        if try condition() { return }
        usleep(20_000)
    }
    Issue.record(what, sourceLocation: sourceLocation)
}

extension Socket {
    /// The next message that has arrived, or nil.
    func arrival() throws(TransportError) -> Arrival? {
        if case .arrival(let arrival) = try receive() { arrival } else { nil }
    }
}
