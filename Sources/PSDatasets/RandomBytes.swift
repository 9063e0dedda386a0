// Bytes read by position: of a file, or in memory.

import Glibc
import PSFiles

/// Something of a fixed size that is read by position. May be used from many threads at once.
package protocol RandomBytes: Sendable {
    /// What errors call it.
    var path: String { get }
    var byteCount: Int { get }
    /// Fills `bytes` from `position` on; the caller has checked that so many are there.
    func fill(_ bytes: UnsafeMutableRawBufferPointer, at position: Int) throws(DatasetError)
}

extension RandomBytes {
    /// - Throws: `damaged` when the bytes are not all there.
    func bytes(at position: Int, count: Int) throws(DatasetError) -> [UInt8] {
        try check(position, count)
        var bytes = [UInt8](repeating: 0, count: count)
        var failure: DatasetError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(DatasetError) { try fill(buffer, at: position) } catch { failure = error }
        }
        if let failure { throw failure }
        return bytes
    }

    private func check(_ position: Int, _ count: Int) throws(DatasetError) {
        let (end, overflow) = position.addingReportingOverflow(count)
        guard position >= 0, count >= 0, !overflow, end <= byteCount else {
            throw .damaged(
                path: path, problem: "ends at byte \(byteCount), within the \(count) bytes wanted from \(position) on")
        }
    }
}

/// Bytes in memory.
package struct MemoryBytes: RandomBytes {
    package let path: String
    private let content: [UInt8]

    package init(_ content: [UInt8], path: String) {
        self.content = content
        self.path = path
    }

    package var byteCount: Int { content.count }

    package func fill(_ bytes: UnsafeMutableRawBufferPointer, at position: Int) {
        content.withUnsafeBytes {
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + bytes.count]))
        }
    }
}

/// What tells one state of a file from another without reading it.
package struct FileStamp: Sendable, Hashable {
    package let byteCount: Int
    /// Nanoseconds since 1970.
    package let modified: Int64

    init(byteCount: Int, modified: Int64) {
        self.byteCount = byteCount
        self.modified = modified
    }

    init(_ status: stat) {
        byteCount = Int(status.st_size)
        modified = Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec)
    }

    /// Of the regular file at a path, links followed.
    static func of(_ path: String) throws(DatasetError) -> FileStamp {
        var status = stat()
        _ = try onFiles { () throws(StorageError) in try systemCall("look at", path) { stat(path, &status) } }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .damaged(path: path, problem: "not a regular file") }
        return FileStamp(status)
    }
}

/// A regular file, open for reading. Read with system calls, not mapped: a disk that fails is then an error, no signal.
package final class FileBytes: RandomBytes {
    package let path: String
    /// When it was opened.
    let stamp: FileStamp
    private let descriptor: Int32

    /// - Parameter expected: what it was when the set's index was made.
    package init(_ path: String, expected: FileStamp? = nil) throws(DatasetError) {
        self.path = path
        // Without O_NONBLOCK the opening of a pipe would wait for its writer.
        let descriptor = try onFiles { () throws(StorageError) in
            try systemCall("open", path) { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
        }
        self.descriptor = descriptor
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(operation: "look at", path: path, code: code)
        }
        stamp = FileStamp(status)
        var failure: DatasetError?
        if status.st_mode & S_IFMT != S_IFREG {
            failure = .damaged(path: path, problem: "not a regular file")
        } else if let expected, expected.byteCount != stamp.byteCount {
            failure = .changed(
                path: path, problem: "it has \(stamp.byteCount) bytes, not the \(expected.byteCount) it had")
        } else if let expected, expected.modified != stamp.modified {
            failure = .changed(path: path, problem: "it was written to since its samples were listed")
        }
        // `deinit` closes the descriptor, as all members are set.
        if let failure { throw failure }
    }

    /// Takes over an open descriptor.
    init(descriptor: Int32, path: String) throws(DatasetError) {
        self.path = path
        self.descriptor = descriptor
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(operation: "look at", path: path, code: code)
        }
        stamp = FileStamp(status)
    }

    deinit { close(descriptor) }

    package var byteCount: Int { stamp.byteCount }

    package func fill(_ bytes: UnsafeMutableRawBufferPointer, at position: Int) throws(DatasetError) {
        var filled = 0
        while filled < bytes.count {
            let count = pread(descriptor, bytes.baseAddress! + filled, bytes.count - filled, off_t(position + filled))
            if count < 0 && errno == EINTR { continue }
            if count < 0 { throw .system(operation: "read", path: path, code: errno) }
            if count == 0 {
                throw .changed(
                    path: path,
                    problem: "it ends at byte \(position + filled), and had \(stamp.byteCount) when it was opened")
            }
            filled += count
        }
    }
}

/// A window on bytes that are gone through from front to back, in small pieces and with gaps.
struct ByteWindow {
    let source: any RandomBytes
    /// Small, as what lies between the pieces is mostly pictures that are passed over.
    private static let size = 4096
    private var bytes: [UInt8] = []
    private var start = 0

    init(_ source: any RandomBytes) { self.source = source }

    /// Some bytes, or nil where they are not all there. `count` is the caller's, never a file's unchecked number.
    mutating func slice(at position: Int, count: Int) throws(DatasetError) -> ArraySlice<UInt8>? {
        guard position >= 0, position <= source.byteCount, count <= source.byteCount - position else { return nil }
        if position < start || position + count > start + bytes.count {
            let length = min(max(count, ByteWindow.size), source.byteCount - position)
            bytes = try source.bytes(at: position, count: length)
            start = position
        }
        return bytes[(position - start)..<(position - start + count)]
    }
}
