// How well a network names labelled images.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSData
import PSDatasets
import PSFiles
import PSModel
import PSParameters
import PSPrediction
import PSReport

/// The result of an evaluation.
package struct Evaluation: Encodable, Sendable {
    package struct ClassResult: Encodable, Sendable, Hashable {
        package let label: Int
        package let name: String
        package let images: Int
        /// Share of its images that were named so; nil: it has none.
        package let recall: Double?
        /// Share of the images that were named so which are its own; nil: none was.
        package let precision: Double?

        // "images" in JSON are those of the whole evaluation.
        enum CodingKeys: String, CodingKey {
            case label, name, recall, precision
            case images = "count"
        }
    }

    /// Images of one class that were named as another, or as itself.
    package struct Confusion: Encodable, Sendable, Hashable {
        package let label: Int
        package let predicted: Int
        package let images: Int

        enum CodingKeys: String, CodingKey {
            case label, predicted
            case images = "count"
        }
    }

    package struct Calibration: Encodable, Sendable, Hashable {
        package struct Bin: Encodable, Sendable, Hashable {
            /// Bounds of the first guess's probability.
            package let from: Double
            package let to: Double
            package let images: Int
            /// Means over the bin; nil where it is empty.
            package let confidence: Double?
            package let accuracy: Double?

            enum CodingKeys: String, CodingKey {
                case from, to, confidence, accuracy
                case images = "count"
            }
        }
        /// Mean distance of confidence and accuracy, each bin by its images.
        package let expectedError: Double
        package let bins: [Bin]
    }

    /// An image that was named wrong.
    package struct Mistake: Encodable, Sendable, Hashable {
        package let file: String
        package let label: Int
        package let predicted: Int
        /// Of the wrong guess.
        package let probability: Double
        /// Its number in the data set.
        let sample: Int

        enum CodingKeys: CodingKey { case file, label, predicted, probability }
    }

    /// Whose weights were measured.
    package enum Subject: Sendable, Hashable {
        /// Of a run: commits before the checkpoint, and which of its weights.
        case checkpoint(step: Int, WeightChoice)
        /// A weight file.
        case file(String)
        /// The paths of the networks that were asked together.
        case ensemble([String])
    }

    /// Commits before the checkpoint; nil for a weight file and an ensemble.
    package let step: Int?
    /// "average", "raw", the weight file, or "ensemble".
    package let weights: String
    /// The networks of an ensemble; nil: it is none.
    package let networks: [String]?
    /// Crops of each image whose softmaxes were averaged.
    package let crops: Int
    /// Images that were left out because a list named them.
    package let leftOut: Int
    /// Those that could be read.
    package let images: Int
    /// Images that could not be read and do not count (data.onBadImage=skip), and the names of the first of them.
    package let excluded: Int
    package let unreadable: [String]
    /// Shares of all images whose label had the largest logit, one of the five largest.
    package let top1: Double
    package let top5: Double
    /// Shares of the others: what papers publish.
    package let top1Error: Double
    package let top5Error: Double
    /// Mean cross-entropy; nil where it is not finite.
    package let loss: Double?
    /// By label.
    package let classes: [ClassResult]
    /// Those that are not 0, by label, then by class.
    package let confusion: [Confusion]
    package let calibration: Calibration
    /// Those it was surest of, at most 100.
    package let mistakes: [Mistake]
    package let seconds: Double
    /// What to know of the data set, as that records of it were left out.
    package let remarks: [String]

    private static let mostNames = 20
    private static let mostMistakes = 100

    /// - Parameters:
    ///   - networks: with their weights, on the same images in the same parts; of several the softmaxes are averaged.
    ///   - labels: by label of the data set: the model's class; nil: the same.
    ///   - subject: what the weights are.
    ///   - leftOut: images that the test images are without.
    ///   - remarks: what to know of the data set.
    ///   - progress: called now and then with the number of images done and of all.
    package init(
        of networks: [TestImages], classNames: [String], labels: [Int]? = nil, subject: Subject, leftOut: Int = 0,
        remarks: [String] = [], progress: (_ done: Int, _ all: Int) -> Void = { _, _ in }
    ) throws {
        let test = networks[0]
        precondition(
            networks.allSatisfy { $0.classes == test.classes && $0.batch == test.batch && $0.crops == test.crops },
            "networks that do not go together")
        let source = test.data
        let start = ContinuousClock.now
        var tally = Tally(classes: test.classes)
        var unreadable: [Int] = []
        var wrong: [(sample: Int, label: Int, predicted: Int, probability: Double)] = []
        for part in 0..<test.partCount {
            let samples = test.samples(ofPart: part)
            var said = samples.map { _ in (label: 0, scores: [ClassScores]()) }
            for network in networks {
                _ = try network.compute(part: part, next: part + 1) { sample, label, scores in
                    said[sample - samples.lowerBound].label = labels?[label] ?? label
                    said[sample - samples.lowerBound].scores.append(scores)
                }
            }
            for (sample, said) in zip(samples, said) {
                // What one network could not be shown does not count.
                guard said.scores.count == networks.count else {
                    unreadable.append(sample)
                    continue
                }
                let (predicted, probability) = tally.add(label: said.label, scores: .mean(said.scores))
                if predicted != said.label { wrong.append((sample, said.label, predicted, probability)) }
            }
            progress(samples.upperBound, source.count)
        }
        guard unreadable.count < source.count else { throw EvaluationError.nothingReadable(path: test.path) }

        switch subject {
        case .checkpoint(let step, let choice): (self.step, weights, self.networks) = (step, choice.rawValue, nil)
        case .file(let path): (step, weights, self.networks) = (nil, path, nil)
        case .ensemble(let paths): (step, weights, self.networks) = (nil, "ensemble", paths)
        }
        crops = test.crops.rawValue
        self.leftOut = leftOut
        images = tally.imageCount
        excluded = unreadable.count
        self.unreadable = try unreadable.prefix(Evaluation.mostNames).map { try source.name(of: $0) }
        top1 = tally.share(withRankBelow: 1)
        top5 = tally.share(withRankBelow: 5)
        top1Error = Evaluation.error(tally, withRankBelow: 1)
        top5Error = Evaluation.error(tally, withRankBelow: 5)
        let mean = tally.loss / Double(tally.imageCount)
        loss = mean.isFinite ? mean : nil
        func share(_ part: Int, of whole: Int) -> Double? { whole == 0 ? nil : Double(part) / Double(whole) }
        classes = tally.byClass.enumerated().map { label, counts in
            ClassResult(
                label: label, name: label < classNames.count ? classNames[label] : "\(label)", images: counts.images,
                recall: share(counts.correct, of: counts.images), precision: share(counts.correct, of: counts.predicted)
            )
        }
        confusion = tally.cells.map { Confusion(label: $0.label, predicted: $0.predicted, images: $1) }.sorted {
            ($0.label, $0.predicted) < ($1.label, $1.predicted)
        }
        let bins = tally.bins.enumerated().map { index, bin in
            Calibration.Bin(
                from: Double(index) / Double(tally.bins.count), to: Double(index + 1) / Double(tally.bins.count),
                images: bin.images, confidence: bin.images == 0 ? nil : bin.confidence / Double(bin.images),
                accuracy: share(bin.correct, of: bin.images))
        }
        calibration = Calibration(
            expectedError: tally.bins.reduce(0) { $0 + abs($1.confidence - Double($1.correct)) } / Double(images),
            bins: bins)
        mistakes = try wrong.sorted { ($1.probability, $0.sample) < ($0.probability, $1.sample) }
            .prefix(Evaluation.mostMistakes).map {
                Mistake(
                    file: try source.name(of: $0.sample), label: $0.label, predicted: $0.predicted,
                    probability: $0.probability, sample: $0.sample)
            }
        seconds = (ContinuousClock.now - start).inSeconds
        self.remarks = remarks
    }

    private static func error(_ tally: Tally, withRankBelow rank: Int) -> Double {
        Double(tally.imageCount - tally.count(withRankBelow: rank)) / Double(tally.imageCount)
    }

    /// Classes with images, those named right least often first.
    package var worstClasses: [ClassResult] {
        classes.filter { $0.recall != nil }.sorted { ($0.recall!, $0.label) < ($1.recall!, $1.label) }
    }

    /// What was taken for something else, most often first.
    package var worstConfusions: [Confusion] {
        confusion.filter { $0.label != $0.predicted }.sorted {
            ($1.images, $0.label, $0.predicted) < ($0.images, $1.label, $1.predicted)
        }
    }

    /// Of which weights, for people.
    package var subject: String {
        if let networks {
            return "ensemble of \(Report.count(networks.count, "network")) (\(networks.joined(separator: ", ")))"
        }
        switch (step, weights) {
        case (let step?, WeightChoice.average.rawValue): return "step \(step), running-average weights"
        case (let step?, _): return "step \(step), raw weights"
        case (nil, let file): return file
        }
    }

    /// The lines for people.
    package var text: String {
        func percent(_ share: Double?) -> String { share.map { Report.percent($0) } ?? "-" }
        var text =
            "\(subject), \(images) test images" + (crops > 1 ? ", \(crops) crops of each" : "")
            + ": top-1 \(Report.percent(top1)) (error \(Report.percent(top1Error))), top-5 \(Report.percent(top5)) "
            + "(error \(Report.percent(top5Error)))"
            + (loss.map { ", loss \(Report.decimal($0, places: 3))" } ?? "")
            + ", calibration error \(Report.percent(calibration.expectedError))\n"
        let worst = worstClasses
        let shown = worst.count <= 20 ? worst : Array(worst.prefix(10))
        text += (shown.count == worst.count ? "classes, the worst first:\n" : "the worst of \(worst.count) classes:\n")
        text += Report.table(
            [["", "images", "recall", "precision"]]
                + shown.map { [$0.name, "\($0.images)", percent($0.recall), percent($0.precision)] })
        let confused = worstConfusions.prefix(5)
        if !confused.isEmpty {
            text += "taken for another class most often:\n"
            text += Report.table(
                confused.map { ["\(classes[$0.label].name) for \(classes[$0.predicted].name)", "\($0.images)"] })
        }
        if excluded > 0 {
            text +=
                "\(Report.count(excluded, "test image")) could not be read and did not count: "
                + unreadable.joined(separator: ", ") + (excluded > unreadable.count ? ", ...\n" : "\n")
        }
        if leftOut > 0 { text += "\(Report.count(leftOut, "test image")) left out as listed\n" }
        return text + remarks.map { "\($0)\n" }.joined()
    }

    /// The confusion matrix for people: a row for each class, a column for each class it was named as.
    package var matrix: String {
        let shown = classes.filter { $0.images > 0 || $0.precision != nil }
        let counts = Dictionary(uniqueKeysWithValues: confusion.map { ([$0.label, $0.predicted], $0.images) })
        return Report.table(
            [["label \\ named"] + shown.map { "\($0.label)" }]
                + shown.map { row in
                    ["\(row.label) \(row.name)"] + shown.map { "\(counts[[row.label, $0.label]] ?? 0)" }
                })
    }
}
