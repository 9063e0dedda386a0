// Protobuf bytes -> Swift message. The bytes come from peers: nothing here traps on them, and every number, text and
// list is checked here, so that nobody behind needs to.

import CMessages
import PSParameters
import PSProofs

/// Why bytes are no message of ours.
package enum MessageError: Error, Equatable, CustomStringConvertible {
    case malformed(String)
    case protocolVersion(UInt32)

    package var description: String {
        switch self {
        case .malformed(let what):
            "a frame that is no message of this program: \(what)"
        case .protocolVersion(let version):
            "a message of protocol version \(version), while this process speaks version \(PSMessages.protocolVersion): "
                + "install the same release on every host"
        }
    }
}

extension Envelope {
    /// - Parameters:
    ///   - head: the message's first frame.
    ///   - payloadCount: bytes of the second frame; 0 when there is none.
    package static func decode(
        _ head: UnsafeRawBufferPointer, payloadCount: Int = 0
    ) throws(MessageError) -> Envelope {
        let version = try statedProtocol(head)
        guard version == protocolVersion else { throw .protocolVersion(version) }
        guard payloadCount > 0 else { return try decodeWhole(head) }
        switch headWithoutValues(head, payloadCount: payloadCount) {
        case .failure(let error):
            throw error
        case .success(let bytes):
            var result: Result<Envelope, MessageError> = .failure(.malformed("empty"))
            bytes.withUnsafeBytes { raw in
                do throws(MessageError) { result = .success(try decodeWhole(raw)) } catch { result = .failure(error) }
            }
            return try result.get()
        }
    }

    private static func decodeWhole(_ bytes: UnsafeRawBufferPointer) throws(MessageError) -> Envelope {
        try WireSchema.envelope.check(bytes)
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let envelope = ps__envelope__unpack(nil, bytes.count, start) else {
            throw .malformed("\(bytes.count) bytes do not parse as an envelope")
        }
        defer { ps__envelope__free_unpacked(envelope, nil) }
        let e = envelope.pointee
        try check(UInt64(e.generation), atMost: UInt64(MessageLimits.generation), "Envelope.generation")
        try check(e.term, atMost: MessageLimits.term, "Envelope.term")
        let message = try Message(e)
        guard e.source != 0 || message.mayBeNameless else { throw .malformed("Envelope.source is 0") }
        return Envelope(
            job: e.job, generation: e.generation, term: e.term, source: e.source, destination: e.destination,
            proof: Proof(high: e.proof_high, low: e.proof_low), message: message)
    }
}

/// The version that the message says it is of; 0 when it says none. What follows it may be anything: another version
/// has other fields.
private func statedProtocol(_ head: UnsafeRawBufferPointer) throws(MessageError) -> UInt32 {
    var reader = WireReader(head)
    while !reader.isAtEnd {
        guard let tag = reader.varint() else { throw .malformed("a field's number runs past the end") }
        if tag == 1 << 3 {
            guard let version = reader.varint() else { throw .malformed("Envelope.protocol runs past the end") }
            return UInt32(clamping: version)
        }
        guard reader.skip(wireType: tag & 7) else { throw .malformed("field \(tag >> 3) runs past the end") }
    }
    return 0
}

func commitValue(_ m: Ps__Commit) throws(MessageError) -> Commit {
    Commit(
        step: try step(m.step, "Commit.step"),
        scale: try factor(m.scale, atMost: .greatestFiniteMagnitude, "Commit.scale"),
        learningRate: try factor(m.learning_rate, atMost: .greatestFiniteMagnitude, "Commit.learning_rate"),
        averageDecay: try factor(m.average_decay, atMost: 1, "Commit.average_decay"), skip: m.skip != 0)
}

func contributionValue(_ m: Ps__Contribution) throws(MessageError) -> Contribution {
    let samples = try count(m.samples, atMost: MessageLimits.samples, "Contribution.samples")
    var contribution = Contribution(
        attempt: try attempt(m.ticket, m.attempt, "Contribution"), loss: m.loss,
        correct: try count(m.correct, atMost: m.samples, "Contribution.correct"),
        samples: samples, norm: try norm(m.norm, "Contribution.norm"))
    contribution.seconds = try seconds(m.seconds, "Contribution.seconds")
    contribution.dataSeconds = try seconds(m.data_seconds, "Contribution.data_seconds")
    if m.n_replaced > 0 {
        guard m.n_replaced <= samples * MessageLimits.replacementsOfASample else {
            throw .malformed("Contribution.replaced has \(m.n_replaced) elements for \(samples) samples")
        }
        let replaced = list(m.replaced, m.n_replaced)
        for sample in replaced { try check(sample, atMost: MessageLimits.version, "Contribution.replaced") }
        contribution.replaced = replaced
    }
    return contribution
}

