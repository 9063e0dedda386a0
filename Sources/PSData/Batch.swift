// What a step of the network reads: the images of one ticket, or of a part of the test images, with their labels.

import PSKernels
import PSParameters

/// Which images a batch has.
package enum BatchRequest: Sendable, Hashable {
    /// Those of a training ticket, changed as the ticket draws it.
    case training(Ticket)
    /// These samples of a split, as evaluation sees them.
    case evaluation(Range<Int>)
}

/// Filled by the loader's threads, then read by who took it.
package final class Batch: @unchecked Sendable {
    // Sendable: while it is filled each thread writes to the images it was given, under the loader's lock to the rest;
    // afterwards it has one owner.

    /// `capacity` x crops x imageSize x imageSize x 3 floats; all but evaluations by several crops have one of each sample.
    package let images: UnsafeMutablePointer<Float>
    /// One class a sample; -1 for one that could not be read and does not count.
    package internal(set) var labels: [Int32] = []
    /// Where the images are mixed of two each.
    package internal(set) var second: SecondLabels?
    /// Samples that could not be read, in whose place others are.
    package internal(set) var replaced: [Int] = []
    /// By place: why an image of an evaluation could not be read.
    package internal(set) var problems: [Int: DataError] = [:]

    let sampleElements: Int
    var request = BatchRequest.evaluation(0..<0)
    /// Images that are not filled yet.
    var remaining = 0
    /// By place. The first one tells what is wrong with the batch, whichever thread met it first.
    var errors: [Int: any Error] = [:]
    /// Somebody waits for it.
    var isWanted = false
    /// Nobody will take it: it is not worth finishing.
    var isAbandoned = false

    init(capacity: Int, sampleElements: Int) {
        self.sampleElements = sampleElements
        images = .allocate(capacity: capacity * sampleElements)
        images.initialize(repeating: 0, count: capacity * sampleElements)
    }

    deinit { images.deallocate() }

    func sample(_ place: Int) -> UnsafeMutablePointer<Float> { images + place * sampleElements }
}
