// A ZeroMQ socket: created, used and closed by one thread. It moves frames and knows no messages.

import CZeroMQ
import Glibc

/// A peer of a ROUTER socket, as ZeroMQ names it.
package struct RoutingID: Hashable, Sendable {
    /// Those that ZeroMQ gives have five.
    static let mostBytes = 8

    private let word: UInt64
    private let count: Int

    /// - Parameter bytes: at most eight.
    package init(bytes: [UInt8]) {
        self = bytes.withUnsafeBytes { RoutingID($0) }
    }

    init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= RoutingID.mostBytes)
        word = bytes.reduce(0) { $0 << 8 | UInt64($1) }
        count = bytes.count
    }

    var bytes: [UInt8] { (0..<count).reversed().map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
}

package final class Socket {
    package enum Kind { case router, dealer }

    package enum SendResult {
        case sent
        /// The peer is gone.
        case unreachable
    }

    let handle: UnsafeMutableRawPointer
    /// For frames that are looked at and let go.
    private let scratch = Frame.empty()
    private(set) var monitor: Monitor?
    /// Of a socket that connects.
    private var remote: (endpoint: String, usesIPv6: Bool)?
    private let context: TransportContext
    package private(set) var isClosed = false
    package let kind: Kind

    init(_ kind: Kind, context: TransportContext, largestMessage: Int) throws(TransportError) {
        // A router numbers its connections from what rand() gives, and ends the process when a peer has claimed the next
        // number for itself: nobody must know it.
        if kind == .router { srand(UInt32.random(in: 0...UInt32.max)) }
        guard let handle = zmq_socket(context.handle, kind == .router ? ZMQ_ROUTER : ZMQ_DEALER) else {
            throw TransportError("create a socket")
        }
        self.handle = handle
        self.context = context
        self.kind = kind
        set(ZMQ_LINGER, 0)
        // Flow control is the protocol's: a peer is only sent what it asked for.
        set(ZMQ_SNDHWM, kind == .router ? Socket.mostUnread : 0)
        set(ZMQ_RCVHWM, kind == .router ? Socket.mostUnheard : 0)
        set(ZMQ_SNDBUF, 1 << 20)
        set(ZMQ_RCVBUF, 1 << 20)
        set(ZMQ_RECONNECT_IVL, 50)
        // A coordinator that was started again is found soon.
        set(ZMQ_RECONNECT_IVL_MAX, 200)
        // An attempt that meets a broken path is given up soon: the next one finds it mended.
        set(ZMQ_CONNECT_TIMEOUT, 3000)
        set(ZMQ_HANDSHAKE_IVL, Int32(Socket.handshakeDeadline))
        // A peer that takes nothing for this long is cut, so that it does not pin buffers for ever.
        set(ZMQ_TCP_MAXRT, 30_000)
        var limit = Int64(largestMessage)
        zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &limit, MemoryLayout<Int64>.size)
        if kind == .router { set(ZMQ_ROUTER_MANDATORY, 1) }
    }

    /// In milliseconds.
    package static let handshakeDeadline = 5000
    /// Messages that may wait for one peer of a router; who takes none of them for so long is cut.
    private static let mostUnread: Int32 = 20_000
    /// Messages of one peer that may wait for this process; the others wait with the peer.
    private static let mostUnheard: Int32 = 64
    private func set(_ option: Int32, _ value: Int32) {
        var value = value
        zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size)
    }

    private func must(_ option: Int32, _ value: Int32, _ attempt: String) throws(TransportError) {
        var value = value
        guard zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size) == 0 else {
            throw TransportError(attempt)
        }
    }

    private func must(_ option: Int32, _ text: String, _ attempt: String) throws(TransportError) {
        guard zmq_setsockopt(handle, option, text, text.utf8.count) == 0 else { throw TransportError(attempt) }
    }

    package var gatekeeper: Gatekeeper? { context.gatekeeper }

    /// Lets in only peers that the gatekeeper lets in; nobody where there is none.
    ///
    /// - Parameter secretKey: nil: without keys.
    func ask(secretKey: String?) throws(TransportError) {
        try must(Int32(PS_ZMQ_ZAP_ENFORCE_DOMAIN), 1, "ask who comes: this libzmq cannot")
        try must(ZMQ_ZAP_DOMAIN, "ps", "ask who comes")
        guard let secretKey else { return }
        try must(ZMQ_CURVE_SERVER, 1, "ask for keys: this libzmq cannot")
        try must(ZMQ_CURVE_SECRETKEY, secretKey, "use the secret key")
    }

    func show(_ keys: ClientKeys) throws(TransportError) {
        try must(ZMQ_CURVE_SERVERKEY, keys.serverKey, "use the peer's public key")
        try must(ZMQ_CURVE_PUBLICKEY, keys.publicKey, "use the public key")
        try must(ZMQ_CURVE_SECRETKEY, keys.secretKey, "use the secret key")
    }

    func watch() throws(TransportError) { monitor = try Monitor(of: handle, context: context.handle) }

    /// What happened to its connections since the last call.
    package func takeEvents() -> [ConnectionEvent] { monitor?.take() ?? [] }

    /// - Returns: the endpoint as bound, port included.
    @discardableResult
    package func bind(_ endpoint: String) throws(TransportError) -> String {
        set(ZMQ_IPV6, endpoint.contains("[") ? 1 : 0)
        guard zmq_bind(handle, endpoint) == 0 else { throw TransportError("listen on \(endpoint)") }
        var text = [CChar](repeating: 0, count: 256)
        var count = text.count
        zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &count)
        return String(decoding: text.prefix(max(0, count - 1)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Listens there no more, soon; connections stay.
    package func unbind(_ endpoint: String) { zmq_unbind(handle, endpoint) }

    /// - Parameter usesIPv6: looks a name up as IPv6, and as IPv4 only where it has no such address.
    package func connect(_ endpoint: String, usesIPv6: Bool = false) throws(TransportError) {
        set(ZMQ_IPV6, usesIPv6 || endpoint.contains("[") ? 1 : 0)
        guard zmq_connect(handle, endpoint) == 0 else { throw TransportError("connect to \(endpoint)") }
        remote = (endpoint, usesIPv6)
    }

    /// Lets go of the peer, and of what waits to be sent there, until `reconnect`.
    package func disconnect() {
        if let remote { zmq_disconnect(handle, remote.endpoint) }
    }

    package func reconnect() throws(TransportError) {
        if let remote { try connect(remote.endpoint, usesIPv6: remote.usesIPv6) }
    }

    /// Sends one multipart message without blocking; with high-water marks off, ZeroMQ queues it.
    package func send(_ frames: [Frame], to peer: RoutingID? = nil) throws(TransportError) -> SendResult {
        precondition((peer != nil) == (kind == .router), "a router needs a peer, a dealer has one")
        let all = peer.map { [Frame($0.bytes)] + frames } ?? frames
        for (index, frame) in all.enumerated() {
            let flags = ZMQ_DONTWAIT | (index + 1 < all.count ? ZMQ_SNDMORE : 0)
            while zmq_msg_send(frame.message, handle, flags) < 0 {
                switch zmq_errno() {
                case EINTR: continue
                case EHOSTUNREACH, EAGAIN: return .unreachable
                default: throw TransportError("send a message")
                }
            }
        }
        return .sent
    }

    /// A message as it arrived.
    package struct Arrival {
        /// A router's sender.
        package let peer: RoutingID?
        package let frames: [Frame]
        /// The descriptor of the connection it came by; nil where that is not known.
        package let descriptor: Int32?
        /// The public key the sender showed, in Z85; nil: none was asked for.
        package let key: String?
    }

    /// What there was to receive.
    package enum Reception {
        case nothing
        case arrival(Arrival)
        /// It was not read: its sender is not heard.
        case skipped
        /// It was not read: its sender, by the connection with this number, has a name that none of ours has.
        case misnamed(Int32?)
    }

    /// The next message that has arrived. A router's first frame is the peer's name.
    ///
    /// - Parameter skips: whether a peer is not heard.
    package func receive(skipping skips: (RoutingID) -> Bool = { _ in false }) throws(TransportError) -> Reception {
        var peer: RoutingID?
        if kind == .router {
            guard try receive(scratch) else { return .nothing }
            let count = zmq_msg_size(scratch.message)
            // A long name costs its length with each message, however short.
            if count > RoutingID.mostBytes { return .misnamed(try skipRest()) }
            let name = RoutingID(UnsafeRawBufferPointer(start: zmq_msg_data(scratch.message), count: count))
            if skips(name) {
                _ = try skipRest()
                return .skipped
            }
            peer = name
        }
        var frames: [Frame] = []
        repeat {
            let frame = Frame.empty()
            guard try receive(frame) else { return .nothing }
            frames.append(frame)
        } while zmq_msg_more(frames[frames.count - 1].message) != 0
        let last = frames[frames.count - 1]
        return .arrival(
            Arrival(
                peer: peer, frames: frames, descriptor: last.descriptor,
                key: last.property("User-Id").flatMap { $0.isEmpty ? nil : $0 }))
    }

    /// - Returns: whether there was one.
    private func receive(_ frame: Frame) throws(TransportError) -> Bool {
        while zmq_msg_recv(frame.message, handle, ZMQ_DONTWAIT) < 0 {
            switch zmq_errno() {
            case EINTR: continue
            case EAGAIN: return false
            default: throw TransportError("receive a message")
            }
        }
        return true
    }

    /// The frames behind the name. - Returns: the number of the connection they came by.
    private func skipRest() throws(TransportError) -> Int32? {
        while zmq_msg_more(scratch.message) != 0, try receive(scratch) {}
        return scratch.descriptor
    }

    /// Closes the socket; what was sent last is given this long to leave.
    package func close(lingerMilliseconds: Int) {
        if isClosed { return }
        isClosed = true
        monitor?.close()
        set(ZMQ_LINGER, Int32(lingerMilliseconds))
        zmq_close(handle)
    }

    deinit { close(lingerMilliseconds: 0) }
}
