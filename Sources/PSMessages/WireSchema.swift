// What the wire and a journal's records may hold: protobuf-c's descriptors and `MessageLimits`, and the walk that holds a message to them.
//
// protobuf-c takes any field it does not know, any number of times, and spends an allocation on each. So the bytes are
// walked once before it sees them: a message that passes has known fields, each once, of the right kind and no longer
// than allowed. A message may therefore come to no more memory than in proportion to its bytes.

import CMessages

struct WireSchema: Sendable {
    private enum Number: Sendable {
        /// At most so large.
        case varint(UInt64)
        /// Of so many bytes.
        case fixed(Int)

        var wireType: UInt64 {
            switch self {
            case .varint: 0
            case .fixed(let width): width == 8 ? 1 : 5
            }
        }
    }

    private enum Content: Sendable {
        case number(Number)
        /// A list, in one piece, of at most so many.
        case numbers(Number, most: Int)
        /// So many of them at most; nil: one only.
        case text(bytes: Int, most: Int?)
        case bytes(most: Int)
        /// By its place in the schema; so many of them at most; nil: one only.
        case message(Int, most: Int?)

        /// Of a list whose elements stand apart.
        var mostElements: Int? {
            switch self {
            case .text(_, let most), .message(_, let most): most
            case .number, .numbers, .bytes: nil
            }
        }

        var wireType: UInt64 {
            if case .number(let number) = self { number.wireType } else { 2 }
        }
    }

    private struct Field: Sendable {
        var content: Content
        /// Of those only one may be there.
        var isBody: Bool
    }

    private struct Message: Sendable {
        var name: String
        /// By number.
        var fields: [Field?] = []
        var names: [String] = []
    }

    private var messages: [Message] = []

    static let envelope = WireSchema(ps__envelope__descriptor)
    static let stepRecord = WireSchema(ps__step_record__descriptor)

    private init(_ root: ProtobufCMessageDescriptor) { _ = add(root) }

    // MARK: From the descriptors

    private mutating func add(_ descriptor: ProtobufCMessageDescriptor) -> Int {
        let name = String(String(cString: descriptor.name).dropFirst("ps.".count))
        if let known = messages.firstIndex(where: { $0.name == name }) { return known }
        let place = messages.count
        messages.append(Message(name: name))
        for field in UnsafeBufferPointer(start: descriptor.fields, count: Int(descriptor.n_fields)) {
            let number = Int(field.id)
            precondition(number < UInt128.bitWidth, "field \(number) of \(name) is counted among those seen")
            let missing = number + 1 - messages[place].fields.count
            messages[place].fields += Array(repeating: nil, count: max(0, missing))
            messages[place].names += Array(repeating: "", count: max(0, missing))
            let fieldName = String(cString: field.name)
            messages[place].names[number] = fieldName
            messages[place].fields[number] = Field(
                content: content(field, "\(name).\(fieldName)"),
                isBody: field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue != 0)
        }
        return place
    }

