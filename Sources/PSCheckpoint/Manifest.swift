// The manifest of a checkpoint: written last, so that a checkpoint with a manifest is whole.

import PSFiles

/// What a checkpoint holds. In JSON the keys are in snake_case.
package struct Manifest: Codable, Sendable, Hashable {
    package static let fileName = "manifest.json"
    package static let currentVersion = 1

    /// What a file of a checkpoint holds.
    package enum Role: String, Codable, Sendable, Hashable, CaseIterable {
        /// Weights and statistics, by their own names.
        case weights
        /// The running averages of both, by the same names.
        case average
        /// Optimizer slots: `NAME.mean_square`, `NAME.momentum`.
        case slots
    }

    package struct File: Codable, Sendable, Hashable {
        /// Name within the checkpoint's directory.
        package var path: String
        package var bytes: Int
        /// 64 hexadecimal digits.
        package var sha256: String
        package var role: Role
        /// Rank of the server that wrote it.
        package var server: Int

        package init(path: String, bytes: Int, sha256: String, role: Role, server: Int) {
            self.path = path
            self.bytes = bytes
            self.sha256 = sha256
            self.role = role
            self.server = server
        }
    }

    package var formatVersion = Manifest.currentVersion
    package var job: String
    package var model: String
    /// The job's resolved settings, as YAML.
    package var settings: String
    /// Commits before this checkpoint.
    package var step: Int
    package var generation: Int
    package var seed: UInt64
    /// Tickets that are part of a commit; the next step begins with this ticket.
    package var ticketsConsumed: UInt64
    /// `ParameterLayout.digest` in hexadecimal.
    package var layoutDigest: String
    package var serverCount: Int
    package var files: [File]

    package init(
        job: String, model: String, settings: String, step: Int, generation: Int, seed: UInt64,
        ticketsConsumed: UInt64, layoutDigest: UInt64, serverCount: Int, files: [File]
    ) {
        self.job = job
        self.model = model
        self.settings = settings
        self.step = step
        self.generation = generation
        self.seed = seed
        self.ticketsConsumed = ticketsConsumed
        self.layoutDigest = String(layoutDigest, radix: 16)
        self.serverCount = serverCount
        self.files = files
    }

    /// Writes the manifest durably into a checkpoint's directory.
    package func write(to directory: String, in files: any FileSystem = LocalFileSystem()) throws(StorageError) {
        try AtomicFile.write("\(directory)/\(Manifest.fileName)", JSON.pretty(self), in: files)
    }

    /// Reads the manifest of a checkpoint and checks that it can be meant.
    package static func read(
        from directory: String, in files: any FileSystem = LocalFileSystem()
    ) throws(StorageError) -> Manifest {
        let path = "\(directory)/\(fileName)"
        if try files.entry(path) == nil, try files.entry(directory) == .directory {
            throw .damaged(path: directory, problem: "has no \(fileName): it is no complete checkpoint")
        }
        let bytes = try files.read(path)
        let manifest: Manifest
        do {
            manifest = try JSON.decode(Manifest.self, from: bytes, snakeCase: true)
        } catch {
            throw .damaged(path: path, problem: "not a checkpoint's manifest: \(JSON.explain(error))")
        }
        try manifest.check(path: path)
        return manifest
    }

    /// Throws unless it can be meant.
    func check(path: String) throws(StorageError) {
        if let problem { throw .damaged(path: path, problem: problem) }
    }

    private var problem: String? {
        if formatVersion != Manifest.currentVersion {
            return "has format version \(formatVersion); this program reads version \(Manifest.currentVersion)"
        }
        if step < 0 || generation < 0 || serverCount < 1 {
            return
                "step \(step), generation \(generation), \(serverCount) servers: negative, or no server"
        }
        // More than any job can reach, and room to count on from there.
        if step > 1 << 40 || generation > UInt32.max || serverCount > 1 << 20 {
            return "step \(step), generation \(generation), \(serverCount) servers: more than any job has"
        }
        if UInt64(layoutDigest, radix: 16) == nil { return "layout_digest \"\(layoutDigest)\" is not hexadecimal" }
        if Set(files.map(\.path)).count != files.count { return "lists a file twice" }
        for file in files {
            if !Paths.isPlainName(file.path) {
                return "lists \"\(file.path)\", which is not the name of a file in its directory"
            }
            if file.bytes < 0 || !(0..<serverCount).contains(file.server) {
                return "lists \(file.path) with \(file.bytes) bytes from server \(file.server) of \(serverCount)"
            }
        }
        return nil
    }
}
