// The speed at which pictures become batches: reading, decoding, augmenting, without a network.

import PSConfiguration
import PSData
import PSDatasets
import PSParameters
import PSReport

/// The result of `psctl bench data`.
package struct DataBenchmark: Encodable {
    package let path: String
    package let form: String
    package let augment: String
    package let evaluate: String
    package let imageSize: Int
    package let threads: Int
    /// Images of a round.
    package let images: Int
    /// Over the median round.
    package let imagesPerSecond: Double
    package let millisecondsPerImage: Double
    /// Every measured round; one of warm-up before them is left out.
    package let roundSeconds: [Double]
    /// Images that could not be read, in whose place others were (data.onBadImage=skip).
    package let replaced: Int
    package let peakRssBytes: Int

    /// - Parameters:
    ///   - images: of a round; whole tickets are made.
    ///   - evaluates: images as evaluation sees them, of the test split, instead of training's.
    package init(
        configuration: JobConfiguration, images: Int, rounds: Int, threads: Int, evaluates: Bool
    ) throws {
        precondition(images > 0 && rounds > 0 && threads > 0)
        let dataset = try Dataset.open(configuration.data.set, evaluates ? .test : .train)
        let batch = min(configuration.train.batch, evaluates ? dataset.count : images)
        let loader = BatchLoader(
            BatchMaker(
                source: dataset, settings: configuration.data, imageSize: configuration.model.imageSize,
                seed: configuration.seed, batch: batch), capacity: batch, threads: threads)
        defer { loader.close() }
        let batches = (images + batch - 1) / batch
        func request(_ number: Int) -> BatchRequest {
            if !evaluates { return .training(Ticket(UInt64(number))) }
            let first = number * batch % (dataset.count - batch + 1)
            return .evaluation(first..<first + batch)
        }
        var seconds: [Double] = []
        var replaced = 0
        for round in 0...rounds {
            let start = ContinuousClock.now
            for index in 0..<batches {
                // Every round has the same images, so that rounds can be compared.
                let made = try loader.take(request(index))
                loader.prepare(request((index + 1) % batches))
                if round > 0 { replaced += made.replaced.count }
                loader.giveBack(made)
            }
            if round > 0 { seconds.append((ContinuousClock.now - start).inSeconds) }
        }
        path = configuration.data.set.path
        form = dataset.form.rawValue
        augment = evaluates ? "none" : configuration.data.augmentation.augment.rawValue
        evaluate = configuration.data.augmentation.evaluate.rawValue
        imageSize = configuration.model.imageSize
        self.threads = threads
        self.images = batches * batch
        roundSeconds = seconds
        let middle = median(seconds)
        imagesPerSecond = Double(self.images) / middle
        millisecondsPerImage = 1000 * middle / Double(self.images)
        self.replaced = replaced
        peakRssBytes = Machine.peakResidentBytes()
    }

    /// The lines for people.
    package var text: String {
        """
        \(path) (\(form)) to \(imageSize) x \(imageSize), augment \(augment), evaluate \(evaluate)
        \(Report.decimal(imagesPerSecond, places: 1)) images/s on \(Report.count(threads, "thread")), \
        \(Report.decimal(millisecondsPerImage, places: 2)) ms an image (median of \(roundSeconds.count) rounds of \
        \(Report.grouped(images)))

        """
    }
}
