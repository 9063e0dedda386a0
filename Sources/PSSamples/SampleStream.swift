// Which samples a ticket names.

import PSParameters
import Synchronization

/// The concatenation of one permutation of all samples per epoch; ticket k reads `batch` positions from k * batch on.
///
/// There are no partial tickets: a ticket may end one epoch and begin the next. A pure function of (seed, sample count,
/// batch, ticket), usable from any thread.
package final class SampleStream: Sendable {
    package let sampleCount: Int
    package let batch: Int
    private let random: CounterRandom
    /// The epochs used last, at most two: a ticket that straddles needs both.
    private let permutations = Mutex<[(epoch: UInt64, samples: [UInt32])]>([])

    package init(seed: UInt64, sampleCount: Int, batch: Int) {
        precondition(sampleCount > 0 && sampleCount <= UInt32.max && batch > 0)
        self.sampleCount = sampleCount
        self.batch = batch
        random = CounterRandom(seed: seed, name: "samples")
    }

    /// The samples of a ticket, `batch` of them.
    package func samples(of ticket: Ticket) -> [Int] { (0..<batch).map { sample(of: ticket, place: $0) } }

    /// The sample at a place of a ticket, 0..<batch.
    package func sample(of ticket: Ticket, place: Int) -> Int {
        // Wrapping: no ticket number may stop a worker, and none that a job reaches wraps.
        let position = ticket.number &* UInt64(batch) &+ UInt64(place)
        let (epoch, index) = position.quotientAndRemainder(dividingBy: UInt64(sampleCount))
        return permutations.withLock { cache in
            if let found = cache.firstIndex(where: { $0.epoch == epoch }) {
                return Int(cache[found].samples[Int(index)])
            }
            cache = cache.suffix(1) + [(epoch, permutation(ofEpoch: epoch))]
            return Int(cache[cache.count - 1].samples[Int(index)])
        }
    }

    /// Fisher and Yates' shuffle.
    private func permutation(ofEpoch epoch: UInt64) -> [UInt32] {
        let draws = random.stream(epoch)
        var samples = Array(0..<UInt32(sampleCount))
        for last in stride(from: sampleCount - 1, to: 0, by: -1) {
            samples.swapAt(last, draws.integer(UInt64(last), below: last + 1))
        }
        return samples
    }
}
