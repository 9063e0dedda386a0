// Every bound of `MessageLimits`: what is at it is taken, what is beyond it is refused by name.

import PSParameters
import Testing

@testable import PSMessages

/// Where each text is: the body's field, the fields down to the text.
private let texts: [(name: String, path: [UInt64])] = [
    ("Hello.host", [10, 2]), ("Hello.endpoint", [10, 5]), ("Hello.kernel_core", [10, 6]),
    ("Welcome.configuration", [11, 2]), ("Welcome.run_directory", [11, 3]), ("Welcome.nonce", [11, 4]),
    ("Welcome.plan", [11, 6]), ("Welcome.data_digest", [11, 7]), ("Welcome.test_digest", [11, 8]),
    ("Refusal.text", [12, 2]), ("Heartbeat.activity", [13, 3]), ("Members.Server.endpoint", [14, 1, 1]),
    ("Hello.public_key", [10, 13]),
    ("Challenge.run_directory", [15, 2]), ("Keys.members", [16, 1]), ("Members.Server.public_key", [14, 1, 3]),
    ("Checkpoint.foreign", [40, 2, 1]), ("Saved.File.name", [48, 2, 1]), ("Saved.File.content", [48, 2, 2]),
    ("Saved.File.sha256", [48, 2, 4]), ("Failed.text", [49, 2]), ("Finish.text", [50, 2]), ("Leave.text", [51, 1]),
    ("Status.json", [61, 1]), ("ControlReply.text", [63, 2]),
]

@Test func everyTextHasALimit() {
    #expect(Set(texts.map(\.name)) == Set(MessageLimits.texts.keys))
    for (name, path) in texts {
        let limit = MessageLimits.texts[name]!.bytes
        func mistake(_ count: Int) -> String {
            let text = [UInt8](repeating: UInt8(ascii: "a"), count: count)
            return PSMessagesTests.mistake(
                in: Wire.names + path.reversed().reduce(text) { Wire.bytes($1, $0) })
        }
        #expect(mistake(limit + 1) == "\(name) has \(limit + 1) bytes, more than \(limit)")
        // It may be no address or path, but it is not too long.
        #expect(!mistake(limit).contains("more than"))
    }
}

@Test func everyListHasALimit() {
    let lists: [(name: String, body: UInt64, field: UInt64, element: [UInt8])] = [
        ("Members.servers", 14, 1, []), ("Contribution.replaced", 22, 9, [0]), ("Pull.slices", 30, 2, [0]),
        ("Gone.slices", 31, 2, [0]), ("Prepare.tickets", 42, 2, [0]), ("Prepare.attempts", 42, 3, [0]),
        ("Prepared.slices", 43, 3, [0]), ("Prepared.squared_norms", 43, 4, Array(repeating: 0, count: 8)),
        ("Saved.files", 48, 2, []), ("Keys.members", 16, 1, []), ("Members.holders", 14, 2, [0]),
        ("Follow.slices", 36, 1, [0]), ("Follow.reaches_plus_one", 36, 2, [0]), ("Reset.serves", 40, 6, [0]),
        ("Reset.follows", 40, 7, []), ("Reset.expects", 40, 8, [0]),
    ]
    #expect(Set(lists.map(\.name)) == Set(MessageLimits.elements.keys))
    for (name, body, field, element) in lists {
        let limit = MessageLimits.elements[name]!
        func mistake(_ count: Int) -> String {
            let isPacked = !element.isEmpty
            let all = Array(repeatElement(isPacked ? element : Wire.bytes(field, []), count: count).joined())
            return PSMessagesTests.mistake(in: Wire.envelope(body, isPacked ? Wire.bytes(field, all) : all))
        }
        #expect(mistake(limit + 1) == "\(name) has more than \(limit) elements")
        #expect(!mistake(limit).contains("more than"))
    }
}

/// A server that was told of a shard twice could hold it only once.
@Test func aShardIsNamedOnce() {
    let server = ServerAddress(endpoint: "tcp://h:1", incarnation: 9, rank: 0)
    func reset(_ change: (inout Reset) -> Void) -> Message {
        var reset = Reset(version: 0, base: nil, rank: 0, servers: 3)
        change(&reset)
        return .reset(reset)
    }
    #expect(mistake(reset { $0.serves = [1, 1] }) == "Reset.serves has a shard twice")
    #expect(mistake(reset { $0.expects = [2, 0, 2] }) == "Reset.expects has a shard twice")
    let twice = (1...2).map { _ in Reset.Followed(shard: 2, server: server) }
    #expect(mistake(reset { $0.follows = twice }) == "Reset.Followed.shard has a shard twice")
    #expect(
        mistake(
            reset {
                $0.serves = [2]
                $0.follows = [twice[0]]
            }) == "Reset.follows has a shard that is in Reset.serves as well")
}

