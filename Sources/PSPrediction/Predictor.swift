// Logits in evaluation mode: running statistics, no dropout.

import PSModel
import PSNetwork
import PSPlanning

/// The main head's output for any number of images.
package struct Predictor {
    /// What plans are made for, whatever is computed at once: an image goes by the same algorithms in any company.
    private static let plannedBatch = 32

    /// More images at once gain no speed, only memory.
    package static let mostImages = 32

    /// Bytes of memory the network of a predictor holds.
    package static func byteCount(
        description: ModelDescription, batch: Int, threads: Int, planning: PlanSettings
    ) throws(NetworkError) -> Int {
        try InferenceNetwork.arenaByteCount(
            description: description, batch: batch, threads: threads,
            plan: EnginePlan(description: description, batch: plannedBatch, settings: planning))
    }

    private let network: InferenceNetwork

    /// - Parameters:
    ///   - values: the flat vector of the description's layout.
    ///   - batch: images computed at once.
    ///   - planning: how the plan is made.
    package init(
        description: ModelDescription, values: [Float], batch: Int, threads: Int, planning: PlanSettings
    ) throws(NetworkError) {
        network = try InferenceNetwork(
            description: description, batch: batch, threads: threads,
            plan: EnginePlan(description: description, batch: Predictor.plannedBatch, settings: planning))
        network.layout.eachSlice(of: values, network.load)
    }

    package var classes: Int { network.description.classes }

    /// - Parameter images: NHWC, at least `count` images; what follows them, as in the buffer of a last batch that is
    ///   not full, is not looked at.
    /// - Returns: `count` x classes.
    package func logits(images: [Float], count: Int) -> [Float] {
        let imageElements = network.description.nodes[0].shape.elements
        precondition(images.count >= count * imageElements, "\(count) images do not fit in \(images.count) values")
        return images.withUnsafeBufferPointer { logits(images: $0.baseAddress!, count: count) }
    }

    /// The same from memory that holds at least `count` images.
    package func logits(images: UnsafePointer<Float>, count: Int) -> [Float] {
        let imageElements = network.description.nodes[0].shape.elements
        return [Float](unsafeUninitializedCapacity: count * classes) { output, initialized in
            for first in stride(from: 0, to: count, by: network.batch) {
                network.logits(
                    images: images + first * imageElements, count: min(network.batch, count - first),
                    into: output.baseAddress! + first * classes)
            }
            initialized = count * classes
        }
    }
}
