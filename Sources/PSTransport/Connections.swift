// The connections of a socket that listens: who is there, for how long, and who costs too much. What a peer that belongs
// to nobody may cost is bounded here: connections, time, bytes.

import Glibc

/// Bounds on what connections may cost.
package struct ConnectionLimits: Sendable, Hashable {
    /// Connections that belong to nobody, at once; the oldest is closed for another.
    package var strangers = 256
    /// Milliseconds in which a connection must come to belong to somebody.
    package var patience = 5000
    /// Bytes that a connection which belongs to nobody may send.
    package var strangerBytes = 256 << 10
    /// Bytes that anybody may send without a message coming of it.
    ///
    /// A worker's whole gradient may be on its way while this process does not run.
    package var pendingBytes = 1 << 30

    package init() {}
}

package struct Connections {
    /// A connection that was closed from this end, and why.
    package struct Cut: Sendable, Hashable {
        package let address: String
        package let reason: String
    }

    private struct Connection {
        let address: String
        let opened: Int
        /// Of the kernel's socket: tells it from a later one with the same descriptor.
        let inode: UInt64
        var peer: RoutingID?
        var isSomebodys = false
        /// Bytes received when the last whole message had come.
        var whole = 0
        var isCut = false
    }

    private let limits: ConnectionLimits
    private var byDescriptor: [Int32: Connection] = [:]
    private var descriptors: [RoutingID: Int32] = [:]
    private var closed: [RoutingID] = []
    private var failedHandshakes: [String] = []
    private var cuts: [Cut] = []

    package init(_ limits: ConnectionLimits) { self.limits = limits }

    package var count: Int { byDescriptor.count }
    package func knows(_ peer: RoutingID) -> Bool { descriptors[peer] != nil }
    package func address(of peer: RoutingID) -> String {
        descriptors[peer].flatMap { byDescriptor[$0]?.address } ?? "an unknown address"
    }

    /// - Parameter now: milliseconds of a clock that does not go back.
    package mutating func take(_ events: [ConnectionEvent], at now: Int) {
        for event in events {
            switch event {
            case .opened(let descriptor):
                remove(descriptor)
                byDescriptor[descriptor] = Connection(
                    address: Connections.address(of: descriptor), opened: now,
                    inode: Connections.inode(of: descriptor) ?? 0)
            case .closed(let descriptor): remove(descriptor)
            case .refused(let descriptor), .failed(let descriptor):
                if let connection = byDescriptor[descriptor] { failedHandshakes.append(connection.address) }
                remove(descriptor)
            case .ready, .retried: break
            }
        }
    }

    private mutating func remove(_ descriptor: Int32) {
        guard let peer = byDescriptor.removeValue(forKey: descriptor)?.peer else { return }
        descriptors[peer] = nil
        closed.append(peer)
    }

    /// A message has come. Events that happened before it are taken before.
    package mutating func arrived(from peer: RoutingID, by descriptor: Int32?) {
        if descriptors[peer] == nil, let descriptor, byDescriptor[descriptor] != nil {
            descriptors[peer] = descriptor
            byDescriptor[descriptor]!.peer = peer
        }
        guard let descriptor = descriptors[peer] else { return }
        byDescriptor[descriptor]!.whole = Connections.receivedBytes(of: descriptor)
    }

    /// The connection belongs to a member of the job or to a person who may ask.
    package mutating func isSomebodys(_ peer: RoutingID) {
        if let descriptor = descriptors[peer] { byDescriptor[descriptor]?.isSomebodys = true }
    }

    /// Peers whose connection is closed, since the last call.
    package mutating func takeClosed() -> [RoutingID] {
        defer { closed = [] }
        return closed
    }

    /// Addresses whose handshake failed, since the last call.
    package mutating func takeFailedHandshakes() -> [String] {
        defer { failedHandshakes = [] }
        return failedHandshakes
    }

    package mutating func takeCuts() -> [Cut] {
        defer { cuts = [] }
        return cuts
    }

    /// Closes a connection from this end.
    package mutating func cut(_ peer: RoutingID, because reason: String) {
        if let descriptor = descriptors[peer] { cut(descriptor, reason) }
    }

    private mutating func cut(_ descriptor: Int32, _ reason: String) {
        guard let connection = byDescriptor[descriptor], !connection.isCut else { return }
        byDescriptor[descriptor]!.isCut = true
        cuts.append(Cut(address: connection.address, reason: reason))
        // ZeroMQ finds it closed and tells so. The number may be another file's by now.
        if Connections.inode(of: descriptor) == connection.inode { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    /// Closes what costs more than it may.
    package mutating func sweep(at now: Int) {
        var strangers: [(opened: Int, descriptor: Int32)] = []
        for (descriptor, connection) in byDescriptor where !connection.isCut {
            let received = Connections.receivedBytes(of: descriptor)
            if received - connection.whole > limits.pendingBytes {
                cut(descriptor, "a message that does not end")
            } else if !connection.isSomebodys {
                if received > limits.strangerBytes {
                    cut(descriptor, "it sends much and shows nothing")
                } else if now - connection.opened > limits.patience {
                    cut(descriptor, "it has shown nothing for \(limits.patience / 1000) s")
                } else {
                    strangers.append((connection.opened, descriptor))
                }
            }
        }
        guard strangers.count > limits.strangers else { return }
        strangers.sort { ($0.opened, $0.descriptor) < ($1.opened, $1.descriptor) }
        for stranger in strangers.prefix(strangers.count - limits.strangers) {
            cut(stranger.descriptor, "there are too many of its kind")
        }
    }

    // MARK: The kernel's sockets

    private static func inode(of descriptor: Int32) -> UInt64? {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
        return UInt64(status.st_ino)
    }

    private static func address(of descriptor: Int32) -> String {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let text = withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address -> String? in
                guard getpeername(descriptor, address, &length) == 0 else { return nil }
                if Int32(address.pointee.sa_family) == AF_UNIX { return "this machine" }
                var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
                var port = [CChar](repeating: 0, count: Int(NI_MAXSERV))
                let flags = NI_NUMERICHOST | NI_NUMERICSERV
                guard
                    getnameinfo(
                        address, length, &host, socklen_t(host.count), &port, socklen_t(port.count), flags) == 0
                else { return nil }
                func string(_ text: [CChar]) -> String {
                    String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                }
                return "\(string(host)):\(string(port))"
            }
        }
        return text ?? "an address that is gone"
    }

    /// Bytes a TCP connection has received since it was opened; 0 for a socket of this machine, which only its owner reaches.
    private static func receivedBytes(of descriptor: Int32) -> Int {
        // struct tcp_info of Linux 4.1 and later: tcpi_bytes_received lies at 128.
        var info = [UInt8](repeating: 0, count: 256)
        var length = socklen_t(info.count)
        guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) == 0, length >= 136 else {
            return 0
        }
        return info.withUnsafeBytes { Int(clamping: $0.loadUnaligned(fromByteOffset: 128, as: UInt64.self)) }
    }
}
