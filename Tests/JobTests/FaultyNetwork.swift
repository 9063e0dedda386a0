// A network between real processes that tests break: each process reaches each listener through a relay of its own, which
// holds bytes back, either way, or does something when a certain message passes.

import Foundation
import Glibc
import PSMessages
import Testing

/// Relays between processes that are started with `environment(_:)` and listeners at `listener(_:)`. Jobs without keys
/// only: what passes is read.
final class FaultyNetwork: @unchecked Sendable {
    // Sendable: all that changes is behind the lock.

    /// A process that connects; 1 to 250.
    typealias Side = Int

    /// What one process says to one listener, and hears from it.
    struct Path: Hashable, CustomStringConvertible {
        let side: Side
        /// As in `listener(_:)`.
        let listener: Int

        var description: String { "from \(side) to listener \(listener)" }
    }

    enum Way { case toListener, toCaller }

    /// A message on its way.
    struct Passing {
        let path: Path
        let way: Way
        let envelope: Envelope
        /// The name of what is said, like `prepare`.
        var word: String { String("\(envelope.message)".prefix { $0 != "(" }) }
    }

    enum Verdict { case passes, isLost }

    private let condition = NSCondition()
    private let ports: [UInt16]
    private let library: String
    private var held: Set<[Int]> = []
    private var watch: (Passing) -> Verdict = { _ in .passes }
    private var isOver = false

    /// - Parameters:
    ///   - folder: for the library that leads connections through the relays.
    /// - Returns: nil where there is no C compiler.
    init?(_ jobs: SmallJobs, sides: [Side], listeners: Int) throws {
        ports = try FaultyNetwork.freePorts(listeners)
        let isOurs = ports.map { "port == \($0)" }.joined(separator: " || ")
        guard
            let library = try jobs.library(
                """
                #include <arpa/inet.h>
                #include <stdlib.h>
                #include <string.h>
                #include <sys/socket.h>
                int connect(int file, const struct sockaddr *address, socklen_t size) {
                    struct sockaddr_in other;
                    const char *side = getenv("PS_TEST_SIDE");
                    if (side && address->sa_family == AF_INET) {
                        memcpy(&other, address, sizeof other);
                        int port = ntohs(other.sin_port);
                        if (other.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && (\(isOurs))) {
                            other.sin_addr.s_addr = htonl(0x7f000100 | atoi(side));
                            address = (const struct sockaddr *) &other;
                        }
                    }
                    return ((int (*)(int, const struct sockaddr *, socklen_t)) dlsym(RTLD_NEXT, "connect"))(
                        file, address, size);
                }
                """)
        else { return nil }
        self.library = library
        for side in sides {
            for listener in ports.indices { try relay(Path(side: side, listener: listener)) }
        }
    }

    /// Where the listener with this number listens.
    func listener(_ number: Int) -> String { "tcp://127.0.0.1:\(ports[number])" }

    func environment(_ side: Side) -> [String: String] { ["LD_PRELOAD": library, "PS_TEST_SIDE": "\(side)"] }

    // MARK: Faults

    /// Holds back what goes this way, until `mend`.
    func cut(_ path: Path, _ ways: [Way]) {
        condition.withLock { for way in ways { held.insert(FaultyNetwork.key(path, way)) } }
    }

    func mend() {
        condition.withLock {
            held = []
            condition.broadcast()
        }
    }

    /// Asks about each message, before it goes on.
    func onEachMessage(_ watch: @escaping (Passing) -> Verdict) { condition.withLock { self.watch = watch } }

    func end() {
        condition.withLock {
            isOver = true
            held = []
            watch = { _ in .passes }
            condition.broadcast()
        }
    }

    private static func key(_ path: Path, _ way: Way) -> [Int] {
        [path.side, path.listener, way == .toListener ? 0 : 1]
    }

    // MARK: Relays