func prepareValue(_ m: Ps__Prepare) throws(MessageError) -> (step: Step, attempts: [Attempt]) {
    (
        try step(m.step, "Prepare.step"),
        try attempts(list(m.tickets, m.n_tickets), list(m.attempts, m.n_attempts))
    )
}

extension Message {
    /// Whoever speaks has drawn a name. A coordinator keeps it from those who have shown nothing.
    fileprivate var mayBeNameless: Bool {
        switch self {
        case .challenge, .refusal: true
        default: false
        }
    }

    fileprivate init(_ e: Ps__Envelope) throws(MessageError) {
        switch e.body_case {
        case PS__ENVELOPE__BODY_HELLO:
            let m = try member(e.hello)
            guard let role = Role(rawValue: m.role.rawValue) else { throw .malformed("role \(m.role.rawValue)") }
            let rankPlusOne = try count(m.rank_plus_one, atMost: MessageLimits.processes, "Hello.rank_plus_one")
            var hello = Hello(
                role: role, host: shown(m.host), pid: try count(m.pid, atMost: MessageLimits.pid, "Hello.pid"),
                rank: rankPlusOne == 0 ? nil : rankPlusOne - 1)
            // Workers come to a server; nobody comes to a worker.
            if role == .server || !text(m.endpoint).isEmpty {
                hello.endpoint = try endpoint(m.endpoint, "Hello.endpoint")
            }
            hello.kernelCore = shown(m.kernel_core)
            hello.kernelHash = m.kernel_hash
            if m.has_memory != 0 {
                var lastCommit: Commit?
                if let commit = m.last_commit { lastCommit = try commitValue(commit.pointee) }
                hello.memory = Hello.Memory(version: try version(m.version, "Hello.version"), lastCommit: lastCommit)
            }
            hello.challenge = m.challenge
            hello.takesOver = m.takes_over != 0
            hello.publicKey = try publicKey(m.public_key, "Hello.public_key")
            self = .hello(hello)
        case PS__ENVELOPE__BODY_WELCOME:
            let m = try member(e.welcome)
            var welcome = Welcome(
                rank: try count(m.rank, atMost: MessageLimits.processes - 1, "Welcome.rank"),
                configuration: text(m.configuration),
                runDirectory: try absolutePath(m.run_directory, "Welcome.run_directory"),
                nonce: text(m.nonce), layoutDigest: m.layout_digest, plan: text(m.plan),
                dataDigest: text(m.data_digest), testDigest: text(m.test_digest))
            let key = (m.grant_key_1, m.grant_key_2, m.grant_key_3, m.grant_key_4)
            if key != (0, 0, 0, 0) { welcome.grantKey = ProofKey(key.0, key.1, key.2, key.3) }
            self = .welcome(welcome)
        case PS__ENVELOPE__BODY_REFUSAL:
            let m = try member(e.refusal)
            self = .refusal(Refusal(Refusal.Reason(rawValue: m.reason.rawValue) ?? .unknown, shown(m.text)))
        case PS__ENVELOPE__BODY_HEARTBEAT:
            let m = try member(e.heartbeat)
            var heartbeat = Heartbeat()
            heartbeat.bytesSent = try check(m.bytes_sent, atMost: MessageLimits.counter, "Heartbeat.bytes_sent")
            heartbeat.bytesReceived = try check(
                m.bytes_received, atMost: MessageLimits.counter, "Heartbeat.bytes_received")
            heartbeat.activity = shown(m.activity)
            heartbeat.progress = try check(m.progress, atMost: MessageLimits.counter, "Heartbeat.progress")
            let unreachable = try count(
                m.unreachable_rank_plus_one, atMost: MessageLimits.processes, "Heartbeat.unreachable_rank_plus_one")
            heartbeat.unreachable = unreachable == 0 ? nil : unreachable - 1
            heartbeat.behind = try count(m.behind, atMost: MessageLimits.slices, "Heartbeat.behind")
            heartbeat.isDeaf = m.is_deaf != 0
            self = .heartbeat(heartbeat)
        case PS__ENVELOPE__BODY_MEMBERS:
            let m = try member(e.members)
            var servers: [ServerAddress] = []
            for pointer in list(m.servers, m.n_servers) { servers.append(try address(pointer)) }
            let holders = list(m.holders, m.n_holders)
            guard holders.allSatisfy({ $0 < servers.count }) else {
                throw .malformed("Members.holders names a server that is not in its list of \(servers.count)")
            }
            self = .members(Holders(servers: servers, byShard: holders.map(Int.init)))
        case PS__ENVELOPE__BODY_CHALLENGE:
            let m = try member(e.challenge)
            self = .challenge(
                Challenge(
                    number: m.number, runDirectory: try absolutePath(m.run_directory, "Challenge.run_directory")))
        case PS__ENVELOPE__BODY_KEYS:
            let m = try member(e.keys)
            var members: [String] = []
            for key in list(m.members, m.n_members) { members.append(try publicKey(key, "Keys.members")) }
            self = .keys(members)
        case PS__ENVELOPE__BODY_WANT: self = .want
        case PS__ENVELOPE__BODY_GRANT:
            let m = try member(e.grant)
            self = .grant(
                try attempt(m.ticket, m.attempt, "Grant"), version: try version(m.version, "Grant.version"))
        case PS__ENVELOPE__BODY_CONTRIBUTION:
            self = .contribution(try contributionValue(try member(e.contribution)))
        case PS__ENVELOPE__BODY_COUNTED:
            let m = try member(e.counted)
            self = .counted(try attempt(m.ticket, m.attempt, "Counted"))
        case PS__ENVELOPE__BODY_MEASURE:
            let m = try member(e.measure)
            self = .measure(try evaluationAttempt(m.version, m.part, m.attempt, "Measure"))
        case PS__ENVELOPE__BODY_MEASUREMENT:
            let m = try member(e.measurement)
            var measurement = Measurement(
                attempt: try evaluationAttempt(m.version, m.part, m.attempt, "Measurement"),
                images: try count(m.images, atMost: MessageLimits.samples, "Measurement.images"),
                top1: try count(m.top1, atMost: m.top5, "Measurement.top1"),
                top5: try count(m.top5, atMost: m.images, "Measurement.top5"), loss: m.loss,
                excluded: try count(m.excluded, atMost: MessageLimits.samples, "Measurement.excluded"))
            measurement.seconds = try seconds(m.seconds, "Measurement.seconds")
            self = .measurement(measurement)
        case PS__ENVELOPE__BODY_MEASURED:
            let m = try member(e.measured)
            self = .measured(try evaluationAttempt(m.version, m.part, m.attempt, "Measured"))
        case PS__ENVELOPE__BODY_PULL:
            let m = try member(e.pull)
            self = .pull(
                version: try version(m.version, "Pull.version"),
                slices: try sliceIndices(m.slices, m.n_slices, "Pull.slices"))
        case PS__ENVELOPE__BODY_GONE:
            let m = try member(e.gone)
            self = .gone(
                version: try version(m.version, "Gone.version"),
                slices: try sliceIndices(m.slices, m.n_slices, "Gone.slices"))
        case PS__ENVELOPE__BODY_TOOK:
            let m = try member(e.took)
            self = .took(
                try attempt(m.ticket, m.attempt, "Took"), slice: try sliceIndex(m.slice, "Took.slice"))
        case PS__ENVELOPE__BODY_HELD:
            let m = try member(e.held)
            self = .held(try attempt(m.ticket, m.attempt, "Held"))
        case PS__ENVELOPE__BODY_RESEND:
            let m = try member(e.resend)
            self = .resend(
                try attempt(m.ticket, m.attempt, "Resend"), slice: try sliceIndex(m.slice, "Resend.slice"))
        case PS__ENVELOPE__BODY_DIFFERS:
            let m = try member(e.differs)
            try check(m.ticket, atMost: MessageLimits.ticket, "Differs.ticket")
            self = .differs(
                Difference(
                    ticket: Ticket(m.ticket), slice: try sliceIndex(m.slice, "Differs.slice"), first: m.first,
                    second: m.second))
        case PS__ENVELOPE__BODY_FOLLOW:
            let m = try member(e.follow)
            guard m.n_slices == m.n_reaches_plus_one else {
                throw .malformed("\(m.n_slices) slices with \(m.n_reaches_plus_one) versions")
            }
            var progress: [Progress] = []
            let slices = try sliceIndices(m.slices, m.n_slices, "Follow.slices")
            for (slice, reaches) in zip(slices, list(m.reaches_plus_one, m.n_reaches_plus_one)) {
                try check(reaches, atMost: MessageLimits.version + 1, "Follow.reaches_plus_one")
                progress.append(Progress(slice: slice, reaches: reaches == 0 ? nil : Version(reaches - 1)))
            }
            self = .follow(progress)
        case PS__ENVELOPE__BODY_RESET:
            let m = try member(e.reset)
            guard m.rank < m.servers, m.servers <= MessageLimits.processes else {
                throw .malformed("Reset is for rank \(m.rank) of \(m.servers) servers")
            }
            let version = try version(m.version, "Reset.version")
            var base: CheckpointReference?
            if let from = m.from { base = try checkpoint(from.pointee, of: version) }
            var reset = Reset(version: version, base: base, rank: Int(m.rank), servers: Int(m.servers))
            try check(UInt64(m.root_plus_one), atMost: UInt64(MessageLimits.generation) + 1, "Reset.root_plus_one")
            reset.root = m.root_plus_one == 0 ? nil : m.root_plus_one - 1
            reset.serves = try shards(list(m.serves, m.n_serves), of: m.servers, "Reset.serves")
            reset.expects = try shards(list(m.expects, m.n_expects), of: m.servers, "Reset.expects")
            var others: [UInt32] = []
            var servers: [ServerAddress] = []
            for pointer in list(m.follows, m.n_follows) {
                let followed = try member(pointer)
                others.append(followed.shard)
                servers.append(try address(followed.server))
            }
            let followed = try shards(others, of: m.servers, "Reset.Followed.shard")
            guard Set(followed).isDisjoint(with: reset.serves) else {
                throw .malformed("Reset.follows has a shard that is in Reset.serves as well")
            }
            reset.follows = zip(followed, servers).map { Reset.Followed(shard: $0, server: $1) }
            self = .reset(reset)
        case PS__ENVELOPE__BODY_READY: self = .ready(version: try version(try member(e.ready).version, "Ready.version"))
        case PS__ENVELOPE__BODY_PREPARE:
            let (step, attempts) = try prepareValue(try member(e.prepare))
            self = .prepare(step: step, attempts: attempts)
        case PS__ENVELOPE__BODY_PREPARED:
            let m = try member(e.prepared)
            guard m.n_slices == m.n_squared_norms else {
                throw .malformed("\(m.n_slices) slices with \(m.n_squared_norms) norms")
            }
            var norms: [Prepared.Norm] = []
            norms.reserveCapacity(m.n_slices)
            let slices = try sliceIndices(m.slices, m.n_slices, "Prepared.slices")
            for (slice, squared) in zip(slices, list(m.squared_norms, m.n_squared_norms)) {
                norms.append(Prepared.Norm(slice: slice, squared: try norm(squared, "Prepared.squared_norms")))
            }
            self = .prepared(
                Prepared(step: try step(m.step, "Prepared.step"), isFinite: m.finite != 0, norms: norms))
        case PS__ENVELOPE__BODY_COMMIT: self = .commit(try commitValue(try member(e.commit)))
        case PS__ENVELOPE__BODY_APPLIED: self = .applied(step: try step(try member(e.applied).step, "Applied.step"))
        case PS__ENVELOPE__BODY_SNAPSHOT:
            self = .snapshot(version: try version(try member(e.snapshot).version, "Snapshot.version"))
        case PS__ENVELOPE__BODY_SNAPSHOTTING:
            self = .snapshotting(version: try version(try member(e.snapshotting).version, "Snapshotting.version"))
        case PS__ENVELOPE__BODY_SAVED:
            let m = try member(e.saved)
            var files: [SavedFile] = []
            for pointer in list(m.files, m.n_files) {
                let file = try member(pointer)
                files.append(
                    SavedFile(
                        name: try fileName(file.name, "Saved.File.name"), content: shown(file.content),
                        bytes: try check(file.bytes, atMost: MessageLimits.counter, "Saved.File.bytes"),
                        sha256: try sha256(file.sha256, "Saved.File.sha256")))
            }
            self = .saved(version: try version(m.version, "Saved.version"), files: files)
        case PS__ENVELOPE__BODY_FAILED:
            let m = try member(e.failed)
            guard let what = ServerFailure(rawValue: m.what.rawValue) else {
                throw .malformed("a failure of kind \(m.what.rawValue)")
            }
            self = .failed(version: try version(m.version, "Failed.version"), text: shown(m.text), what: what)
        case PS__ENVELOPE__BODY_FINISH:
            let m = try member(e.finish)
            self = .finish(
                exitCode: try count(m.exit_code, atMost: MessageLimits.exitCode, "Finish.exit_code"),
                text: shown(m.text))
        case PS__ENVELOPE__BODY_LEAVE: self = .leave(text: shown(try member(e.leave).text))
        case PS__ENVELOPE__BODY_STATUS_REQUEST: self = .statusRequest
        case PS__ENVELOPE__BODY_STATUS: self = .status(json: text(try member(e.status).json))
        case PS__ENVELOPE__BODY_CONTROL:
            let m = try member(e.control)
            switch m.kind {
            case PS__CONTROL__KIND__STOP:
                self = .control(.stop(after: try version(m.after_step, "Control.after_step")))
            case PS__CONTROL__KIND__CHECKPOINT: self = .control(.checkpoint)
            default: throw .malformed("a request of kind \(m.kind.rawValue)")
            }
        case PS__ENVELOPE__BODY_CONTROL_REPLY:
            let m = try member(e.control_reply)
            self = .controlReply(ok: m.ok != 0, text: shown(m.text))
        case PS__ENVELOPE__BODY_PUSH:
            let m = try member(e.push)
            self = .push(try attempt(m.ticket, m.attempt, "Push"), try slice(m.slice))
        case PS__ENVELOPE__BODY_PUBLISH: self = .publish(try slice(try member(e.publish).slice))
        case PS__ENVELOPE__BODY_REPLICA:
            let m = try member(e.replica)
            guard let content = ReplicaContent(rawValue: m.content.rawValue) else {
                throw .malformed("a part of a slice of kind \(m.content.rawValue)")
            }
            self = .replica(
                try slice(m.slice), content,
                remaining: try count(m.remaining, atMost: MessageLimits.stateParts, "Replica.remaining"))
        default: throw .malformed("an envelope without a known body (\(e.body_case.rawValue))")
        }
    }
}

