// The mean of what several crops, or several networks, say of an image.

import Foundation

package enum SoftmaxMean {
    /// The logarithm of the mean of the softmax of several rows of logits: logits that say the same as the mean.
    ///
    /// - Parameter logits: rows of `classes`, added in order.
    package static func logarithms(of logits: ArraySlice<Float>, classes: Int) -> ArraySlice<Float> {
        precondition(classes > 0 && !logits.isEmpty && logits.count.isMultiple(of: classes))
        var sums = [Double](repeating: 0, count: classes)
        for first in stride(from: logits.startIndex, to: logits.endIndex, by: classes) {
            let row = logits[first..<first + classes]
            let largest = Double(row.max() ?? 0)
            let powers = row.map { exp(Double($0) - largest) }
            let total = powers.reduce(0, +)
            for (index, power) in powers.enumerated() { sums[index] += power / total }
        }
        let rows = Double(logits.count / classes)
        return sums.map { Float(log($0 / rows)) }[...]
    }
}
