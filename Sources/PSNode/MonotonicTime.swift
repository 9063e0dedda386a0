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
