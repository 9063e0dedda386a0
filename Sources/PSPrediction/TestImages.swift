// The test images of a data set under a network: logits of a range of them.

import PSConfiguration
import PSData
import PSDatasets
import PSModel

/// Test images and the weights they are looked at with. Used by one thread at a time.
package final class TestImages {
    package let data: any SampleSource
    /// Samples of a part of an evaluation.
    package let batch: Int
    /// The data set's, for messages.
    package var path: String { configuration.data.set.path }
    /// The model's.
    package var classes: Int { description.classes }
    private let configuration: JobConfiguration
    private let description: ModelDescription
    private let threads: Int
    private let loader: BatchLoader
    /// Crops of each image.
    package let crops: Int
    /// Samples computed at once: so many that their crops fill a batch.
    private let chunk: Int
    private var predictor: Predictor?

    /// - Parameter data: the test split of the configuration's data set.
    /// - Precondition: the labels the images are measured by are classes of the model.
    package init(
        _ data: any SampleSource, configuration: JobConfiguration, description: ModelDescription, threads: Int
    ) throws {
        self.data = data
        self.configuration = configuration
        self.description = description
        self.threads = threads
        batch = min(configuration.eval.batch, data.count)
        crops = configuration.eval.crops.rawValue
        chunk = max(1, batch / crops)
        loader = BatchLoader(
            BatchMaker(
                source: data, settings: configuration.data, imageSize: configuration.model.imageSize,
                seed: configuration.seed, batch: batch, crops: configuration.eval.crops),
            capacity: chunk, threads: configuration.data.threads > 0 ? configuration.data.threads : threads)
    }

    deinit { loader.close() }

    package var partCount: Int { (data.count + batch - 1) / batch }

    package func samples(ofPart part: Int) -> Range<Int> { part * batch..<min((part + 1) * batch, data.count) }

    /// Takes weights: the flat vector of the description's layout.
    package func load(_ values: [Float]) throws {
        // The memory of the one before goes first.
        predictor = nil
        predictor = try Predictor(
            description: description, values: values, batch: min(chunk * crops, Predictor.mostImages), threads: threads,
            planning: configuration.engine.planning)
    }

    /// Computes a part with the weights that were loaded.
    ///
    /// - Parameters:
    ///   - next: a part that will be wanted after it.
    ///   - take: called with each image that could be read, in order: its number, its label, its logits; of several crops
    ///     the logarithm of the mean of their softmax.
    /// - Returns: the numbers of those that could not be read.
    package func compute(
        part: Int, next: Int? = nil, take: (_ sample: Int, _ label: Int, _ logits: ArraySlice<Float>) -> Void
    ) throws -> [Int] {
        guard let predictor else { preconditionFailure("weights come first") }
        var unreadable: [Int] = []
        let chunks = chunks(ofPart: part)
        for (index, samples) in chunks.enumerated() {
            let images = try loader.take(.evaluation(samples))
            defer { loader.giveBack(images) }
            if index + 1 < chunks.count {
                loader.prepare(.evaluation(chunks[index + 1]))
            } else if let next, next < partCount {
                loader.prepare(.evaluation(self.chunks(ofPart: next)[0]))
            }
            let classes = predictor.classes
            let logits = predictor.logits(images: images.images, count: samples.count * crops)
            for (row, label) in images.labels.enumerated() where label >= 0 {
                let own = logits[row * crops * classes..<(row + 1) * crops * classes]
                take(
                    samples.lowerBound + row, Int(label),
                    crops == 1 ? own : SoftmaxMean.logarithms(of: own, classes: classes))
            }
            unreadable += images.replaced
        }
        return unreadable
    }

    private func chunks(ofPart part: Int) -> [Range<Int>] {
        let samples = samples(ofPart: part)
        return stride(from: samples.lowerBound, to: samples.upperBound, by: chunk).map {
            $0..<min($0 + chunk, samples.upperBound)
        }
    }
}