private func mistake(_ message: Message) -> String {
    mistake(in: Envelope(job: 7, generation: 1, source: 11, destination: 12, message: message).encoded())
}

private let attempt = Attempt(ticket: 3, number: 1 << 40)

/// Each number of each message: the message with that number, the largest that is taken, one more, and the field.
@Test func everyNumberHasALimit() {
    func check<N: FixedWidthInteger>(_ field: String, atMost most: N, _ message: (N) -> Message) {
        #expect(mistake(message(most)) == "", "\(field)")
        #expect(mistake(message(most + 1)).contains(field), "\(field) says \(mistake(message(most + 1)))")
    }
    let version = MessageLimits.version
    check("Ready.version", atMost: version) { .ready(version: Version($0)) }
    check("Grant.version", atMost: version) { .grant(attempt, version: Version($0)) }
    check("Pull.version", atMost: version) { .pull(version: Version($0), slices: []) }
    check("Gone.version", atMost: version) { .gone(version: Version($0), slices: []) }
    check("Prepare.step", atMost: MessageLimits.step) { .prepare(step: Step($0), attempts: []) }
    check("Prepared.step", atMost: MessageLimits.step) {
        .prepared(Prepared(step: Step($0), isFinite: true, norms: []))
    }
    check("Commit.step", atMost: MessageLimits.step) { .commit(commit(step: Step($0))) }
    check("Applied.step", atMost: MessageLimits.step) { .applied(step: Step($0)) }
    check("Snapshot.version", atMost: version) { .snapshot(version: Version($0)) }
    check("Snapshotting.version", atMost: version) { .snapshotting(version: Version($0)) }
    check("Saved.version", atMost: version) { .saved(version: Version($0), files: []) }
    check("Failed.version", atMost: version) { .failed(version: Version($0), text: "", what: .saveFailed) }
    check("Control.after_step", atMost: version) { .control(.stop(after: Version($0))) }
    check("Slice.version", atMost: version) { .publish(SliceHeader(index: 0, version: Version($0))) }
    check("Follow.reaches_plus_one", atMost: version) { .follow([Progress(slice: 0, reaches: Version($0))]) }
    check("Reset.version", atMost: version) { .reset(Reset(version: Version($0), base: nil, rank: 0, servers: 1)) }
    check("Hello.version", atMost: version) { number in
        .hello(hello { $0.memory = Hello.Memory(version: Version(number), lastCommit: nil) })
    }
    check("Commit.step", atMost: MessageLimits.step) { number in
        .hello(hello { $0.memory = Hello.Memory(version: 1, lastCommit: commit(step: Step(number))) })
    }
    check("Measure is of attempt", atMost: version) {
        .measure(EvaluationAttempt(version: Version($0), part: 0, number: 1))
    }
    check("Contribution.replaced", atMost: version) { number in .contribution(contribution { $0.replaced = [number] }) }

    let ofAttempts: [(String, (Attempt) -> Message)] = [
        ("Grant", { .grant($0, version: 0) }), ("Counted", { .counted($0) }), ("Took", { .took($0, slice: 0) }),
        ("Held", { .held($0) }), ("Resend", { .resend($0, slice: 0) }),
        ("Prepare", { .prepare(step: 0, attempts: [$0]) }),
        ("Push", { .push($0, SliceHeader(index: 0, version: 0)) }),
        ("Contribution", { .contribution(Contribution(attempt: $0, loss: 0, correct: 0, samples: 0, norm: 0)) }),
    ]
    for (name, message) in ofAttempts {
        check("\(name) is of attempt", atMost: MessageLimits.ticket) {
            message(Attempt(ticket: Ticket($0), number: 1))
        }
        check("\(name) is of attempt", atMost: MessageLimits.attempt) {
            message(Attempt(ticket: 1, number: $0))
        }
    }
    let ofParts: [(String, (EvaluationAttempt) -> Message)] = [
        ("Measure", { .measure($0) }), ("Measured", { .measured($0) }),
        (
            "Measurement",
            { .measurement(Measurement(attempt: $0, images: 0, top1: 0, top5: 0, loss: 0, excluded: 0)) }
        ),
    ]
    for (name, message) in ofParts {
        check("\(name) is of attempt", atMost: MessageLimits.attempt) {
            message(EvaluationAttempt(version: 0, part: 0, number: $0))
        }
        check("\(name) is of attempt", atMost: Int(MessageLimits.parts)) {
            message(EvaluationAttempt(version: 0, part: $0, number: 1))
        }
    }

    let slice = Int(MessageLimits.slices) - 1
    check("Pull.slices", atMost: slice) { .pull(version: 0, slices: [$0]) }
    check("Gone.slices", atMost: slice) { .gone(version: 0, slices: [$0]) }
    check("Took.slice", atMost: slice) { .took(attempt, slice: $0) }
    check("Resend.slice", atMost: slice) { .resend(attempt, slice: $0) }
    check("Differs.slice", atMost: slice) { .differs(Difference(ticket: 0, slice: $0, first: 1, second: 2)) }
    check("Differs.ticket", atMost: MessageLimits.ticket) {
        .differs(Difference(ticket: Ticket($0), slice: 0, first: 1, second: 2))
    }
    check("Follow.slices", atMost: slice) { .follow([Progress(slice: $0, reaches: nil)]) }
    check("Heartbeat.behind", atMost: slice + 1) { number in
        var heartbeat = Heartbeat()
        heartbeat.behind = number
        return .heartbeat(heartbeat)
    }
    check("Replica.remaining", atMost: Int(MessageLimits.stateParts)) {
        .replica(SliceHeader(index: 0, version: 0), .weights, remaining: $0)
    }
    check("Slice.index", atMost: slice) { .push(attempt, SliceHeader(index: $0, version: 0)) }
    check("Prepared.slices", atMost: slice) {
        .prepared(Prepared(step: 0, isFinite: true, norms: [Prepared.Norm(slice: $0, squared: 0)]))
    }

    let processes = Int(MessageLimits.processes)
    check("Hello.rank_plus_one", atMost: processes - 1) { rank in .hello(hello { $0.rank = rank }) }
    check("Welcome.rank", atMost: processes - 1) { .welcome(welcome(rank: $0)) }
    check("Reset is for rank 0", atMost: processes) { .reset(Reset(version: 0, base: nil, rank: 0, servers: $0)) }
    check("Reset is for rank 2", atMost: 1) { .reset(Reset(version: 0, base: nil, rank: $0, servers: 2)) }
    check("Members.Server.rank", atMost: processes - 1) { rank in .members(at("tcp://h:1", rank: rank)) }
    check("Members.holders", atMost: 0) { place in
        var holders = at("tcp://h:1")
        holders.byShard = [0, place]
        return .members(holders)
    }
    let shards: [(String, WritableKeyPath<Reset, [Int]>)] = [
        ("Reset.serves", \.serves), ("Reset.expects", \.expects),
    ]
    for (field, list) in shards {
        check(field, atMost: 2) { shard in
            var reset = Reset(version: 0, base: nil, rank: 0, servers: 3)
            reset[keyPath: list] = [shard]
            return .reset(reset)
        }
    }
    check("Reset.Followed.shard", atMost: 2) { shard in
        var reset = Reset(version: 0, base: nil, rank: 0, servers: 3)
        reset.follows = [Reset.Followed(shard: shard, server: at("tcp://h:1").servers[0])]
        return .reset(reset)
    }
    check("Reset.root_plus_one", atMost: MessageLimits.generation) { root in
        var reset = Reset(version: 0, base: nil, rank: 0, servers: 3)
        reset.root = root
        return .reset(reset)
    }
    check("Hello.pid", atMost: Int(Int32.max)) { pid in .hello(hello { $0.pid = pid }) }
    check("Finish.exit_code", atMost: 255) { .finish(exitCode: $0, text: "") }
    check("Checkpoint.generation_plus_one", atMost: MessageLimits.generation) {
        .reset(Reset(version: 1, base: CheckpointReference(version: 1, generation: $0), rank: 0, servers: 1))
    }

    let samples = Int(MessageLimits.samples)
    check("Contribution.replaced", atMost: 100 * 32) { count in
        .contribution(contribution { $0.replaced = Array(repeating: 7, count: count) })
    }
    check("Contribution.samples", atMost: samples) { number in .contribution(contribution { $0.samples = number }) }
    check("Contribution.correct", atMost: 32) { number in .contribution(contribution { $0.correct = number }) }
    check("Measurement.images", atMost: samples) { number in .measurement(measurement { $0.images = number }) }
    check("Measurement.excluded", atMost: samples) { number in .measurement(measurement { $0.excluded = number }) }
    check("Measurement.top5", atMost: 32) { number in .measurement(measurement { $0.top5 = number }) }
    check("Measurement.top1", atMost: 9) { number in .measurement(measurement { $0.top1 = number }) }

    check("Heartbeat.bytes_sent", atMost: MessageLimits.counter) { number in
        .heartbeat(heartbeat { $0.bytesSent = number })
    }
    check("Heartbeat.bytes_received", atMost: MessageLimits.counter) { number in
        .heartbeat(heartbeat { $0.bytesReceived = number })
    }
    check("Heartbeat.progress", atMost: MessageLimits.counter) { number in
        .heartbeat(heartbeat { $0.progress = number })
    }
    check("Saved.File.bytes", atMost: MessageLimits.counter) { number in
        .saved(version: 0, files: [savedFile { $0.bytes = number }])
    }
}

