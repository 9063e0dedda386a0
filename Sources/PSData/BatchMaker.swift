// From the number of a ticket to the numbers the network reads: a pure function of (data set, settings, seed, ticket).

import PSConfiguration
import PSDatasets
import PSImages
import PSKernels
import PSParameters
import PSSamples
import PSTransforms

/// What batches are made of; the making is done by `ImageMaker`s, one for each thread.
package struct BatchMaker: Sendable {
    package let source: any SampleSource
    package let stream: SampleStream
    /// Rows and columns of an image given to the network.
    package let imageSize: Int
    let planner: AugmentationPlanner
    /// Images made of a sample of an evaluation.
    package let crops: CropCount
    let decoding: DecodeSettings
    /// Whether a JPEG may come smaller out of the decoder.
    let isScaled: Bool
    let onBadImage: DataSettings.OnBadImage
    /// Whether samples are files of their own, of which one may be missing.
    private let areSeparateFiles: Bool
    /// The data set's, for messages.
    let path: String
    /// Which samples are tried in place of one that cannot be read.
    private let replacements: CounterRandom

    /// - Parameters:
    ///   - batch: images of a training ticket.
    ///   - crops: images made of each sample of an evaluation; of a training ticket it is one.
    ///   - areSeparateFiles: a file that is missing or cannot be opened is like a picture that cannot be decoded. Of a data
    ///     set it means that the set is not what it was.
    package init(
        source: any SampleSource, settings: DataSettings, imageSize: Int, seed: UInt64, batch: Int,
        crops: CropCount = .one, areSeparateFiles: Bool = false
    ) {
        self.crops = crops
        self.areSeparateFiles = areSeparateFiles
        self.source = source
        self.imageSize = imageSize
        stream = SampleStream(seed: seed, sampleCount: source.count, batch: batch)
        planner = AugmentationPlanner(settings: settings.augmentation, imageSize: imageSize, seed: seed)
        decoding = DecodeSettings(settings.decoding)
        isScaled = settings.decoding.scale == .scaled
        onBadImage = settings.onBadImage
        path = settings.set.path
        replacements = CounterRandom(seed: seed, name: "replacements")
    }

    /// Floats of one image.
    package var imageElements: Int { imageSize * imageSize * Picture.channels }

    /// Floats that a sample needs: all its crops.
    var sampleElements: Int { imageElements * crops.rawValue }

    package func makeImageMaker() -> ImageMaker { ImageMaker(self) }

    /// How training images are resampled, from which it follows how their values are scaled.
    package var trainingResampling: SamplePlan.Resampling {
        planner.training(ticket: 0, index: 0, rows: imageSize, columns: imageSize).resampling
    }

    /// Writes a sample as a ticket that has only this one would change it, or as evaluation sees it.
    /// - Returns: how it was resampled.
    package func show(
        _ sample: Int, as ticket: Ticket?, by images: ImageMaker, to output: UnsafeMutablePointer<Float>
    ) throws(DataError) -> SamplePlan.Resampling {
        var resampling = SamplePlan.Resampling.halfPixel
        try images.write(sample, to: output) { rows, columns in
            let plan =
                ticket.map { planner.training(ticket: $0, index: 0, rows: rows, columns: columns) }
                ?? planner.evaluation(rows: rows, columns: columns)
            resampling = plan.resampling
            return plan
        }
        return resampling
    }

    /// Whether the error says nothing of other samples.
    func isOfOneSample(_ error: DataError) -> Bool {
        if case .picture = error { return true }
        return areSeparateFiles
    }

    func count(of request: BatchRequest) -> Int {
        switch request {
        case .training: stream.batch
        case .evaluation(let samples): samples.count
        }
    }

    /// The sample that is tried next in the place of one that cannot be read.
    func replacement(ticket: Ticket, place: Int, attempt: Int) -> Int {
        replacements.stream(ticket.number).stream(UInt64(place)).integer(UInt64(attempt), below: source.count)
    }

    /// What concerns a training ticket as a whole: mixing its images.
    func finish(_ batch: Batch) {
        batch.replaced.sort()
        guard case .training(let ticket) = batch.request, let mixing = planner.mixing(ticket: ticket) else { return }
        let count = batch.labels.count
        PictureTransform().mix(mixing, images: batch.images, batch: count, rows: imageSize, columns: imageSize)
        batch.second = SecondLabels(
            labels: (0..<count).map { batch.labels[BatchMixing.partner(of: $0, batch: count)] }, share: 1 - mixing.share
        )
    }
}

extension DecodeSettings {
    package init(_ settings: DecodingSettings) {
        self.init()
        exifOrientation = settings.exifOrientation
        maxPixels = settings.maxPixels
        background =
            switch settings.background {
            case .white: .white
            case .black: .colour(red: 0, green: 0, blue: 0)
            case .drop: .ignoringAlpha
            }
    }
}
