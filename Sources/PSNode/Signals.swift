// SIGTERM, SIGINT and SIGHUP as something the event loop can read.

import Glibc
import Synchronization

package enum Signals {
    /// The first stop signal.
    private static let first = Atomic<Int32>(0)
    /// When it came, milliseconds.
    private static let firstTime = Atomic<Int>(0)
    private static let secondEnds = Atomic<Bool>(true)
    package static let bell = Bell()

    /// One wish may arrive several times: from a scheduler that signals every process, from a terminal that signals the
    /// whole group, and from who started this process. Within so many milliseconds it is one.
    private static let moment = 250

    /// A terminal that closes, or the end of a stopped process's group, says SIGHUP.
    private static let stops = [SIGTERM, SIGINT, SIGHUP]

    /// Stop signals ring `bell` from now on.
    ///
    /// - Parameter secondEnds: whether another one, a person's second press, ends the process at once. Who is looked after
    ///   by another process leaves that to it.
    package static func install(secondEnds: Bool = true) {
        _ = bell
        signal(SIGPIPE, SIG_IGN)
        Signals.secondEnds.store(secondEnds, ordering: .sequentiallyConsistent)
        // Who starts this process may have them blocked, and a child inherits that.
        var set = sigset_t()
        sigemptyset(&set)
        for number in stops { sigaddset(&set, number) }
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
        for number in stops where !isNohup(number) {
            signal(number) { number in
                // The call that this interrupts must find its own error.
                let interrupted = errno
                defer { errno = interrupted }
                var time = timespec()
                clock_gettime(CLOCK_BOOTTIME, &time)
                let now = time.tv_sec * 1000 + time.tv_nsec / 1_000_000
                if Signals.first.load(ordering: .sequentiallyConsistent) != 0 {
                    let since = now - Signals.firstTime.load(ordering: .sequentiallyConsistent)
                    if Signals.secondEnds.load(ordering: .sequentiallyConsistent), since > Signals.moment {
                        // The line under a terminal's progress is not at its end.
                        let words: StaticString = "\nended at once by a second signal\n"
                        _ = write(STDERR_FILENO, words.utf8Start, words.utf8CodeUnitCount)
                        _exit(128 + number)
                    }
                    return
                }
                Signals.firstTime.store(now, ordering: .sequentiallyConsistent)
                Signals.first.store(number, ordering: .sequentiallyConsistent)
                Signals.bell.ring()
            }
        }
    }

    /// Stop signals end the process at once again: nothing is left that they could spoil.
    package static func uninstall() {
        for number in stops where !isNohup(number) { signal(number, SIG_DFL) }
    }

    /// Whether whoever started this process wants it to outlive the terminal (nohup).
    private static func isNohup(_ number: Int32) -> Bool {
        var action = sigaction()
        guard number == SIGHUP, sigaction(number, nil, &action) == 0 else { return false }
        return action.__sigaction_handler.sa_handler.map { unsafeBitCast($0, to: Int.self) == 1 } ?? false
    }

    /// The first stop signal received, if any.
    package static var received: Int32? {
        let number = first.load(ordering: .sequentiallyConsistent)
        return number == 0 ? nil : number
    }
}
