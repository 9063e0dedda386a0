// A file that a person asks a command for.

/// Where a command's result goes: complete under its name or not there, whatever else is written at the same time.
///
/// A link is followed: what it leads to is replaced. The temporary file has a name of its own, so that two commands with
/// one output do not meet in it, nor meet a file of the person's.
package struct OutputFile: Sendable {
    /// As the person wrote it.
    package let path: String
    private let target: String
    private let temporary: String

    /// - Throws: unless a file can be created beside `path` and renamed to it, so that long work is not done in vain.
    package init(_ path: String) throws(StorageError) {
        self.path = path
        let whole = Paths.absolute(path)
        if let behind = Paths.resolved(whole) {
            target = behind
        } else if Paths.isLink(whole) {
            throw .damaged(path: path, problem: "is a link to what is no file; choose another path")
        } else {
            target = whole
        }
        temporary = target + ".\(String(UInt64.random(in: 0...UInt64.max), radix: 16)).tmp"
        let files = LocalFileSystem()
        do throws(StorageError) {
            try AtomicFile.checkReplaceable(target, files)
            _ = try files.create(temporary)
            try files.remove(temporary)
        } catch {
            throw named(error)
        }
    }

    @discardableResult
    package func write(_ body: (HashingWriter) throws(StorageError) -> Void) throws(StorageError) -> WrittenFile {
        do throws(StorageError) {
            return try AtomicFile.write(target, beside: temporary, in: LocalFileSystem(), body)
        } catch {
            throw named(error)
        }
    }

    @discardableResult
    package func write(_ bytes: [UInt8]) throws(StorageError) -> WrittenFile {
        try write { (writer) throws(StorageError) in try writer.write(bytes) }
    }

    /// The file as the person calls it, not the temporary one, which is gone.
    private func named(_ error: StorageError) -> StorageError {
        switch error {
        case .system(let operation, temporary, let code): .system(operation: operation, path: path, code: code)
        case .damaged(target, let problem): .damaged(path: path, problem: problem)
        default: error
        }
    }
}
