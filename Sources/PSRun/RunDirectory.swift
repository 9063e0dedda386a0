// What lies where in a run directory, and the proof that two hosts see the same one. The page `Runs` has every file.

import Glibc
import PSCheckpoint
import PSFiles
import PSProofs

/// The directory of one job on storage that all its hosts share.
package struct RunDirectory: Sendable {
    /// Absolute; no link that a person may move is part of it.
    package let path: String
    package let files: any FileSystem

    /// - Parameter path: as a person gives it: relative, or through links.
    package init(_ path: String) {
        let whole = Paths.absolute(path)
        // Of a directory that is yet to be made, the parent's links.
        let named = Paths.resolved(Paths.parent(of: whole)).map { "\($0 == "/" ? "" : $0)/\(Paths.name(of: whole))" }
        self.init(at: Paths.resolved(whole) ?? named ?? whole, in: LocalFileSystem())
    }

    /// - Parameter path: absolute.
    package init(at path: String, in files: any FileSystem) {
        self.path = path
        self.files = files
    }

    package var configuration: String { "\(path)/config.yaml" }
    /// Which algorithm computes which layer.
    package var plan: String { "\(path)/plan.json" }
    package var journal: String { "\(path)/journal" }
    /// Those before it, by number: nothing rests on them but who looks back.
    package var formerJournals: String { "\(path)/journals" }
    package func formerJournal(_ part: Int) -> String {
        let digits = String(part)
        return "\(formerJournals)/\(String(repeating: "0", count: max(0, 6 - digits.count)))\(digits)"
    }
    /// The training samples by number: name, size, label.
    package var samples: String { "\(path)/samples.index" }
    /// Names of the classes, one a line, by label.
    package var classes: String { "\(path)/classes.txt" }
    /// Names of the classes by label; nil for a run of a release that did not write them down.
    package func classNames() throws(StorageError) -> [String]? {
        guard try files.entry(classes) != nil else { return nil }
        return String(decoding: try read(classes), as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false
        ).dropLast().map(String.init)
    }

    /// Where the coordinator listens.
    package var endpoints: String { "\(path)/endpoints.json" }
    /// Who looks after the local processes.
    package var supervision: String { "\(path)/supervisor.json" }
    /// The last status the coordinator wrote, about once a second.
    package var status: String { "\(path)/status.json" }
    /// A line of JSON for each step of the history that counts.
    package var metrics: String { "\(path)/metrics.jsonl" }
    /// The lines of steps that a rollback made void.
    package var voidMetrics: String { "\(path)/metrics-void.jsonl" }
    /// A `metrics.jsonl` that a start could not read.
    package var unreadableMetrics: String { "\(path)/metrics-unreadable.jsonl" }
    package var summary: String { "\(path)/summary.json" }
    package var logs: String { "\(path)/logs" }
    /// Where a job's keys are, unless it was started with others.
    package var keys: String { "\(path)/keys" }
    package var checkpoints: CheckpointStore { CheckpointStore(runDirectory: path, in: files) }
    var lock: String { "\(path)/lock" }
    private var nonce: String { "\(path)/nonce" }
    /// Of the run, as long as there is the run. Whoever reads it may speak as a member of a job without
    /// keys, and command it: its owner, whatever others may read.
    private var secret: String { "\(path)/secret" }

    package func create() throws(StorageError) {
        try files.createDirectory(path)
        try files.createDirectory(logs)
    }

    /// Whether a job has been here. A directory that cannot be looked at may hold one: that is an error, not a no.
    package func hasJob() throws(StorageError) -> Bool { try files.entry(journal) != nil }

    package var hasPlan: Bool { files.exists(plan) }

    /// The directory's number in its file system; nil where it cannot be looked at.
    package var number: UInt64? {
        var status = stat()
        return stat(path, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    /// The run that a file is part of, one that it wrote or reads; nil for files that people keep beside them.
    ///
    /// - Parameter resolved: an absolute path without links.
    package static func owner(of resolved: String) -> String? {
        var directory = resolved
        while directory != "/", !directory.isEmpty {
            directory = Paths.parent(of: directory)
            let run = RunDirectory(directory)
            guard (try? run.hasJob()) == true else { continue }
            let own = [
                run.configuration, run.plan, run.journal, run.samples, run.classes, run.endpoints, run.supervision,
                run.status, run.metrics, run.voidMetrics, run.unreadableMetrics, run.summary, run.lock, run.nonce,
                run.secret,
            ]
            let isOwn =
                own.contains("\(run.path)/\(resolved.dropFirst(directory.count + 1))")
                || ["checkpoints", "journals", "logs"].contains { resolved.hasPrefix("\(directory)/\($0)/") }
            return isOwn ? directory : nil
        }
        return nil
    }

    /// Whether the directory is missing or holds nothing but keys, which may be made before the job begins.
    package var isEmpty: Bool { ((try? files.list(path)) ?? []).allSatisfy { $0 == "keys" } }

    // MARK: The same directory

    /// Writes a fresh nonce, and the run's secret where there is none yet.
    package func writeKey() throws(StorageError) -> (nonce: String, key: RunKey) {
        if try files.entry(secret) == nil {
            try AtomicFile.write(secret, RunDirectory.randomText(), in: files, isPrivate: true)
        }
        let text = RunDirectory.randomText()
        try AtomicFile.write(nonce, text, in: files)
        return (String(decoding: text, as: UTF8.self), try readKey())
    }

    /// What only those know who see this directory.
    ///
    /// - Parameter isNamedByStranger: whether it was named by whoever answers at an address. Another user may have made
    ///   such a directory, to be obeyed by who reads it; so its secret must be a file of this process's own user.
    package func readKey(isNamedByStranger: Bool = false) throws(StorageError) -> RunKey {
        RunKey(
            secret: try files.read(secret, atMost: 1 << 10, mustBeOwn: isNamedByStranger),
            nonce: try files.read(nonce, atMost: 1 << 10))
    }

    /// 256 bits of the system's random source.
    private static func randomText() -> [UInt8] {
        let words = (0..<4).map { _ in UInt64.random(in: 0...UInt64.max) }
        return Array(words.map { String($0, radix: 16) }.joined(separator: "-").utf8)
    }

    /// Throws unless this host sees the nonce that the coordinator wrote. Nothing is proved by that for ever: storage
    /// may come or come back.
    package func check(nonce expected: String) throws(StorageError) {
        let found = String(decoding: try files.read(nonce), as: UTF8.self)
        guard found == expected else {
            throw .system(operation: "find the job's nonce in", path: path, code: ESTALE)
        }
    }

    // MARK: Files

    /// Replaces a file of the run directory as a whole.
    package func replace(_ file: String, with bytes: [UInt8]) throws(StorageError) {
        try AtomicFile.write(file, bytes, in: files)
    }

    /// Like `replace` for what may be lost in a power cut.
    package func replaceQuickly(_ file: String, with bytes: [UInt8]) throws(StorageError) {
        try AtomicFile.writeQuickly(file, bytes, in: files)
    }

    package func read(_ file: String) throws(StorageError) -> [UInt8] { try files.read(file) }
}
