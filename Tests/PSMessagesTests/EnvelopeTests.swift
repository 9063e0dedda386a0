// Every message survives its encoding; a slice's two frames joined are plain protobuf; hostile bytes are errors.

import Foundation
import PSMessages
import PSParameters
import PSProofs
import Testing

private let commit = Commit(step: 9, scale: 0.25, learningRate: 0.045, averageDecay: 0.9, skip: true)

private let someDigest = String(repeating: "0123456789abcdef", count: 4)

private let messages: [Message] = {
    var server = Hello(role: .server, host: "a.example", pid: 4242, rank: 3)
    server.endpoint = "tcp://10.0.0.1:23456"
    server.memory = Hello.Memory(version: 10, lastCommit: commit)
    var worker = Hello(role: .worker, host: "b", pid: 1, rank: nil)
    worker.kernelCore = "SkylakeX"
    worker.kernelHash = .max
    worker.challenge = .max
    worker.takesOver = true
    var keyed = server
    keyed.publicKey = someKey
    var heartbeat = Heartbeat()
    heartbeat.bytesSent = 1 << 40
    heartbeat.unreachable = 2
    heartbeat.behind = 3
    heartbeat.isDeaf = true
    heartbeat.activity = "ticket 7: computing"
    let attempt = Attempt(ticket: 8_589_934_592, number: 2)
    var timed = Contribution(attempt: attempt, loss: 1, correct: 0, samples: 32, norm: 0)
    timed.seconds = 3.5
    timed.dataSeconds = 0.25
    timed.replaced = [7, 1 << 40]
    var toServer = Welcome(
        rank: 0, configuration: "", runDirectory: "/r", nonce: "n", layoutDigest: 5, plan: "{}")
    toServer.grantKey = ProofKey(1, .max, 3, 0)
    var fromMemory = Reset(version: 7, base: nil, rank: 1, servers: 3)
    fromMemory.root = 0
    fromMemory.serves = [1, 0]
    fromMemory.expects = [1]
    fromMemory.follows = [
        Reset.Followed(
            shard: 2, server: ServerAddress(endpoint: "tcp://h:1", incarnation: 9, publicKey: someKey, rank: 2))
    ]
    return [
        .hello(server), .hello(worker), .hello(keyed),
        .welcome(
            Welcome(
                rank: 1, configuration: "seed: 7\nname: 'ü'\n", runDirectory: "/r", nonce: "n", layoutDigest: 5,
                plan: "{}", dataDigest: "5d7b")), .welcome(toServer),
        .refusal(Refusal(.kernels, "other bits")), .heartbeat(heartbeat),
        .members(
            Holders(
                servers: [
                    ServerAddress(endpoint: "tcp://h:1", incarnation: 1, rank: 0),
                    ServerAddress(endpoint: "tcp://[::1]:65535", incarnation: 2, rank: 2),
                ], byShard: [0, 1, 1])),
        .members(Holders(servers: [], byShard: [])),
        .members(
            Holders(
                servers: [ServerAddress(endpoint: "ipc:///tmp/a", incarnation: 2, publicKey: someKey, rank: 7)],
                byShard: [0])),
        .challenge(Challenge(number: 1 << 60, runDirectory: "/r")), .keys([]), .keys([someKey, someKey]), .want,
        .grant(attempt, version: 3),
        .contribution(Contribution(attempt: attempt, loss: .infinity, correct: 3, samples: 32, norm: 0.5)),
        .contribution(timed),
        .counted(attempt), .pull(version: 0, slices: [0, 5, 300]), .gone(version: 1, slices: []),
        .took(attempt, slice: 2), .held(attempt), .resend(attempt, slice: 0),
        .differs(Difference(ticket: 9, slice: 3, first: 1 << 63, second: 4)),
        .reset(Reset(version: 7, base: CheckpointReference(version: 7, generation: 3), rank: 0, servers: 2)),
        .reset(Reset(version: 7, base: CheckpointReference(version: 7, foreign: "/r/step-7"), rank: 0, servers: 2)),
        .reset(Reset(version: 0, base: nil, rank: 1, servers: 2)), .ready(version: 0), .reset(fromMemory),
        .follow([]), .follow([Progress(slice: 3, reaches: 0), Progress(slice: 4, reaches: nil)]),
        .replica(SliceHeader(index: 2, version: 4), .sum, remaining: 0),
        .replica(SliceHeader(index: 2, version: 4), .momentum, remaining: 1),
        .prepare(step: 4, attempts: [attempt, Attempt(ticket: 0, number: 0)]),
        .prepared(Prepared(step: 4, isFinite: false, norms: [.init(slice: 1, squared: 1e300)])),
        .commit(commit), .applied(step: 4), .snapshot(version: 6), .snapshotting(version: 6),
        .saved(version: 6, files: [SavedFile(name: "a", content: "weights", bytes: 5, sha256: someDigest)]),
        .failed(version: 2, text: "disk full", what: .saveFailed), .failed(version: 2, text: "bit", what: .loadDamaged),
        .finish(exitCode: 130, text: "by a signal"),
        .leave(text: "stopped by a signal"), .statusRequest, .status(json: "{}"), .control(.stop(after: 5)),
        .control(.checkpoint), .controlReply(ok: true, text: ""),
    ]
}()

private let someKey = String(repeating: "k!~9", count: 10)

private func envelope(_ message: Message, seed: UInt64) -> Envelope {
    let random = CounterRandom(key: seed)
    return Envelope(
        job: random.bits(0), generation: UInt32(random.integer(1, below: 1000)),
        term: UInt64(random.integer(2, below: 300)),
        source: random.bits(3), destination: seed % 3 == 0 ? 0 : random.bits(4),
        proof: Proof(high: random.bits(5), low: random.bits(6)), message: message)
}

