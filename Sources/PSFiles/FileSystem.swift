// The operations on files that a run's truth rests on, as a protocol: the machine's own in `LocalFileSystem`, a disk
// that fails on purpose in the simulator.

import Glibc

/// What lies at a path, links followed.
package enum FileEntry: Sendable, Hashable {
    case file(byteCount: Int)
    case directory
    /// A device, a pipe, a socket.
    case other
}

/// A file open for reading. May be read from any thread.
package protocol ReadableFile: AnyObject, Sendable {
    var path: String { get }
    /// When it was opened.
    var byteCount: Int { get }
    /// Fills `bytes` from a position on. A file that has become shorter is an error.
    func read(at position: Int, into bytes: UnsafeMutableRawBufferPointer) throws(StorageError)
}

extension ReadableFile {
    /// Some of the file's bytes.
    package func bytes(_ range: Range<Int>) throws(StorageError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var failure: StorageError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(StorageError) { try read(at: range.lowerBound, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }
}

/// A file open for writing at its end. Used by one thread at a time.
package protocol WritableFile: AnyObject, Sendable {
    func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError)
    /// Makes everything written durable.
    func synchronize() throws(StorageError)
}

/// A directory that is held open: it is the same one wherever it is moved meanwhile.
package protocol OpenDirectory: AnyObject, Sendable {
    /// What was under the new name is replaced, durably.
    func renameDurably(_ old: String, to new: String) throws(StorageError)
}

/// Files and directories. Every error names the path and the operation.
package protocol FileSystem: Sendable {
    /// What is there; nil when nothing is.
    func entry(_ path: String) throws(StorageError) -> FileEntry?
    /// Names in a directory, sorted, without "." and "..".
    func list(_ path: String) throws(StorageError) -> [String]
    /// Creates one directory, whose parent is there.
    func makeDirectory(_ path: String) throws(StorageError)
    func remove(_ file: String) throws(StorageError)
    func removeEmptyDirectory(_ path: String) throws(StorageError)
    /// What was under the new name is replaced. Not durable before the directory is synchronized.
    func rename(_ old: String, to new: String) throws(StorageError)
    /// Gives a file a second name, which nothing has.
    func link(_ file: String, as name: String) throws(StorageError)
    /// Makes the names in a directory durable.
    func synchronize(directory: String) throws(StorageError)
    func openDirectory(_ path: String) throws(StorageError) -> any OpenDirectory
    /// Opens a regular file.
    func open(_ path: String) throws(StorageError) -> any ReadableFile
    /// Opens a regular file that nobody but this process's user can have made.
    func openOwn(_ path: String) throws(StorageError) -> any ReadableFile
    /// Creates a file that only its owner may read and write, whatever others are allowed.
    func createPrivate(_ path: String) throws(StorageError) -> any WritableFile
    /// Opens a file for writing behind its first `kept` bytes, the rest is cut; creates it where it is not there.
    func create(_ path: String, keeping kept: Int) throws(StorageError) -> any WritableFile
}

extension FileSystem {
    /// Where there is one user only.
    package func createPrivate(_ path: String) throws(StorageError) -> any WritableFile { try create(path) }

    /// Where there is one user only.
    package func openOwn(_ path: String) throws(StorageError) -> any ReadableFile { try open(path) }

    package func create(_ path: String) throws(StorageError) -> any WritableFile { try create(path, keeping: 0) }

    /// Whether something is there. What cannot be looked at counts as not there.
    package func exists(_ path: String) -> Bool { (try? entry(path)) != nil }

    package func isDirectory(_ path: String) -> Bool { (try? entry(path)) == .directory }

    package func isRegularFile(_ path: String) -> Bool {
        if case .file? = try? entry(path) { true } else { false }
    }

    /// Creates a directory and its missing parents, durably; one that exists is left as it is.
    package func createDirectory(_ path: String) throws(StorageError) {
        switch try entry(path) {
        case .directory?: return
        case .some: throw .system(operation: "create directory", path: path, code: ENOTDIR)
        case nil: break
        }
        let parent = Paths.parent(of: path)
        if parent != path { try createDirectory(parent) }
        do throws(StorageError) {
            try makeDirectory(path)
        } catch .system(_, _, EEXIST) where isDirectory(path) {
            // Another process was faster.
        }
        try synchronize(directory: parent)
    }

    /// Renames within one directory, durably.
    package func renameDurably(_ old: String, to new: String) throws(StorageError) {
        try openDirectory(Paths.parent(of: new)).renameDurably(Paths.name(of: old), to: Paths.name(of: new))
    }

    /// Gives a file a second name, durably, or where file systems cannot, to a copy of it; what had that name is
    /// replaced.
    package func keep(_ file: String, as name: String) throws(StorageError) {
        if exists(name) { try remove(name) }
        do throws(StorageError) {
            try link(file, as: name)
        } catch .system(_, _, let code) where [EPERM, EOPNOTSUPP, ENOSYS, EMLINK, EXDEV].contains(code) {
            try AtomicFile.write(name, try read(file, atMost: .max), in: self)
        }
        try synchronize(directory: Paths.parent(of: name))
    }

    /// Removes a directory that holds files only.
    package func removeDirectory(_ path: String) throws(StorageError) {
        for name in try list(path) { try remove("\(path)/\(name)") }
        try removeEmptyDirectory(path)
    }

    /// A whole small file, such as a manifest.
    /// - Parameter mustBeOwn: whether nobody but this process's user may have made it.
    package func read(
        _ path: String, atMost limit: Int = 100 << 20, mustBeOwn: Bool = false
    ) throws(StorageError) -> [UInt8] {
        let file = mustBeOwn ? try openOwn(path) : try open(path)
        if file.byteCount > limit { throw .damaged(path: path, problem: "is larger than \(limit) bytes") }
        return try file.bytes(0..<file.byteCount)
    }
}

/// The texts of paths.
package enum Paths {
    package static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    package static func name(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }

    /// The path from the root on, "." and doubled slashes left out; links are not followed.
    package static func absolute(_ path: String) -> String {
        let whole = path.hasPrefix("/") ? path : "\(workingDirectory)/\(path)"
        return "/" + whole.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    /// The path with every link in it followed, or nil where nothing is there.
    package static func resolved(_ path: String) -> String? {
        guard let text = realpath(path, nil) else { return nil }
        defer { free(text) }
        return String(cString: text)
    }

    package static func isLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    /// Whether a text is the name of an entry in a directory, and not a way out of it.
    package static func isPlainName(_ name: String) -> Bool {
        !name.isEmpty && !name.hasPrefix(".") && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
    }

    private static var workingDirectory: String {
        guard let text = getcwd(nil, 0) else { return "" }
        defer { free(text) }
        return String(cString: text)
    }
}