@Test func namesOfAnEnvelopeHaveLimits() {
    func mistake(generation: UInt32 = 1, term: UInt64 = 1, source: Incarnation = 1) -> String {
        PSMessagesTests.mistake(
            in: Envelope(
                job: .max, generation: generation, term: term, source: source, destination: .max, message: .want
            ).encoded())
    }
    #expect(mistake(generation: MessageLimits.generation, term: MessageLimits.term, source: .max) == "")
    #expect(mistake(generation: MessageLimits.generation + 1).contains("Envelope.generation"))
    #expect(mistake(term: MessageLimits.term + 1).contains("Envelope.term"))
    #expect(mistake(source: 0) == "Envelope.source is 0")
    // A coordinator counts its attempts from here.
    #expect(MessageLimits.term << 40 | ((1 << 40) - 1) <= MessageLimits.attempt)
}

@Test func numbersWithFractionsHaveLimits() {
    let infinite = [Double.infinity, .nan]
    for loss in infinite + [-Double.infinity, -1] {
        #expect(mistake(.contribution(contribution { $0.loss = loss })) == "", "a loss may be anything")
        #expect(mistake(.measurement(measurement { $0.loss = loss })) == "")
    }
    for norm in infinite + [0, 1e300] {
        #expect(mistake(.contribution(contribution { $0.norm = norm })) == "", "that of a gradient that is not finite")
        #expect(mistake(prepared(norm)) == "")
    }
    for norm in [-1, -Double.infinity, -Double.leastNonzeroMagnitude] {
        #expect(mistake(.contribution(contribution { $0.norm = norm })).contains("Contribution.norm"))
        #expect(mistake(prepared(norm)).contains("Prepared.squared_norms"))
    }
    for seconds in infinite + [-1, 2e9] {
        #expect(mistake(.contribution(contribution { $0.seconds = seconds })).contains("Contribution.seconds"))
        #expect(mistake(.contribution(contribution { $0.dataSeconds = seconds })).contains("Contribution.data_seconds"))
        #expect(mistake(.measurement(measurement { $0.seconds = seconds })).contains("Measurement.seconds"))
    }
    for factor in [-1, Float.infinity, .nan] {
        #expect(mistake(.commit(commit { $0.scale = factor })).contains("Commit.scale"))
        #expect(mistake(.commit(commit { $0.learningRate = factor })).contains("Commit.learning_rate"))
        #expect(mistake(.commit(commit { $0.averageDecay = factor })).contains("Commit.average_decay"))
    }
    #expect(mistake(.commit(commit { $0.averageDecay = 1.5 })).contains("Commit.average_decay"))
}

