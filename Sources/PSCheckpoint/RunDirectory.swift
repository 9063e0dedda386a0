// What lies where in a run directory, and the proof that two hosts see the same one.

import Glibc

/// The directory of one job on storage that all its hosts share.
package struct RunDirectory: Sendable, Hashable {
    /// Absolute.
    package let path: String

    package init(_ path: String) {
        self.path = path.hasPrefix("/") ? path : "\(RunDirectory.workingDirectory)/\(path)"
    }

    private static var workingDirectory: String {
        guard let text = getcwd(nil, 0) else { return "." }
        defer { free(text) }
        return String(cString: text)
    }

    package var configuration: String { "\(path)/config.yaml" }
    /// Which algorithm computes which layer.
    package var plan: String { "\(path)/plan.json" }
    package var journal: String { "\(path)/journal" }
    /// Ports and pids of the processes.
    package var endpoints: String { "\(path)/endpoints.json" }
    /// The last status the coordinator wrote, about once a second.
    package var status: String { "\(path)/status.json" }
    /// A line of JSON for each step.
    package var metrics: String { "\(path)/metrics.jsonl" }
    package var summary: String { "\(path)/summary.json" }
    package var logs: String { "\(path)/logs" }
    package var checkpoints: CheckpointStore { CheckpointStore(runDirectory: path) }
    private var nonce: String { "\(path)/nonce" }

    package func create() throws(CheckpointError) {
        try FileSystem.createDirectory(path)
        try FileSystem.createDirectory(logs)
    }

    /// Whether a job has been here.
    package var hasJob: Bool { FileSystem.exists(journal) }

    /// Whether the directory is missing or holds nothing.
    package var isEmpty: Bool { ((try? FileSystem.list(path)) ?? []).isEmpty }

    /// Writes a fresh nonce and returns it.
    package func writeNonce() throws(CheckpointError) -> String {
        let text = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        try AtomicFile.write(nonce, Array(text.utf8))
        return text
    }

    /// Throws unless this host sees the nonce that the coordinator wrote.
    package func check(nonce expected: String) throws(CheckpointError) {
        let found = (try? FileSystem.read(nonce)).map { String(decoding: $0, as: UTF8.self) }
        guard found == expected else {
            throw .mismatch(
                path: path,
                problems: ["this host does not see the job's run directory: put it on storage that all hosts share"])
        }
    }

    /// Replaces a file of the run directory as a whole.
    package func replace(_ file: String, with bytes: [UInt8]) throws(CheckpointError) {
        try AtomicFile.write(file, bytes)
    }

    /// Like `replace` for what may be lost in a power cut: readers see the old file or the new one, no sync is waited for.
    package func replaceQuickly(_ file: String, with bytes: [UInt8]) throws(CheckpointError) {
        let temporary = "\(file).tmp"
        do {
            let descriptor = try Descriptor("open", temporary, flags: O_WRONLY | O_CREAT | O_TRUNC)
            let number = descriptor.number
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = try systemCall("write", temporary) {
                    rest.withUnsafeBytes { write(number, $0.baseAddress!, $0.count) }
                }
                rest = rest.dropFirst(count)
            }
        }
        try systemCall("rename to \(FileSystem.name(of: file))", temporary) { rename(temporary, file) }
    }

    package var hasPlan: Bool { FileSystem.exists(plan) }

    package func read(_ file: String) throws(CheckpointError) -> [UInt8] { try FileSystem.read(file) }
}