    private func relay(_ path: Path) throws {
        let socket = FaultyNetwork.socket()
        var one: Int32 = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let place = FaultyNetwork.address(0x7f00_0100 | UInt32(path.side), ports[path.listener])
        try #require(
            FaultyNetwork.with(place) { bind(socket, $0, $1) } == 0, "\(path): \(String(cString: strerror(errno)))")
        listen(socket, 64)
        Thread.detachNewThread { [self] in
            while true {
                let caller = accept(socket, nil, nil)
                if caller < 0 || condition.withLock({ isOver }) { break }
                let called = FaultyNetwork.socket()
                let listener = FaultyNetwork.address(INADDR_LOOPBACK, ports[path.listener])
                guard FaultyNetwork.with(listener, { connect(called, $0, $1) }) == 0 else {
                    close(caller)
                    close(called)
                    continue
                }
                let pair = Pair(caller, called)
                for way in [Way.toListener, .toCaller] {
                    Thread.detachNewThread { [self] in carry(pair, path, way) }
                }
            }
            close(socket)
        }
    }

    /// Two connections that are one to their ends; closed when neither way is in use.
    private final class Pair: @unchecked Sendable {
        let caller: Int32
        let called: Int32

        init(_ caller: Int32, _ called: Int32) {
            self.caller = caller
            self.called = called
            var one: Int32 = 1
            for socket in [caller, called] {
                setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
            }
        }

        func end() { for socket in [caller, called] { shutdown(socket, Int32(SHUT_RDWR)) } }

        deinit { for socket in [caller, called] { close(socket) } }
    }

    private func carry(_ pair: Pair, _ path: Path, _ way: Way) {
        let (from, to) = way == .toListener ? (pair.caller, pair.called) : (pair.called, pair.caller)
        let key = FaultyNetwork.key(path, way)
        var reader = MessageReader()
        var part = [UInt8](repeating: 0, count: 1 << 18)
        defer { pair.end() }
        while true {
            let count = recv(from, &part, part.count, 0)
            if count <= 0 { return }
            for item in reader.take(part[..<count]) {
                let watch = condition.withLock {
                    while held.contains(key) { condition.wait() }
                    return self.watch
                }
                if let envelope = item.envelope, watch(Passing(path: path, way: way, envelope: envelope)) == .isLost {
                    continue
                }
                guard FaultyNetwork.send(item.bytes, to) else { return }
            }
        }
    }

    // MARK: Sockets

    private static func socket() -> Int32 {
        Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    }

    private static func address(_ host: UInt32, _ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = host.bigEndian
        return address
    }

    private static func with(_ address: sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func send(_ bytes: [UInt8], _ socket: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private static func freePorts(_ count: Int) throws -> [UInt16] {
        let sockets = (0..<count).map { _ in socket() }
        defer { for socket in sockets { close(socket) } }
        return try sockets.map { socket in
            try #require(with(address(INADDR_LOOPBACK, 0)) { bind(socket, $0, $1) } == 0)
            var bound = sockaddr_in()
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            _ = withUnsafeMutablePointer(to: &bound) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &size) }
            }
            return UInt16(bigEndian: bound.sin_port)
        }
    }
}

/// Cuts what one end of a connection without keys sends into its greeting, commands and messages (ZMTP 3).
private struct MessageReader {
    struct Item {
        var bytes: [UInt8]
        /// Nil: no message of a job.
        var envelope: Envelope?
    }

    private var pending: [UInt8] = []
    private var isGreeted = false
    private static let greetingCount = 64

    /// - Returns: what is complete, in order.
    mutating func take(_ bytes: ArraySlice<UInt8>) -> [Item] {
        pending += bytes
        var items: [Item] = []
        var start = 0
        if !isGreeted {
            // Its parts answer each other: they are passed on as they come.
            let count = min(pending.count, MessageReader.greetingCount - greeted)
            items.append(Item(bytes: Array(pending[..<count])))
            greeted += count
            isGreeted = greeted == MessageReader.greetingCount
            start = count
        }
        while isGreeted, let end = endOfMessage(from: start) {
            items.append(Item(bytes: Array(pending[start..<end]), envelope: envelope(start)))
            start = end
        }
        pending.removeFirst(start)
        return items
    }

    private var greeted = 0

    private struct FrameHead {
        var body: Range<Int>
        var hasMore: Bool
        var isCommand: Bool
    }

    private func frame(at start: Int) -> FrameHead? {
        guard start + 2 <= pending.count else { return nil }
        let flags = pending[start]
        let isLong = flags & 2 != 0
        let lengthCount = isLong ? 8 : 1
        let body = start + 1 + lengthCount
        guard body <= pending.count else { return nil }
        let length = pending[start + 1..<body].reduce(0) { $0 << 8 | Int($1) }
        guard body + length <= pending.count else { return nil }
        return FrameHead(body: body..<body + length, hasMore: flags & 1 != 0, isCommand: flags & 4 != 0)
    }

    private func endOfMessage(from start: Int) -> Int? {
        var start = start
        while let frame = frame(at: start) {
            start = frame.body.upperBound
            if !frame.hasMore { return start }
        }
        return nil
    }

    private func envelope(_ start: Int) -> Envelope? {
        guard let head = frame(at: start), !head.isCommand else { return nil }
        let values = head.hasMore ? frame(at: head.body.upperBound)?.body.count ?? 0 : 0
        return pending[head.body].withUnsafeBytes { try? Envelope.decode($0, payloadCount: values) }
    }
}
