// What wakes a daemon's event loop besides its sockets: work done elsewhere, signals, the end of who started it.

import Glibc
import PSTransport

/// The waiting part of an event loop.
package final class NodeInput<Event: Sendable> {
    package let mailbox = Mailbox<Event>()
    private let lifeline: Bool
    private var stopSeen = false
    private var parentSeen = false

    /// - Parameter lifeline: whether standard input is a pipe whose end means that the starter is gone.
    package init(lifeline: Bool) {
        self.lifeline = lifeline
        Signals.install()
        if lifeline { _ = fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) }
    }

    /// Waits for any socket, event, signal, or the time.
    package func wait(_ links: [Link], milliseconds: Int) throws(TransportError) {
        var descriptors = [mailbox.bell.descriptor, Signals.bell.descriptor]
        if lifeline, !parentSeen { descriptors.append(STDIN_FILENO) }
        try Poller.wait(sockets: links.map(\.socket), descriptors: descriptors, milliseconds: milliseconds)
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
