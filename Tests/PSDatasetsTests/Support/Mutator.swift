// Inputs for readers that must not trust their input: sound ones, changed at random but always the same way.

import PSParameters

/// A stream of changed copies of the seeds. The same seed and number give the same input on every machine.
struct Mutator {
    private let seeds: [[UInt8]]
    private var draws: CounterRandom
    private var next: UInt64 = 0
    private let random: CounterRandom

    init(_ seeds: [[UInt8]], name: String) {
        precondition(!seeds.isEmpty)
        self.seeds = seeds
        random = CounterRandom(seed: 20, name: name)
        draws = random
    }

    /// Uniform in 0..<bound.
    mutating func draw(below bound: Int) -> Int {
        next += 1
        return draws.integer(next, below: bound)
    }

    private mutating func seed() -> [UInt8] {
        // The first seeds are the small ones: twice as often as the next, and so on.
        var index = 0
        while index < seeds.count - 1 && draw(below: 2) == 1 { index += 1 }
        return seeds[index]
    }

    /// The input of a number.
    mutating func input(_ number: Int) -> [UInt8] {
        draws = random.stream(UInt64(number))
        next = 0
        var bytes = seed()
        for _ in 0..<(1 + draw(below: 4)) { change(&bytes) }
        return bytes
    }

    private static let interesting: [UInt64] = [
        0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, .max >> 1, .max,
        1 << 63,
        511, 512, 513, 4095, 4096, 4097,
    ]

    private mutating func change(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else {
            bytes = seed()
            return
        }
        let place = draw(below: bytes.count)
        switch draw(below: 10) {
        case 0, 1: bytes[place] ^= 1 << UInt8(draw(below: 8))
        case 2: bytes[place] = UInt8(draw(below: 256))
        case 3:
            let value = Mutator.interesting[draw(below: Mutator.interesting.count)]
            let size = 1 << draw(below: 4)
            let isLittle = draw(below: 2) == 0
            for index in 0..<min(size, bytes.count - place) {
                bytes[place + index] = UInt8(
                    truncatingIfNeeded: value >> UInt64(8 * (isLittle ? index : size - 1 - index)))
            }
        case 4: bytes.removeSubrange(place..<min(bytes.count, place + 1 + draw(below: 64)))
        case 5:
            let end = min(bytes.count, place + 1 + draw(below: 64))
            bytes.insert(contentsOf: bytes[place..<end], at: draw(below: bytes.count))
        case 6: bytes.removeLast(draw(below: bytes.count) / (1 + draw(below: 8)))
        case 7:
            let other = seed()
            let start = draw(below: max(other.count, 1))
            let piece = other[start..<min(other.count, start + 1 + draw(below: 600))]
            bytes.replaceSubrange(place..<min(bytes.count, place + piece.count), with: piece)
        case 8:
            for index in place..<min(bytes.count, place + 1 + draw(below: 12)) {
                bytes[index] = 48 + UInt8(draw(below: 10))
            }
        default:
            // A whole block of a tar file moved to another place.
            let from = place / 512 * 512
            let block = bytes[from..<min(bytes.count, from + 512)]
            let to = draw(below: bytes.count) / 512 * 512
            bytes.insert(contentsOf: Array(block), at: to)
        }
    }
}
