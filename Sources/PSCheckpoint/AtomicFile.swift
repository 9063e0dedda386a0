// Files that are either complete under their name or not there: written beside it, made durable, renamed.

import Glibc

/// What was written, as a manifest lists it.
package struct WrittenFile: Sendable, Hashable {
    package let byteCount: Int
    /// 64 hexadecimal digits.
    package let sha256: String
}

package enum AtomicFile {
    /// Lets `body` write `path + ".tmp"`, then makes it durable and renames it to `path`.
    ///
    /// When anything fails the temporary file is removed and whatever was at `path` stays.
    static func write(
        _ path: String, _ body: (FileWriter) throws(CheckpointError) -> Void
    ) throws(CheckpointError) -> WrittenFile {
        let temporary = path + ".tmp"
        try checkReplaceable(path)
        do throws(CheckpointError) {
            let writer = try FileWriter(path: temporary)
            try body(writer)
            let written = try writer.finish()
            try FileSystem.rename(temporary, to: path)
            return written
        } catch {
            unlink(temporary)
            throw error
        }
    }

    @discardableResult
    package static func write(_ path: String, _ bytes: [UInt8]) throws(CheckpointError) -> WrittenFile {
        try write(path) { (writer) throws(CheckpointError) in try writer.write(bytes) }
    }

    /// Throws unless a file can be created beside `path` and renamed to it, so that long work is not done in vain.
    package static func check(_ path: String) throws(CheckpointError) {
        try checkReplaceable(path)
        let temporary = path + ".tmp"
        _ = try Descriptor("create", temporary, flags: O_WRONLY | O_CREAT)
        unlink(temporary)
    }

    private static func checkReplaceable(_ path: String) throws(CheckpointError) {
        // A rename would replace a device or a directory's link by a plain file.
        if FileSystem.exists(path), !FileSystem.isRegularFile(path) {
            throw .damaged(path: path, problem: "is there and is no regular file; choose another path")
        }
    }
}

/// Writes one file from its beginning and hashes what it writes.
final class FileWriter {
    private let path: String
    private let descriptor: Descriptor
    private var hash = SHA256()
    private var byteCount = 0

    init(path: String) throws(CheckpointError) {
        self.path = path
        descriptor = try Descriptor("create", path, flags: O_WRONLY | O_CREAT | O_TRUNC)
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        try descriptor.write(bytes, to: path)
        hash.update(bytes)
        byteCount += bytes.count
    }

    func write(_ bytes: [UInt8]) throws(CheckpointError) {
        try bytes.withUnsafeBufferPointer { (buffer) throws(CheckpointError) in
            try write(UnsafeRawBufferPointer(buffer))
        }
    }

    /// Makes the content durable; nothing may be written afterwards.
    func finish() throws(CheckpointError) -> WrittenFile {
        try descriptor.synchronize(path)
        return WrittenFile(byteCount: byteCount, sha256: exchange(&hash, with: SHA256()).hexadecimal())
    }
}