    private mutating func content(_ field: ProtobufCFieldDescriptor, _ name: String) -> Content {
        let isRepeated = field.label == PROTOBUF_C_LABEL_REPEATED
        func limit<T>(_ limits: [String: T]) -> T {
            guard let limit = limits[name] else { preconditionFailure("MessageLimits has no limit for \(name)") }
            return limit
        }
        let number: Number
        switch field.type {
        case PROTOBUF_C_TYPE_STRING:
            let most = isRepeated ? limit(MessageLimits.elements) : nil
            return .text(bytes: limit(MessageLimits.texts).bytes, most: most)
        case PROTOBUF_C_TYPE_BYTES: return .bytes(most: limit(MessageLimits.bytes))
        case PROTOBUF_C_TYPE_MESSAGE:
            let inner = add(field.descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self).pointee)
            return .message(inner, most: isRepeated ? limit(MessageLimits.elements) : nil)
        case PROTOBUF_C_TYPE_BOOL: number = .varint(1)
        case PROTOBUF_C_TYPE_ENUM: number = .varint(UInt64(Int32.max))
        case PROTOBUF_C_TYPE_UINT32: number = .varint(UInt64(UInt32.max))
        case PROTOBUF_C_TYPE_UINT64: number = .varint(.max)
        case PROTOBUF_C_TYPE_FIXED32, PROTOBUF_C_TYPE_FLOAT: number = .fixed(4)
        case PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_DOUBLE: number = .fixed(8)
        default: preconditionFailure("\(name) is of a type that no message had: say what it may hold")
        }
        return isRepeated ? .numbers(number, most: limit(MessageLimits.elements)) : .number(number)
    }

    // MARK: The walk

    /// Throws unless the bytes are one message as the schema has it.
    func check(_ bytes: UnsafeRawBufferPointer) throws(MessageError) {
        var reader = WireReader(bytes)
        try check(&reader, message: 0, until: bytes.count)
    }

    private func check(_ reader: inout WireReader, message place: Int, until end: Int) throws(MessageError) {
        var seen: UInt128 = 0
        var hasBody = false
        // Stays empty, and without memory, in nearly all messages.
        var counts: [UInt64: Int] = [:]
        while reader.position < end {
            guard let tag = reader.varint(), reader.position <= end else { throw pastEnd(place) }
            let number = tag >> 3
            guard number < UInt64(messages[place].fields.count), let field = messages[place].fields[Int(number)] else {
                throw .malformed("\(messages[place].name) has no field \(number)")
            }
            guard tag & 7 == field.content.wireType else {
                throw .malformed("\(name(place, number)) is of wire type \(tag & 7)")
            }
            if let most = field.content.mostElements {
                counts[number, default: 0] += 1
                guard counts[number]! <= most else { throw tooMany(place, number, most) }
            } else {
                let bit: UInt128 = 1 << UInt128(number)
                guard seen & bit == 0 else { throw .malformed("\(name(place, number)) comes twice") }
                seen |= bit
            }
            if field.isBody {
                guard !hasBody else { throw .malformed("\(name(place, number)) is a second body") }
                hasBody = true
            }
            try checkContent(field.content, &reader, place, number, until: end)
        }
    }

    private func checkContent(
        _ content: Content, _ reader: inout WireReader, _ place: Int, _ number: UInt64, until end: Int
    ) throws(MessageError) {
        if case .number(let kind) = content {
            return try checkNumber(kind, &reader, place, number, until: end)
        }
        guard let innerEnd = reader.endOfLengthDelimited(before: end) else { throw pastEnd(place, number) }
        let length = innerEnd - reader.position
        switch content {
        case .number: break
        case .numbers(let kind, let most):
            // Each has at least a byte, so what is refused costs no more than its bytes.
            var count = 0
            while reader.position < innerEnd {
                count += 1
                guard count <= most else { throw tooMany(place, number, most) }
                try checkNumber(kind, &reader, place, number, until: innerEnd)
            }
        case .text(let most, _):
            guard length <= most else { throw tooLong(place, number, length, most) }
            guard isText(UnsafeRawBufferPointer(rebasing: reader.bytes[reader.position..<innerEnd])) else {
                throw .malformed("\(name(place, number)) is no text in UTF-8 without NUL")
            }
            _ = reader.advance(length, before: innerEnd)
        case .bytes(let most):
            guard length <= most else { throw tooLong(place, number, length, most) }
            _ = reader.advance(length, before: innerEnd)
        case .message(let inner, _): try check(&reader, message: inner, until: innerEnd)
        }
    }

    private func checkNumber(
        _ kind: Number, _ reader: inout WireReader, _ place: Int, _ number: UInt64, until end: Int
    ) throws(MessageError) {
        switch kind {
        case .varint(let most):
            guard let value = reader.varint(), reader.position <= end else { throw pastEnd(place, number) }
            guard value <= most else { throw .malformed("\(name(place, number)) is \(value), more than \(most)") }
        case .fixed(let width):
            guard reader.advance(width, before: end) else { throw pastEnd(place, number) }
        }
    }

    // MARK: Errors

    private func name(_ place: Int, _ number: UInt64) -> String {
        "\(messages[place].name).\(messages[place].names[Int(number)])"
    }

    private func pastEnd(_ place: Int) -> MessageError { .malformed("\(messages[place].name) runs past its end") }

    private func pastEnd(_ place: Int, _ number: UInt64) -> MessageError {
        .malformed("\(name(place, number)) runs past its end")
    }

    private func tooMany(_ place: Int, _ number: UInt64, _ most: Int) -> MessageError {
        .malformed("\(name(place, number)) has more than \(most) elements")
    }

    private func tooLong(_ place: Int, _ number: UInt64, _ length: Int, _ most: Int) -> MessageError {
        .malformed("\(name(place, number)) has \(length) bytes, more than \(most)")
    }
}

/// Whether the bytes are UTF-8 without NUL, which would end the text for C.
private func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if bytes.allSatisfy({ 0 < $0 && $0 < 0x80 }) { return true }
    if bytes.contains(0) { return false }
    var parser = Unicode.UTF8.ForwardParser()
    var rest = bytes.makeIterator()
    while true {
        switch parser.parseScalar(from: &rest) {
        case .valid: continue
        case .emptyInput: return true
        case .error: return false
        }
    }
}
