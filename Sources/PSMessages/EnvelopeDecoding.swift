// Protobuf bytes -> Swift message. The bytes come from peers: nothing here traps on them.

import CMessages
import PSParameters

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
        let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let envelope = ps__envelope__unpack(nil, bytes.count, start) else {
            throw .malformed("\(bytes.count) bytes do not parse as an envelope")
        }
        defer { ps__envelope__free_unpacked(envelope, nil) }
        let e = envelope.pointee
        guard e.protocol == protocolVersion else { throw .protocolVersion(e.protocol) }
        return Envelope(
            job: e.job, generation: e.generation, term: e.term, source: e.source, destination: e.destination,
            message: try Message(e))
    }
}

private func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

private func list<T>(_ pointer: UnsafeMutablePointer<T>?, _ count: Int) -> [T] {
    Array(UnsafeBufferPointer(start: pointer, count: pointer == nil ? 0 : count))
}

private func attempts(_ tickets: [UInt64], _ numbers: [UInt64]) throws(MessageError) -> [Attempt] {
    guard tickets.count == numbers.count else {
        throw .malformed("\(tickets.count) tickets with \(numbers.count) attempts")
    }
    return zip(tickets, numbers).map { Attempt(ticket: Ticket($0), number: $1) }
}

/// Unwraps a member that protobuf-c always sets; hostile bytes cannot make it nil, but nothing here may trap.
private func member<T>(_ pointer: UnsafeMutablePointer<T>?) throws(MessageError) -> T {
    guard let pointer else { throw .malformed("a body without content") }
    return pointer.pointee
}

private func commitValue(_ m: Ps__Commit) -> Commit {
    Commit(
        step: Step(m.step), scale: Float(bitPattern: m.scale), learningRate: Float(bitPattern: m.learning_rate),
        averageDecay: Float(bitPattern: m.average_decay), skip: m.skip != 0)
}

