// Writing tar files: ustar headers, pax records for names that do not fit. The same members give the same bytes.

package enum TarWriter {
    /// Closes an archive: two empty blocks.
    package static let end = [UInt8](repeating: 0, count: 2 * TarReader.block)

    /// The two members of a labelled picture: the picture, and its label as text.
    ///
    /// - Parameter name: such as "n01440764/n01440764_10026.JPEG"; dots before the last are encoded, see `MemberName`.
    package static func sample(name: String, picture: [UInt8], label: Int) -> [UInt8] {
        let (key, ending) = MemberName.encoded(name.utf8)
        return member(name: key + ending, picture) + member(name: key + Array(".cls".utf8), Array("\(label)".utf8))
    }

    /// Bytes that `sample` gives.
    static func sampleSize(name: [UInt8], byteCount: Int, label: Int) -> Int {
        let (key, ending) = MemberName.encoded(name)
        return size(name: key + ending, byteCount: byteCount)
            + size(name: key + Array(".cls".utf8), byteCount: "\(label)".utf8.count)
    }

    /// Header and bytes of a member.
    ///
    /// - Parameter name: with slashes; at most `IndexFormat.longestName` bytes.
    static func member(name: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
        var output = header(name: name, byteCount: bytes.count)
        output += bytes
        output += padding(bytes.count)
        return output
    }

    /// Bytes that `member` gives.
    static func size(name: [UInt8], byteCount: Int) -> Int {
        header(name: name, byteCount: byteCount).count + byteCount + padding(byteCount).count
    }

    private static func padding(_ byteCount: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: (TarReader.block - byteCount % TarReader.block) % TarReader.block)
    }

    private static func header(name: [UInt8], byteCount: Int) -> [UInt8] {
        if name.count <= 100 { return block(name, byteCount, kind: UInt8(ascii: "0")) }
        let record = paxRecord(key: "path", name)
        return block(Array("pax".utf8), record.count, kind: UInt8(ascii: "x")) + record + padding(record.count)
            + block(Array(name.prefix(100)), byteCount, kind: UInt8(ascii: "0"))
    }

    /// "length key=value\n", where the length counts its own digits.
    private static func paxRecord(key: String, _ value: [UInt8]) -> [UInt8] {
        let rest = Array(" \(key)=".utf8) + value + [10]
        var length = rest.count
        while length != rest.count + String(length).utf8.count { length = rest.count + String(length).utf8.count }
        return Array(String(length).utf8) + rest
    }

    private static func block(_ name: [UInt8], _ byteCount: Int, kind: UInt8) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: TarReader.block)
        func put(_ bytes: some Collection<UInt8>, at start: Int) {
            header.replaceSubrange(start..<start + bytes.count, with: bytes)
        }
        func octal(_ value: Int, _ digits: Int) -> [UInt8] {
            let text = String(value, radix: 8)
            return Array(String(repeating: "0", count: digits - text.utf8.count).utf8) + Array(text.utf8)
        }
        put(name, at: 0)
        put(octal(0o644, 7), at: 100)
        // Owner, group and time are 0, so that a file packed again is the same.
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(byteCount, 11), at: 124)
        put(octal(0, 11), at: 136)
        put([UInt8](repeating: 32, count: 8), at: 148)
        header[156] = kind
        put(Array("ustar".utf8) + [0, 48, 48], at: 257)
        put(octal(header.reduce(0) { $0 + Int($1) }, 6) + [0, 32], at: 148)
        return header
    }
}
