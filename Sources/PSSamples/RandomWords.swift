// Where the samplers take their random numbers from, one 32-bit word after the other.

import PSParameters

/// A source of independent uniform 32-bit words.
package protocol RandomWords {
    mutating func next() -> UInt32
}

/// The words of one stream: the upper halves of its elements, in order.
package struct CounterWords: RandomWords, Sendable {
    private let stream: CounterRandom
    private var counter: UInt64 = 0

    package init(_ stream: CounterRandom) { self.stream = stream }

    package mutating func next() -> UInt32 {
        defer { counter += 1 }
        return UInt32(truncatingIfNeeded: stream.bits(counter) >> 32)
    }
}

extension RandomWords {
    /// Uniform in [0, 1), a multiple of 2^-32.
    package mutating func unit() -> Double { Double(next()) * 0x1p-32 }

    /// Uniform in (0, 1): for logarithms.
    package mutating func openUnit() -> Double { (Double(next()) + 0.5) * 0x1p-32 }

    package mutating func uniform(_ range: ClosedRange<Double>) -> Double {
        range.lowerBound + unit() * (range.upperBound - range.lowerBound)
    }

    /// Uniform in 0..<bound, without bias (TensorFlow's rule: small words are refused until a whole number of bounds is
    /// left; a power of two takes the low bits).
    package mutating func below(_ bound: Int) -> Int {
        precondition(bound > 0 && bound <= UInt32.max)
        let bound = UInt32(bound)
        if bound & (bound - 1) == 0 { return Int(next() & (bound - 1)) }
        let least = UInt32.max % bound + 1
        while true {
            let word = next()
            if word >= least { return Int(word % bound) }
        }
    }

    package mutating func coin() -> Bool { below(2) == 1 }
}
