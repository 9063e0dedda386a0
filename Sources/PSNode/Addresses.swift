// Endpoints: which of this machine's addresses others reach it by, and which port.

import Glibc
import PSTransport

package enum Addresses {
    /// All addresses of this machine.
    package static let everywhere = "0.0.0.0"

    /// Host and port of tcp://HOST:PORT, or nil.
    package static func parse(_ endpoint: String) -> (host: String, port: String)? {
        guard endpoint.hasPrefix("tcp://"), let colon = endpoint.lastIndex(of: ":") else { return nil }
        let host = endpoint[
            endpoint.index(
                endpoint.startIndex, offsetBy: 6)..<max(colon, endpoint.index(endpoint.startIndex, offsetBy: 6))]
        let port = endpoint[endpoint.index(after: colon)...]
        guard !host.isEmpty, port == "*" || UInt16(port) != nil else { return nil }
        return (String(host), String(port))
    }

    /// The numeric address of this machine that faces `endpoint`: what a peer that sits there can reach.
    package static func local(facing endpoint: String) -> String? {
        guard let (host, port) = parse(endpoint), let list = resolve(host, port: port) else { return nil }
        defer { freeaddrinfo(list) }
        let info = list
        // Connecting a datagram socket sends nothing; it only makes the kernel choose a route and with it an address.
        let descriptor = socket(info.pointee.ai_family, info.pointee.ai_socktype, 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard connect(descriptor, info.pointee.ai_addr, info.pointee.ai_addrlen) == 0 else { return nil }
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length) == 0 ? numeric($0, length) : nil
            }
        }
    }

    private static func resolve(_ host: String, port: String? = nil) -> UnsafeMutablePointer<addrinfo>? {
        var hints = addrinfo()
        hints.ai_family = AF_INET
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        return getaddrinfo(host, port, &hints, &list) == 0 ? list : nil
    }

    private static func numeric(_ address: UnsafePointer<sockaddr>, _ length: socklen_t) -> String? {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard getnameinfo(address, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 else {
            return nil
        }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The address of a host's name, since ZeroMQ listens on addresses only; what is no name is left for ZeroMQ to
    /// judge.
    package static func numericHost(_ host: String) -> String {
        if host == "*" { return everywhere }
        guard let list = resolve(host) else { return host }
        defer { freeaddrinfo(list) }
        return numeric(list.pointee.ai_addr, list.pointee.ai_addrlen) ?? host
    }

    /// Binds to the endpoint; a port of `*` is chosen free, below the range from which the kernel takes ports for
    /// outgoing connections: there, a reconnect to a dead port can end up connected to itself.
    package static func bind(_ socket: Socket, to endpoint: String) throws(TransportError) -> String {
        guard let (name, port) = parse(endpoint) else { return try socket.bind(endpoint) }
        let host = numericHost(name)
        guard port == "*" || port == "0" else { return try socket.bind("tcp://\(host):\(port)") }
        for _ in 0..<200 {
            do throws(TransportError) {
                return try socket.bind("tcp://\(host):\(Int.random(in: 20_000..<32_000))")
            } catch  where error.isAddressInUse {
                continue
            }
        }
        return try socket.bind("tcp://\(host):*")
    }

    /// An endpoint bound to all addresses, as peers on the way to `peer` can reach it.
    package static func reachable(_ endpoint: String, facing peer: String) -> String {
        guard let (host, port) = parse(endpoint), host == everywhere, let local = local(facing: peer) else {
            return endpoint
        }
        return "tcp://\(local):\(port)"
    }
}
