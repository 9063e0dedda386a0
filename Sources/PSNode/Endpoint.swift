// Endpoints as people write them: tcp://HOST:PORT, tcp://[IPv6 ADDRESS]:PORT.

import Glibc

extension Addresses {
    /// Host (without brackets) and port, or nil.
    package static func parse(_ endpoint: String) -> (host: String, port: String)? {
        if case .success(let parts) = read(endpoint) { parts } else { nil }
    }

    /// What is wrong with an endpoint, or nil.
    package static func mistake(in endpoint: String) -> String? {
        if SocketDirectory.isEndpoint(endpoint) { return SocketDirectory.mistake(in: endpoint) }
        if case .failure(let mistake) = read(endpoint) { return mistake.text }
        return nil
    }

    private struct Mistake: Error { let text: String }

    private static func read(_ endpoint: String) -> Result<(host: String, port: String), Mistake> {
        func wrong(_ text: String) -> Result<(host: String, port: String), Mistake> { .failure(Mistake(text: text)) }
        let scheme = "tcp://"
        guard endpoint.hasPrefix(scheme) else { return wrong("expected tcp://HOST:PORT or ipc:///PATH") }
        let rest = endpoint.dropFirst(scheme.count)
        let host: Substring
        let port: Substring
        if rest.hasPrefix("[") {
            guard let end = rest.firstIndex(of: "]") else {
                return wrong("the bracket of the IPv6 address is not closed")
            }
            host = rest[..<end].dropFirst()
            guard isNumeric(String(host), AF_INET6) else { return wrong("'\(host)' in brackets is no IPv6 address") }
            let tail = rest[end...].dropFirst()
            guard tail.hasPrefix(":") else { return wrong("the port is missing; expected tcp://[ADDRESS]:PORT") }
            port = tail.dropFirst()
        } else {
            guard let colon = rest.lastIndex(of: ":") else {
                return wrong("the port is missing; expected tcp://HOST:PORT")
            }
            host = rest[..<colon]
            port = rest[colon...].dropFirst()
            if host.contains(":") {
                return wrong("an IPv6 address stands in brackets; expected tcp://[ADDRESS]:PORT")
            }
            if host.isEmpty { return wrong("the host is missing; expected tcp://HOST:PORT") }
            guard host == "*" || host.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) })
            else { return wrong("'\(host)' is neither a host's name nor an address") }
        }
        guard port == "*" || !port.isEmpty && port.allSatisfy({ $0.isASCII && $0.isNumber }) && UInt16(port) != nil
        else {
            return wrong("the port is '\(port)', expected 1 to 65535")
        }
        return .success((String(host), String(port)))
    }

    private static func isNumeric(_ host: String, _ family: Int32) -> Bool {
        var hints = addrinfo()
        hints.ai_family = family
        hints.ai_flags = AI_NUMERICHOST
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return false }
        freeaddrinfo(list)
        return true
    }
}
