// Endpoints: which of this machine's addresses others reach it by, and which port.

import Glibc
import PSTransport

package enum Addresses {
    /// All IPv4 addresses of this machine.
    package static let everywhere = "0.0.0.0"
    /// All addresses of this machine, IPv6 and IPv4.
    package static let everywhere6 = "::"

    package static func isEverywhere(_ host: String) -> Bool { host == everywhere || host == everywhere6 }

    /// tcp://HOST:PORT; an IPv6 address gets its brackets.
    package static func endpoint(_ host: String, _ port: some CustomStringConvertible) -> String {
        host.contains(":") ? "tcp://[\(host)]:\(port)" : "tcp://\(host):\(port)"
    }

    /// The addresses that a host's name has, in the resolver's order; or why it has none.
    package static func resolve(_ host: String, port: String? = nil) -> (addresses: [SocketAddress], problem: String?) {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, port, &hints, &list)
        guard code == 0 else { return ([], code == EAI_SYSTEM ? reason(errno) : String(cString: gai_strerror(code))) }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let info = next?.pointee {
            addresses.append(SocketAddress(info.ai_addr, info.ai_addrlen))
            next = info.ai_next
        }
        return (addresses, nil)
    }

    /// The address a host is meant by: the first of IPv4, and of IPv6 only where there is no other.
    package static func preferred(_ addresses: [SocketAddress]) -> SocketAddress? {
        addresses.first { $0.family == AF_INET } ?? addresses.first { $0.family == AF_INET6 }
    }

    /// The numeric address of this machine that faces `endpoint`: what a peer that sits there can reach.
    package static func local(facing endpoint: String) -> String? { try? way(to: endpoint).get().own }

    /// Why `endpoint` cannot be reached from this machine as it is now: its name is not known, or there is no way to it.
    package static func problem(reaching endpoint: String) -> String? {
        if SocketDirectory.isEndpoint(endpoint) { return nil }
        if case .failure(let problem) = way(to: endpoint) { return problem.text } else { return nil }
    }

    private struct Problem: Error { let text: String }

    /// The first of the endpoint's addresses that there is a way to, IPv4's first, and this machine's that faces it.
    private static func way(to endpoint: String) -> Result<(family: Int32, own: String), Problem> {
        guard let (host, port) = parse(endpoint) else {
            return .failure(Problem(text: mistake(in: endpoint) ?? "no endpoint"))
        }
        let (addresses, problem) = resolve(host, port: port)
        var missing = "\(host): \(problem ?? "no address")"
        for peer in addresses.filter({ $0.family == AF_INET }) + addresses.filter({ $0.family == AF_INET6 }) {
            // Connecting a datagram socket sends nothing; it only makes the kernel choose a route and with it an address.
            let descriptor = socket(peer.family, Int32(SOCK_DGRAM.rawValue), 0)
            defer { if descriptor >= 0 { close(descriptor) } }
            if descriptor >= 0, peer.withPointer({ Glibc.connect(descriptor, $0, $1) }) == 0,
                let own = SocketAddress(filling: { getsockname(descriptor, $0, $1) }), let address = own.numeric
            {
                return .success((peer.family, address))
            }
            let code = errno
            missing = "no way to \(host) (\(peer.numeric ?? "?")): \(reason(code))"
        }
        return .failure(Problem(text: missing))
    }

    private static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }

    /// The address of a host's name, since ZeroMQ listens on addresses only; what is no name is left for ZeroMQ to
    /// judge.
    package static func numericHost(_ host: String) -> String {
        if host == "*" { return hasOnlyIPv6 ? everywhere6 : everywhere }
        return preferred(resolve(host).addresses)?.numeric ?? host
    }

    /// Whether others can reach this machine by IPv6 alone.
    private static var hasOnlyIPv6: Bool {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return false }
        defer { freeifaddrs(list) }
        var families: Set<Int32> = []
        var next = list
        while let interface = next?.pointee {
            if let address = interface.ifa_addr, interface.ifa_flags & UInt32(IFF_LOOPBACK) == 0 {
                families.insert(Int32(address.pointee.sa_family))
            }
            next = interface.ifa_next
        }
        return families.contains(AF_INET6) && !families.contains(AF_INET)
    }

    /// Binds to the endpoint; a port of `*` is chosen free, below the range from which the kernel takes ports for
    /// outgoing connections: there, a reconnect to a dead port can end up connected to itself.
    package static func bind(_ socket: Socket, to wanted: String) throws(TransportError) -> String {
        guard let (name, port) = parse(wanted) else { return try socket.bind(wanted) }
        let host = numericHost(name)
        guard port == "*" || port == "0" else { return try socket.bind(endpoint(host, port)) }
        for _ in 0..<200 {
            do throws(TransportError) {
                return try socket.bind(endpoint(host, Int.random(in: 20_000..<32_000)))
            } catch  where error.isAddressInUse {
                continue
            }
        }
        return try socket.bind(endpoint(host, "*"))
    }

    /// Binds where others reach this process on the way to `peer`.
    ///
    /// - Parameter wanted: nil: the address that faces the peer, a free port.
    /// - Returns: the endpoint to tell them. Never one that a peer on another host would take for itself.
    package static func bind(
        _ socket: Socket, to wanted: String?, facing peer: String
    ) throws(TransportError) -> String {
        func facing() throws(TransportError) -> String {
            switch way(to: peer) {
            case .success(let way): return way.own
            case .failure(let problem):
                throw TransportError("find the address that faces \(peer)", reason: problem.text)
            }
        }
        guard let wanted else {
            if SocketDirectory.isEndpoint(peer) {
                // Beside the coordinator's, where nobody else comes.
                guard SocketDirectory.isPrivate(SocketDirectory.directory(of: peer)) else {
                    throw TransportError(
                        "listen beside \(peer)",
                        reason: "no directory of this user is there: its coordinator is gone, and the job perhaps over")
                }
                return try socket.bind(SocketDirectory.endpoint(beside: peer, "server-\(getpid())"))
            }
            return try bind(socket, to: endpoint(facing(), "*"))
        }
        guard let (host, port) = parse(wanted), host == "*" || isEverywhere(host) else {
            return try bind(socket, to: wanted)
        }
        let own = try facing()
        let isIPv6 = own.contains(":")
        if isIPv6, host == everywhere {
            throw TransportError(
                "listen on \(wanted)",
                reason: "that is IPv4, and \(peer) is reached by IPv6: use \(endpoint(everywhere6, port))")
        }
        let bound = try bind(socket, to: host == "*" ? endpoint(isIPv6 ? everywhere6 : everywhere, port) : wanted)
        return endpoint(own, parse(bound)?.port ?? port)
    }

    /// Connects by the protocol that the host is reached by; ZeroMQ looks a name up again whenever it reconnects.
    package static func connect(_ socket: Socket, to endpoint: String) throws(TransportError) {
        guard let (host, _) = parse(endpoint) else { return try socket.connect(endpoint) }
        // By IPv6, ZeroMQ would not try the IPv4 addresses of a name that has both. Of one that is not known, it takes
        // what there will be.
        let family = (try? way(to: endpoint).get().family) ?? preferred(resolve(host).addresses)?.family
        try socket.connect(endpoint, usesIPv6: family != AF_INET)
    }
}

/// An address as the socket calls take it.
package struct SocketAddress {
    private var storage = sockaddr_storage()
    private var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    init(_ address: UnsafePointer<sockaddr>, _ length: socklen_t) {
        self.length = min(length, self.length)
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(self.length)))
        }
    }

    /// What a call fills in that returns 0.
    init?(filling call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) {
        let code = withUnsafeMutablePointer(to: &storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &length) }
        }
        if code != 0 { return nil }
    }

    var family: Int32 { Int32(storage.ss_family) }

    func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
        withUnsafePointer(to: storage) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) } }
    }

    /// "10.0.0.1", "::1", "fe80::1%eth0".
    package var numeric: String? {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard withPointer({ getnameinfo($0, $1, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) }) == 0 else {
            return nil
        }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
