// Waiting for any of a few sockets and file descriptors.

import CZeroMQ

package enum Poller {
    /// Returns when a socket or descriptor is readable, or after the time, or on a signal.
    /// - Parameter milliseconds: 0 returns at once.
    package static func wait(sockets: [Socket], descriptors: [Int32], milliseconds: Int) throws(TransportError) {
        var items = sockets.flatMap { [$0.handle, $0.monitor?.handle].compactMap(\.self) }.map {
            zmq_pollitem_t(socket: $0, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
        }
        items += descriptors.map { zmq_pollitem_t(socket: nil, fd: $0, events: Int16(ZMQ_POLLIN), revents: 0) }
        if zmq_poll(&items, Int32(items.count), milliseconds) < 0, zmq_errno() != EINTR {
            throw TransportError("wait for messages")
        }
    }
}
