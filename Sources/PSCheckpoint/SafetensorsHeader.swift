// The JSON header of a safetensors file: read strictly, written by hand.
//
// A parser of its own because a general one keeps the last of two equal names, reads 1e3 as an integer, and may recurse
// as deep as a hostile file wants.

import PSFiles

/// An element type of the safetensors format.
package enum SafetensorsDataType: String, Sendable, Hashable {
    case bool = "BOOL"
    case uint8 = "U8"
    case int8 = "I8"
    case float8e5m2 = "F8_E5M2"
    case float8e4m3 = "F8_E4M3"
    case int16 = "I16"
    case uint16 = "U16"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int32 = "I32"
    case uint32 = "U32"
    case float32 = "F32"
    case int64 = "I64"
    case uint64 = "U64"
    case float64 = "F64"

    /// Whether weights may be of this type.
    package var isFloat: Bool { [.float16, .bfloat16, .float32, .float64].contains(self) }

    package var byteCount: Int {
        switch self {
        case .bool, .uint8, .int8, .float8e5m2, .float8e4m3: 1
        case .int16, .uint16, .float16, .bfloat16: 2
        case .int32, .uint32, .float32: 4
        case .int64, .uint64, .float64: 8
        }
    }
}

/// One tensor as a safetensors header describes it.
package struct SafetensorsTensor: Sendable, Hashable {
    package let name: String
    package let dataType: SafetensorsDataType
    /// Extents, outermost first; empty for a scalar.
    package let shape: [Int]
    /// Bytes of the file's data, counted from the end of the header.
    package let range: Range<Int>

    package var elementCount: Int { range.count / dataType.byteCount }

    /// "F32 [64, 3, 3, 3]", for messages.
    package var summary: String { "\(dataType.rawValue) \(shape)" }
}

/// Reads the grammar
///
///     {"__metadata__": {string: string}, NAME: {"dtype": string, "shape": [n...], "data_offsets": [n, n]}, ...}
struct SafetensorsHeaderParser {
    private(set) var metadata: [String: String] = [:]
    /// In the order of the header.
    private(set) var tensors: [SafetensorsTensor] = []

    private let path: String
    private let bytes: UnsafeBufferPointer<UInt8>
    private var position = 0

    init(path: String, bytes: UnsafeBufferPointer<UInt8>) throws(StorageError) {
        self.path = path
        self.bytes = bytes
        var names: Set<String> = []
        try object { (parser, name) throws(StorageError) in
            if !names.insert(name).inserted { throw parser.failure("two entries are called \"\(name)\"") }
            if name == "__metadata__" {
                try parser.object { (parser, key) throws(StorageError) in
                    parser.metadata[key] = try parser.string()
                }
            } else {
                parser.tensors.append(try parser.tensor(name))
            }
        }
        skipSpace()
        if position != bytes.count { throw failure("something follows the header's closing brace") }
    }

    private mutating func tensor(_ name: String) throws(StorageError) -> SafetensorsTensor {
        var typeName: String?
        var shape: [Int]?
        var offsets: [Int]?
        try object { (parser, key) throws(StorageError) in
            switch key {
            case "dtype" where typeName == nil: typeName = try parser.string()
            case "shape" where shape == nil: shape = try parser.integers()
            case "data_offsets" where offsets == nil: offsets = try parser.integers()
            default: throw parser.failure("tensor \"\(name)\" has an unexpected or repeated key \"\(key)\"")
            }
        }
        guard let typeName, let shape, let offsets, offsets.count == 2 else {
            throw failure("tensor \"\(name)\" lacks dtype, shape or two data_offsets")
        }
        guard let dataType = SafetensorsDataType(rawValue: typeName) else {
            throw failure("tensor \"\(name)\" has the unknown dtype \"\(typeName)\"")
        }
        guard offsets[0] <= offsets[1] else { throw failure("tensor \"\(name)\" ends before it begins: \(offsets)") }
        var size = dataType.byteCount
        for extent in shape {
            let (product, overflow) = size.multipliedReportingOverflow(by: extent)
            if overflow { throw failure("tensor \"\(name)\" has a shape too large to address: \(shape)") }
            size = product
        }
        guard size == offsets[1] - offsets[0] else {
            throw failure(
                "tensor \"\(name)\", \(typeName) \(shape), needs \(size) bytes but its data_offsets span "
                    + "\(offsets[1] - offsets[0])")
        }
        return SafetensorsTensor(name: name, dataType: dataType, shape: shape, range: offsets[0]..<offsets[1])
    }

