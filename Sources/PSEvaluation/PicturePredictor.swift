// What a network says of picture files, a batch at a time.

import Foundation
import PSConfiguration
import PSData
import PSDatasets
import PSModel
import PSPrediction
import PSSamples

/// A network's most probable classes of one picture.
package struct PicturePrediction: Encodable, Sendable, Hashable {
    package struct Guess: Encodable, Sendable, Hashable {
        package let label: Int
        package let name: String
        /// The softmax of all classes' logits.
        package let probability: Double

        enum CodingKeys: String, CodingKey {
            case label = "class"
            case name, probability
        }
    }

    package let file: String
    /// The most probable first; of equal ones the lower class.
    package let top: [Guess]
}

/// A network with its weights, the names of its classes, and how pictures become its input.
package struct PicturePredictor {
    private let description: ModelDescription
    private let values: [Float]
    private let engine: EngineSettings
    private let classNames: [String]
    private let imageSize: Int
    private var data: DataSettings

    /// - Parameters:
    ///   - values: the flat vector of the description's layout.
    ///   - classNames: by label; nil: they are called by their numbers.
    ///   - data: how pictures are decoded and fitted; its data set is not looked at.
    package init(
        description: ModelDescription, values: [Float], engine: EngineSettings, classNames: [String]?, imageSize: Int,
        data: DataSettings
    ) {
        self.description = description
        self.values = values
        self.engine = engine
        self.classNames = (0..<description.classes).map { label in
            classNames.flatMap { label < $0.count ? $0[label] : nil } ?? "\(label)"
        }
        self.imageSize = imageSize
        self.data = data
        self.data.onBadImage = .skip
    }

    /// Predicts all files in their order; nothing is kept of those before.
    ///
    /// - Parameters:
    ///   - top: classes of a picture that are told.
    ///   - take: called with each file's prediction, or with why it cannot be read.
    /// - Returns: the number of files that cannot be read.
    package func predict(
        _ files: PictureFiles, top: Int, threads: Int,
        take: (Result<PicturePrediction, UnreadablePicture>) throws -> Void
    ) throws -> Int {
        if files.count == 0 { return 0 }
        let batch = min(Predictor.mostImages, files.count)
        let loader = BatchLoader(
            BatchMaker(
                source: files, settings: data, imageSize: imageSize, seed: 0, batch: batch, areSeparateFiles: true),
            capacity: batch, threads: threads)
        defer { loader.close() }
        let predictor = try Predictor(
            description: description, values: values, batch: batch, threads: threads, planning: engine.planning)
        var unreadable = 0
        func range(from first: Int) -> Range<Int> { first..<min(first + batch, files.count) }
        for first in stride(from: 0, to: files.count, by: batch) {
            let samples = range(from: first)
            let images = try loader.take(.evaluation(samples))
            let next = range(from: samples.upperBound)
            if !next.isEmpty { loader.prepare(.evaluation(next)) }
            let logits = predictor.logits(images: images.images, count: samples.count)
            for (place, sample) in samples.enumerated() {
                if let problem = images.problems[place] {
                    unreadable += 1
                    try take(.failure(UnreadablePicture(problem)))
                    continue
                }
                let own = logits[place * predictor.classes..<(place + 1) * predictor.classes]
                try take(.success(PicturePrediction(file: files.name(of: sample), top: guesses(own, top: top))))
            }
            loader.giveBack(images)
        }
        return unreadable
    }

    private func guesses(_ logits: ArraySlice<Float>, top: Int) -> [PicturePrediction.Guess] {
        // A logit that is not a number is the least probable of all.
        let values = logits.map { $0.isNaN ? -.infinity : Double($0) }
        let largest = values.max() ?? 0
        let powers = values.map { $0 == largest ? 1 : exp($0 - largest) }
        let sum = powers.reduce(0, +)
        return values.indices.sorted { (values[$1], $0) < (values[$0], $1) }.prefix(top).map {
            PicturePrediction.Guess(label: $0, name: classNames[$0], probability: powers[$0] / sum)
        }
    }
}

/// A file of which nothing can be predicted.
package struct UnreadablePicture: Error, CustomStringConvertible {
    package let description: String

    init(_ error: DataError) {
        // The rest of its text is about training.
        description = if case .picture(let name, _, let error) = error { "\(name) \(error)" } else { "\(error)" }
    }
}
