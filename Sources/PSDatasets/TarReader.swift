// The members of a tar file: ustar, GNU's long names, pax headers. Source of the format: POSIX.1-2017, pax; GNU tar's
// manual, "Basic Tar Format".

/// One member: its name and where its bytes are.
struct TarMember {
    enum Kind {
        case file
        case directory
        /// A link, a device, a sparse file: its content is not here as it is.
        case other
    }

    let name: [UInt8]
    let kind: Kind
    let position: Int
    let byteCount: Int
}

/// Goes through a tar file from front to back; what lies between the headers is not read.
struct TarReader {
    static let block = 512
    /// Headers that only describe the next one: names and pax records are read into memory.
    private static let largestDescription = 1 << 20
    /// Of those before one member: a file of nothing but such headers is no tar file.
    private static let mostDescriptions = 16

    private var window: ByteWindow
    private var position = 0
    private let path: String
    private let end: Int

    init(_ source: any RandomBytes) throws(DatasetError) {
        window = ByteWindow(source)
        path = source.path
        end = source.byteCount
        if try GzipReader.isGzip(source) {
            throw .damaged(
                path: path,
                problem:
                    "is compressed with gzip; unpack it (gunzip), as samples are read from the middle of a tar file")
        }
    }

    /// What headers before a member say about it.
    private struct Description {
        var name: [UInt8]?
        var byteCount: Int?
        var isSparse = false
    }

    /// The next member; nil at the end of the archive.
    mutating func next() throws(DatasetError) -> TarMember? {
        var description = Description()
        for _ in 0..<TarReader.mostDescriptions {
            let start = position
            guard let header = try header() else { return nil }
            let kind = header[156]
            let size = try number(header[124..<136], "size", at: start)
            let dataSize =
                kind == UInt8(ascii: "x") || kind == UInt8(ascii: "g") || kind == UInt8(ascii: "L")
                    || kind == UInt8(ascii: "K") ? size : description.byteCount ?? size
            let data = start + TarReader.block
            position = try behind(data, dataSize, start)
            switch kind {
            case UInt8(ascii: "x"): try readPax(at: data, size, start, into: &description)
            case UInt8(ascii: "g"), UInt8(ascii: "K"): break
            case UInt8(ascii: "L"):
                let text = try text(at: data, size, start)
                description.name = Array(text.prefix { $0 != 0 })
            default:
                return try member(header, kind, description, at: data, dataSize, start)
            }
        }
        throw damaged(position, "has more than \(TarReader.mostDescriptions) headers for one member")
    }

    private func member(
        _ header: [UInt8], _ kind: UInt8, _ description: Description, at data: Int, _ size: Int, _ start: Int
    ) throws(DatasetError) -> TarMember {
        var name = description.name ?? TarReader.text(header[0..<100])
        // ustar's prefix; GNU's old format has other things there.
        if description.name == nil, header[257..<263].elementsEqual([117, 115, 116, 97, 114, 0]) {
            let prefix = TarReader.text(header[345..<500])
            if !prefix.isEmpty { name = prefix + [UInt8(ascii: "/")] + name }
        }
        while name.starts(with: [UInt8(ascii: "."), UInt8(ascii: "/")]) { name.removeFirst(2) }
        if name.count > IndexFormat.longestName {
            throw damaged(start, "has a name of \(name.count) bytes, longer than any path")
        }
        let plain: TarMember.Kind =
            switch kind {
            // 0: as the first tar programs wrote it; 7: a contiguous file, which nobody tells apart.
            case UInt8(ascii: "0"), UInt8(ascii: "7"), 0: name.last == UInt8(ascii: "/") ? .directory : .file
            case UInt8(ascii: "5"): .directory
            default: .other
            }
        return TarMember(
            name: name, kind: plain == .file && description.isSparse ? .other : plain, position: data, byteCount: size)
    }

