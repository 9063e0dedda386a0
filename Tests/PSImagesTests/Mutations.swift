// Wrong files by the thousand: what happens to sound ones on bad disks, and what somebody might do to them by hand.

import PSImages
import PSParameters

/// Sound files of one format and how they are made wrong; input k is a pure function of k.
struct Mutations: Sendable {
    let format: ImageFormat
    let seeds: [[UInt8]]

    static let all: [Mutations] = [
        Mutations(format: .jpeg, seeds: committed { !$0.hasPrefix("png") && !$0.hasPrefix("webp") } + drawnJPEGs),
        Mutations(format: .png, seeds: committed { $0.hasPrefix("png") }),
        Mutations(format: .webp, seeds: committed { $0.hasPrefix("webp") }),
        Mutations(format: .portableAnymap, seeds: drawnAnymaps),
    ]

    private static func committed(_ isWanted: (String) -> Bool) -> [[UInt8]] {
        ReferencePicture.all.filter { isWanted($0.name) }.map(\.bytes)
    }

    /// Kinds that no committed picture is of.
    private static var drawnJPEGs: [[UInt8]] {
        [(false, true, 0), (true, true, 0), (true, false, 2), (false, true, 3)].map {
            var options = JPEGOptions()
            (options.isProgressive, options.isArithmetic, options.restartInterval) = $0
            return try! withOrientation(drawnPicture(rows: 21, columns: 37).jpeg(options), 6)
        }
    }

    private static var drawnAnymaps: [[UInt8]] {
        [("P2", 9, 1), ("P3", 255, 3), ("P5", 255, 1), ("P6", 255, 3), ("P5", 4000, 2), ("P6", 65535, 6)].map {
            let (kind, most, size) = $0
            let head = Array("\(kind)\n# a comment\n7 5\n\(most)\n".utf8)
            if kind < "P4" { return head + (0..<35 * size).flatMap { Array("\($0 % 10) ".utf8) } }
            return head + (0..<35 * size).map { UInt8($0 * 7 % 16) }
        }
    }

    /// Input `number`: a sound file with one to four things done to it.
    func input(_ number: UInt64) -> [UInt8] {
        let random = CounterRandom(seed: 7, name: "\(format)").stream(number)
        var draws = Draws(random: random)
        var bytes = seeds[draws.below(seeds.count)]
        if format == .png && draws.below(2) == 0 {
            changeChunk(&bytes, &draws)
            return bytes
        }
        for _ in 0...draws.below(4) where !bytes.isEmpty { change(&bytes, &draws) }
        // Three of four PNGs get sound checksums, so that what is behind these is reached.
        return format == .png && draws.below(4) > 0 ? resealed(bytes) : bytes
    }

    private func change(_ bytes: inout [UInt8], _ draws: inout Draws) {
        // Half of the changes are among the first bytes, where the headers are.
        let isEarly = draws.below(2) == 0
        let place = draws.below(isEarly ? min(bytes.count, 160) : bytes.count)
        let span = place..<min(bytes.count, place + 1 + draws.below(draws.below(4) == 0 ? 400 : 12))
        switch draws.below(10) {
        case 0: bytes[place] ^= 1 << UInt8(draws.below(8))
        case 1: bytes[place] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][draws.below(6)]
        case 2: bytes[place] = UInt8(draws.below(256))
        case 3: bytes.removeLast(bytes.count - place)
        case 4: bytes.removeSubrange(span)
        case 5: bytes.insert(contentsOf: bytes[span], at: place)
        case 6: bytes.insert(contentsOf: bytes[span], at: draws.below(bytes.count))
        case 7: write(draws.extremeNumber(), &bytes, at: place, &draws)
        case 8:
            let other = seeds[draws.below(seeds.count)]
            bytes = Array(bytes[..<place] + other[draws.below(other.count)...])
        default: repeatSegment(&bytes, &draws)
        }
    }

    /// Changes the content of one chunk of a sound PNG; its length and checksum are made to fit.
    private func changeChunk(_ bytes: inout [UInt8], _ draws: inout Draws) {
        let starts = segments(of: bytes).filter { $0 >= 8 }
        let start = starts[draws.below(starts.count)]
        let length = bytes[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
        guard length > 0, length <= bytes.count - start - 12 else { return }
        var content = Array(bytes[start + 8..<start + 8 + length])
        change(&content, &draws)
        let type = String(decoding: bytes[start + 4..<start + 8], as: UTF8.self)
        bytes.replaceSubrange(start..<start + 12 + length, with: chunk(type, content))
    }

    /// Writes a number of two or four bytes over those that are there.
    private func write(_ number: Int, _ bytes: inout [UInt8], at place: Int, _ draws: inout Draws) {
        var digits = bigEndian(number)
        if draws.below(2) == 0 { digits.removeFirst(2) }
        if draws.below(2) == 0 { digits.reverse() }
        for (offset, digit) in digits.enumerated() where place + offset < bytes.count { bytes[place + offset] = digit }
    }

    /// Repeats a JPEG's segment or a chunk, in place or elsewhere.
    private func repeatSegment(_ bytes: inout [UInt8], _ draws: inout Draws) {
        let starts = segments(of: bytes)
        guard starts.count > 1 else { return }
        let index = draws.below(starts.count - 1)
        let segment = Array(bytes[starts[index]..<starts[index + 1]])
        let target = starts[draws.below(starts.count)]
        for _ in 0...draws.below(draws.below(8) == 0 ? 300 : 2) { bytes.insert(contentsOf: segment, at: target) }
    }

    private func segments(of bytes: [UInt8]) -> [Int] {
        guard bytes.count > 1 else { return [] }
        switch format {
        case .jpeg:
            return (0..<bytes.count - 1).filter { bytes[$0] == 0xFF && ![0, 0xFF].contains(bytes[$0 + 1]) }
        case .png, .webp:
            // Types of chunks are four letters, after the length in one and before it in the other.
            let before = format == .png ? 4 : 0
            return (before..<max(before, bytes.count - 3)).filter { at in
                bytes[at..<at + 4].allSatisfy { (65...90).contains($0 & 0xDF) || $0 == 32 }
            }.map { $0 - before }
        case .portableAnymap:
            return bytes.indices.filter { bytes[$0] == 10 || bytes[$0] == 32 }
        }
    }
}

/// Draws one after the other.
private struct Draws {
    let random: CounterRandom
    private var count: UInt64 = 0

    init(random: CounterRandom) { self.random = random }

    mutating func below(_ bound: Int) -> Int {
        count += 1
        return random.integer(count, below: bound)
    }

    mutating func extremeNumber() -> Int {
        [
            0, 1, 2, 3, 8, 255, 256, 4096, 16383, 16384, 32767, 65535, 65536, 0xFF_FFFF, 0x7FFF_FFFF, 0x8000_0000,
            0xFFFF_FFF8, 0xFFFF_FFFF,
        ][below(18)]
    }
}
