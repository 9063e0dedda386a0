// Counter-based random numbers: every draw is a pure function of a stream and a counter, so it does not matter who
// draws it, when, or how often.

/// FNV-1a, 64 bits, over the UTF-8 bytes of `text`.
package func fnv1a(_ text: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return hash
}

/// One stream of random numbers, named by a key; element `i` of the stream is SplitMix64's output for state
/// `key + (i + 1) * 0x9E3779B97F4A7C15` (Steele, Lea and Flood 2014).
package struct CounterRandom: Sendable, Hashable {
    package let key: UInt64

    package init(key: UInt64) { self.key = key }

    /// The stream called `name` of a job's seed.
    package init(seed: UInt64, name: String) { key = fnv1a("\(seed):\(name)") }

    /// A stream of its own below this one, for example one per ticket, then one per layer.
    package func stream(_ index: UInt64) -> CounterRandom {
        CounterRandom(key: CounterRandom.mix(key ^ CounterRandom.mix(index &+ 0x632B_E59B_D9B4_E019)))
    }

    /// 64 random bits.
    package func bits(_ counter: UInt64) -> UInt64 {
        CounterRandom.mix(key &+ (counter &+ 1) &* 0x9E37_79B9_7F4A_7C15)
    }

    /// Uniform in [0, 1), a multiple of 2^-24.
    package func uniform(_ counter: UInt64) -> Float { Float(bits(counter) >> 40) * 0x1p-24 }

    /// Uniform in 0..<bound. The bias is below bound / 2^64.
    package func integer(_ counter: UInt64, below bound: Int) -> Int {
        Int(bits(counter).multipliedFullWidth(by: UInt64(bound)).high)
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
