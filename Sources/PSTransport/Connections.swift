// The connections of a socket that listens: who is there, for how long, and who costs too much. What a peer that belongs
// to nobody may cost is bounded here: connections, time, bytes.

import CZeroMQ
import Glibc

/// Bounds on what connections may cost.
package struct ConnectionLimits: Sendable, Hashable {
    /// Connections that belong to no member, at once; the oldest is closed for another.
    package var strangers = 256
    /// Milliseconds in which a connection must come to belong to somebody.
    package var patience = 5000
    /// Bytes that a connection which belongs to no member may send without a message that counts: room for the first
    /// words of a member. Two bytes on the wire may come to 64 in memory.
    package var strangerBytes: Int
    /// The same for all of them together; the oldest is closed for the others.
    package var strangersBytes: Int
    /// Messages that a connection which belongs to no member may send in vain.
    package var strikes = 16
    /// A person who asks again within so many milliseconds asks in vain.
    package var haste = 20
    /// Bytes that a member may send without a message coming of it.
    ///
    /// A worker's whole gradient may be on its way while this process does not run.
    package var pendingBytes = 1 << 30

    /// Of a coordinator: a member's first words are a hello and some heartbeats, a person's a question.
    package static let control = ConnectionLimits(strangerBytes: 16 << 10, strangersBytes: 2 << 20)
    /// Of a server: what was on its way when a worker's connection was lost comes first by the next, a slice of a
    /// gradient as a rule.
    package static let bulk = ConnectionLimits(strangerBytes: 2 << 20, strangersBytes: 8 << 20)
}

