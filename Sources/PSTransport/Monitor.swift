// What happens to a socket's connections, as ZeroMQ tells it.

import CZeroMQ
import Glibc

/// What happened to a connection. It is named by the number of its descriptor, which a later one may get again; of a
/// handshake's end ZeroMQ does not say whose it was: the number it gives there is an error's.
package enum ConnectionEvent: Sendable, Hashable {
    /// There is a connection; the handshake is to come.
    case opened(Int32)
    /// A handshake is done.
    case ready
    case closed(Int32)
    /// A key that was shown is not let in.
    case refused
    /// A handshake failed otherwise: the peer speaks another way, or its key is not the one that was meant. The word that
    /// its connection is closed comes next.
    case failed
    /// A socket that connects could not, and tries again.
    case retried
}

/// Reads a socket's events. Used by the thread that owns the socket.
final class Monitor {
    let handle: UnsafeMutableRawPointer
    private let watched: UnsafeMutableRawPointer

    private static let events =
        ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CLOSED
        | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL
        | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH

    init(of socket: UnsafeMutableRawPointer, context: UnsafeMutableRawPointer) throws(TransportError) {
        let endpoint = "inproc://monitor-\(UInt(bitPattern: socket))"
        guard zmq_socket_monitor(socket, endpoint, Monitor.events) == 0,
            let handle = zmq_socket(context, ZMQ_PAIR)
        else { throw TransportError("watch a socket's connections") }
        self.handle = handle
        watched = socket
        // No mark: ZeroMQ's thread, which writes the events, must never wait for this one.
        var none: Int32 = 0
        zmq_setsockopt(handle, ZMQ_RCVHWM, &none, MemoryLayout<Int32>.size)
        zmq_setsockopt(handle, ZMQ_LINGER, &none, MemoryLayout<Int32>.size)
        guard zmq_connect(handle, endpoint) == 0 else {
            let error = TransportError("watch a socket's connections")
            close()
            throw error
        }
    }

    /// In the order they happened.
    func take() -> [ConnectionEvent] {
        var events: [ConnectionEvent] = []
        while let bytes = receive() {
            guard bytes.count >= 6 else { continue }
            let kind = Int32(bytes[0]) | Int32(bytes[1]) << 8
            let value = bytes[2..<6].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let descriptor = Int32(bitPattern: value)
            switch kind {
            case ZMQ_EVENT_CONNECTED, ZMQ_EVENT_ACCEPTED: events.append(.opened(descriptor))
            case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: events.append(.ready)
            case ZMQ_EVENT_DISCONNECTED, ZMQ_EVENT_CLOSED: events.append(.closed(descriptor))
            case ZMQ_EVENT_CONNECT_RETRIED: events.append(.retried)
            case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: events.append(.refused)
            default: events.append(.failed)
            }
        }
        return events
    }

    /// The first frame of the next event; the second has an address that says nothing of the peer.
    private func receive() -> [UInt8]? {
        var message = zmq_msg_t()
        zmq_msg_init(&message)
        defer { zmq_msg_close(&message) }
        var first: [UInt8]?
        repeat {
            while zmq_msg_recv(&message, handle, ZMQ_DONTWAIT) < 0 { if zmq_errno() != EINTR { return nil } }
            if first == nil {
                first = Array(UnsafeRawBufferPointer(start: zmq_msg_data(&message), count: zmq_msg_size(&message)))
            }
        } while zmq_msg_more(&message) != 0
        return first
    }

    func close() {
        zmq_socket_monitor(watched, nil, 0)
        zmq_close(handle)
    }
}
