// How well a checkpoint names the test images.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSData
import PSDatasets
import PSFiles
import PSModel
import PSParameters
import PSReport

/// Which of a checkpoint's two sets of weights.
package enum WeightChoice: String, Sendable, Hashable, CaseIterable, Encodable {
    /// The running average: what the paper evaluates.
    case average
    /// The weights of the last commit.
    case raw

    package var storedValue: StoredValue {
        switch self {
        case .average: .average
        case .raw: .current
        }
    }
}

/// The result of an evaluation.
package struct Evaluation: Encodable, Sendable {
    package struct ClassResult: Encodable, Sendable, Hashable {
        package let label: Int
        package let name: String
        package let images: Int
        /// Share of its images named right at the first guess.
        package let top1: Double
    }

    /// Commits before the checkpoint.
    package let step: Int
    package let weights: WeightChoice
    /// Those that could be read.
    package let images: Int
    /// Images that could not be read and do not count (data.onBadImage=skip), and the names of the first of them.
    package let unreadableCount: Int
    package let unreadable: [String]
    /// Shares of all images whose label had the largest logit, one of the five largest.
    package let top1: Double
    package let top5: Double
    /// Mean cross-entropy; nil where it is not finite.
    package let loss: Double?
    /// The classes named right least often, the worst first, at most five.
    package let worstClasses: [ClassResult]
    package let seconds: Double
    /// What to know of the data set, as that records of it were left out.
    package let remarks: [String]

    /// Evaluates on the test images of the job's data set.
    ///
    /// - Parameter progress: called now and then with the number of images done and of all.
    package init(
        checkpoint: CheckpointReader, configuration: JobConfiguration, weights: WeightChoice, threads: Int,
        progress: (Int, Int) -> Void = { _, _ in }
    ) throws {
        let description = try ModelDescription(configuration.model)
        try checkpoint.check(layout: description.layout)
        let source = try Dataset.open(configuration.data.set, .test)
        let test = try TestImages(source, configuration: configuration, description: description, threads: threads)
        try test.load(checkpoint.values(weights.storedValue, layout: description.layout))

        let start = ContinuousClock.now
        var tally = Tally(classes: description.classes)
        var unreadable: [Int] = []
        for part in 0..<test.partCount {
            unreadable += try test.compute(part: part, next: part + 1) { _, label, logits in
                tally.add(label: label, logits: logits)
            }
            progress(test.samples(ofPart: part).upperBound, source.count)
        }
        guard unreadable.count < source.count else {
            throw EvaluationError.nothingReadable(path: configuration.data.set.path)
        }

        step = checkpoint.manifest.step
        self.weights = weights
        images = source.count - unreadable.count
        self.unreadable = try unreadable.prefix(Evaluation.mostNames).map { try source.name(of: $0) }
        unreadableCount = unreadable.count
        top1 = tally.share(withRankBelow: 1)
        top5 = tally.share(withRankBelow: 5)
        let mean = tally.loss / Double(tally.imageCount)
        loss = mean.isFinite ? mean : nil
        worstClasses = tally.worst(names: source.classNames, count: 5)
        seconds = (ContinuousClock.now - start).inSeconds
        remarks = source.remarks
    }

    private static let mostNames = 20

    /// The lines for people.
    package var text: String {
        let rows = worstClasses.map { [$0.name, Report.percent($0.top1), "of \($0.images)"] }
        return """
            step \(step), \(weights == .average ? "running-average" : "raw") weights, \(images) test images: \
            top-1 \(Report.percent(top1)), top-5 \(Report.percent(top5))
            worst classes:
            \(Report.table(rows))
            """
                + (unreadableCount == 0
                    ? ""
                    : "\(Report.count(unreadableCount, "test image")) could not be read and did not count: "
                        + unreadable.joined(separator: ", ") + (unreadableCount > unreadable.count ? ", ...\n" : "\n"))
                + remarks.map { "\($0)\n" }.joined()
    }
}

/// Counts how high the labels' logits ranked, and adds up the cross-entropies.
package struct Tally {
    private var images: [Int]
    private var correct: [Int]
    /// Images by the rank of their label, 0 the best; the last counts all ranks from there on.
    private var ranks = [Int](repeating: 0, count: 6)
    /// Sum of the images' cross-entropies, in the order they came.
    package private(set) var loss = 0.0

    package init(classes: Int) {
        images = [Int](repeating: 0, count: classes)
        correct = images
    }

    package mutating func add(label: Int, logits: ArraySlice<Float>) {
        let own = logits[logits.startIndex + label]
        // Of equal logits the lower class goes first. One that is not a number is never right.
        let rank =
            own.isNaN
            ? logits.count
            : logits.enumerated().count { $1 > own || ($1 == own && $0 < label) }
        images[label] += 1
        if rank == 0 { correct[label] += 1 }
        ranks[min(rank, ranks.count - 1)] += 1
        loss += crossEntropy(label: label, logits: logits)
    }

    package var imageCount: Int { ranks.reduce(0, +) }

    package func count(withRankBelow rank: Int) -> Int { ranks.prefix(rank).reduce(0, +) }

    package func share(withRankBelow rank: Int) -> Double { Double(count(withRankBelow: rank)) / Double(imageCount) }

    package func worst(names: [String], count: Int) -> [Evaluation.ClassResult] {
        images.indices.filter { images[$0] > 0 }
            .map { label in
                Evaluation.ClassResult(
                    label: label, name: label < names.count ? names[label] : "class \(label)", images: images[label],
                    top1: Double(correct[label]) / Double(images[label]))
            }
            .sorted { ($0.top1, $0.label) < ($1.top1, $1.label) }
            .prefix(count).map(\.self)
    }
}

/// The negative logarithm of the label's probability: the softmax of all logits.
func crossEntropy(label: Int, logits: ArraySlice<Float>) -> Double {
    let largest = Double(logits.max() ?? 0)
    let sum = logits.reduce(0) { $0 + exp(Double($1) - largest) }
    return log(sum) + largest - Double(logits[logits.startIndex + label])
}

extension CheckpointReader {
    /// One value of every tensor as a flat vector of `layout`.
    package func values(_ value: StoredValue, layout: ParameterLayout) throws(StorageError) -> [Float] {
        var values = [Float](repeating: 0, count: layout.count)
        for (index, tensor) in layout.tensors.enumerated() {
            let range = layout.range(ofTensor: index)
            var failure: StorageError?
            values.withUnsafeMutableBufferPointer { values in
                do throws(StorageError) {
                    try read(
                        value, tensor: tensor.name, elements: 0..<tensor.elementCount,
                        into: values.baseAddress! + range.lowerBound)
                } catch { failure = error }
            }
            if let failure { throw failure }
        }
        return values
    }
}
