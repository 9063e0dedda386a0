// What strangers do to a socket that listens, below the messages: connections that follow each other, names, floods.

import Foundation
import Glibc
import PSNode
import PSParameters
import PSRun
import PSTransport
import Testing

/// A stranger that speaks ZMTP by hand.
private final class Stranger {
    private let descriptor: Int32

    private static let greeting =
        [0xFF] + [UInt8](repeating: 0, count: 8) + [0x7F, 3, 0] + Array("NULL".utf8)
        + [UInt8](repeating: 0, count: 48)

    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let isConnected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        try #require(isConnected)
    }

    /// Bytes as far as they are taken.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }

    /// A whole handshake of a DEALER, by a name of its own where one is given.
    ///
    /// - Returns: whether it was let in.
    @discardableResult
    func shakeHands(name: [UInt8] = []) -> Bool {
        func property(_ key: String, _ value: [UInt8]) -> [UInt8] {
            [UInt8(key.utf8.count)] + Array(key.utf8)
                + (0..<4).reversed().map { UInt8(truncatingIfNeeded: value.count >> (8 * $0)) }
                + value
        }
        let body =
            [5] + Array("READY".utf8) + property("Socket-Type", Array("DEALER".utf8))
            + (name.isEmpty ? [] : property("Identity", name))
        let length = (0..<8).reversed().map { UInt8(truncatingIfNeeded: body.count >> (8 * $0)) }
        send(Stranger.greeting + [6] + length + body)
        // The peer's: what is said before it counts as part of the handshake.
        var answer: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 4096)
        while answer.count < 66 || answer.count < 66 + Int(answer[65]) {
            let more = recv(descriptor, &part, part.count, 0)
            if more <= 0 { return false }
            answer += part[..<more]
        }
        return answer[67..<72].elementsEqual(Array("READY".utf8))
    }

    /// Messages of one empty frame.
    func sendEmpty(_ count: Int) { send([UInt8](repeating: 0, count: 2 * count)) }

    func close() { Glibc.close(descriptor) }
}

@Suite(.serialized) struct ConnectionTests {
    private let context: TransportContext
    private let link: Link
    private let port: UInt16

    init() throws {
        context = try TransportContext()
        link = Link(try context.listener(largestMessage: 1 << 20), limits: .bulk)
        let endpoint = try link.socket.bind("tcp://127.0.0.1:*")
        port = try #require(Addresses.parse(endpoint).flatMap { UInt16($0.port) })
    }

    /// Takes what comes for so long. - Returns: the messages and who sent them.
    @discardableResult
    private func take(milliseconds: Int, atMost most: Int = .max) throws -> [RoutingID] {
        var senders: [RoutingID] = []
        let end = MonotonicTime.now.later(milliseconds)
        while MonotonicTime.now < end, senders.count < most {
            guard let event = try link.next() else {
                _ = try link.sweep()
                usleep(1000)
                continue
            }
            if case .message(let received) = event, let peer = received.peer { senders.append(peer) }
        }
        return senders
    }

    /// Without keys who shows nothing comes 64 times at once and 20 times a second then; who turns out to be a member does
    /// not count.
    @Test func withoutKeysStrangersArePaced() throws {
        let context = try TransportContext(.paced)
        let link = Link(try context.listener(largestMessage: 1 << 20), limits: .control)
        let endpoint = try link.socket.bind("tcp://127.0.0.1:*")
        let port = try #require(Addresses.parse(endpoint).flatMap { UInt16($0.port) })
        var strangers: [Stranger] = []
        func letIn(of count: Int) throws -> Int {
            try (0..<count).count { _ in
                let stranger = try Stranger(port: port)
                strangers.append(stranger)
                return stranger.shakeHands()
            }
        }
        let start = MonotonicTime.now
        let first = try letIn(of: 150)
        let refilled = MonotonicTime.now.since(start) / 50 + 1
        #expect((64...64 + refilled).contains(first), "\(first) in \(MonotonicTime.now.since(start)) ms")
        let refused = try #require(context.gatekeeper).takeRefused()
        #expect(refused.count == 150 - first && refused.some.first?.reason == .pace)
        #expect(refused.some.first?.address == "127.0.0.1")

        for stranger in strangers.prefix(40) { stranger.sendEmpty(1) }
        var heard: Set<RoutingID> = []
        eventually("they are heard") {
            while let event = try? link.next() {
                if case .message(let received) = event, let peer = received.peer { heard.insert(peer) }
            }
            return heard.count == 40
        }
        for peer in heard { link.belongs(peer, to: .member) }
        #expect(try letIn(of: 40) == 40)
        for stranger in strangers { stranger.close() }
        link.close(lingerMilliseconds: 0)
    }

