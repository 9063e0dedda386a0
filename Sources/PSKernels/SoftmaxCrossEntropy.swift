// Softmax cross-entropy against smoothed labels, one or two an image.

import Glibc

/// Second labels of a batch whose images are mixed of two each.
package struct SecondLabels: Sendable, Hashable {
    /// One class an image.
    package var labels: [Int32]
    /// How much of each image is of the second label, 0...1.
    package var share: Double

    package init(labels: [Int32], share: Double) {
        self.labels = labels
        self.share = share
    }
}

package enum SoftmaxCrossEntropy {
    /// The mean over the batch of -sum_k q_k log softmax(logits)_k with q = (1 - smoothing) target + smoothing / classes
    /// (natural logarithm), and the gradient of `weight` times that mean. The target is the label's 1, or with second
    /// labels 1 - share at the label and share at the second.
    ///
    /// - Parameters:
    ///   - logits: one pixel an image, one channel a class.
    ///   - gradient: same shape, overwritten; nil to leave it out.
    /// - Returns: the unweighted loss and how many images' largest logit is their label's.
    package static func compute(
        logits: FeatureMap, labels: UnsafePointer<Int32>, second: SecondLabels? = nil, smoothing: Double,
        weight: Double, gradient: FeatureMap?
    ) -> (loss: Double, correct: Int) {
        let batch = logits.pixels
        let classes = logits.channels
        var total = 0.0
        var correct = 0
        let scale = weight / Double(batch)
        let floor = smoothing / Double(classes)
        for image in 0..<batch {
            let row = logits.pixel(image)
            let label = Int(labels[image])
            precondition(label >= 0 && label < classes)
            let other = second.map { Int($0.labels[image]) } ?? label
            precondition(other >= 0 && other < classes)
            let share = second?.share ?? 0
            var largest = 0
            for k in 1..<max(classes, 1) where row[k] > row[largest] { largest = k }
            if largest == label { correct += 1 }
            let peak = Double(row[largest])
            var sum = 0.0
            var logitSum = 0.0
            for k in 0..<classes {
                sum += exp(Double(row[k]) - peak)
                logitSum += Double(row[k]) - peak
            }
            let logSum = log(sum)
            // -sum q log p = log sum - (1 - smoothing) (z_target - peak) - smoothing * mean(z - peak)
            var wantedLogit = Double(row[label]) - peak
            if share > 0 { wantedLogit = (1 - share) * wantedLogit + share * (Double(row[other]) - peak) }
            total += logSum - (1 - smoothing) * wantedLogit - floor * logitSum
            guard let target = gradient?.pixel(image) else { continue }
            for k in 0..<classes {
                var wanted = floor + (k == label ? (1 - smoothing) * (1 - share) : 0)
                if k == other { wanted += (1 - smoothing) * share }
                target[k] = Float((exp(Double(row[k]) - peak) / sum - wanted) * scale)
            }
        }
        return (total / Double(batch), correct)
    }
}
