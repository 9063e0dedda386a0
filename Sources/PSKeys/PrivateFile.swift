// Files that hold secrets: what must be true of one before it is read, and the one way to write them.

import Glibc
import PSFiles

/// A process, as far as it decides whose files it may trust.
struct FileReader {
    var user: uid_t
    var groups: Set<gid_t>

    static var current: FileReader {
        var groups = [gid_t](repeating: 0, count: max(0, Int(getgroups(0, nil))))
        let count = getgroups(Int32(groups.count), &groups)
        return FileReader(user: geteuid(), groups: Set(groups.prefix(max(0, Int(count)))).union([getegid()]))
    }

    /// Why a key file with this owner and mode is not read, or nil.
    func problem(ofFile status: stat) -> String? {
        // Kubernetes gives the files of a secret to root and lets a process that is not root read them by its group,
        // the pod's fsGroup. Only root could have made such a file, so nobody else chose who is in that group.
        let isOfOurGroup = status.st_uid == 0 && groups.contains(status.st_gid)
        if isOfOurGroup, [0o440, 0o640].contains(status.st_mode & 0o777) { return nil }
        if status.st_uid != user {
            return "belongs to user \(status.st_uid) and is read by user \(user): give it to its reader with chown"
        }
        guard status.st_mode & 0o077 == 0 else {
            return "has mode \(octal(status.st_mode)), which gives it to others than its owner: run chmod 600 on it, "
                + "and make new keys if others could read it"
        }
        return nil
    }

    /// Why files are not read from or written to a directory with this owner and mode, or nil.
    func problem(ofDirectory status: stat) -> String? {
        if status.st_uid != user, status.st_uid != 0 {
            return "belongs to user \(status.st_uid), who could replace the keys in it; keep them in a directory of "
                + "user \(user)"
        }
        // In a sticky directory such as /tmp nobody replaces another's file.
        if status.st_mode & 0o022 != 0, status.st_mode & S_ISVTX == 0 {
            return "has mode \(octal(status.st_mode)): others could replace the keys in it; run chmod 700 on it"
        }
        return nil
    }

    private func octal(_ mode: mode_t) -> String { "0" + String(mode & 0o777, radix: 8) }
}

enum PrivateFile {
    /// No key file is nearly as long; a bound for what is read by mistake.
    static let limit = 64 << 10

