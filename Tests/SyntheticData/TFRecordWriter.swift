// Records of Example messages as bytes. Shares no code with the reader, which it helps to test.

/// The same sample gives the same bytes.
package enum TFRecordWriter {
    /// A record of a labelled picture.
    ///
    /// - Parameter label: as it is stored: counted from 0 or from 1, see `DatasetSettings.firstLabel`.
    package static func record(name: String, picture: [UInt8], label: Int, text: String? = nil) -> [UInt8] {
        record(
            example(
                [
                    ("image/class/label", feature(3, integer: label)),
                    ("image/class/text", text.map { feature(1, bytes: Array($0.utf8)) } ?? []),
                    ("image/encoded", feature(1, bytes: picture)),
                    ("image/filename", feature(1, bytes: Array(name.utf8))),
                ].filter { !$0.1.isEmpty }))
    }

    /// A record of any payload.
    package static func record(_ payload: [UInt8]) -> [UInt8] {
        let length = littleEndian(UInt64(payload.count))
        return length + littleEndian(maskedChecksum(length)) + payload + littleEndian(maskedChecksum(payload))
    }

    private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    /// What the format stores of CRC-32C: turned by 15 bits and moved, as checksums of checksums are weak.
    private static func maskedChecksum(_ bytes: [UInt8]) -> UInt32 {
        let sum = ~bytes.reduce(~0) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }

    /// Of Castagnoli's polynomial, by byte.
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { sum, _ in sum & 1 == 1 ? sum >> 1 ^ 0x82F6_3B78 : sum >> 1 }
    }

    private static func example(_ features: [(String, [UInt8])]) -> [UInt8] {
        field(1, features.flatMap { field(1, field(1, Array($0.0.utf8)) + field(2, $0.1)) })
    }

    private static func feature(_ kind: Int, bytes: [UInt8]) -> [UInt8] { field(kind, field(1, bytes)) }

    private static func feature(_ kind: Int, integer: Int) -> [UInt8] { field(kind, field(1, varint(integer))) }

    private static func field(_ number: Int, _ bytes: [UInt8]) -> [UInt8] {
        varint(number << 3 | 2) + varint(bytes.count) + bytes
    }

    private static func varint(_ value: Int) -> [UInt8] {
        var rest = UInt64(bitPattern: Int64(value))
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
