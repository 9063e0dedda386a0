// Time as the protocol counts it.

/// A moment in milliseconds since some fixed start; the state machines are handed it and never read a clock.
package struct MonotonicTime: Sendable, Hashable, Comparable {
    package var milliseconds: Int

    package init(milliseconds: Int) { self.milliseconds = milliseconds }

    package static func < (a: MonotonicTime, b: MonotonicTime) -> Bool { a.milliseconds < b.milliseconds }

    /// Milliseconds from `earlier` to this moment.
    package func since(_ earlier: MonotonicTime) -> Int { milliseconds - earlier.milliseconds }

    /// The moment so many milliseconds later.
    package func later(_ milliseconds: Int) -> MonotonicTime {
        MonotonicTime(milliseconds: self.milliseconds + milliseconds)
    }
}
