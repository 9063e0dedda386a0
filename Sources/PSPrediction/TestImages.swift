// The test images of a data set under a network: what it says of a range of them, one crop of each or several.

import PSConfiguration
import PSData
import PSDatasets
import PSModel
import PSSamples

/// Test images and the weights they are looked at with. Used by one thread at a time.
package final class TestImages {
    package let data: any SampleSource
    /// Images of a part of an evaluation.
    package let batch: Int
    /// The data set's, for messages.
    package var path: String { configuration.data.set.path }
    /// The model's.
    package var classes: Int { description.classes }
    /// Crops of each image.
    package var crops: CropCount { configuration.eval.crops }
    private let configuration: JobConfiguration
    private let description: ModelDescription
    private let threads: Int
    private let loader: BatchLoader
    private var predictor: Predictor?

    /// - Parameter data: the test split of the configuration's data set, or some of it.
    /// - Precondition: the labels the images are measured by are classes of the model.
    package init(
        _ data: any SampleSource, configuration: JobConfiguration, description: ModelDescription, threads: Int
    ) throws {
        self.data = data
        self.configuration = configuration
        self.description = description
        self.threads = threads
        batch = min(configuration.eval.imagesOfAPart, data.count)
        loader = BatchLoader(
            BatchMaker(
                source: data, settings: configuration.data, imageSize: configuration.model.imageSize,
                seed: configuration.seed, batch: batch, crops: configuration.eval.crops),
            capacity: batch, threads: configuration.data.threads > 0 ? configuration.data.threads : threads)
    }

    deinit { loader.close() }

    package var partCount: Int { (data.count + batch - 1) / batch }

    package func samples(ofPart part: Int) -> Range<Int> { part * batch..<min((part + 1) * batch, data.count) }

    /// Images computed at once: of one crop as many as fill the engine; of several those of one image by themselves, cut
    /// into equal pieces, so that an image's figures cannot depend on its neighbours, nor on `eval.batch`.
    package static func computedAtOnce(_ settings: EvaluationSettings, images: Int = .max) -> Int {
        switch settings.crops {
        case .one: min(settings.batch, images, Predictor.mostImages)
        case .ten, .twelve: settings.crops.rawValue
        case .hundredFortyFour: 24
        }
    }

    /// Takes weights: the flat vector of the description's layout.
    package func load(_ values: [Float]) throws {
        // The memory of the one before goes first.
        predictor = nil
        predictor = try Predictor(
            description: description, values: values,
            batch: TestImages.computedAtOnce(configuration.eval, images: data.count), threads: threads,
            planning: configuration.engine.planning)
    }

    /// Computes a part with the weights that were loaded.
    ///
    /// - Parameters:
    ///   - next: a part that will be wanted after it.
    ///   - take: called with each image that could be read, in order: its number, its label, what the network says.
    /// - Returns: the numbers of those that could not be read.
    package func compute(
        part: Int, next: Int? = nil, take: (_ sample: Int, _ label: Int, _ scores: ClassScores) -> Void
    ) throws -> [Int] {
        guard let predictor else { preconditionFailure("weights come first") }
        let samples = samples(ofPart: part)
        let images = try loader.take(.evaluation(samples))
        defer { loader.giveBack(images) }
        if let next, next < partCount { loader.prepare(.evaluation(self.samples(ofPart: next))) }
        let crops = self.crops.rawValue
        let logits = predictor.logits(images: images.images, count: samples.count * crops)
        let width = crops * predictor.classes
        for (row, label) in images.labels.enumerated() where label >= 0 {
            take(
                samples.lowerBound + row, Int(label),
                ClassScores(crops: crops, logits: logits[row * width..<(row + 1) * width]))
        }
        return images.replaced
    }
}
