// Endpoints as people write them, and the addresses that processes tell each other.

import Foundation
import Logging
import PSJob
import PSNode
import PSParameters
import PSRun
import PSTransport
import Testing

@Suite struct AddressTests {
    private static let hasIPv6 =
        (try? String(contentsOfFile: "/proc/net/if_inet6", encoding: .utf8))?
        .contains("00000000000000000000000000000001 ") == true

    @Test(
        arguments: [
            ("tcp://127.0.0.1:80", "127.0.0.1", "80"), ("tcp://*:*", "*", "*"),
            ("tcp://alpha.test:0", "alpha.test", "0"),
            ("tcp://[::1]:7000", "::1", "7000"), ("tcp://[::]:*", "::", "*"), ("tcp://[fe80::1%1]:9", "fe80::1%1", "9"),
            ("tcp://my_host-2:65535", "my_host-2", "65535"),
        ])
    func endpointsHaveAHostAndAPort(endpoint: String, host: String, port: String) throws {
        let parts = try #require(Addresses.parse(endpoint))
        #expect(parts == (host, port))
        #expect(Addresses.endpoint(parts.host, parts.port) == endpoint)
        #expect(Addresses.mistake(in: endpoint) == nil)
    }

    @Test(
        arguments: [
            ("localhost:80", "expected tcp://HOST:PORT"), ("udp://a:1", "expected tcp://HOST:PORT"),
            ("tcp://", "the port is missing"), ("tcp://host", "the port is missing"),
            ("tcp://:80", "the host is missing"), ("tcp://::1:80", "stands in brackets"),
            ("tcp://[::1:80", "is not closed"), ("tcp://[::1]80", "the port is missing"),
            ("tcp://[127.0.0.1]:80", "is no IPv6 address"), ("tcp://[fe80::zz]:80", "is no IPv6 address"),
            ("tcp://[]:80", "is no IPv6 address"), ("tcp://a:65536", "the port is '65536'"),
            ("tcp://a:-1", "the port is '-1'"), ("tcp://a:+1", "the port is '+1'"), ("tcp://a:", "the port is ''"),
            ("tcp://a b:80", "neither a host's name"), ("tcp://a/b:80", "neither a host's name"),
            ("tcp://a;b:80", "neither a host's name"),
        ])
    func mistakesAreNamed(endpoint: String, reason: String) {
        #expect(Addresses.parse(endpoint) == nil)
        #expect(Addresses.mistake(in: endpoint)?.contains(reason) == true, "\(Addresses.mistake(in: endpoint) ?? "")")
        #expect(DaemonArguments.mistake(bind: endpoint)?.hasPrefix("--bind \(endpoint): ") == true)
    }

    @Test func aCoordinatorsAddressNamesAHostAndAPort() {
        for endpoint in ["tcp://a:*", "tcp://[::1]:*", "tcp://a:0", "tcp://*:80"] {
            #expect(DaemonArguments.mistake(coordinator: endpoint) != nil, "\(endpoint)")
        }
        #expect(DaemonArguments.mistake(coordinator: "tcp://[::1]:80", rank: 9999) == nil)
        #expect(DaemonArguments.mistake(coordinator: "tcp://[::1]:80", rank: 10_000) != nil)
    }

    @Test func ofANameWithBothIPv4IsMeant() {
        let (new, old) = (Addresses.resolve("::1").addresses, Addresses.resolve("127.0.0.1").addresses)
        #expect(Addresses.preferred(new + old)?.numeric == "127.0.0.1")
        #expect(Addresses.preferred(new)?.numeric == "::1")
        #expect(Addresses.preferred([])?.numeric == nil)
    }

    @Test func whatCannotBeReachedIsNamed() {
        #expect(Addresses.problem(reaching: "tcp://127.0.0.1:1") == nil)
        #expect(Addresses.problem(reaching: "tcp://name.invalid:1")?.hasPrefix("name.invalid: ") == true)
        #expect(Addresses.local(facing: "tcp://name.invalid:1") == nil)
        #expect(Addresses.local(facing: "tcp://127.0.0.1:1") == "127.0.0.1")
    }