extension Message {
    fileprivate init(_ e: Ps__Envelope) throws(MessageError) {
        switch e.body_case {
        case PS__ENVELOPE__BODY_HELLO:
            let m = try member(e.hello)
            guard let role = Role(rawValue: m.role.rawValue) else { throw .malformed("role \(m.role.rawValue)") }
            var hello = Hello(
                role: role, host: text(m.host), pid: Int(m.pid),
                rank: m.rank_plus_one == 0 ? nil : Int(m.rank_plus_one) - 1)
            hello.endpoint = text(m.endpoint)
            hello.kernelCore = text(m.kernel_core)
            hello.kernelHash = m.kernel_hash
            if m.has_memory != 0 {
                hello.memory = Hello.Memory(
                    version: Version(m.version), lastCommit: m.last_commit.map { commitValue($0.pointee) })
            }
            self = .hello(hello)
        case PS__ENVELOPE__BODY_WELCOME:
            let m = try member(e.welcome)
            self = .welcome(
                Welcome(
                    rank: Int(m.rank), configuration: text(m.configuration), runDirectory: text(m.run_directory),
                    nonce: text(m.nonce), layoutDigest: m.layout_digest, plan: text(m.plan),
                    dataDigest: text(m.data_digest), testDigest: text(m.test_digest)))
        case PS__ENVELOPE__BODY_REFUSAL:
            let m = try member(e.refusal)
            self = .refusal(Refusal(Refusal.Reason(rawValue: m.reason.rawValue) ?? .unknown, text(m.text)))
        case PS__ENVELOPE__BODY_HEARTBEAT:
            let m = try member(e.heartbeat)
            var heartbeat = Heartbeat()
            heartbeat.bytesSent = m.bytes_sent
            heartbeat.bytesReceived = m.bytes_received
            heartbeat.activity = text(m.activity)
            heartbeat.progress = m.progress
            self = .heartbeat(heartbeat)
        case PS__ENVELOPE__BODY_MEMBERS:
            let m = try member(e.members)
            var servers: [ServerAddress] = []
            for pointer in list(m.servers, m.n_servers) {
                let server = try member(pointer)
                servers.append(ServerAddress(endpoint: text(server.endpoint), incarnation: server.incarnation))
            }
            self = .members(servers)
        case PS__ENVELOPE__BODY_WANT: self = .want
        case PS__ENVELOPE__BODY_GRANT:
            let m = try member(e.grant)
            self = .grant(Attempt(ticket: Ticket(m.ticket), number: m.attempt), version: Version(m.version))
        case PS__ENVELOPE__BODY_CONTRIBUTION:
            let m = try member(e.contribution)
            var contribution = Contribution(
                attempt: Attempt(ticket: Ticket(m.ticket), number: m.attempt), loss: m.loss, correct: Int(m.correct),
                samples: Int(m.samples), norm: m.norm)
            contribution.seconds = m.seconds
            contribution.dataSeconds = m.data_seconds
            if m.n_replaced > 0 { contribution.replaced = list(m.replaced, m.n_replaced) }
            self = .contribution(contribution)
        case PS__ENVELOPE__BODY_COUNTED:
            let m = try member(e.counted)
            self = .counted(Attempt(ticket: Ticket(m.ticket), number: m.attempt))
        case PS__ENVELOPE__BODY_MEASURE:
            let m = try member(e.measure)
            self = .measure(EvaluationAttempt(version: Version(m.version), part: Int(m.part), number: m.attempt))
        case PS__ENVELOPE__BODY_MEASUREMENT:
            let m = try member(e.measurement)
            var measurement = Measurement(
                attempt: EvaluationAttempt(version: Version(m.version), part: Int(m.part), number: m.attempt),
                images: Int(m.images), top1: Int(m.top1), top5: Int(m.top5), loss: m.loss, excluded: Int(m.excluded))
            measurement.seconds = m.seconds
            self = .measurement(measurement)
        case PS__ENVELOPE__BODY_MEASURED:
            let m = try member(e.measured)
            self = .measured(EvaluationAttempt(version: Version(m.version), part: Int(m.part), number: m.attempt))
        case PS__ENVELOPE__BODY_PULL:
            let m = try member(e.pull)
            self = .pull(version: Version(m.version), slices: list(m.slices, m.n_slices).map(Int.init))
        case PS__ENVELOPE__BODY_GONE:
            let m = try member(e.gone)
            self = .gone(version: Version(m.version), slices: list(m.slices, m.n_slices).map(Int.init))
        case PS__ENVELOPE__BODY_TOOK:
            let m = try member(e.took)
            self = .took(Attempt(ticket: Ticket(m.ticket), number: m.attempt), slice: Int(m.slice))
        case PS__ENVELOPE__BODY_HELD:
            let m = try member(e.held)
            self = .held(Attempt(ticket: Ticket(m.ticket), number: m.attempt))
        case PS__ENVELOPE__BODY_RESEND:
            let m = try member(e.resend)
            self = .resend(Attempt(ticket: Ticket(m.ticket), number: m.attempt), slice: Int(m.slice))
        case PS__ENVELOPE__BODY_RESET:
            let m = try member(e.reset)
            guard m.rank < m.servers, m.servers <= 1 << 16, m.version <= UInt64(Int.max) else {
                throw .malformed("rank \(m.rank) of \(m.servers) servers, version \(m.version)")
            }
            self = .reset(
                Reset(
                    version: Version(m.version),
                    base: m.from.map { base in
                        let foreign = text(base.pointee.foreign)
                        let generation = base.pointee.generation_plus_one
                        return CheckpointReference(
                            version: Version(m.version), generation: generation == 0 ? nil : generation - 1,
                            foreign: foreign.isEmpty ? nil : foreign)
                    }, rank: Int(m.rank), servers: Int(m.servers)))
        case PS__ENVELOPE__BODY_READY: self = .ready(version: Version(try member(e.ready).version))
        case PS__ENVELOPE__BODY_PREPARE:
            let m = try member(e.prepare)
            self = .prepare(
                step: Step(m.step), attempts: try attempts(list(m.tickets, m.n_tickets), list(m.attempts, m.n_attempts))
            )
        case PS__ENVELOPE__BODY_PREPARED:
            let m = try member(e.prepared)
            guard m.n_slices == m.n_squared_norms else {
                throw .malformed("\(m.n_slices) slices with \(m.n_squared_norms) norms")
            }
            let norms = zip(list(m.slices, m.n_slices), list(m.squared_norms, m.n_squared_norms))
            self = .prepared(
                Prepared(
                    step: Step(m.step), isFinite: m.finite != 0,
                    norms: norms.map { Prepared.Norm(slice: Int($0), squared: $1) }))
        case PS__ENVELOPE__BODY_COMMIT: self = .commit(commitValue(try member(e.commit)))
        case PS__ENVELOPE__BODY_APPLIED: self = .applied(step: Step(try member(e.applied).step))
        case PS__ENVELOPE__BODY_SNAPSHOT: self = .snapshot(version: Version(try member(e.snapshot).version))
        case PS__ENVELOPE__BODY_SNAPSHOTTING: self = .snapshotting(version: Version(try member(e.snapshotting).version))
        case PS__ENVELOPE__BODY_SAVED:
            let m = try member(e.saved)
            var files: [SavedFile] = []
            for pointer in list(m.files, m.n_files) {
                let file = try member(pointer)
                let name = text(file.name)
                // It becomes part of a path.
                guard !name.isEmpty, !name.hasPrefix("."), !name.contains("/"), file.bytes <= UInt64(Int.max) else {
                    throw .malformed("a saved file called \"\(name)\" of \(file.bytes) bytes")
                }
                files.append(
                    SavedFile(
                        name: name, content: text(file.content), bytes: file.bytes,
                        sha256: text(file.sha256)))
            }
            self = .saved(version: Version(m.version), files: files)
        case PS__ENVELOPE__BODY_FAILED:
            let m = try member(e.failed)
            guard let what = ServerFailure(rawValue: m.what.rawValue) else {
                throw .malformed("a failure of kind \(m.what.rawValue)")
            }
            self = .failed(version: Version(m.version), text: text(m.text), what: what)
        case PS__ENVELOPE__BODY_FINISH:
            let m = try member(e.finish)
            self = .finish(exitCode: Int(m.exit_code), text: text(m.text))
        case PS__ENVELOPE__BODY_LEAVE: self = .leave(text: text(try member(e.leave).text))
        case PS__ENVELOPE__BODY_STATUS_REQUEST: self = .statusRequest
        case PS__ENVELOPE__BODY_STATUS: self = .status(json: text(try member(e.status).json))
        case PS__ENVELOPE__BODY_CONTROL:
            let m = try member(e.control)
            switch m.kind {
            case PS__CONTROL__KIND__STOP: self = .control(.stop(after: Version(m.after_step)))
            case PS__CONTROL__KIND__CHECKPOINT: self = .control(.checkpoint)
            default: throw .malformed("a request of kind \(m.kind.rawValue)")
            }
        case PS__ENVELOPE__BODY_CONTROL_REPLY:
            let m = try member(e.control_reply)
            self = .controlReply(ok: m.ok != 0, text: text(m.text))
        case PS__ENVELOPE__BODY_PUSH:
            let m = try member(e.push)
            self = .push(Attempt(ticket: Ticket(m.ticket), number: m.attempt), try slice(m.slice))
        case PS__ENVELOPE__BODY_PUBLISH: self = .publish(try slice(try member(e.publish).slice))
        default: throw .malformed("an envelope without a known body (\(e.body_case.rawValue))")
        }
    }
}

private func slice(_ pointer: UnsafeMutablePointer<Ps__Slice>?) throws(MessageError) -> SliceHeader {
    let m = try member(pointer)
    guard m.values.len == 0 else { throw .malformed("a slice's values in the first frame") }
    return SliceHeader(index: Int(m.index), version: Version(m.version))
}

extension Refusal {
    /// The answer to bytes that are no message.
    package init(of error: MessageError) {
        let reason: Reason = if case .protocolVersion = error { .protocolVersion } else { .malformed }
        self.init(reason, error.description)
    }
}