@Test(arguments: messages.indices)
func roundTrip(index: Int) throws {
    for seed in 0..<UInt64(50) {
        let sent = envelope(messages[index], seed: seed)
        let bytes = sent.encoded()
        #expect(try bytes.withUnsafeBytes { try Envelope.decode($0) } == sent)
    }
}

private func slice(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) } }

private func push(seed: UInt64, index: Int = 7) -> Envelope {
    envelope(
        .push(Attempt(ticket: Ticket(seed), number: seed << 40), SliceHeader(index: index, version: Version(seed % 2))),
        seed: seed)
}

@Test(arguments: [0, 4, 100, 127, 128, 16_384, 4 << 20])
func aSliceTravelsBesideItsHead(count: Int) throws {
    let values = slice(count)
    for seed in 0..<UInt64(count > 1 << 20 ? 3 : 40) {
        for sent in [push(seed: seed), envelope(.publish(SliceHeader(index: 0, version: Version(seed))), seed: seed)] {
            let head = values.withUnsafeBytes { sent.encoded(values: $0) }
            #expect(head.count < 120)
            #expect(try head.withUnsafeBytes { try Envelope.decode($0, payloadCount: count) } == sent)
        }
    }
}

/// `protoc --decode` reads the joined frames: the two frames are the protobuf serialization, nothing else.
@Test func protocReadsTheJoinedFrames() throws {
    let values = slice(24)
    let sent = push(seed: 5)
    let joined = values.withUnsafeBytes { sent.encoded(values: $0) } + values
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    let protoc = Process()
    protoc.executableURL = URL(filePath: "/usr/bin/env")
    protoc.arguments = [
        "protoc", "--proto_path=\(root.path)/Proto", "--decode=ps.Envelope", "parameter_server.proto",
    ]
    let input = Pipe()
    let output = Pipe()
    protoc.standardInput = input
    protoc.standardOutput = output
    try protoc.run()
    try input.fileHandleForWriting.write(contentsOf: Data(joined))
    try input.fileHandleForWriting.close()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    protoc.waitUntilExit()
    #expect(protoc.terminationStatus == 0)
    #expect(text.contains("ticket: 5"))
    #expect(text.contains("index: 7"))
    #expect(text.contains("source: \(sent.source)"))
    // The values as protoc prints bytes: octal escapes, so count the bytes it shows.
    #expect(text.contains("values: \"\\000\\037>]|"))
}

@Test func aHeadThatDeclaresAnotherLengthIsRefused() {
    let values = slice(400)
    let head = values.withUnsafeBytes { push(seed: 1).encoded(values: $0) }
    for count in [1, 399, 401, 1 << 30] {
        #expect(throws: MessageError.self) {
            try head.withUnsafeBytes { try Envelope.decode($0, payloadCount: count) }
        }
    }
    // The whole message as one frame and something else as the second.
    #expect(throws: MessageError.self) {
        try (head + values).withUnsafeBytes { try Envelope.decode($0, payloadCount: 4) }
    }
    // Values inside the only frame: not how a slice travels.
    #expect(throws: MessageError.self) { try (head + values).withUnsafeBytes { try Envelope.decode($0) } }
}

/// A length that overflows what it is added to, and the numbers of an order that no layout can be dealt by.
@Test func numbersThatWouldTrapAreRefused() {
    let longest: [UInt8] = Array(repeating: 0xFF, count: 9) + [0x01]
    // Field 98 (push), length-delimited.
    let head: [UInt8] = [0x08, UInt8(protocolVersion), 0x92, 0x06] + longest
    #expect(throws: MessageError.malformed("a declared length does not end where the payload of 4 bytes ends")) {
        try head.withUnsafeBytes { try Envelope.decode($0, payloadCount: 4) }
    }
    let orders = [(rank: 0, servers: 0), (2, 2), (0, Int(UInt32.max))].map {
        Reset(version: 0, base: nil, rank: $0.rank, servers: $0.servers)
    }
    for order in orders + [Reset(version: Version(.max), base: nil, rank: 0, servers: 1)] {
        let bytes = envelope(.reset(order), seed: 1).encoded()
        #expect(throws: MessageError.self) { try bytes.withUnsafeBytes { try Envelope.decode($0) } }
    }
}

@Test func anotherProtocolVersionIsNamed() throws {
    // Field 1, varint 99.
    let bytes: [UInt8] = [0x08, 99]
    #expect(throws: MessageError.protocolVersion(99)) { try bytes.withUnsafeBytes { try Envelope.decode($0) } }
}

/// Flipped bits, cut ends and noise give a message or an error, never a trap.
@Test func hostileBytes() {
    let random = CounterRandom(seed: 11, name: "hostile")
    var counter: UInt64 = 0
    func draw(_ bound: Int) -> Int {
        counter += 1
        return random.integer(counter, below: bound)
    }
    let values = slice(300)
    for round in 0..<20_000 {
        var bytes: [UInt8]
        switch round % 3 {
        case 0: bytes = envelope(messages[draw(messages.count)], seed: UInt64(round)).encoded()
        case 1: bytes = values.withUnsafeBytes { push(seed: UInt64(round)).encoded(values: $0) }
        default: bytes = (0..<draw(80)).map { _ in UInt8(draw(256)) }
        }
        for _ in 0..<draw(6) where !bytes.isEmpty { bytes[draw(bytes.count)] ^= 1 << UInt8(draw(8)) }
        if draw(3) == 0 { bytes.removeLast(draw(bytes.count + 1)) }
        for payload in [0, 300] {
            _ = bytes.withUnsafeBytes { raw in try? Envelope.decode(raw, payloadCount: payload) }
        }
    }
}
