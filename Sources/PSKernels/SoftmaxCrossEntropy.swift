// Softmax cross-entropy against smoothed labels.

import Glibc

package enum SoftmaxCrossEntropy {
    /// The mean over the batch of -sum_k q_k log softmax(logits)_k with q = (1 - smoothing) onehot + smoothing / classes
    /// (natural logarithm), and the gradient of `weight` times that mean.
    ///
    /// - Parameters:
    ///   - logits: one pixel an image, one channel a class.
    ///   - gradient: same shape, overwritten; nil to leave it out.
    /// - Returns: the unweighted loss and how many images' largest logit is their label's.
    package static func compute(
        logits: FeatureMap, labels: UnsafePointer<Int32>, smoothing: Double, weight: Double, gradient: FeatureMap?
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
            // -sum q log p = log sum - (1 - smoothing) (z_label - peak) - smoothing * mean(z - peak)
            total += logSum - (1 - smoothing) * (Double(row[label]) - peak) - floor * logitSum
            guard let target = gradient?.pixel(image) else { continue }
            for k in 0..<classes {
                let wanted = floor + (k == label ? 1 - smoothing : 0)
                target[k] = Float((exp(Double(row[k]) - peak) / sum - wanted) * scale)
            }
        }
        return (total / Double(batch), correct)
    }
}
