// A socket that speaks envelopes: encodes what is sent, decodes what arrives, counts bytes, tells of closed connections.

import PSMessages
import PSParameters
import PSTransport

/// Part of a shared buffer that travels as a message's values.
package struct Payload: Sendable {
    package let buffer: SharedBuffer
    /// Bytes of the buffer.
    package let range: Range<Int>

    package init(buffer: SharedBuffer, range: Range<Int>) {
        self.buffer = buffer
        self.range = range
    }

    package func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        buffer.withBytes(range, body)
    }
}

package final class Link: Wire {
    /// What can happen on a link.
    package enum Event {
        case message(Received)
        /// Of a link that connects: its connection stands.
        case connected
        /// A connection is closed: a peer's, or the only one of a link that connects.
        case closed(RoutingID?)
    }

    package let socket: Socket
    package private(set) var bytesSent: UInt64 = 0
    package private(set) var bytesReceived: UInt64 = 0
    /// Of a link that listens.
    package private(set) var connections: Connections
    /// Of a link that connects: since when there is no connection; nil while there is one.
    package private(set) var downSince: MonotonicTime?
    package var millisecondsDown: Int { downSince.map { MonotonicTime.now.since($0) } ?? 0 }
    /// Of a link that connects: the peer does not let this process's key in, or without keys, too many come from here.
    package private(set) var isRefused = false
    /// Of a link that connects: a handshake failed otherwise.
    package private(set) var hasFailed = false
    private var waiting: [Event] = []
    private let forgets: Bool
    /// Its file was removed, and it is to listen anew.
    private var isUnbound = false
    /// Of a link that connects, whose handshake failed: when the next is tried. ZeroMQ would knock many times a second.
    private var nextTry: MonotonicTime?
    /// Handshakes that failed in a row.
    private var failures = 0
    /// There was a connection since the last try.
    private var hasMetSomebody = false
    /// When the connection that stands was made.
    private var opened = MonotonicTime.now

    /// - Parameters:
    ///   - limits: of a link that listens.
    ///   - forgets: of a link that connects: what is not sent when the connection closes is not sent by the next.
    package init(_ socket: Socket, limits: ConnectionLimits = .control, forgets: Bool = false) {
        self.socket = socket
        self.forgets = forgets
        connections = Connections(limits)
        if socket.kind == .dealer { downSince = .now }
    }

    @discardableResult
    package func send(_ envelope: Envelope, to peer: RoutingID?, values: Payload?) throws(TransportError) -> Bool {
        let head = values?.withBytes { envelope.encoded(values: $0) } ?? envelope.encoded()
        var frames = [Frame(head)]
        if let values, !values.range.isEmpty { frames.append(Frame(sharing: values.buffer, range: values.range)) }
        guard try socket.send(frames, to: peer) == .sent else { return false }
        bytesSent += UInt64(head.count + (values?.range.count ?? 0))
        return true
    }

    package var isClosed: Bool { socket.isClosed }

    /// Of a link that listens at a socket file of this machine, which whoever cleans a temporary directory may remove: makes
    /// it again. Who is connected stays connected. To be called now and then: between two steps of it ZeroMQ takes its time.
    ///
    /// - Returns: whether there was one to make, for people.
    package func restoreListener(at endpoint: String) throws(TransportError) -> Bool {
        guard SocketDirectory.isEndpoint(endpoint) else { return false }
        if isUnbound {
            try SocketDirectory.makeAgain(for: endpoint)
            _ = try socket.bind(endpoint)
            isUnbound = false
            return true
        }
        guard SocketDirectory.isGone(endpoint) else { return false }
        // ZeroMQ removes the file itself when it stops listening: a new one must not be there yet.
        socket.unbind(endpoint)
        isUnbound = true
        return false
    }

    package func close(lingerMilliseconds: Int) { socket.close(lingerMilliseconds: lingerMilliseconds) }

    /// The next thing that happened, or nil.
    ///
    /// Where many connect, messages come before the word that their connection is closed. Where there is one connection,
    /// the word that it was closed comes before what arrives by the next.
    package func next() throws(TransportError) -> Event? {
        if !waiting.isEmpty { return waiting.removeFirst() }
        if let arrival = try receive() {
            bytesReceived += arrival.frames.reduce(0) { $0 + UInt64($1.byteCount) }
            if let peer = arrival.peer {
                if !connections.knows(peer) { try takeEvents() }
                connections.arrived(from: peer, by: arrival.descriptor)
            } else {
                try takeEvents()
            }
            waiting.append(.message(decode(arrival)))
        } else {
            try takeEvents()
            waiting += connections.takeClosed().map { .closed($0) }
        }
        return waiting.isEmpty ? nil : waiting.removeFirst()
    }

    /// What comes from who has a name that is none of ours, or was cut, is not looked at, some of it at a time.
    private func receive() throws(TransportError) -> Socket.Arrival? {
        for _ in 0..<1000 {
            switch try socket.receive(skipping: { connections.isOutcast($0) }) {
            case .nothing: return nil
            case .arrival(let arrival): return arrival
            case .skipped: break
            case .misnamed(let descriptor):
                try takeEvents()
                if let descriptor { connections.cut(descriptor, "its name is too long") }
            }
        }
        return nil
    }

    private func takeEvents() throws(TransportError) {
        if let time = nextTry, .now >= time {
            nextTry = nil
            try socket.reconnect()
        }
        let events = socket.takeEvents()
        if events.isEmpty { return }
        guard socket.kind == .dealer else { return connections.take(events, at: MonotonicTime.now.milliseconds) }
        for event in events {
            switch event {
            case .opened: (hasMetSomebody, opened) = (true, .now)
            case .retried:
                // Nobody listens there now, whoever did before.
                if !hasMetSomebody { (isRefused, hasFailed) = (false, false) }
                hasMetSomebody = false
            case .ready:
                (downSince, hasFailed, isRefused, failures) = (nil, false, false, 0)
                waiting.append(.connected)
            case .refused, .failed, .closed:
                if case .refused = event { isRefused = true }
                // One that nobody answers ends by its deadline: the peer's process stands still.
                if case .failed = event { hasFailed = MonotonicTime.now.since(opened) < Socket.handshakeDeadline - 500 }
                if downSince == nil {
                    waiting.append(.closed(nil))
                    downSince = .now
                    // Whoever listens there next is not to hear what was meant for the peer that is gone.
                    if forgets, nextTry == nil {
                        socket.disconnect()
                        try socket.reconnect()
                    }
                }
                if case .closed = event { break }
                if nextTry != nil { break }
                nextTry = MonotonicTime.now.later(min(4000, 250 << min(failures, 4)))
                failures += 1
                socket.disconnect()
            }
        }
    }

    /// Of a link that connects: whoever it was connected to is not tried again.
    package func leave() {
        socket.disconnect()
        (nextTry, failures, isRefused, hasFailed, hasMetSomebody) = (nil, 0, false, false, false)
    }

    /// Closes connections that cost more than they may. - Returns: those closed from this end, and why.
    package func sweep() throws(TransportError) -> [Connections.Cut] {
        try takeEvents()
        connections.sweep(at: MonotonicTime.now.milliseconds)
        return connections.takeCuts()
    }

    /// Addresses whose handshake failed, since the last call.
    package func takeFailedHandshakes() -> [String] { connections.takeFailedHandshakes() }

    package func strike(_ peer: RoutingID, weight: Int) { connections.strike(peer, weight: weight) }

    package func cut(_ peer: RoutingID, because reason: String) { connections.cut(peer, because: reason) }

    package func belongs(_ peer: RoutingID, to owner: Connections.Owner) {
        if let address = connections.belongs(peer, to: owner, at: MonotonicTime.now.milliseconds) {
            socket.gatekeeper?.givesBack(address)
        }
    }

    private func decode(_ arrival: Socket.Arrival) -> Received {
        let frames = arrival.frames
        let values = frames.count == 2 ? frames[1] : nil
        let envelope: Result<Envelope, MessageError>
        if (1...2).contains(frames.count) {
            do throws(MessageError) {
                envelope = .success(
                    try frames[0].withBytes { (head) throws(MessageError) in
                        try Envelope.decode(head, payloadCount: values?.byteCount ?? 0)
                    })
            } catch {
                envelope = .failure(error)
            }
        } else {
            envelope = .failure(.malformed("\(frames.count) frames, where a message has one or two"))
        }
        return Received(peer: arrival.peer, key: arrival.key, envelope: envelope, values: values)
    }
}

/// The largest frame of a slice, its head included: one row of a tensor may be larger than a slice's usual limit.
package let largestSliceMessage = 32 << 20
/// The largest message without a slice.
package let largestControlMessage = 8 << 20
