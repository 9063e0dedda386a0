// The samples of one tar shard: members that share a key, in the manner of WebDataset.

import PSFiles

/// Lists a shard's samples. A sample is a run of members with one key: the name up to the first dot of its last part.
/// The member with a picture's ending is the picture; `cls` holds the label as text, or `json` under "cls" or "label".
struct ShardScan: Sendable {
    private static let longestLabel = 64
    private static let largestJSON = 1 << 20

    private(set) var block = SampleBlock()
    /// Members that are no part of a sample: without a picture beside them, or hidden.
    private(set) var leftOut = 0
    private let path: String

    /// A sample whose members are being gone through.
    private struct Sample {
        let key: ArraySlice<UInt8>
        var picture: TarMember?
        var label: Int?
        var hasClass = false
        var memberCount = 0
    }

    init(_ source: any RandomBytes) throws(DatasetError) {
        path = source.path
        var reader = try TarReader(source)
        var sample: Sample?
        while let member = try reader.next() {
            if member.kind == .directory { continue }
            guard let (key, ending) = ShardScan.split(member.name) else {
                leftOut += 1
                continue
            }
            if sample?.key != key {
                if let sample { try finish(sample) }
                sample = Sample(key: key)
            }
            if var grown = sample {
                try add(member, ending, to: &grown, source)
                sample = grown
            }
        }
        if let sample { try finish(sample) }
    }

    /// Key and ending of a member's name; nil where there is no dot or nothing before it.
    static func split(_ name: [UInt8]) -> (key: ArraySlice<UInt8>, ending: ArraySlice<UInt8>)? {
        let base = name.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
        guard let dot = name[base...].firstIndex(of: UInt8(ascii: ".")), dot > base else { return nil }
        return (name[..<dot], name[(dot + 1)...])
    }

    private func add(
        _ member: TarMember, _ ending: ArraySlice<UInt8>, to sample: inout Sample, _ source: any RandomBytes
    ) throws(DatasetError) {
        sample.memberCount += 1
        let ending = ending.map(PictureName.lower)
        func shown() -> String { String(decoding: member.name, as: UTF8.self) }
        let isPicture = PictureName.endings.contains { $0.utf8.elementsEqual(ending) }
        let isClass = ending.elementsEqual("cls".utf8)
        let isJSON = ending.elementsEqual("json".utf8)
        guard isPicture || isClass || isJSON else { return }
        guard member.kind == .file else {
            throw damaged(
                "\(shown()) is a link or sparse; pack it with its content (tar --hard-dereference --dereference)")
        }
        if isPicture {
            if let other = sample.picture {
                throw damaged(
                    "\(String(decoding: other.name, as: UTF8.self)) and \(shown()) are pictures of one sample, "
                        + "as their names are the same up to the first dot; rename them")
            }
            sample.picture = member
        } else if isClass {
            guard member.byteCount <= ShardScan.longestLabel,
                let label = ShardScan.number(try source.bytes(at: member.position, count: member.byteCount))
            else { throw damaged("\(shown()) does not hold the number of a class, counted from 0") }
            sample.label = label
            sample.hasClass = true
        } else if !sample.hasClass {
            guard member.byteCount <= ShardScan.largestJSON else {
                throw damaged("\(shown()) has \(member.byteCount) bytes, too many for a sample's properties")
            }
            let properties = try source.bytes(at: member.position, count: member.byteCount)
            sample.label = ShardScan.label(properties) ?? sample.label
        }
    }

    private mutating func finish(_ sample: Sample) throws(DatasetError) {
        guard let picture = sample.picture else {
            leftOut += sample.memberCount
            return
        }
        guard let label = sample.label else {
            throw damaged(
                "\(String(decoding: picture.name, as: UTF8.self)) has no label beside it: neither "
                    + "\(String(decoding: sample.key, as: UTF8.self)).cls nor a .json with \"cls\" or \"label\"")
        }
        let name = MemberName.decoded(picture.name)
        guard String(validating: name, as: UTF8.self) != nil else {
            throw damaged("\(String(decoding: name, as: UTF8.self)): a member's name is not UTF-8; rename it")
        }
        block.append(name: name, byteCount: picture.byteCount, label: label, offset: picture.position)
    }

    /// Digits with spaces or line ends around them.
    static func number(_ text: [UInt8]) -> Int? {
        func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }
        let digits = text.drop(while: isSpace).prefix { !isSpace($0) }
        guard text[digits.endIndex...].allSatisfy(isSpace), digits.count <= 9,
            digits.allSatisfy({ (48...57).contains($0) })
        else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }

    private struct Properties: Decodable {
        var cls: Int?
        var label: Int?
    }

    /// The label in a sample's properties; nil where they have none, or none that is a number from 0 on.
    static func label(_ json: [UInt8]) -> Int? {
        let properties = try? JSON.decode(Properties.self, from: json)
        return (properties?.cls ?? properties?.label).flatMap { (0...Int(UInt32.max)).contains($0) ? $0 : nil }
    }

    private func damaged(_ problem: String) -> DatasetError { .damaged(path: path, problem: problem) }
}

/// Names of members that this program writes: what is behind the first dot of a name's last part tells WebDataset what
/// the member is, so other dots in it are written as "%2E", and "%" as "%25".
enum MemberName {
    /// A picture's name up to its ending, and the ending with its dot.
    static func encoded(_ name: some Collection<UInt8>) -> (key: [UInt8], ending: [UInt8]) {
        let bytes = Array(name)
        let base = bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
        let dot = bytes.lastIndex(of: UInt8(ascii: ".")).flatMap { $0 >= base ? $0 : nil } ?? bytes.count
        var key = Array(bytes[..<base])
        for byte in bytes[base..<dot] {
            switch byte {
            case UInt8(ascii: "."): key += "%2E".utf8
            case UInt8(ascii: "%"): key += "%25".utf8
            default: key.append(byte)
            }
        }
        return (key, Array(bytes[dot...]))
    }

    /// The name before `encoded`; anything else that looks encoded stays as it is.
    static func decoded(_ name: [UInt8]) -> [UInt8] {
        let base = name.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
        let dot = name[base...].firstIndex(of: UInt8(ascii: ".")) ?? name.count
        guard name[base..<dot].contains(UInt8(ascii: "%")) else { return name }
        var decoded = Array(name[..<base])
        var rest = name[base..<dot]
        while let byte = rest.first {
            if rest.starts(with: "%2E".utf8) || rest.starts(with: "%25".utf8) {
                decoded.append(rest[rest.startIndex + 2] == UInt8(ascii: "E") ? UInt8(ascii: ".") : UInt8(ascii: "%"))
                rest = rest.dropFirst(3)
            } else {
                decoded.append(byte)
                rest = rest.dropFirst()
            }
        }
        return decoded + name[dot...]
    }
}