    /// A message over every form of an address.
    @Test(arguments: ["tcp://127.0.0.1:*", "tcp://*:*", "tcp://0.0.0.0:*", "tcp://[::1]:*", "tcp://[::]:*"])
    func whatIsBoundCanBeConnectedTo(endpoint: String) throws {
        if endpoint.contains("["), !AddressTests.hasIPv6 { return }
        let context = try TransportContext()
        let router = try context.listener(largestMessage: 1 << 10)
        let bound = try Addresses.bind(router, to: endpoint)
        let parts = try #require(Addresses.parse(bound))
        if endpoint.contains("[::1]") { #expect(bound == "tcp://[::1]:\(parts.port)") }
        // All addresses include IPv4's.
        let hosts = Addresses.isEverywhere(parts.host) ? [parts.host, "127.0.0.1", "localhost"] : [parts.host]
        for host in hosts {
            let dealer = try context.client(largestMessage: 1 << 10)
            try Addresses.connect(dealer, to: Addresses.endpoint(host, parts.port))
            _ = try dealer.send([Frame([7])])
            var arrival: Socket.Arrival?
            let deadline = MonotonicTime.now.later(5000)
            while arrival == nil, MonotonicTime.now < deadline {
                // It wakes for what happens to connections as well.
                try Poller.wait(sockets: [router], descriptors: [], milliseconds: 100)
                _ = router.takeEvents()
                arrival = try router.arrival()
            }
            let received = try #require(arrival, "\(host) did not reach \(bound)")
            #expect(received.frames[0].withBytes { Array($0) } == [7])
        }
    }

    @Test func whatIsToldFacesThePeer() throws {
        let context = try TransportContext()
        func told(_ wanted: String?, facing peer: String) throws -> String {
            try Addresses.bind(
                try context.listener(largestMessage: 1 << 10), to: wanted, facing: peer)
        }
        for wanted in [nil, "tcp://*:*", "tcp://0.0.0.0:*", "tcp://127.0.0.1:*"] {
            let endpoint = try told(wanted, facing: "tcp://127.0.0.1:9")
            #expect(endpoint.hasPrefix("tcp://127.0.0.1:"), "\(wanted ?? "nil"): \(endpoint)")
        }
        if AddressTests.hasIPv6 {
            for wanted in [nil, "tcp://*:*", "tcp://[::]:*"] {
                let endpoint = try told(wanted, facing: "tcp://[::1]:9")
                #expect(endpoint.hasPrefix("tcp://[::1]:"), "\(wanted ?? "nil"): \(endpoint)")
            }
            #expect { _ = try told("tcp://0.0.0.0:*", facing: "tcp://[::1]:9") } throws: {
                "\($0)".contains("use tcp://[::]:*")
            }
        }
        // Never an address of one's own that nobody else reaches.
        for wanted in [nil, "tcp://*:*"] {
            #expect { _ = try told(wanted, facing: "tcp://name.invalid:9") } throws: {
                "\($0)".hasPrefix("cannot find the address that faces tcp://name.invalid:9: name.invalid: ")
            }
        }
    }
}

@Suite struct PeerWaitTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// The number of a lookup, across threads.
    private final class Counter: @unchecked Sendable {
        // Sendable: `count` is only touched under `lock`.
        private let lock = NSLock()
        private var count = 0

        func next() -> Int {
            lock.withLock {
                count += 1
                return count
            }
        }
    }

    @Test func waitsUntilTheNameIsKnown() {
        let counter = Counter()
        let end = PeerWait.wait(for: "tcp://a:1", lifeline: nil, milliseconds: 10_000, logger: logger) { _ in
            counter.next() < 3 ? "a: not known" : nil
        }
        #expect(end == .reachable)
        #expect(counter.next() == 4)
    }

    @Test func saysWhatIsMissingInTheEnd() {
        #expect(
            PeerWait.wait(for: "tcp://name.invalid:1", lifeline: nil, milliseconds: 300, logger: logger)
                != .reachable)
        let end = PeerWait.wait(for: "tcp://a:1", lifeline: nil, milliseconds: 300, logger: logger) { _ in "a: gone" }
        #expect(end == .missing("a: gone"))
    }

    /// Even while a resolver does not answer.
    @Test(.timeLimit(.minutes(1))) func theStartersEndIsNoticed() throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        close(ends[1])
        defer { close(ends[0]) }
        let end = PeerWait.wait(for: "tcp://a:1", lifeline: ends[0], milliseconds: 50_000, logger: logger) { _ in
            sleep(5)
            return "a: not known"
        }
        #expect(end == .parentGone)
    }

    @Test(arguments: ["ps-server", "ps-worker"]) func aSignalEndsTheWait(program: String) throws {
        let waiting = try Running(program, ["--coordinator", "tcp://name.invalid:7000"])
        try eventually(within: 10, "it says that it waits") { try waiting.errorsSoFar().contains("waiting for a way") }
        kill(pid_t(waiting.pid), SIGTERM)
        let finished = try waiting.finish(within: 5)
        #expect(finished.code == 75, "\(finished.errors)")
        let lines = finished.errors.split(separator: "\n")
        #expect(lines.count { $0.contains("waiting for a way to the coordinator tcp://name.invalid:7000") } == 1)
        #expect(!finished.errors.contains("127.0.0.1"))
    }
}
