// Protobuf's wire format by hand, for messages that no encoder of ours would write.

import PSMessages

enum Wire {
    static func varint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + varint(value >> 7)
    }

    static func number(_ field: UInt64, _ value: UInt64) -> [UInt8] { varint(field << 3) + varint(value) }

    static func fixed64(_ field: UInt64, _ value: UInt64) -> [UInt8] {
        varint(field << 3 | 1) + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    static func fixed64(_ field: UInt64, _ value: Double) -> [UInt8] { fixed64(field, value.bitPattern) }

    static func fixed32(_ field: UInt64, _ value: UInt32) -> [UInt8] {
        varint(field << 3 | 5) + (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    static func bytes(_ field: UInt64, _ content: [UInt8]) -> [UInt8] {
        varint(field << 3 | 2) + varint(UInt64(content.count)) + content
    }

    static func text(_ field: UInt64, _ content: String) -> [UInt8] { bytes(field, Array(content.utf8)) }

    /// What every envelope begins with: protocol, job, generation, term, source, destination.
    static let names =
        number(1, UInt64(protocolVersion)) + fixed64(2, UInt64(7)) + number(3, 1) + number(4, 1)
        + fixed64(5, UInt64(11)) + fixed64(6, UInt64(12))

    static func envelope(_ body: UInt64, _ content: [UInt8]) -> [UInt8] { names + bytes(body, content) }
}

/// What is wrong with the bytes; empty: nothing.
func mistake(in bytes: [UInt8]) -> String {
    do throws(MessageError) {
        _ = try decoded(bytes)
        return ""
    } catch {
        if case .malformed(let what) = error { return what }
        return error.description
    }
}

func decoded(_ bytes: [UInt8], payloadCount: Int = 0) throws(MessageError) -> Envelope {
    var result: Result<Envelope, MessageError> = .failure(.malformed(""))
    bytes.withUnsafeBytes { raw in
        do throws(MessageError) {
            result = .success(try Envelope.decode(raw, payloadCount: payloadCount))
        } catch {
            result = .failure(error)
        }
    }
    return try result.get()
}