@Test func pathsAndEndpointsAreWhatTheyShouldBe() {
    func isTaken(endpoint: String) -> Bool { mistake(.hello(hello { $0.endpoint = endpoint })) == "" }
    for endpoint in [
        "tcp://h:1", "tcp://10.0.0.1:65535", "tcp://[fe80::1%eth0]:7", "tcp://host.example:23456",
        "ipc:///tmp/ps-1/coordinator",
    ] {
        #expect(isTaken(endpoint: endpoint))
        #expect(mistake(.members(at(endpoint))) == "")
    }
    let nonsense = [
        "", "a", "tcp://", "tcp://h", "tcp://h:", "tcp://:1", "tcp://h:0", "tcp://h:65536", "tcp://h:+1", "tcp://h:*",
        "tcp://[]:1", "tcp://[::1:1", "tcp://::1:1", "tcp://-h:1", "tcp://h;i:1", "tcp://h/i:1", "tcp://h:1/",
        "TCP://h:1",
        "tcp://h h:1", "tcp://h\u{1B}:1", "tcp://é:1", "ipc://tmp/x", "ipc:///tmp/../x",
        "ipc:///" + String(repeating: "a", count: 107), "inproc://x:1",
    ]
    for endpoint in nonsense {
        #expect(!isTaken(endpoint: endpoint), "\(endpoint)")
        #expect(
            mistake(.members(at(endpoint))).contains("Members.Server.endpoint"))
    }
    #expect(mistake(.members(at("tcp://h:1", incarnation: 0))) != "")

    for path in ["", "r", "../r"] {
        #expect(mistake(.welcome(welcome(runDirectory: path))).contains("Welcome.run_directory"))
        guard !path.isEmpty else { continue }
        let base = CheckpointReference(version: 1, foreign: path)
        #expect(mistake(.reset(Reset(version: 1, base: base, rank: 0, servers: 1))).contains("Checkpoint.foreign"))
    }

    for name in ["", ".", "..", ".hidden", "a/b", "/a", "../../etc/passwd", "a\nb", "a\u{1B}[0m", "a\u{202E}b"] {
        #expect(mistake(.saved(version: 1, files: [savedFile { $0.name = name }])).contains("Saved.File.name"))
    }
    let digest = savedFile { _ in }.sha256
    for bad in [
        "", String(digest.dropLast()), "g" + digest.dropFirst(), digest.uppercased(), "é" + digest.dropFirst(2),
    ] {
        #expect(mistake(.saved(version: 1, files: [savedFile { $0.sha256 = bad }])).contains("Saved.File.sha256"))
    }
}

