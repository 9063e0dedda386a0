// The work of a worker in `psctl bench exchange`: random gradients made once, weights taken and kept.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSMessages
import PSModel
import PSParameters
import PSTransport

/// The gradients that the exchange benchmark pushes: for each place in a step the same ones in every step.
package enum ExchangeGradients {
    /// Fills the flat vector for one place: uniform in [-1, 1), statistics included.
    package static func fill(_ vector: UnsafeMutableBufferPointer<Float>, seed: UInt64, place: Place) {
        let random = CounterRandom(seed: seed, name: "exchange").stream(UInt64(place.number))
        for element in vector.indices { vector[element] = 2 * random.uniform(UInt64(element)) - 1 }
    }

    /// Where a worker writes the hash of the weights it pulled last.
    package static func pulledHashPath(runDirectory: String, pid: Int) -> String {
        "\(runDirectory)/pulled-\(pid).sha256"
    }
}

final class ExchangeWork: TicketWork, @unchecked Sendable {
    // Sendable: `weights` is touched by the compute thread only, the rest is fixed after `init`.

    let layout: ParameterLayout
    private let stepShape: StepShape
    private let lastStep: Step
    private let runDirectory: String
    private let weights: SharedBuffer
    private let gradients: [SharedBuffer]

    init(configuration: JobConfiguration, runDirectory: String) throws {
        layout = try ModelDescription(configuration.model).layout
        stepShape = configuration.train.stepShape
        lastStep = Step(UInt64((configuration.train.steps ?? 1) - 1))
        self.runDirectory = runDirectory
        let count = layout.count
        weights = SharedBuffer(byteCount: count * MemoryLayout<Float>.stride)
        gradients = (0..<configuration.train.ticketsPerStep).map { place in
            let buffer = SharedBuffer(byteCount: count * MemoryLayout<Float>.stride)
            ExchangeGradients.fill(
                UnsafeMutableBufferPointer(start: buffer.floats, count: count), seed: configuration.seed,
                place: Place(place))
            return buffer
        }
    }

    func load(slice: Int, values: Frame) {
        let range = layout.slices[slice].range
        values.withFloats { (weights.floats + range.lowerBound).update(from: $0, count: range.count) }
    }

    func fixedGradients(of attempt: Attempt) -> SharedBuffer? { gradients[stepShape.place(of: attempt.ticket).number] }

    func compute(
        _ attempt: Attempt, into gradients: SharedBuffer, sliceReady: (Int) -> Void
    ) throws -> Contribution {
        if stepShape.step(of: attempt.ticket) == lastStep {
            let hash = Fingerprint.weightsSHA256(
                layout: layout, values: UnsafeBufferPointer(start: weights.floats, count: layout.count))
            try hash.write(
                toFile: ExchangeGradients.pulledHashPath(
                    runDirectory: runDirectory, pid: Int(ProcessInfo.processInfo.processIdentifier)), atomically: true,
                encoding: .utf8)
        }
        // The last layers first, as backward makes them.
        layout.slices.indices.reversed().forEach(sliceReady)
        return Contribution(attempt: attempt, loss: 0, correct: 0, samples: 1, norm: 0)
    }
}
