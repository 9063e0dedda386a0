// How two kinds of work that share a loop divide its time.

/// Two sums of nanoseconds a thread, each thread adding to its own.
final class ShareClock: @unchecked Sendable {
    // Threads write different elements, and the sums are read after they are done.
    private let sums: UnsafeMutablePointer<Int64>
    private let threads: Int
    private static let cacheLine = 8

    init(threads: Int) {
        self.threads = threads
        sums = .allocate(capacity: threads * ShareClock.cacheLine)
        sums.initialize(repeating: 0, count: threads * ShareClock.cacheLine)
    }

    deinit { sums.deallocate() }

    var now: ContinuousClock.Instant { ContinuousClock.now }

    func add(first: Duration, second: Duration, thread: Int) {
        sums[thread * ShareClock.cacheLine] += nanoseconds(first)
        sums[thread * ShareClock.cacheLine + 1] += nanoseconds(second)
    }

    /// The first kind's share, 0 to 1.
    var share: Double {
        var (first, second) = (Int64(0), Int64(0))
        for thread in 0..<threads {
            first += sums[thread * ShareClock.cacheLine]
            second += sums[thread * ShareClock.cacheLine + 1]
        }
        return Double(first) / Double(max(first + second, 1))
    }

    private func nanoseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
