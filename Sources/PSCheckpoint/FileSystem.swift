// The system calls behind durable files: every errno becomes a `CheckpointError` that names the path.

import Glibc

/// Repeats a system call that a signal interrupted; throws its errno when it returns a negative number.
@discardableResult
func systemCall<Result: SignedInteger>(
    _ operation: String, _ path: String, _ call: () -> Result
) throws(CheckpointError) -> Result {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw .system(operation: operation, path: path, code: errno) }
    }
}

/// An open file, closed when it goes out of scope.
struct Descriptor: ~Copyable {
    let number: Int32

    init(_ operation: String, _ path: String, flags: Int32, mode: mode_t = 0o666) throws(CheckpointError) {
        number = try systemCall(operation, path) { open(path, flags | O_CLOEXEC, mode) }
    }

    deinit { close(number) }

    /// Writes all of `bytes` at the file's position.
    func write(_ bytes: UnsafeRawBufferPointer, to path: String) throws(CheckpointError) {
        var rest = bytes
        while !rest.isEmpty {
            let written = try systemCall("write", path) { Glibc.write(number, rest.baseAddress, rest.count) }
            rest = UnsafeRawBufferPointer(rebasing: rest[written...])
        }
    }

    /// Makes everything written durable.
    func synchronize(_ path: String) throws(CheckpointError) {
        try systemCall("synchronize", path) { fsync(number) }
    }
}

enum FileSystem {
    /// Creates a directory and its missing parents; one that exists is left as it is.
    static func createDirectory(_ path: String) throws(CheckpointError) {
        if isDirectory(path) { return }
        let parent = parent(of: path)
        if parent != path && !isDirectory(parent) { try createDirectory(parent) }
        // Another process may have been faster.
        if mkdir(path, 0o777) != 0 && !(errno == EEXIST && isDirectory(path)) {
            // Something else of that name: "not a directory" says more than "file exists".
            throw .system(operation: "create directory", path: path, code: errno == EEXIST ? ENOTDIR : errno)
        }
        try synchronizeDirectory(parent)
    }

    /// Makes the names in a directory durable.
    static func synchronizeDirectory(_ path: String) throws(CheckpointError) {
        try Descriptor("open", path, flags: O_RDONLY | O_DIRECTORY).synchronize(path)
    }

    /// Renames within one directory, durably.
    static func rename(_ old: String, to new: String) throws(CheckpointError) {
        try systemCall("rename to \(name(of: new))", old) { Glibc.rename(old, new) }
        try synchronizeDirectory(parent(of: new))
    }

    /// Names in a directory, sorted, without "." and "..".
    static func list(_ path: String) throws(CheckpointError) -> [String] {
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

    /// Removes a directory that holds files only.
    static func removeDirectory(_ path: String) throws(CheckpointError) {
        for name in try list(path) {
            let file = "\(path)/\(name)"
            try systemCall("remove", file) { unlink(file) }
        }
        try systemCall("remove", path) { rmdir(path) }
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    static func isRegularFile(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    static func size(_ path: String) throws(CheckpointError) -> Int {
        var status = stat()
        try systemCall("look at", path) { stat(path, &status) }
        return Int(status.st_size)
    }

    /// A whole small file, such as a manifest.
    static func read(_ path: String, atMost limit: Int = 100 << 20) throws(CheckpointError) -> [UInt8] {
        let descriptor = try Descriptor("open", path, flags: O_RDONLY)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = try systemCall("read", path) { Glibc.read(descriptor.number, &chunk, chunk.count) }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            if bytes.count > limit { throw .damaged(path: path, problem: "is larger than \(limit) bytes") }
        }
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func name(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }
}
