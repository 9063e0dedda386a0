// Memory, seeded numbers and comparisons for the kernel tests.

import PSKernels
import PSParameters
import Testing

/// Seeded numbers in the order they are asked for.
struct Generator {
    private let random: CounterRandom
    private var drawn: UInt64 = 0

    init(_ name: String) { random = CounterRandom(seed: 20_151_202, name: name) }

    /// Uniform in [-1, 1).
    mutating func value() -> Float {
        drawn += 1
        return 2 * random.uniform(drawn) - 1
    }

    mutating func integer(_ range: ClosedRange<Int>) -> Int {
        drawn += 1
        return range.lowerBound + random.integer(drawn, below: range.count)
    }

    mutating func values(_ count: Int) -> [Float] { (0..<count).map { _ in value() } }
}

/// A feature map with memory of its own, whose pixels may lie further apart than their channels.
final class OwnedMap {
    let map: FeatureMap
    /// What lies between the pixels; must never change.
    static let sentinel: Float = 12345

    init(batch: Int, height: Int, width: Int, channels: Int, gap: Int = 0) {
        let stride = channels + gap
        let count = batch * height * width * stride
        let base = UnsafeMutablePointer<Float>.allocate(capacity: count)
        base.initialize(repeating: OwnedMap.sentinel, count: count)
        map = FeatureMap(
            base: base, batch: batch, height: height, width: width, channels: channels, pixelStride: stride)
    }

    deinit { map.base.deallocate() }

    func fill(_ generator: inout Generator) {
        for pixel in 0..<map.pixels {
            for channel in 0..<map.channels { map.pixel(pixel)[channel] = generator.value() }
        }
    }

    func fill(_ value: Float) {
        for pixel in 0..<map.pixels { map.pixel(pixel).update(repeating: value, count: map.channels) }
    }

    /// The values, densely, NHWC.
    var values: [Float] {
        get { (0..<map.pixels).flatMap { UnsafeBufferPointer(start: map.pixel($0), count: map.channels) } }
        set {
            for pixel in 0..<map.pixels {
                for channel in 0..<map.channels { map.pixel(pixel)[channel] = newValue[pixel * map.channels + channel] }
            }
        }
    }

    /// Whether what lies between the pixels is untouched.
    var gapsAreIntact: Bool {
        (0..<map.pixels).allSatisfy { pixel in
            (map.channels..<map.pixelStride).allSatisfy { map.pixel(pixel)[$0] == OwnedMap.sentinel }
        }
    }
}

/// Memory for a kernel to work in, in pieces: NaN at first, and behind each a guard that must never change.
final class GuardedMemory {
    let base: UnsafeMutablePointer<Float>
    /// Floats from one piece to the next.
    let stride: Int
    private let pieces: Int
    private let floats: Int

    init(floats: Int, pieces: Int = 1) {
        (self.floats, self.pieces) = (floats, pieces)
        stride = floats + 100_000
        base = .allocate(capacity: pieces * stride)
        base.initialize(repeating: OwnedMap.sentinel, count: pieces * stride)
        for piece in 0..<pieces { (base + piece * stride).update(repeating: .nan, count: floats) }
    }

    deinit { base.deallocate() }

    var guardsAreIntact: Bool {
        (0..<pieces).allSatisfy { piece in
            (floats..<stride).allSatisfy { base[piece * stride + $0] == OwnedMap.sentinel }
        }
    }
}

/// Threads for a test, and scratch with a guard for each of them.
final class TestContext {
    let context: KernelContext
    let scratch: GuardedMemory

    init(threads: Int, scratchFloats: Int) {
        scratch = GuardedMemory(floats: scratchFloats, pieces: threads)
        context = try! KernelContext(threads: threads, scratch: scratch.base, scratchFloats: scratch.stride)
    }
}

/// Whether every value is within `bound` times its scale of what a plain loop found in double precision.
func agree(_ found: [Float], _ expected: [(value: Double, scale: Double)], bound: Double) -> Bool {
    found.count == expected.count
        && zip(found, expected).allSatisfy { abs(Double($0) - $1.value) <= bound * $1.scale + 1e-30 }
}

func sameBits(_ first: [Float], _ second: [Float]) -> Bool {
    first.count == second.count && zip(first, second).allSatisfy { $0.bitPattern == $1.bitPattern }
}
