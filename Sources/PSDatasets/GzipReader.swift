// Unpacking gzip files piece by piece, with their checksum.

import CZlib

/// What a gzip file holds, from front to back.
struct GzipReader: ~Copyable {
    private let source: any RandomBytes
    private let stream: UnsafeMutablePointer<z_stream>
    private var input: [UInt8] = []
    private var position = 0
    private var isOver = false

    static func isGzip(_ source: any RandomBytes) throws(DatasetError) -> Bool {
        if source.byteCount < 2 { return false }
        return try source.bytes(at: 0, count: 2) == [0x1F, 0x8B]
    }

    init(_ source: any RandomBytes) {
        self.source = source
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 16 + the largest window: a gzip header is required.
        let ready = inflateInit2_(stream, 16 + MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(ready == Z_OK, "zlib refuses to start: \(ready)")
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// The next bytes, `count` of them or fewer at the end. Memory grows with what is there, not with `count`.
    mutating func read(_ count: Int) throws(DatasetError) -> [UInt8] {
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: min(count, 1 << 20))
        while output.count < count && !isOver {
            let wanted = min(chunk.count, count - output.count)
            let made = try inflate(into: &chunk, wanted)
            if wanted == count && made == count { return chunk }
            output += chunk[..<made]
        }
        return output
    }

    private mutating func inflate(into chunk: inout [UInt8], _ wanted: Int) throws(DatasetError) -> Int {
        if input.isEmpty {
            input = try source.bytes(at: position, count: min(1 << 16, source.byteCount - position))
            position += input.count
        }
        let (stream, available) = (stream, input.count)
        let (status, made, used) = input.withUnsafeMutableBufferPointer { input in
            chunk.withUnsafeMutableBufferPointer { chunk in
                stream.pointee.next_in = input.baseAddress
                stream.pointee.avail_in = UInt32(input.count)
                stream.pointee.next_out = chunk.baseAddress
                stream.pointee.avail_out = UInt32(wanted)
                let status = CZlib.inflate(stream, Z_NO_FLUSH)
                return (status, wanted - Int(stream.pointee.avail_out), available - Int(stream.pointee.avail_in))
            }
        }
        input.removeFirst(used)
        switch status {
        case Z_STREAM_END: isOver = true
        case Z_OK: break
        case Z_BUF_ERROR where position < source.byteCount: break
        case Z_BUF_ERROR:
            throw .damaged(
                path: source.path,
                problem: "truncated: its compressed data end after \(source.byteCount) bytes; install it again")
        default:
            let reason = stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(status)"
            throw .damaged(path: source.path, problem: "not a sound gzip file: \(reason); install it again")
        }
        return made
    }

    /// CRC-32 and size (modulo 2^32) of what a gzip file of one member holds, as its end has them.
    static func trailer(_ source: any RandomBytes) throws(DatasetError) -> (checksum: UInt32, byteCount: UInt32) {
        // A header of 10 bytes, 8 of the trailer.
        guard source.byteCount >= 18 else {
            throw .damaged(
                path: source.path, problem: "truncated: it has only \(source.byteCount) bytes; install it again")
        }
        var reader = ByteReader(try source.bytes(at: source.byteCount - 8, count: 8)[...])
        return (reader.take(UInt32.self) ?? 0, reader.take(UInt32.self) ?? 0)
    }
}

/// CRC-32 of bytes that are gone through piece by piece.
func checksum(of source: any RandomBytes) throws(DatasetError) -> UInt32 {
    var crc: UInt = 0
    var position = 0
    while position < source.byteCount {
        let piece = try source.bytes(at: position, count: min(1 << 18, source.byteCount - position))
        crc = crc32(crc, piece, UInt32(piece.count))
        position += piece.count
    }
    return UInt32(truncatingIfNeeded: crc)
}
