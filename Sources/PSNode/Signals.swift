// SIGTERM and SIGINT as something the event loop can read.

import Glibc
import Synchronization

package enum Signals {
    /// Number of stop signals so far; the low byte of `last` is the latest.
    private static let count = Atomic<Int>(0)
    private static let last = Atomic<Int32>(0)
    package static let bell = Bell()

    /// Stop signals ring `bell` from now on; a second one ends the process at once, as a person expects.
    package static func install() {
        _ = bell
        signal(SIGPIPE, SIG_IGN)
        // Who starts this process may have them blocked, and a child inherits that.
        var stops = sigset_t()
        sigemptyset(&stops)
        sigaddset(&stops, SIGTERM)
        sigaddset(&stops, SIGINT)
        pthread_sigmask(SIG_UNBLOCK, &stops, nil)
        for number in [SIGTERM, SIGINT] {
            signal(number) { number in
                // The call that this interrupts must find its own error.
                let interrupted = errno
                defer { errno = interrupted }
                if Signals.count.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue > 1 {
                    _exit(128 + number)
                }
                Signals.last.store(number, ordering: .sequentiallyConsistent)
                Signals.bell.ring()
            }
        }
    }

    /// Stop signals end the process at once again: nothing is left that they could spoil.
    package static func uninstall() {
        for number in [SIGTERM, SIGINT] { signal(number, SIG_DFL) }
    }

    /// The first stop signal received, if any.
    package static var received: Int32? {
        let number = last.load(ordering: .sequentiallyConsistent)
        return number == 0 ? nil : number
    }
}