package struct Connections {
    /// A connection that was closed from this end, and why.
    package struct Cut: Sendable, Hashable {
        package let address: String
        package let reason: String
    }

    /// To whom a connection belongs.
    package enum Owner: Sendable, Hashable {
        /// Who may ask, and is not looked at further.
        case person
        case member
    }

    private struct Connection {
        let address: String
        /// When it was opened, or last of use.
        var since: Int
        /// Of the kernel's socket: tells it from a later one with the same descriptor.
        let inode: UInt64
        /// Who spoke by it last.
        var peer: RoutingID?
        /// Nil: a stranger's.
        var owner: Owner?
        /// Bytes received when the last message had come that counts: of a member's any.
        var heard = 0
        /// What came in vain since.
        var strikes = 0
        var isCut = false
    }

    private let limits: ConnectionLimits
    private var byDescriptor: [Int32: Connection] = [:]
    private var descriptors: [RoutingID: Int32] = [:]
    /// Of connections that were closed from this end: what they left behind is not looked at.
    private var outcasts: Set<RoutingID> = []
    private var closed: [RoutingID] = []
    /// A handshake has failed, of the connection that is closed next.
    private var isFailing = false
    private var failedHandshakes: [String] = []
    private var cuts: [Cut] = []
    /// When the first was cut since memory was last given back.
    private var firstCut: Int?

    package init(_ limits: ConnectionLimits) { self.limits = limits }

    package var count: Int { byDescriptor.count }
    package func knows(_ peer: RoutingID) -> Bool { descriptors[peer] != nil }
    /// Whether the connection was closed from this end: nothing that comes by it is heard.
    package func isOutcast(_ peer: RoutingID) -> Bool {
        descriptors[peer].flatMap { byDescriptor[$0]?.isCut } ?? outcasts.contains(peer)
    }

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
                    address: Connections.address(of: descriptor), since: now,
                    inode: Connections.inode(of: descriptor) ?? 0)
            case .closed(let descriptor):
                if isFailing, let connection = byDescriptor[descriptor] { failedHandshakes.append(connection.address) }
                isFailing = false
                remove(descriptor)
            case .failed: isFailing = true
            // A key that is not let in is the gatekeeper's to tell of.
            case .ready, .refused, .retried: break
            }
        }
    }

    private mutating func remove(_ descriptor: Int32) {
        guard let connection = byDescriptor.removeValue(forKey: descriptor), let peer = connection.peer else { return }
        if connection.isCut {
            // Each leaves behind what it had sent; that is long taken when so many more have come.
            if outcasts.count >= 10_000 { outcasts = [] }
            outcasts.insert(peer)
        }
        forget(peer)
    }

    private mutating func forget(_ peer: RoutingID) {
        descriptors[peer] = nil
        closed.append(peer)
    }

    /// A message has come. Events that happened before it are taken before.
    ///
    /// It may have been left behind by a connection that is closed, whose number another one has by now. That one is not
    /// taken for the sender's once it belongs to somebody; before, whoever speaks by it next puts that right.
    package mutating func arrived(from peer: RoutingID, by descriptor: Int32?) {
        if descriptors[peer] == nil, let descriptor, let connection = byDescriptor[descriptor],
            connection.owner != .member
        {
            if let former = connection.peer { forget(former) }
            descriptors[peer] = descriptor
            byDescriptor[descriptor]?.peer = peer
        }
        guard let descriptor = descriptors[peer], byDescriptor[descriptor]?.owner == .member else { return }
        byDescriptor[descriptor]!.heard = Connections.receivedBytes(of: descriptor)
    }

    /// What came by the connection shows whose it is.
    ///
    /// - Returns: the address, without its port, of a connection that was no member's before.
    package mutating func belongs(_ peer: RoutingID, to owner: Owner, at now: Int) -> String? {
        guard let descriptor = descriptors[peer], let connection = byDescriptor[descriptor] else { return nil }
        let isNews = owner == .member && connection.owner != .member
        if connection.owner != .member { byDescriptor[descriptor]!.owner = owner }
        byDescriptor[descriptor]!.since = now
        if owner == .person, connection.owner == .person, now - connection.since < limits.haste {
            strike(peer, weight: 1)
        } else {
            byDescriptor[descriptor]!.strikes = 0
        }
        byDescriptor[descriptor]!.heard = Connections.receivedBytes(of: descriptor)
        return isNews ? connection.address.lastIndex(of: ":").map { String(connection.address[..<$0]) } : nil
    }

    /// What came by the connection is of no use, or nobody's business: a member may have its reasons, a stranger is cut when
    /// it comes to too much.
    ///
    /// - Parameter weight: of `limits.strikes`.
    package mutating func strike(_ peer: RoutingID, weight: Int) {
        guard let descriptor = descriptors[peer], byDescriptor[descriptor]?.owner != .member else { return }
        byDescriptor[descriptor]!.strikes += weight
        if byDescriptor[descriptor]!.strikes >= limits.strikes {
            cut(descriptor, "it says much that is of no use here")
        }
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

    /// Closes the connection with this number from this end, as far as there is one.
    package mutating func cut(_ descriptor: Int32, _ reason: String) {
        guard let connection = byDescriptor[descriptor], !connection.isCut else { return }
        byDescriptor[descriptor]!.isCut = true
        cuts.append(Cut(address: connection.address, reason: reason))
        // ZeroMQ finds it closed and tells so. The number may be another file's by now.
        guard Connections.inode(of: descriptor) == connection.inode else { return }
        shutdown(descriptor, Int32(SHUT_RDWR))
        // It would go on reading what has come until then.
        var waste = [UInt8](repeating: 0, count: 64 << 10)
        for _ in 0..<64 {
            if recv(descriptor, &waste, waste.count, Int32(MSG_DONTWAIT)) <= 0 { break }
        }
    }

    /// Closes what costs more than it may.
    package mutating func sweep(at now: Int) {
        giveMemoryBack(at: now)
        var strangers: [(isKnown: Bool, since: Int, descriptor: Int32, bytes: Int)] = []
        for (descriptor, connection) in byDescriptor where !connection.isCut {
            let bytes = Connections.receivedBytes(of: descriptor) - connection.heard
            switch connection.owner {
            case .member:
                if bytes > limits.pendingBytes { cut(descriptor, "a message that does not end") }
            case _ where bytes > limits.strangerBytes: cut(descriptor, "it sends much and shows nothing")
            case nil where now - connection.since > limits.patience:
                cut(descriptor, "it has shown nothing for \(limits.patience / 1000) s")
            default: strangers.append((connection.owner != nil, connection.since, descriptor, bytes))
            }
        }
        var (count, bytes) = (strangers.count, strangers.reduce(0) { $0 + $1.bytes })
        // People last.
        strangers.sort { ($0.isKnown ? 1 : 0, $0.since, $0.descriptor) < ($1.isKnown ? 1 : 0, $1.since, $1.descriptor) }
        for stranger in strangers where count > limits.strangers || bytes > limits.strangersBytes {
            count -= 1
            bytes -= stranger.bytes
            cut(stranger.descriptor, "there are too many of its kind")
        }
    }

    /// What a flood of connections has cost would stay with the process as free memory of its allocator.
    private mutating func giveMemoryBack(at now: Int) {
        guard let since = firstCut else {
            if !cuts.isEmpty { firstCut = now }
            return
        }
        if now - since < 10_000 { return }
        firstCut = nil
        malloc_trim(0)
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
