// Files that are either complete under their name or not there: written beside it, made durable, renamed.

/// What was written, as a manifest lists it.
package struct WrittenFile: Sendable, Hashable {
    package let byteCount: Int
    /// 64 hexadecimal digits.
    package let sha256: String
}

package enum AtomicFile {
    /// Lets `body` write `path + ".tmp"`, then makes it durable and renames it to `path`.
    ///
    /// One that is private only its owner may read, whatever others are allowed. When anything fails the temporary file is removed and whatever was at `path` stays. For files that one process
    /// writes, such as a run's; `OutputFile` is for those that a person names.
    package static func write(
        _ path: String, in files: any FileSystem = LocalFileSystem(), isPrivate: Bool = false,
        _ body: (HashingWriter) throws(StorageError) -> Void
    ) throws(StorageError) -> WrittenFile {
        try checkReplaceable(path, files)
        return try write(path, beside: path + ".tmp", in: files, isPrivate: isPrivate, body)
    }

    /// - Parameter temporary: in the same directory.
    static func write(
        _ path: String, beside temporary: String, in files: any FileSystem, isPrivate: Bool = false,
        _ body: (HashingWriter) throws(StorageError) -> Void
    ) throws(StorageError) -> WrittenFile {
        do throws(StorageError) {
            // One that was left behind might be anybody's to read.
            if isPrivate, try files.entry(temporary) != nil { try files.remove(temporary) }
            let writer = HashingWriter(try isPrivate ? files.createPrivate(temporary) : files.create(temporary))
            try body(writer)
            let written = try writer.finish()
            try files.renameDurably(temporary, to: path)
            return written
        } catch {
            try? files.remove(temporary)
            throw error
        }
    }

    @discardableResult
    package static func write(
        _ path: String, _ bytes: [UInt8], in files: any FileSystem = LocalFileSystem(), isPrivate: Bool = false
    ) throws(StorageError) -> WrittenFile {
        try write(path, in: files, isPrivate: isPrivate) { (writer) throws(StorageError) in try writer.write(bytes) }
    }

    /// Like `write` for what may be lost in a power cut: readers see the old file or the new one, no sync is waited for.
    package static func writeQuickly(
        _ path: String, _ bytes: [UInt8], in files: any FileSystem = LocalFileSystem()
    ) throws(StorageError) {
        let temporary = path + ".tmp"
        do throws(StorageError) {
            let file = try files.create(temporary)
            try file.write(bytes)
            try files.rename(temporary, to: path)
        } catch {
            try? files.remove(temporary)
            throw error
        }
    }

    static func checkReplaceable(_ path: String, _ files: any FileSystem) throws(StorageError) {
        // A rename would replace a device or a directory's link by a plain file.
        if files.exists(path), !files.isRegularFile(path) {
            throw .damaged(path: path, problem: "is there and is no regular file; choose another path")
        }
    }
}

/// Writes one file from its beginning and hashes what it writes.
package final class HashingWriter {
    private let file: any WritableFile
    private var hash = SHA256()
    private var byteCount = 0

    init(_ file: any WritableFile) { self.file = file }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try file.write(bytes)
        hash.update(bytes)
        byteCount += bytes.count
    }

    package func write(_ bytes: [UInt8]) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(StorageError) in
            try write(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Makes the content durable; nothing may be written afterwards.
    func finish() throws(StorageError) -> WrittenFile {
        try file.synchronize()
        return WrittenFile(byteCount: byteCount, sha256: exchange(&hash, with: SHA256()).hexadecimal())
    }
}

extension WritableFile {
    package func write(_ bytes: [UInt8]) throws(StorageError) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(StorageError) in
            try write(UnsafeRawBufferPointer(buffer))
        }
    }
}
