// Reading a gzip file whole, with its checksum checked.

import CZlib
import Glibc

/// The decompressed content of a gzip file.
///
/// - Parameter limit: most bytes to give; a file with more is an error, so a small hostile file cannot fill the memory.
func readGzip(_ path: String, atMost limit: Int) throws(DataError) -> [UInt8] {
    let compressed = try readFile(path)
    var stream = z_stream()
    // 16 + the largest window: a gzip header is required.
    let ready = inflateInit2_(&stream, 16 + MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    precondition(ready == Z_OK, "zlib refuses to start: \(ready)")
    defer { inflateEnd(&stream) }

    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    var status = Z_OK
    compressed.withUnsafeBufferPointer { input in
        stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
        stream.avail_in = UInt32(input.count)
        while status == Z_OK && output.count <= limit {
            chunk.withUnsafeMutableBufferPointer { buffer in
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(buffer.count)
                status = inflate(&stream, Z_NO_FLUSH)
            }
            output += chunk[..<(chunk.count - Int(stream.avail_out))]
        }
    }
    if output.count > limit {
        throw .damaged(path: path, problem: "holds more than \(limit) bytes, too many for such a file")
    }
    switch status {
    case Z_STREAM_END: return output
    case Z_BUF_ERROR:
        throw .damaged(
            path: path, problem: "truncated: its compressed data end after \(compressed.count) bytes; install it again")
    default:
        let reason = stream.msg.map { String(cString: $0) } ?? "zlib error \(status)"
        throw .damaged(path: path, problem: "not a sound gzip file: \(reason); install it again")
    }
}

private func readFile(_ path: String) throws(DataError) -> [UInt8] {
    // Without O_NONBLOCK the opening of a pipe would wait for its writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    if descriptor < 0 { throw .system(operation: "open", path: path, code: errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system(operation: "look at", path: path, code: errno) }
    guard status.st_mode & S_IFMT == S_IFREG, status.st_size < 1 << 31 else {
        throw .damaged(path: path, problem: "not a regular file below 2 GiB")
    }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < bytes.count {
        let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + filled, $0.count - filled) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { throw .system(operation: "read", path: path, code: errno) }
        if count == 0 { throw .damaged(path: path, problem: "became shorter while it was read") }
        filled += count
    }
    return bytes
}
