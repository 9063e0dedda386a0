// Pillow's bilinear filter along one side: which samples each new one sums, with which integer weights.

/// The rule of Pillow's `ImagingResample` for bytes (Pillow 13; the weights are those of every version since 3.3): a
/// triangle as wide as the samples shrink, but never narrower than one sample to each side; weights in double precision,
/// their sum 1, then rounded to units of 2^-22.
package struct TriangleTable {
    /// The first old sample of a new one.
    package private(set) var first: [Int32] = []
    /// How many old samples each new one sums: the same for all, zero weights make up for it.
    package private(set) var taps = 0
    /// `taps` of them for each new sample.
    package private(set) var weight: [Int32] = []
    private var exact: [Double] = []

    package init() {}

    /// The old samples that the new samples `window` of `count` need, of `length` old ones.
    package static func support(length: Int, count: Int, window: Range<Int>) -> Range<Int> {
        let triangle = Triangle(length: length, count: count)
        return triangle.support(window.lowerBound).lowerBound..<triangle.support(window.upperBound - 1).upperBound
    }

    /// The weights of the new samples `window`; old samples are counted from `origin`, and there are `available` of them.
    package mutating func fill(length: Int, count: Int, window: Range<Int>, origin: Int, available: Int) {
        first.removeAll(keepingCapacity: true)
        weight.removeAll(keepingCapacity: true)
        let triangle = Triangle(length: length, count: count)
        taps = window.reduce(1) { max($0, triangle.support($1).count) }
        for sample in window {
            let support = triangle.support(sample)
            exact.removeAll(keepingCapacity: true)
            var total = 0.0
            for old in support {
                let value = triangle.value(old, of: sample)
                exact.append(value)
                total += value
            }
            // At the far border the zero weights go in front: nothing beyond it is read.
            let begin = support.lowerBound - origin
            let early = max(0, begin + taps - available)
            first.append(Int32(begin - early))
            for _ in 0..<early { weight.append(0) }
            for value in exact { weight.append(Int32(0.5 + (total == 0 ? value : value / total) * 0x1p22)) }
            for _ in exact.count + early..<taps { weight.append(0) }
        }
    }

    /// The new samples from the last to the first.
    package mutating func reverse() {
        first.reverse()
        // Reversed as a whole, then each sample's weights back.
        weight.reverse()
        for sample in first.indices { weight[sample * taps..<(sample + 1) * taps].reverse() }
    }

    private struct Triangle {
        let length: Int
        let scale: Double
        let width: Double

        init(length: Int, count: Int) {
            self.length = length
            scale = Double(length) / Double(count)
            width = max(scale, 1)
        }

        private func centre(_ sample: Int) -> Double { (Double(sample) + 0.5) * scale }

        func support(_ sample: Int) -> Range<Int> {
            let centre = centre(sample)
            let first = max(Int(centre - width + 0.5), 0)
            return first..<max(first, min(Int(centre + width + 0.5), length))
        }

        func value(_ old: Int, of sample: Int) -> Double {
            max(0, 1 - abs((Double(old) - centre(sample) + 0.5) * (1 / width)))
        }
    }
}
