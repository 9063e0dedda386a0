// The test images of a data set under a network: logits of a range of them.

import PSConfiguration
import PSData
import PSDatasets
import PSModel

/// Test images and the weights they are looked at with. Used by one thread at a time.
package final class TestImages {
    package let data: Dataset
    /// Images of a part of an evaluation.
    package let batch: Int
    /// The data set's, for messages.
    package var path: String { configuration.data.set.path }
    /// The model's.
    package var classes: Int { description.classes }
    private let configuration: JobConfiguration
    private let description: ModelDescription
    private let threads: Int
    private let loader: BatchLoader
    private var predictor: Predictor?

    /// - Parameter data: the test split of the configuration's data set.
    /// - Precondition: the labels the images are measured by are classes of the model.
    package init(
        _ data: Dataset, configuration: JobConfiguration, description: ModelDescription, threads: Int
    ) throws {
        self.data = data
        self.configuration = configuration
        self.description = description
        self.threads = threads
        batch = min(configuration.eval.batch, data.count)
        loader = BatchLoader(
            BatchMaker(
                source: data, settings: configuration.data, imageSize: configuration.model.imageSize,
                seed: configuration.seed, batch: batch),
            capacity: batch, threads: configuration.data.threads > 0 ? configuration.data.threads : threads)
    }

    deinit { loader.close() }

    package var partCount: Int { (data.count + batch - 1) / batch }

    package func samples(ofPart part: Int) -> Range<Int> { part * batch..<min((part + 1) * batch, data.count) }

    /// Takes weights: the flat vector of the description's layout.
    package func load(_ values: [Float]) throws {
        // The memory of the one before goes first.
        predictor = nil
        predictor = try Predictor(
            description: description, values: values, batch: min(batch, Predictor.mostImages), threads: threads,
            planning: configuration.engine.planning)
    }

    /// Computes a part with the weights that were loaded.
    ///
    /// - Parameters:
    ///   - next: a part that will be wanted after it.
    ///   - take: called with each image that could be read, in order: its number, its label, its logits.
    /// - Returns: the numbers of those that could not be read.
    package func compute(
        part: Int, next: Int? = nil, take: (_ sample: Int, _ label: Int, _ logits: ArraySlice<Float>) -> Void
    ) throws -> [Int] {
        guard let predictor else { preconditionFailure("weights come first") }
        let samples = samples(ofPart: part)
        let images = try loader.take(.evaluation(samples))
        defer { loader.giveBack(images) }
        if let next, next < partCount { loader.prepare(.evaluation(self.samples(ofPart: next))) }
        let logits = predictor.logits(images: images.images, count: samples.count)
        for (row, label) in images.labels.enumerated() where label >= 0 {
            take(
                samples.lowerBound + row, Int(label),
                logits[row * predictor.classes..<(row + 1) * predictor.classes])
        }
        return images.replaced
    }
}
