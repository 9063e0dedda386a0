// The clock of the event loops.

import Glibc
import PSParameters

extension MonotonicTime {
    /// Read from the clock that counts from boot, suspend included, and never jumps.
    package static var now: MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return MonotonicTime(milliseconds: time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
    }
}

/// The time of an event loop, by which its deadlines are judged.
///
/// A gap in which the loop did not run (a stopped process, a suspended machine) counts as one long turn only: what
/// others said meanwhile could not be heard.
package struct LoopClock {
    /// No turn of a loop that runs takes this many milliseconds.
    private static let longestTurn = 2000
    private var lastRead: MonotonicTime
    private var lostMilliseconds = 0

    package init(at real: MonotonicTime = .now) { lastRead = real }

    package mutating func read(at real: MonotonicTime = .now) -> MonotonicTime {
        lostMilliseconds += max(0, real.since(lastRead) - LoopClock.longestTurn)
        lastRead = real
        return MonotonicTime(milliseconds: real.milliseconds - lostMilliseconds)
    }
}