    /// The next header that is not empty, its checksum checked; nil where the archive ends.
    private mutating func header() throws(DatasetError) -> [UInt8]? {
        guard let slice = try window.slice(at: position, count: TarReader.block) else {
            if position == end && position > 0 {
                throw damaged(
                    position, "ends without the empty blocks that close a tar file; it is cut off, fetch it again")
            }
            throw damaged(position, "is cut off within a header: it has \(end) bytes; fetch it again")
        }
        if slice.allSatisfy({ $0 == 0 }) { return nil }
        let header = Array(slice)
        var sum = 0
        var signedSum = 0
        for (index, byte) in header.enumerated() {
            // The checksum's own place counts as spaces.
            let counted = (148..<156).contains(index) ? 32 : byte
            sum += Int(counted)
            signedSum += Int(Int8(bitPattern: counted))
        }
        let stored = try number(header[148..<156], "checksum", at: position)
        // Some old programs summed signed bytes.
        guard stored == sum || stored == signedSum else {
            throw damaged(position, "no tar header is there: its checksum is \(stored), not \(sum)")
        }
        return header
    }

    /// Where the header behind a member's bytes is.
    private func behind(_ data: Int, _ size: Int, _ start: Int) throws(DatasetError) -> Int {
        guard size <= end - data else {
            throw damaged(
                start, "has \(size) bytes by its header, but the file ends before; it is cut off, fetch it again")
        }
        // No overflow: both are below the file's size and a block.
        return data + (size + TarReader.block - 1) / TarReader.block * TarReader.block
    }

    /// A number in octal digits, or in binary where the first bit is set.
    private func number(_ field: some Collection<UInt8>, _ what: String, at start: Int) throws(DatasetError) -> Int {
        if let first = field.first, first & 0x80 != 0 {
            var value = Int(first & 0x3F)
            // 0xFF begins a negative number.
            guard first & 0x40 == 0 else { throw damaged(start, "its \(what) is negative") }
            for byte in field.dropFirst() {
                let (shifted, overflow) = value.multipliedReportingOverflow(by: 256)
                guard !overflow else { throw damaged(start, "its \(what) is impossibly large") }
                value = shifted | Int(byte)
            }
            return value
        }
        let digits = field.drop { $0 == 32 }.prefix { $0 != 32 && $0 != 0 }
        var value = 0
        for digit in digits {
            // 12 octal digits at most: no overflow.
            guard (48...55).contains(digit) else {
                throw damaged(start, "no tar header is there: its \(what) is no number")
            }
            value = value << 3 | Int(digit - 48)
        }
        return value
    }

    private mutating func text(at data: Int, _ size: Int, _ start: Int) throws(DatasetError) -> ArraySlice<UInt8> {
        guard size <= TarReader.largestDescription, let text = try window.slice(at: data, count: size) else {
            throw damaged(start, "has a description of \(size) bytes")
        }
        return text
    }

    /// Records "length key=value\n".
    private mutating func readPax(
        at data: Int, _ size: Int, _ start: Int, into description: inout Description
    ) throws(DatasetError) {
        var rest = try text(at: data, size, start)
        while let first = rest.first, first != 0 {
            let digits = rest.prefix { (48...57).contains($0) }
            guard digits.count <= 7, let length = TarReader.decimal(digits), length <= rest.count,
                length > digits.count + 1, rest[rest.startIndex + digits.count] == 32,
                rest[rest.startIndex + length - 1] == 10
            else { throw damaged(start, "its extended header (pax) is damaged") }
            let record = rest[(rest.startIndex + digits.count + 1)..<(rest.startIndex + length - 1)]
            rest = rest.dropFirst(length)
            guard let equals = record.firstIndex(of: UInt8(ascii: "=")) else {
                throw damaged(start, "its extended header (pax) is damaged")
            }
            let value = record[(equals + 1)...]
            let key = record[..<equals]
            if key.elementsEqual("path".utf8) {
                description.name = Array(value)
            } else if key.elementsEqual("size".utf8) {
                guard let size = TarReader.decimal(value) else {
                    throw damaged(start, "its extended header (pax) gives an impossible size")
                }
                description.byteCount = size
            } else if key.starts(with: "GNU.sparse".utf8) {
                description.isSparse = true
            }
        }
    }

    private static func decimal(_ digits: ArraySlice<UInt8>) -> Int? {
        var value = 0
        for digit in digits {
            guard (48...57).contains(digit), value < Int.max / 16 else { return nil }
            value = value * 10 + Int(digit - 48)
        }
        return digits.isEmpty ? nil : value
    }

    private static func text(_ field: ArraySlice<UInt8>) -> [UInt8] { Array(field.prefix { $0 != 0 }) }

    private func damaged(_ position: Int, _ problem: String) -> DatasetError {
        .damaged(path: path, problem: "member at byte \(position): \(problem)")
    }
}
