// Bilinear resampling along one side: the two samples each new one is mixed from.

/// For each new sample the two old ones it is mixed from, and the second's share.
package struct BilinearTable {
    package private(set) var first: [Int32] = []
    package private(set) var second: [Int32] = []
    package private(set) var weight: [Float] = []

    package init() {}

    package var count: Int { first.count }

    private mutating func clear() {
        first.removeAll(keepingCapacity: true)
        second.removeAll(keepingCapacity: true)
        weight.removeAll(keepingCapacity: true)
    }

    private mutating func append(_ position: Float, length: Int) {
        let low = min(Int(position), length - 1)
        first.append(Int32(low))
        second.append(Int32(min(low + 1, length - 1)))
        weight.append(position - position.rounded(.down))
    }

    /// TensorFlow 1's `resize_bilinear` without aligned corners: new sample i lies at i * (length / count), in single
    /// precision.
    package mutating func tensorFlow(length: Int, count: Int) {
        clear()
        let scale = Float(length) / Float(count)
        for sample in 0..<count { append(Float(sample) * scale, length: length) }
    }

    /// Sample centres at halves; beyond the outer centres the border's value.
    package mutating func halfPixel(length: Int, count: Int) {
        clear()
        let scale = Float(length) / Float(count)
        for sample in 0..<count {
            append(min(max((Float(sample) + 0.5) * scale - 0.5, 0), Float(length - 1)), length: length)
        }
    }

    /// Every sample as it is.
    package mutating func identity(length: Int) {
        clear()
        for sample in 0..<length { append(Float(sample), length: length) }
    }

    /// The same samples from the last to the first.
    package mutating func reverse() {
        first.reverse()
        second.reverse()
        weight.reverse()
    }

    /// Keeps a part of the samples.
    package mutating func keep(_ part: Range<Int>) {
        guard part.count < count else { return }
        first = Array(first[part])
        second = Array(second[part])
        weight = Array(weight[part])
    }
}
