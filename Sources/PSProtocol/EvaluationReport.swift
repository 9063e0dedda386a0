// What a job measures on the test images, and when.

import PSMessages
import PSParameters

/// When the running average is measured on the test images, and what follows from it.
package struct EvaluationSchedule: Sendable {
    /// Test images, readable or not.
    package var images: Int
    /// Images of one part, which one worker computes.
    package var batch: Int
    /// Steps between two evaluations; 0: not by steps.
    package var everySteps: UInt64 = 0
    /// Epochs between two evaluations, of so many steps; 0: not by epochs.
    package var everyEpochs = 0.0
    package var stepsPerEpoch: Double
    /// Measures the last version.
    package var atEnd = true
    /// Evaluations in a row without a new best one before the job ends; 0: it does not.
    package var patience = 0
    /// Keeps the checkpoint of the best evaluation.
    package var keepsBest = true

    package init(images: Int, batch: Int, stepsPerEpoch: Double) {
        self.images = images
        self.batch = batch
        self.stepsPerEpoch = stepsPerEpoch
    }

    var partCount: Int { (images + batch - 1) / batch }

    /// Whether the version is measured while training goes on.
    package func isDue(_ version: Version) -> Bool {
        let number = version.number
        guard number > 0 else { return false }
        if everySteps > 0 { return number.isMultiple(of: everySteps) }
        guard everyEpochs > 0 else { return false }
        // The first version at or behind each multiple.
        // Three times a tenth is a little more than three tenths.
        func passed(_ number: UInt64) -> Double {
            (Double(number) / (everyEpochs * stepsPerEpoch) + 1e-9).rounded(.down)
        }
        return passed(number) > passed(number - 1)
    }
}

/// One evaluation: the running average of one version on all test images. The same bits whoever computed its parts.
package struct EvaluationReport: Sendable, Hashable, Codable {
    /// The version that was measured: "step" for people and in JSON.
    package var version: Version
    package var epoch: Double
    /// Shares of the images whose label was the most probable class, among the first five; nil: none could be read.
    package var top1: Double?
    package var top5: Double?
    /// Mean cross-entropy; nil where it is not finite.
    package var loss: Double?
    /// Those that count.
    package var images: Int
    /// Those that could not be read and do not count.
    package var excluded: Int
    /// The workers' time.
    package var seconds: Double

    enum CodingKeys: String, CodingKey {
        case epoch, top1, top5, loss, images, excluded, seconds
        case version = "step"
    }

    /// - Parameter parts: in order.
    init(_ version: Version, _ parts: [Measurement], stepsPerEpoch: Double) {
        self.version = version
        epoch = Double(version.number) / stepsPerEpoch
        images = parts.reduce(0) { $0 + $1.images }
        excluded = parts.reduce(0) { $0 + $1.excluded }
        seconds = parts.reduce(0) { $0 + $1.seconds }
        guard images > 0 else { return }
        top1 = Double(parts.reduce(0) { $0 + $1.top1 }) / Double(images)
        top5 = Double(parts.reduce(0) { $0 + $1.top5 }) / Double(images)
        let mean = parts.reduce(0) { $0 + $1.loss } / Double(images)
        loss = mean.isFinite ? mean : nil
    }

    /// Whether it is the one to keep: more of the first guesses are right, and of two alike the earlier one.
    func isBetter(than other: EvaluationReport) -> Bool { (top1 ?? -1) > (other.top1 ?? -1) }
}

extension [EvaluationReport] {
    /// Of reports in the order of their versions.
    package var best: EvaluationReport? {
        reduce(nil) { best, next in best.map { next.isBetter(than: $0) ? next : $0 } ?? next }
    }
}