    /// - Throws: unless it is a regular file of at most `limit` bytes that only its reader may have written or read.
    static func read(_ path: String) throws(KeyError) -> [UInt8] {
        let real = try place(of: path)
        try checkDirectory(Paths.parent(of: real))
        let descriptor = try open(real, for: path)
        let number = descriptor.number
        // Asked of the open file: the path may lead to another one by now.
        var status = stat()
        try storing { () throws(StorageError) in try systemCall("look at", path) { fstat(number, &status) } }
        guard status.st_mode & S_IFMT == S_IFREG else { throw irregular(path) }
        if var problem = FileReader.current.problem(ofFile: status) {
            if Paths.isLink(path) {
                problem += " (of a Kubernetes secret, set defaultMode: 0400, and fsGroup where the process is not root)"
            }
            throw .refused(path: path, problem: problem)
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: limit + 1, alignment: 1)
        defer { buffer.deallocate() }
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            let count = try storing { () throws(StorageError) in
                try systemCall("read", path) { Glibc.read(number, rest.baseAddress, rest.count) }
            }
            if count == 0 { return Array(buffer.prefix(filled)) }
            filled += count
        }
        throw .refused(path: path, problem: "is larger than \(limit) bytes, so it is no key file; check the path")
    }

    /// - Throws: unless it is a directory in which only this user, or root, may put files.
    static func checkDirectory(_ path: String) throws(KeyError) {
        var status = stat()
        do throws(StorageError) {
            try systemCall("look at", path) { stat(path, &status) }
        } catch .system(_, _, ENOENT) {
            throw .refused(path: path, problem: "is not there; check the path, or run psctl keys create")
        } catch {
            throw .storage(error)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw .refused(path: path, problem: "is no directory; check the path")
        }
        if let problem = FileReader.current.problem(ofDirectory: status) {
            throw .refused(path: path, problem: problem)
        }
    }

    /// Replaces or creates files in a directory: mode 0600 whatever the umask, each complete or not there.
    ///
    /// All are on the disk under temporary names before the first gets its own, so that a full disk changes nothing;
    /// they get their names in the order given. While it runs, nobody else writes the directory by this function.
    ///
    /// - Parameter shown: what an error calls the directory, where it has yet to get its name.
    static func write(
        _ files: [(name: String, bytes: [UInt8])], in directory: String, shown: String? = nil
    ) throws(KeyError) {
        let system = LocalFileSystem()
        let shown = shown ?? directory
        var current = shown
        do throws(StorageError) {
            // Left by a command that was killed; no key in them was ever given out.
            for name in try system.list(directory) where isTemporary(name) { try system.remove("\(directory)/\(name)") }
            for (name, bytes) in files {
                current = "\(shown)/\(name)"
                let file = try system.createPrivate("\(directory)/\(temporary(name))")
                try file.write(bytes)
                try file.synchronize()
            }
            let open = try system.openDirectory(directory)
            for (name, _) in files {
                current = "\(shown)/\(name)"
                try open.renameDurably(temporary(name), to: name)
            }
        } catch {
            for (name, _) in files { try? system.remove("\(directory)/\(temporary(name))") }
            // The file as people know it, not the temporary one, which is gone.
            if case .system(let operation, let path, let code) = error, isTemporary(Paths.name(of: path)) {
                throw .storage(.system(operation: operation, path: current, code: code))
            }
            throw .storage(error)
        }
    }

    /// No name of a key begins with a period.
    private static func temporary(_ name: String) -> String { ".\(name).tmp" }

    private static func isTemporary(_ name: String) -> Bool { name.hasPrefix(".") && name.hasSuffix(".tmp") }

    /// The file behind a path, links resolved. A path that is a link itself is followed within its directory only: so
    /// Kubernetes shows the files of a secret (`worker.join` -> `..data/worker.join`, `..data` -> `..2026_11_27`).
    private static func place(of path: String) throws(KeyError) -> String {
        guard let real = Paths.resolved(path) else {
            if Paths.isLink(path) { throw .refused(path: path, problem: "is a link to what is not there") }
            guard try storing({ () throws(StorageError) in try LocalFileSystem().entry(path) }) == nil else {
                throw .refused(path: path, problem: "cannot be found by its full path; check the directories it is in")
            }
            throw missing(path)
        }
        guard Paths.isLink(path) else { return real }
        let directory = Paths.resolved(Paths.parent(of: path)) ?? ""
        guard real.hasPrefix(directory == "/" ? "/" : directory + "/") else {
            throw .refused(
                path: path, problem: "is a link to \(real), out of its directory; give the path of the file itself")
        }
        return real
    }

    private static func open(_ real: String, for path: String) throws(KeyError) -> Descriptor {
        do throws(StorageError) {
            // Without O_NONBLOCK the opening of a pipe would wait for its writer.
            return try Descriptor("open", real, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        } catch .system(_, _, ENOENT) {
            throw missing(path)
        } catch .system(_, _, let code) where code == ELOOP || code == ENXIO {
            // It became a link after it was resolved, or is a socket.
            throw irregular(path)
        } catch {
            throw .storage(error)
        }
    }

    private static func missing(_ path: String) -> KeyError {
        .refused(
            path: path,
            problem:
                "is not there; check the path, or have one made by psctl keys create or add; it goes when its key is revoked"
        )
    }

    private static func irregular(_ path: String) -> KeyError {
        .refused(path: path, problem: "is no regular file; check the path")
    }
}