// MARK: Messages with one field as the test wants it

private func changed<T>(_ value: T, _ change: (inout T) -> Void) -> T {
    var value = value
    change(&value)
    return value
}

private func hello(_ change: (inout Hello) -> Void) -> Hello {
    var hello = Hello(role: .server, host: "h", pid: 1, rank: nil)
    hello.endpoint = "tcp://h:1"
    return changed(hello, change)
}

private func welcome(rank: Int = 0, runDirectory: String = "/r") -> Welcome {
    Welcome(rank: rank, configuration: "", runDirectory: runDirectory, nonce: "", layoutDigest: 0, plan: "")
}

private func heartbeat(_ change: (inout Heartbeat) -> Void) -> Heartbeat { changed(Heartbeat(), change) }

private func contribution(_ change: (inout Contribution) -> Void) -> Contribution {
    changed(Contribution(attempt: attempt, loss: 1, correct: 0, samples: 32, norm: 1), change)
}

private func measurement(_ change: (inout Measurement) -> Void) -> Measurement {
    changed(
        Measurement(
            attempt: EvaluationAttempt(version: 1, part: 0, number: 1), images: 32, top1: 0, top5: 9, loss: 1,
            excluded: 0), change)
}

private func commit(step: Step = 1, _ change: (inout Commit) -> Void = { _ in }) -> Commit {
    changed(Commit(step: step, scale: 1, learningRate: 1, averageDecay: 0.5, skip: false), change)
}

private func prepared(_ norm: Double) -> Message {
    .prepared(Prepared(step: 1, isFinite: false, norms: [Prepared.Norm(slice: 0, squared: norm)]))
}

private func savedFile(_ change: (inout SavedFile) -> Void) -> SavedFile {
    changed(
        SavedFile(
            name: "a", content: "weights", bytes: 1, sha256: String(repeating: "0123456789abcdef", count: 4)), change)
}

/// One server that answers for one shard.
private func at(_ endpoint: String, incarnation: Incarnation = 1, rank: Int = 0) -> Holders {
    Holders(servers: [ServerAddress(endpoint: endpoint, incarnation: incarnation, rank: rank)], byShard: [0])
}
