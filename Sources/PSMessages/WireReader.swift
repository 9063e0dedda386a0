// Protobuf's wire format, read from untrusted bytes: what runs past the end is nil or false, never a trap.

struct WireReader {
    let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    /// Nil when it runs past the end or has more than 64 bits.
    mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < bytes.count, shift < 64 {
            let byte = bytes[position]
            position += 1
            // Of the tenth byte one bit is left.
            if shift == 63, byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }

    /// Where the value that begins with its length ends; nil when that is behind `end`.
    mutating func endOfLengthDelimited(before end: Int) -> Int? {
        guard let length = varint(), position <= end, length <= UInt64(end - position) else { return nil }
        return position + Int(length)
    }

    /// Skips a field's value; false when it runs past the end.
    mutating func skip(wireType: UInt64) -> Bool {
        switch wireType {
        case 0: return varint() != nil
        case 1: return advance(8, before: bytes.count)
        case 2:
            guard let end = endOfLengthDelimited(before: bytes.count) else { return false }
            position = end
            return true
        case 5: return advance(4, before: bytes.count)
        default: return false
        }
    }

    mutating func advance(_ count: Int, before end: Int) -> Bool {
        guard position <= end, count <= end - position else { return false }
        position += count
        return true
    }
}
