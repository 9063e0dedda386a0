// TensorFlow's `Example` message, as far as ImageNet's files use it. Sources: tensorflow/core/example/example.proto and
// feature.proto for the fields, protobuf.dev's "Encoding" for the bytes.
//
//     Example { Features features = 1 }   Features { map<string, Feature> feature = 1 }
//     Feature { BytesList = 1 | FloatList = 2 | Int64List = 3 }   BytesList { bytes value = 1 } ...
//
// Read by a parser of its own and not by protobuf-c: a generated one wants the whole message in memory and copies the
// picture, where an index must be made of 140 GB without reading the pictures at all.

/// What an example says, each thing where it was there.
struct Example: Sendable, Hashable {
    /// Where the picture's bytes are, `image/encoded`.
    var picture: Range<Int>?
    /// `image/class/label`.
    var label: Int64?
    /// `image/class/text`.
    var text: String?
    /// `image/filename`.
    var filename: String?
}

/// Reads one example, by position, within bounds that only narrow: nesting is four levels deep and every step moves on.
struct ExampleParser {
    /// Of keys, names and texts; longer ones are passed over.
    static let longestText = 1024

    var window: ByteWindow
    let path: String

    private enum Value {
        case bytes(Range<Int>)
        case integer(Int64)
    }

    mutating func parse(_ message: Range<Int>) throws(DatasetError) -> Example {
        var example = Example()
        var place = message.lowerBound
        while let features = try field(1, from: &place, in: message) {
            var place = features.lowerBound
            while let entry = try field(1, from: &place, in: features) { try read(entry, into: &example) }
        }
        return example
    }

    private mutating func read(_ entry: Range<Int>, into example: inout Example) throws(DatasetError) {
        var key: String?
        var value: Value?
        var place = entry.lowerBound
        while place < entry.upperBound {
            switch try next(from: &place, in: entry) {
            case (1, .bytes(let range)): key = try text(range)
            case (2, .bytes(let range)): value = try feature(range)
            default: break
            }
        }
        switch (key, value) {
        case ("image/encoded", .bytes(let range)?): example.picture = range
        case ("image/class/label", .integer(let label)?): example.label = label
        case ("image/class/text", .bytes(let range)?): example.text = try text(range)
        case ("image/filename", .bytes(let range)?): example.filename = try text(range)
        default: break
        }
    }

    /// The first value of a list of bytes or of integers.
    private mutating func feature(_ message: Range<Int>) throws(DatasetError) -> Value? {
        var value: Value?
        var place = message.lowerBound
        while place < message.upperBound {
            switch try next(from: &place, in: message) {
            case (1, .bytes(let list)):
                var place = list.lowerBound
                value = try field(1, from: &place, in: list).map { .bytes($0) }
            case (3, .bytes(let list)): value = try firstInteger(list).map { .integer($0) }
            default: break
            }
        }
        return value
    }

    /// Packed or one by one.
    private mutating func firstInteger(_ list: Range<Int>) throws(DatasetError) -> Int64? {
        var place = list.lowerBound
        while place < list.upperBound {
            switch try next(from: &place, in: list) {
            case (1, .integer(let value)): return value
            case (1, .bytes(let packed)) where !packed.isEmpty:
                var place = packed.lowerBound
                return Int64(bitPattern: try varint(from: &place, in: packed))
            default: break
            }
        }
        return nil
    }

    /// The next field of this number that has bytes; others are passed over.
    private mutating func field(
        _ number: UInt64, from place: inout Int, in message: Range<Int>
    ) throws(DatasetError) -> Range<Int>? {
        while place < message.upperBound {
            if case (number, .bytes(let range)) = try next(from: &place, in: message) { return range }
        }
        return nil
    }

    /// The number and value of the field at `place`, which is moved behind it.
    private mutating func next(
        from place: inout Int, in message: Range<Int>
    ) throws(DatasetError) -> (number: UInt64, value: Value?) {
        let start = place
        let tag = try varint(from: &place, in: message)
        switch tag & 7 {
        case 0: return (tag >> 3, .integer(Int64(bitPattern: try varint(from: &place, in: message))))
        case 1: try pass(8, from: &place, in: message)
        case 5: try pass(4, from: &place, in: message)
        case 2:
            let length = try varint(from: &place, in: message)
            guard length <= UInt64(message.upperBound - place) else { throw damaged(start, "a field ends behind it") }
            let range = place..<place + Int(length)
            place = range.upperBound
            return (tag >> 3, .bytes(range))
        default: throw damaged(start, "a field is of the unknown type \(tag & 7)")
        }
        return (tag >> 3, nil)
    }

    private func pass(_ count: Int, from place: inout Int, in message: Range<Int>) throws(DatasetError) {
        guard count <= message.upperBound - place else { throw damaged(place, "a field ends behind it") }
        place += count
    }

    /// Seven bits a byte, the lowest first; ten bytes at most.
    private mutating func varint(from place: inout Int, in message: Range<Int>) throws(DatasetError) -> UInt64 {
        let start = place
        guard let bytes = try window.slice(at: place, count: min(10, message.upperBound - place)) else {
            throw damaged(start, "a number ends behind it")
        }
        var value: UInt64 = 0
        for (index, byte) in bytes.enumerated() {
            value |= UInt64(byte & 0x7F) << UInt64(7 * index)
            if byte & 0x80 == 0 {
                place += index + 1
                return value
            }
        }
        throw damaged(start, "a number ends behind it or has more than 64 bits")
    }

    private mutating func text(_ range: Range<Int>) throws(DatasetError) -> String? {
        guard range.count <= ExampleParser.longestText,
            let bytes = try window.slice(at: range.lowerBound, count: range.count)
        else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private func damaged(_ position: Int, _ problem: String) -> DatasetError {
        .damaged(
            path: path,
            problem: "no Example message is around byte \(position): \(problem); ImageNet's files hold an Example in "
                + "every record")
    }
}
