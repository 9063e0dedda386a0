// A ZeroMQ socket: created, used and closed by one thread. It moves frames and knows no messages.

import CZeroMQ

/// The process's ZeroMQ threads.
package final class TransportContext: @unchecked Sendable {
    // Sendable: ZeroMQ contexts are thread-safe.

    fileprivate let handle: UnsafeMutableRawPointer

    package init() { handle = zmq_ctx_new() }

    /// Waits until every socket is closed.
    deinit { zmq_ctx_term(handle) }
}

/// A peer of a ROUTER socket, as ZeroMQ names it.
package struct RoutingID: Hashable, Sendable {
    package let bytes: [UInt8]

    package init(bytes: [UInt8]) { self.bytes = bytes }
}

package final class Socket {
    package enum Kind { case router, dealer }

    package enum SendResult {
        case sent
        /// The peer is gone.
        case unreachable
    }

    let handle: UnsafeMutableRawPointer
    private let context: TransportContext
    package private(set) var isClosed = false
    package let kind: Kind

    /// - Parameter largestMessage: a peer that sends a larger frame is disconnected.
    package init(_ kind: Kind, context: TransportContext, largestMessage: Int) throws(TransportError) {
        guard let handle = zmq_socket(context.handle, kind == .router ? ZMQ_ROUTER : ZMQ_DEALER) else {
            throw TransportError("create a socket")
        }
        self.handle = handle
        self.context = context
        self.kind = kind
        set(ZMQ_LINGER, 0)
        // Flow control is the protocol's: a peer is only sent what it asked for.
        set(ZMQ_SNDHWM, 0)
        set(ZMQ_RCVHWM, 0)
        set(ZMQ_SNDBUF, 1 << 20)
        set(ZMQ_RCVBUF, 1 << 20)
        set(ZMQ_RECONNECT_IVL, 50)
        set(ZMQ_RECONNECT_IVL_MAX, 1000)
        // A peer that takes nothing for this long is cut, so that it does not pin buffers for ever.
        set(ZMQ_TCP_MAXRT, 30_000)
        var limit = Int64(largestMessage)
        zmq_setsockopt(handle, ZMQ_MAXMSGSIZE, &limit, MemoryLayout<Int64>.size)
        if kind == .router { set(ZMQ_ROUTER_MANDATORY, 1) }
    }

    private func set(_ option: Int32, _ value: Int32) {
        var value = value
        zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size)
    }

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

    /// - Parameter usesIPv6: looks a name up as IPv6, and as IPv4 only where it has no such address.
    package func connect(_ endpoint: String, usesIPv6: Bool = false) throws(TransportError) {
        set(ZMQ_IPV6, usesIPv6 || endpoint.contains("[") ? 1 : 0)
        guard zmq_connect(handle, endpoint) == 0 else { throw TransportError("connect to \(endpoint)") }
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

    /// The frames of the next message that has arrived, or nil. A router's first frame is split off as the peer.
    package func receive() throws(TransportError) -> (peer: RoutingID?, frames: [Frame])? {
        var frames: [Frame] = []
        repeat {
            let frame = Frame.empty()
            while zmq_msg_recv(frame.message, handle, ZMQ_DONTWAIT) < 0 {
                switch zmq_errno() {
                case EINTR: continue
                case EAGAIN where frames.isEmpty: return nil
                default: throw TransportError("receive a message")
                }
            }
            frames.append(frame)
        } while zmq_msg_more(frames[frames.count - 1].message) != 0
        guard kind == .router else { return (nil, frames) }
        return (RoutingID(bytes: frames[0].withBytes { Array($0) }), Array(frames.dropFirst()))
    }

    /// Closes the socket; what was sent last is given this long to leave.
    package func close(lingerMilliseconds: Int) {
        if isClosed { return }
        isClosed = true
        set(ZMQ_LINGER, Int32(lingerMilliseconds))
        zmq_close(handle)
    }

    deinit { close(lingerMilliseconds: 0) }
}
