// The small files by which a running job is found and watched.

import PSFiles
import PSMessages
import PSProtocol

/// `endpoints.json`: where a person's commands find the job.
package struct Endpoints: Sendable, Hashable, Codable {
    /// tcp://HOST:PORT, or ipc:///PATH of a socket on `host`.
    package var coordinator: String
    package var pid: Int
    package var host: String
    /// Named in every question, so that another process that got this one's port does not answer.
    package var incarnation: Incarnation
    /// The run directory's number in its file system, as the coordinator's host sees it: a directory that is moved keeps
    /// it, a copy has another. Nil in what earlier releases wrote.
    package var directory: UInt64?
    /// Whether whoever asks shows a key; nil in what earlier releases wrote.
    package var usesKeys: Bool?

    enum CodingKeys: String, CodingKey {
        case coordinator, pid, host, incarnation, directory
        case usesKeys = "uses_keys"
    }

    package init(
        coordinator: String, pid: Int, host: String, incarnation: Incarnation, directory: UInt64?,
        usesKeys: Bool = false
    ) {
        self.coordinator = coordinator
        self.pid = pid
        self.host = host
        self.incarnation = incarnation
        self.directory = directory
        self.usesKeys = usesKeys
    }

    /// Whether `run` is a copy of the directory in which the coordinator works. Not known on other hosts, which may see
    /// other numbers.
    package func areCopied(in run: RunDirectory, host: String) -> Bool {
        guard self.host == host, let directory, let own = run.number else { return false }
        return own != directory
    }

    package func write(to run: RunDirectory) throws(StorageError) {
        try run.replace(run.endpoints, with: JSON.pretty(self))
    }

    /// Nil while there are none.
    package static func read(from run: RunDirectory) -> Endpoints? {
        (try? run.read(run.endpoints)).flatMap { try? JSON.decode(Endpoints.self, from: $0) }
    }
}

/// `supervisor.json`: who looks after the local processes of a run.
package struct Supervision: Sendable, Hashable, Codable {
    package var pid: Int
    /// The coordinator it started last: another one in the directory is not its own.
    package var coordinator: Int?

    package init(pid: Int, coordinator: Int?) {
        self.pid = pid
        self.coordinator = coordinator
    }

    package func write(to run: RunDirectory) throws(StorageError) {
        try run.replaceQuickly(run.supervision, with: JSON.pretty(self))
    }

    package static func read(from run: RunDirectory) -> Supervision? {
        (try? run.read(run.supervision)).flatMap { try? JSON.decode(Supervision.self, from: $0) }
    }
}

extension JobStatus {
    package func write(to run: RunDirectory) throws(StorageError) {
        try run.replaceQuickly(run.status, with: JSON.pretty(self))
    }

    /// The last status that was written; nil before the first.
    package static func read(from run: RunDirectory) throws(StorageError) -> JobStatus? {
        guard run.files.exists(run.status) else { return nil }
        let bytes = try run.read(run.status)
        guard let status = try? JSON.decode(JobStatus.self, from: bytes) else {
            throw .damaged(path: run.status, problem: "is not a status of this release")
        }
        return status
    }
}