    /// A person may ask as often as people do; whoever does nothing else is cut.
    @Test func whoAsksWithoutEndIsCut() throws {
        func isCut(after questions: Int, each milliseconds: Int) throws -> Bool {
            let stranger = try Stranger(port: port)
            stranger.shakeHands()
            stranger.sendEmpty(1)
            let peer = try #require(try take(milliseconds: 5000, atMost: 1).first)
            for _ in 0..<questions {
                link.belongs(peer, to: .person)
                if milliseconds > 0 { try take(milliseconds: milliseconds) }
            }
            let isCut = link.connections.isOutcast(peer)
            stranger.close()
            try expectNoConnection()
            return isCut
        }
        #expect(try !isCut(after: 16, each: 0))
        #expect(try isCut(after: 17, each: 0))
        #expect(try !isCut(after: 30, each: 25))
    }

    /// All that was sent is taken, and the word that its connections are closed.
    ///
    /// - Returns: who was heard meanwhile.
    @discardableResult
    private func expectNoConnection() throws -> [RoutingID] {
        let start = MonotonicTime.now
        var senders: [RoutingID] = []
        while link.connections.count > 0, MonotonicTime.now.since(start) < 30_000 {
            senders += try take(milliseconds: 20)
        }
        #expect(link.connections.count == 0)
        return senders
    }

    /// What one leaves behind comes when another has the number of its connection: it ended the process once.
    @Test func messagesThatOutliveTheirConnection() throws {
        for _ in 0..<5 {
            let first = try Stranger(port: port)
            first.shakeHands()
            first.sendEmpty(20_000)
            var senders = try take(milliseconds: 30, atMost: 200)
            first.close()
            usleep(20_000)
            let second = try Stranger(port: port)
            second.shakeHands()
            second.sendEmpty(1)
            senders += try take(milliseconds: 60, atMost: 300)
            second.close()
            usleep(20_000)
            senders += try expectNoConnection()
            #expect(!Set(senders).contains { link.connections.knows($0) })
        }
    }

    /// A connection that belongs to somebody is not taken for that of a message which was left behind.
    @Test func whoBelongsHereKeepsTheConnection() throws {
        let member = try Stranger(port: port)
        member.shakeHands()
        member.sendEmpty(1)
        let peer = try #require(try take(milliseconds: 5000, atMost: 1).first)
        link.belongs(peer, to: .member)
        // Longer than a stranger may stay.
        try take(milliseconds: 6000)
        #expect(link.connections.knows(peer))
        member.sendEmpty(1)
        #expect(try take(milliseconds: 5000, atMost: 1) == [peer])
    }

    /// A name that is longer than any of ours would cost its length with each message, however short.
    @Test func longNamesAreNotHeard() throws {
        let stranger = try Stranger(port: port)
        stranger.shakeHands(name: [UInt8](repeating: 0x72, count: 100_000))
        stranger.sendEmpty(50_000)
        var cuts: [Connections.Cut] = []
        let start = MonotonicTime.now
        while cuts.isEmpty, MonotonicTime.now.since(start) < 5000 {
            while let event = try link.next() {
                if case .message = event { Issue.record("it is heard") }
            }
            cuts += try link.sweep()
            usleep(1000)
        }
        #expect(cuts.map(\.reason) == ["its name is too long"])
        try expectNoConnection()
        let other = try Stranger(port: port)
        other.shakeHands(name: Array("short".utf8))
        other.sendEmpty(3)
        #expect(try take(milliseconds: 5000, atMost: 3).count == 3)
    }