    // MARK: JSON

    private mutating func object(
        _ member: (inout Self, String) throws(StorageError) -> Void
    ) throws(StorageError) {
        try expect("{")
        if accept("}") { return }
        repeat {
            let name = try string()
            try expect(":")
            try member(&self, name)
        } while accept(",")
        try expect("}")
    }

    private mutating func integers() throws(StorageError) -> [Int] {
        try expect("[")
        var values: [Int] = []
        if accept("]") { return values }
        repeat { values.append(try integer()) } while accept(",")
        try expect("]")
        return values
    }

    /// A number of digits only: the format has no others.
    private mutating func integer() throws(StorageError) -> Int {
        skipSpace()
        let start = position
        var value = 0
        while position < bytes.count, case let digit = bytes[position], digit >= 0x30, digit <= 0x39 {
            let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tenfold.addingReportingOverflow(Int(digit - 0x30))
            if overflow || carry { throw failure("a number is too large") }
            value = sum
            position += 1
        }
        if position == start { throw failure("expected a whole number") }
        if position < bytes.count, [0x2E, 0x45, 0x65].contains(bytes[position]) {
            throw failure("expected a whole number")
        }
        return value
    }

    private mutating func string() throws(StorageError) -> String {
        try expect("\"")
        var content: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: content, as: UTF8.self) else {
                    throw failure("a string is not UTF-8")
                }
                return text
            case UInt8(ascii: "\\"): content += try escape()
            case 0..<0x20: throw failure("a string holds a control character")
            default: content.append(byte)
            }
        }
        throw failure("a string does not end")
    }

    /// The UTF-8 of the escape after a backslash.
    private mutating func escape() throws(StorageError) -> [UInt8] {
        guard position < bytes.count else { throw failure("a string does not end") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            var units = [try codeUnit()]
            if UTF16.isLeadSurrogate(units[0]), position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            {
                position += 2
                units.append(try codeUnit())
            }
            guard let text = String(validating: units, as: UTF16.self) else {
                throw failure("half a surrogate pair stands alone")
            }
            return Array(text.utf8)
        default: throw failure("a string has an unknown escape")
        }
    }

    private mutating func codeUnit() throws(StorageError) -> UInt16 {
        guard position + 4 <= bytes.count else { throw failure("a string does not end") }
        var value: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = Character(UnicodeScalar(bytes[position])).hexDigitValue, bytes[position] < 0x80 else {
                throw failure("\\u is not followed by four hexadecimal digits")
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }

    private mutating func skipSpace() {
        while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    private mutating func accept(_ character: Character) -> Bool {
        skipSpace()
        guard position < bytes.count, bytes[position] == character.asciiValue else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ character: Character) throws(StorageError) {
        if !accept(character) { throw failure("expected \(character)") }
    }

    private func failure(_ problem: String) -> StorageError {
        .damaged(path: path, problem: "not a sound safetensors header: \(problem) (header byte \(position))")
    }
}

/// The header of a file that holds these tensors, padded with spaces so that the data starts at a multiple of 8.
func safetensorsHeader(metadata: [String: String], tensors: [SafetensorsTensor]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
        let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
        members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    for tensor in tensors {
        let shape = tensor.shape.map(String.init).joined(separator: ",")
        members.append(
            "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.dataType.rawValue)\",\"shape\":[\(shape)],"
                + "\"data_offsets\":[\(tensor.range.lowerBound),\(tensor.range.upperBound)]}")
    }
    var json = Array("{\(members.joined(separator: ","))}".utf8)
    json += [UInt8](repeating: 0x20, count: (8 - json.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json
}

private func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case _ where scalar.value < 0x20:
            let digits = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