private func address(_ pointer: UnsafeMutablePointer<Ps__Members__Server>?) throws(MessageError) -> ServerAddress {
    let server = try member(pointer)
    guard server.incarnation != 0 else { throw .malformed("Members.Server.incarnation is 0") }
    return ServerAddress(
        endpoint: try endpoint(server.endpoint, "Members.Server.endpoint"), incarnation: server.incarnation,
        publicKey: try publicKey(server.public_key, "Members.Server.public_key"),
        rank: try count(server.rank, atMost: MessageLimits.processes - 1, "Members.Server.rank"))
}

private func shards(
    _ shards: [UInt32], of count: UInt32, _ field: StaticString
) throws(MessageError) -> [Int] {
    guard shards.allSatisfy({ $0 < count }) else { throw .malformed("\(field) has a shard that is none of \(count)") }
    guard Set(shards).count == shards.count else { throw .malformed("\(field) has a shard twice") }
    return shards.map(Int.init)
}

private func slice(_ pointer: UnsafeMutablePointer<Ps__Slice>?) throws(MessageError) -> SliceHeader {
    let m = try member(pointer)
    return SliceHeader(
        index: try sliceIndex(m.index, "Slice.index"), version: try version(m.version, "Slice.version"))
}

private func checkpoint(_ m: Ps__Checkpoint, of version: Version) throws(MessageError) -> CheckpointReference {
    try check(
        UInt64(m.generation_plus_one), atMost: UInt64(MessageLimits.generation) + 1, "Checkpoint.generation_plus_one")
    let isForeign = !text(m.foreign).isEmpty
    return CheckpointReference(
        version: version, generation: m.generation_plus_one == 0 ? nil : m.generation_plus_one - 1,
        foreign: isForeign ? try absolutePath(m.foreign, "Checkpoint.foreign") : nil)
}

extension Refusal {
    /// The answer to bytes that are no message.
    package init(of error: MessageError) {
        let reason: Reason = if case .protocolVersion = error { .protocolVersion } else { .malformed }
        self.init(reason, error.description)
    }
}
