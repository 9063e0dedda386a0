// What wakes a daemon's event loop besides its sockets: work done elsewhere, signals, the end of who started it.

import Glibc
import Logging
import PSKeys
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

    /// Connections that were closed from this end.
    package mutating func warn(_ cuts: [Connections.Cut], at now: MonotonicTime) {
        guard let first = cuts.first else { return }
        let others = cuts.count > 1 ? " (and \(cuts.count - 1) others)" : ""
        warn("the connection of \(first.address) is closed: \(first.reason)\(others)", at: now)
    }

    /// Handshakes that failed, at who answers for keys and before that.
    /// - Returns: how many there were.
    @discardableResult
    package mutating func warn(
        _ refused: (some: [Gatekeeper.Refused], count: Int)?, _ failed: [String], at now: MonotonicTime
    ) -> Int {
        if let refused, let first = refused.some.first {
            let others = refused.count > 1 ? " (and \(refused.count - 1) others)" : ""
            let what =
                switch first.reason {
                case .key(let key): "showed the key \(fingerprint(key)), which may not speak here"
                case .noKey: "showed no key, which is asked for here"
                case .pace: "is turned away: too many connect from there and show nothing"
                }
            warn("\(first.address) \(what)\(others)", at: now)
        }
        // What the gatekeeper refused is closed as well.
        let rest = failed.count - (refused?.count ?? 0)
        if rest > 0, let first = failed.last {
            warn("\(first) does not speak as this job does, with keys or without (\(rest) such)", at: now)
        }
        return max(failed.count, refused?.count ?? 0)
    }

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