    /// The number that ZeroMQ tells with a failed handshake is an error's, not a connection's.
    @Test func aFailedHandshakeIsCountedAndClosesNobodyElses() throws {
        let members = try (0..<120).map { _ in
            let member = try Stranger(port: port)
            member.shakeHands()
            member.sendEmpty(1)
            return member
        }
        let peers = Set(try take(milliseconds: 5000, atMost: members.count))
        #expect(peers.count == members.count)
        for peer in peers { link.belongs(peer, to: .member) }
        for _ in 0..<20 {
            let stranger = try Stranger(port: port)
            stranger.send(Array("GET / HTTP/1.1\r\n\r\n".utf8) + [UInt8](repeating: 0x20, count: 100))
            try take(milliseconds: 30)
            stranger.close()
        }
        // One that ends well is no failure.
        let guest = try Stranger(port: port)
        guest.shakeHands()
        guest.close()
        var failed = 0
        let start = MonotonicTime.now
        while failed < 20 || link.connections.count > members.count, MonotonicTime.now.since(start) < 10_000 {
            try take(milliseconds: 20)
            failed += link.takeFailedHandshakes().count
        }
        #expect(failed == 20)
        #expect(link.connections.count == members.count)
        #expect(peers.allSatisfy { link.connections.knows($0) })
    }
}

/// The number of a connection passes to the next one, and messages of the former come later still.
@Test func aNumberPassesToTheNextConnection() {
    let (former, later) = (RoutingID(bytes: [1]), RoutingID(bytes: [2]))
    // No file of this process has it.
    let number: Int32 = 1 << 30
    func taken() -> Connections {
        var connections = Connections(.control)
        connections.take([.opened(number)], at: 0)
        connections.arrived(from: former, by: number)
        connections.take([.closed(number), .opened(number)], at: 1)
        #expect(connections.takeClosed() == [former])
        connections.arrived(from: later, by: number)
        return connections
    }
    var strangers = taken()
    strangers.arrived(from: former, by: number)
    strangers.take([.closed(number)], at: 2)
    #expect(Set(strangers.takeClosed()) == [former, later])
    strangers.arrived(from: former, by: number)
    #expect(!strangers.knows(former) && !strangers.knows(later) && strangers.count == 0)

    var members = taken()
    _ = members.belongs(later, to: .member, at: 2)
    members.arrived(from: former, by: number)
    #expect(members.knows(later) && !members.knows(former))
    members.take([.closed(number)], at: 3)
    #expect(members.takeClosed() == [later])
}

/// Whoever sits on a dead coordinator's port: the job goes on elsewhere. It ended jobs once, or cost them two minutes.
@Test func aTakenPortOfACoordinatorStartedAnew() throws {
    let jobs = SmallJobs()
    let job = try jobs.begin("run", steps: SmallJobs.endless, set: ["cluster.transport=tcp"])
    eventually("the job runs") { (jobs.steps("run").last ?? 0) >= 3 }
    let run = RunDirectory(jobs.path("run"))
    let former = try #require(Endpoints.read(from: run))
    let (host, port) = try #require(Addresses.parse(former.coordinator))
    // Its supervisor looks away until the port is another's.
    job.send(SIGSTOP)
    kill(pid_t(former.pid), SIGKILL)
    let taken = try TransportContext().listener(largestMessage: 1 << 10)
    eventually("the port is free") { (try? taken.bind("tcp://\(host):\(port)")) != nil }
    job.send(SIGCONT)
    eventually("the coordinator listens elsewhere") {
        Endpoints.read(from: run).map { $0.coordinator != former.coordinator } ?? false
    }
    let step = jobs.steps("run").last ?? 0
    eventually("the job goes on") { (jobs.steps("run").last ?? 0) > step }
    #expect(try jobs.psctl("stop", "--run-dir", "run").code == 0)
    let finished = try job.finish()
    #expect(finished.code == 75, "\(finished.errors)")
    #expect(finished.errors.contains("cannot be used any more: the others are started anew"), "\(finished.errors)")
    taken.close(lingerMilliseconds: 0)
}

/// Who fails handshakes where a coordinator is to be, and is gone again, ends nobody who waits for it.
@Test func whoWaitsForACoordinatorIsNotMisled() throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            _ = bind(listener, $0, length)
            _ = getsockname(listener, $0, &length)
        }
    }
    listen(listener, 8)
    let port = UInt16(bigEndian: address.sin_port)
    let workers = try (0..<2).map { _ in try Running("ps-worker", ["--coordinator", "tcp://127.0.0.1:\(port)"]) }
    for _ in 0..<4 { close(accept(listener, nil, nil)) }
    close(listener)
    usleep(13_000_000)
    for worker in workers {
        let log = try worker.errorsSoFar()
        #expect(worker.isRunning, "\(log)")
        kill(pid_t(worker.pid), SIGTERM)
        #expect(try worker.finish(within: 20).code == 75)
    }
}
