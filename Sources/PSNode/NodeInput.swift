// What wakes a daemon's event loop besides its sockets: work done elsewhere, signals, the end of who started it.

import Glibc
import Logging
import PSParameters
import PSTransport

/// The waiting part of an event loop.
package final class NodeInput<Event: Sendable> {
    package let mailbox = Mailbox<Event>()
    private let lifeline: Bool
    private var clock = LoopClock()
    private var stopSeen = false
    private var parentSeen = false

    /// - Parameter lifeline: whether standard input is a pipe whose end means that the starter is gone.
    package init(lifeline: Bool) {
        self.lifeline = lifeline
        Signals.install(secondEnds: !lifeline)
        if lifeline { _ = fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) }
    }

    /// The loop's time, gaps left out.
    package var now: MonotonicTime { clock.read() }

    /// Waits for any socket, event or signal, or until the loop's time is `end`.
    package func wait(_ links: [Link], until end: MonotonicTime) throws(TransportError) {
        var descriptors = [mailbox.bell.descriptor, Signals.bell.descriptor]
        if lifeline, !parentSeen { descriptors.append(STDIN_FILENO) }
        try Poller.wait(sockets: links.map(\.socket), descriptors: descriptors, milliseconds: max(0, end.since(now)))
    }

    /// The stop signal, the first time it is asked for after it came.
    package func takeStop() -> Int32? {
        Signals.bell.silence()
        guard !stopSeen, let signal = Signals.received else { return nil }
        stopSeen = true
        return signal
    }

    /// True once, when the starter is gone.
    package func takeParentGone() -> Bool {
        guard lifeline, !parentSeen else { return false }
        var byte: UInt8 = 0
        parentSeen = read(STDIN_FILENO, &byte, 1) == 0
        return parentSeen
    }
}

/// Warnings of what strangers send: one a second at most, so that the log does not grow as fast as they send.
package struct Complaints {
    private let logger: Logger
    private var last: MonotonicTime?
    private var keptBack = 0

    package init(_ logger: Logger) { self.logger = logger }

    package mutating func warn(_ text: String, at now: MonotonicTime) {
        if let last, now.since(last) < 1000 {
            keptBack += 1
            return
        }
        logger.warning("\(text)\(keptBack > 0 ? " (and \(keptBack) like it before)" : "")")
        last = now
        keptBack = 0
    }
}
