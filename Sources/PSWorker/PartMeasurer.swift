// Parts of an evaluation: the running average of a checkpoint on some test images. Lives on the compute thread.

import PSCheckpoint
import PSMessages
import PSParameters
import PSPrediction
import PSRun

final class PartMeasurer {
    private let run: RunDirectory
    private let layout: ParameterLayout
    private let images: TestImages
    /// The version whose weights are loaded.
    private var version: Version?

    init(run: RunDirectory, layout: ParameterLayout, images: TestImages) {
        self.run = run
        self.layout = layout
        self.images = images
    }

    func measure(_ attempt: EvaluationAttempt) throws -> Measurement {
        guard attempt.part < images.partCount else { throw EvaluationError.notOfTheJob }
        let start = ContinuousClock.now
        if version != attempt.version {
            version = nil
            // One that is not there is not seen yet, or others have measured it and it is gone: either passes.
            let checkpoint = try CheckpointReader(run.checkpoints.path(step: Int(clamping: attempt.version.number)))
            try checkpoint.check(layout: layout)
            try images.load(checkpoint.values(WeightChoice.average.storedValue, layout: layout))
            version = attempt.version
        }
        var tally = Tally(classes: images.classes)
        let unreadable = try images.compute(part: attempt.part) { _, label, scores in
            tally.add(label: label, scores: scores)
        }
        var measurement = Measurement(
            attempt: attempt, images: tally.imageCount, top1: tally.count(withRankBelow: 1),
            top5: tally.count(withRankBelow: 5), loss: tally.loss, excluded: unreadable.count)
        measurement.seconds = (ContinuousClock.now - start) / .seconds(1)
        return measurement
    }
}
