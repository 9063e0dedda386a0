// The files of this machine: system calls, whose every errno becomes a `StorageError` that names the path.

import Glibc

/// Repeats a system call that a signal interrupted; throws its errno when it returns a negative number.
@discardableResult
package func systemCall<Result: SignedInteger>(
    _ operation: String, _ path: String, _ call: () -> Result
) throws(StorageError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw .system(operation: operation, path: path, code: errno) }
    }
}

package struct LocalFileSystem: FileSystem {
    package init() {}

    package func entry(_ path: String) throws(StorageError) -> FileEntry? {
        var status = stat()
        do throws(StorageError) {
            try systemCall("look at", path) { stat(path, &status) }
        } catch .system(_, _, let code) where code == ENOENT || code == ENOTDIR {
            return nil
        }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .file(byteCount: Int(status.st_size))
        case S_IFDIR: return .directory
        default: return .other
        }
    }

    package func list(_ path: String) throws(StorageError) -> [String] {
        guard let directory = opendir(path) else {
            throw .system(operation: "list", path: path, code: errno)
        }
        defer { closedir(directory) }
        var names: [String] = []
        errno = 0
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        if errno != 0 { throw .system(operation: "list", path: path, code: errno) }
        return names.sorted()
    }

    package func makeDirectory(_ path: String) throws(StorageError) {
        try systemCall("create directory", path) { mkdir(path, 0o777) }
    }

    package func remove(_ file: String) throws(StorageError) {
        try systemCall("remove", file) { unlink(file) }
    }

    package func removeEmptyDirectory(_ path: String) throws(StorageError) {
        try systemCall("remove", path) { rmdir(path) }
    }

    package func rename(_ old: String, to new: String) throws(StorageError) {
        try systemCall("rename to \(Paths.name(of: new))", old) { Glibc.rename(old, new) }
    }

    package func link(_ file: String, as name: String) throws(StorageError) {
        try systemCall("link as \(name)", file) { Glibc.link(file, name) }
    }

    package func synchronize(directory: String) throws(StorageError) {
        try LocalDirectory(directory).synchronize()
    }

    package func openDirectory(_ path: String) throws(StorageError) -> any OpenDirectory { try LocalDirectory(path) }

    package func open(_ path: String) throws(StorageError) -> any ReadableFile { try OpenFile(path) }

    package func openOwn(_ path: String) throws(StorageError) -> any ReadableFile {
        try OpenFile(path, mustBeOwn: true)
    }

    package func create(_ path: String, keeping kept: Int) throws(StorageError) -> any WritableFile {
        try FileBeingWritten(path, keeping: kept)
    }

    /// Creates a file that only its owner may read and write, whatever the umask is.
    ///
    /// - Throws: where anything is there already, be it a link.
    package func createPrivate(_ path: String) throws(StorageError) -> any WritableFile {
        try FileBeingWritten(private: path)
    }
}

/// An open file, closed when it goes out of scope.
package struct Descriptor: ~Copyable {
    package let number: Int32

    package init(_ operation: String, _ path: String, flags: Int32, mode: mode_t = 0o666) throws(StorageError) {
        number = try systemCall(operation, path) { Glibc.open(path, flags | O_CLOEXEC, mode) }
    }

    deinit { close(number) }
}

private final class LocalDirectory: OpenDirectory {
    private let path: String
    private let descriptor: Descriptor

    init(_ path: String) throws(StorageError) {
        self.path = path
        descriptor = try Descriptor("open", path, flags: O_RDONLY | O_DIRECTORY)
    }

    func renameDurably(_ old: String, to new: String) throws(StorageError) {
        try systemCall("rename to \(new)", "\(path)/\(old)") {
            renameat(descriptor.number, old, descriptor.number, new)
        }
        try synchronize()
    }

    func synchronize() throws(StorageError) {
        try Shortcomings.tolerate(.directoriesAreNotDurable, at: path) { () throws(StorageError) in
            try systemCall("synchronize", path) { fsync(descriptor.number) }
        }
    }
}

/// Read with system calls, not mapped: a disk that fails is then an error and not a signal.
private final class OpenFile: ReadableFile {
    let path: String
    let byteCount: Int
    private let descriptor: Descriptor

    /// - Parameter mustBeOwn: whether it must be a file that only this process's user can have made: no link, no second
    ///   name of another's.
    init(_ path: String, mustBeOwn: Bool = false) throws(StorageError) {
        self.path = path
        // Without O_NONBLOCK the opening of a pipe would wait for its writer.
        descriptor = try Descriptor("open", path, flags: O_RDONLY | O_NONBLOCK | (mustBeOwn ? O_NOFOLLOW : 0))
        var status = stat()
        let number = descriptor.number
        try systemCall("look at", path) { fstat(number, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .damaged(path: path, problem: "not a regular file") }
        if mustBeOwn, status.st_uid != geteuid() || status.st_nlink > 1 {
            throw .damaged(
                path: path,
                problem:
                    "belongs to user \(status.st_uid) and has \(status.st_nlink) names, while this process runs as "
                    + "user \(geteuid()): without keys the processes of a job are one user's; see psctl keys")
        }
        byteCount = Int(status.st_size)
    }

    func read(at position: Int, into bytes: UnsafeMutableRawBufferPointer) throws(StorageError) {
        var filled = 0
        while filled < bytes.count {
            let count = try systemCall("read", path) {
                pread(descriptor.number, bytes.baseAddress! + filled, bytes.count - filled, off_t(position + filled))
            }
            if count == 0 { throw .damaged(path: path, problem: "became shorter while it was read") }
            filled += count
        }
    }
}

private final class FileBeingWritten: WritableFile {
    private let path: String
    private let descriptor: Descriptor

    init(private path: String) throws(StorageError) {
        self.path = path
        descriptor = try Descriptor("create", path, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        let number = descriptor.number
        try systemCall("set the mode of", path) { fchmod(number, 0o600) }
    }

    init(_ path: String, keeping kept: Int) throws(StorageError) {
        self.path = path
        let flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | (kept == 0 ? O_TRUNC : 0)
        descriptor = try Descriptor("create", path, flags: flags)
        let number = descriptor.number
        var status = stat()
        try systemCall("look at", path) { fstat(number, &status) }
        // A pipe would wait for its reader.
        guard status.st_mode & S_IFMT != S_IFIFO else { throw .damaged(path: path, problem: "not a regular file") }
        if kept > 0 { try systemCall("cut the tail of", path) { ftruncate(number, off_t(kept)) } }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        var rest = bytes
        while !rest.isEmpty {
            let written = try systemCall("write", path) {
                Glibc.write(descriptor.number, rest.baseAddress, rest.count)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }

    func synchronize() throws(StorageError) {
        try Shortcomings.tolerate(.filesAreNotDurable, at: path) { () throws(StorageError) in
            try systemCall("synchronize", path) { fsync(descriptor.number) }
        }
    }
}
