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

/// Warnings of what strangers send: of each kind one a second at most, so that the log does not grow as fast as they send.
package struct Complaints {
    package enum Kind: Sendable, Hashable {
        case key, handshake, connection, word, file
        /// Once a connection that was let in, and never kept back.
        case revoked
    }

    private let logger: Logger
    private var last: [Kind: (at: MonotonicTime, keptBack: Int)] = [:]

    package init(_ logger: Logger) { self.logger = logger }

    /// Connections that were closed from this end.
    package mutating func warn(_ cuts: [Connections.Cut], at now: MonotonicTime) {
        guard let first = cuts.first else { return }
        let others = cuts.count > 1 ? " (and \(cuts.count - 1) others)" : ""
        warn(.connection, "the connection of \(first.address) is closed: \(first.reason)\(others)", at: now)
    }

    /// Handshakes that failed, at who answers for keys and before that.
    ///
    /// - Parameter holder: what is known of a key.
    /// - Returns: how many there were.
    @discardableResult
    package mutating func warn(
        _ refused: (some: [Gatekeeper.Refused], count: Int)?, _ failed: [String], at now: MonotonicTime,
        holder: (String) -> String = { fingerprint($0) }
    ) -> Int {
        if let refused, let first = refused.some.first {
            let others = refused.count > 1 ? " (and \(refused.count - 1) others)" : ""
            let what =
                switch first.reason {
                case .key(let key): "showed the key \(holder(key)), which may not speak here"
                case .noKey: "showed no key, which is asked for here"
                case .pace: "is turned away: too many connect from there and show nothing"
                }
            warn(.key, "\(first.address) \(what)\(others)", at: now)
        }
        // What the gatekeeper refused is closed as well.
        let rest = failed.count - (refused?.count ?? 0)
        if rest > 0, let first = failed.last {
            let others = rest > 1 ? " (and \(rest - 1) others)" : ""
            warn(
                .handshake,
                "\(first) failed the handshake: it has no key where one is asked for, or a key file of another job or from "
                    + "before psctl keys rotate coordinator, or is no process of a job\(others)", at: now)
        }
        return max(failed.count, refused?.count ?? 0)
    }

    package mutating func warn(_ kind: Kind, _ text: String, at now: MonotonicTime) {
        if kind != .revoked, let former = last[kind], now.since(former.at) < 1000 {
            last[kind]!.keptBack += 1
            return
        }
        let keptBack = last[kind]?.keptBack ?? 0
        logger.warning("\(text)\(keptBack > 0 ? " (and \(keptBack) of this kind before)" : "")")
        last[kind] = (now, 0)
    }
}
