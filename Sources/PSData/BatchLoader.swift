// Makes batches ahead of their use, on threads of its own.

import Foundation
import PSParameters

/// Batches by request: prepared when somebody says that they will be wanted, taken when they are.
///
/// Any thread may call. At most `ahead` batches are prepared or ready at a time; a further one takes the place of the
/// oldest that nobody came for.
package final class BatchLoader: @unchecked Sendable {
    // Sendable: everything that changes is used under `condition` only.

    private struct Work {
        let batch: Batch
        let place: Int
    }

    private let maker: BatchMaker
    private let capacity: Int
    private let ahead: Int
    private let condition = NSCondition()
    /// Oldest first.
    private var batches: [Batch] = []
    private var queue: [Work] = []
    private var free: [Batch] = []
    private var isClosed = false

    /// - Parameters:
    ///   - capacity: samples of the largest batch.
    ///   - ahead: batches kept ready, at least 1.
    package init(_ maker: BatchMaker, capacity: Int, threads: Int, ahead: Int = 2) {
        precondition(capacity > 0 && threads > 0 && ahead > 0)
        self.maker = maker
        self.capacity = capacity
        self.ahead = ahead
        for index in 0..<threads {
            // The threads end with `close`, which the owner's deinit calls; they hold what they work with, not the owner.
            let thread = Thread { [self] in work() }
            thread.name = "data-\(index)"
            thread.stackSize = 1 << 20
            thread.start()
        }
    }

    /// Ends the threads. What is being made is left unfinished.
    package func close() {
        condition.withLock {
            isClosed = true
            queue = []
            condition.broadcast()
        }
    }

    /// Begins to make a batch, unless it is there.
    package func prepare(_ request: BatchRequest) {
        condition.withLock { _ = begin(request, isWanted: false) }
    }

    /// Waits for a batch and hands it over.
    package func take(_ request: BatchRequest) throws -> Batch {
        let batch = condition.withLock {
            let batch = begin(request, isWanted: true)
            while batch.remaining > 0 { condition.wait() }
            batches.removeAll { $0 === batch }
            return batch
        }
        if let first = batch.errors.min(by: { $0.key < $1.key }) {
            giveBack(batch)
            throw first.value
        }
        maker.finish(batch)
        return batch
    }

    /// Its memory is used again.
    package func giveBack(_ batch: Batch) { condition.withLock { free.append(batch) } }

    private func begin(_ request: BatchRequest, isWanted: Bool) -> Batch {
        if let batch = batches.first(where: { $0.request == request }) {
            if isWanted, !batch.isWanted {
                batch.isWanted = true
                // Before what is only expected.
                queue = queue.filter { $0.batch === batch } + queue.filter { $0.batch !== batch }
            }
            return batch
        }
        while batches.count >= ahead, let oldest = batches.first(where: { !$0.isWanted }) { abandon(oldest) }
        let batch = free.popLast() ?? Batch(capacity: capacity, sampleElements: maker.sampleElements)
        let count = maker.count(of: request)
        precondition(count <= capacity, "\(count) samples in a batch of \(capacity)")
        batch.request = request
        batch.remaining = count
        batch.errors = [:]
        batch.isWanted = isWanted
        batch.isAbandoned = false
        batch.labels = Array(repeating: -1, count: count)
        batch.second = nil
        batch.replaced = []
        batch.problems = [:]
        batches.append(batch)
        let work = (0..<count).map { Work(batch: batch, place: $0) }
        if isWanted { queue.insert(contentsOf: work, at: 0) } else { queue += work }
        condition.broadcast()
        return batch
    }

    private func abandon(_ batch: Batch) {
        batch.isAbandoned = true
        batches.removeAll { $0 === batch }
        let waiting = queue.count { $0.batch === batch }
        queue.removeAll { $0.batch === batch }
        batch.remaining -= waiting
        if batch.remaining == 0 { free.append(batch) }
    }

    private func work() {
        let images = maker.makeImageMaker()
        while let work = next() {
            let result = Result {
                try images.fill(work.batch.request, place: work.place, to: work.batch.sample(work.place))
            }
            condition.withLock {
                let batch = work.batch
                batch.remaining -= 1
                switch result {
                case .success(let image):
                    batch.labels[work.place] = image.label
                    batch.replaced += image.replaced
                    batch.problems[work.place] = image.problem
                case .failure(let error): batch.errors[work.place] = error
                }
                guard batch.remaining == 0 else { return }
                if batch.isAbandoned { free.append(batch) } else { condition.broadcast() }
            }
        }
    }

    private func next() -> Work? {
        condition.withLock {
            while queue.isEmpty && !isClosed { condition.wait() }
            return isClosed ? nil : queue.removeFirst()
        }
    }
}
