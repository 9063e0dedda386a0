// The one form of JSON in files and on standard output.

import Foundation

package enum JSON {
    /// How numbers that are no numbers are written, since JSON has none: as these texts.
    private static let (infinity, minusInfinity, nan) = ("inf", "-inf", "nan")

    /// Indented, with sorted snake_case keys and a final newline: for people and for `diff`.
    package static func pretty(_ value: some Encodable) -> [UInt8] {
        encode(value, [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes], .convertToSnakeCase)
    }

    /// One line with sorted snake_case keys, ending in a newline.
    package static func line(_ value: some Encodable) -> [UInt8] {
        encode(value, [.sortedKeys, .withoutEscapingSlashes], .convertToSnakeCase)
    }

    /// One value with the keys as the code has them, for files that only programs read.
    package static func compact(_ value: some Encodable) -> [UInt8] {
        encode(value, [.withoutEscapingSlashes], .useDefaultKeys)
    }

    private static func encode(
        _ value: some Encodable, _ format: JSONEncoder.OutputFormatting, _ keys: JSONEncoder.KeyEncodingStrategy
    ) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = keys
        encoder.outputFormatting = format
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: infinity, negativeInfinity: minusInfinity, nan: nan)
        guard let data = try? encoder.encode(value) else { preconditionFailure("\(value) has no JSON form") }
        return Array(data) + [UInt8(ascii: "\n")]
    }

    /// - Throws: DecodingError; `explain` says it for people.
    package static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: some Sequence<UInt8>, snakeCase: Bool = false
    ) throws -> Value {
        let decoder = JSONDecoder()
        if snakeCase { decoder.keyDecodingStrategy = .convertFromSnakeCase }
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: infinity, negativeInfinity: minusInfinity, nan: nan)
        return try decoder.decode(type, from: Data(bytes))
    }

    /// What is wrong with a text that did not decode, and where in it.
    package static func explain(_ error: any Error) -> String {
        func place(_ path: [any CodingKey]) -> String {
            path.isEmpty ? "" : " at \(path.map(\.stringValue).joined(separator: "."))"
        }
        switch error {
        case DecodingError.keyNotFound(let key, let context):
            return "the key \"\(key.stringValue)\" is missing\(place(context.codingPath))"
        case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context),
            DecodingError.dataCorrupted(let context):
            // Foundation's is a sentence.
            let text = context.debugDescription
            return (text.hasSuffix(".") ? String(text.dropLast()) : text) + place(context.codingPath)
        default: return "\(error)"
        }
    }
}
