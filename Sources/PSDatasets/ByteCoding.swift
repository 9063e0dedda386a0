// Little-endian numbers and texts in byte arrays, as the index has them.

struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func put(_ text: String) {
        put(UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    mutating func put(raw: some Collection<UInt8>) { bytes.append(contentsOf: raw) }

    mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }
}

/// Reads what `ByteWriter` wrote; nil as soon as something is not there.
struct ByteReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    /// Bytes not read yet: no list can have more elements.
    var remaining: Int { rest.count }

    mutating func take<Value: FixedWidthInteger>(_ type: Value.Type) -> Value? {
        let size = MemoryLayout<Value>.size
        guard rest.count >= size else { return nil }
        let value = rest.withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(as: Value.self)) }
        rest = rest.dropFirst(size)
        return value
    }

    /// A number that is a size or a count.
    mutating func takeCount() -> Int? { take(UInt64.self).flatMap { Int(exactly: $0) } }

    mutating func takeText() -> String? {
        guard let length = take(UInt32.self), Int(length) <= rest.count else { return nil }
        let text = String(validating: rest.prefix(Int(length)), as: UTF8.self)
        rest = rest.dropFirst(Int(length))
        return text
    }

    mutating func take(raw count: Int) -> ArraySlice<UInt8>? {
        guard count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
