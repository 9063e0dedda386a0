// Swift message -> protobuf bytes, less the payload.

import CMessages

extension Envelope {
    /// The serialized message. For a message that carries values, the bytes up to and including the length of
    /// `Slice.values`; followed by `values` they are the whole serialization.
    package func encoded(values: UnsafeRawBufferPointer = .init(start: nil, count: 0)) -> [UInt8] {
        precondition(values.isEmpty || message.carriesValues, "this message carries no values")
        var arena = Arena()
        defer { arena.free() }
        let envelope: UnsafeMutablePointer<Ps__Envelope> = arena.new(ps__envelope__init)
        envelope.pointee.protocol = protocolVersion
        envelope.pointee.job = job
        envelope.pointee.generation = generation
        envelope.pointee.term = term
        envelope.pointee.source = source
        envelope.pointee.destination = destination
        envelope.pointee.proof_high = proof.high
        envelope.pointee.proof_low = proof.low
        message.fill(envelope, &arena, values)

        return packed(envelope, less: values)
    }
}

extension Message {
    // One case per member of the oneof; long because the wire has that many messages.
    fileprivate func fill(
        _ e: UnsafeMutablePointer<Ps__Envelope>, _ arena: inout Arena, _ values: UnsafeRawBufferPointer
    ) {
        switch self {
        case .hello(let hello):
            e.pointee.body_case = PS__ENVELOPE__BODY_HELLO
            let m: UnsafeMutablePointer<Ps__Hello> = arena.new(ps__hello__init)
            m.pointee.role = Ps__Role(hello.role.rawValue)
            m.pointee.host = arena.string(hello.host, "Hello.host")
            m.pointee.pid = UInt32(hello.pid)
            m.pointee.rank_plus_one = UInt32(hello.rank.map { $0 + 1 } ?? 0)
            m.pointee.endpoint = arena.string(hello.endpoint, "Hello.endpoint")
            m.pointee.kernel_core = arena.string(hello.kernelCore, "Hello.kernel_core")
            m.pointee.kernel_hash = hello.kernelHash
            if let memory = hello.memory {
                m.pointee.has_memory = 1
                m.pointee.version = memory.version.number
                m.pointee.last_commit = memory.lastCommit.map { arena.commit($0) }
            }
            m.pointee.challenge = hello.challenge
            m.pointee.takes_over = hello.takesOver ? 1 : 0
            m.pointee.public_key = arena.string(hello.publicKey, "Hello.public_key")
            e.pointee.hello = m
        case .welcome(let welcome):
            e.pointee.body_case = PS__ENVELOPE__BODY_WELCOME
            let m: UnsafeMutablePointer<Ps__Welcome> = arena.new(ps__welcome__init)
            m.pointee.rank = UInt32(welcome.rank)
            m.pointee.configuration = arena.string(welcome.configuration, "Welcome.configuration")
            m.pointee.run_directory = arena.string(welcome.runDirectory, "Welcome.run_directory")
            m.pointee.nonce = arena.string(welcome.nonce, "Welcome.nonce")
            m.pointee.layout_digest = welcome.layoutDigest
            m.pointee.plan = arena.string(welcome.plan, "Welcome.plan")
            m.pointee.data_digest = arena.string(welcome.dataDigest, "Welcome.data_digest")
            m.pointee.test_digest = arena.string(welcome.testDigest, "Welcome.test_digest")
            if let key = welcome.grantKey {
                (m.pointee.grant_key_1, m.pointee.grant_key_2, m.pointee.grant_key_3, m.pointee.grant_key_4) = key.parts
            }
            e.pointee.welcome = m
        case .refusal(let refusal):
            e.pointee.body_case = PS__ENVELOPE__BODY_REFUSAL
            let m: UnsafeMutablePointer<Ps__Refusal> = arena.new(ps__refusal__init)
            m.pointee.reason = Ps__Refusal__Reason(refusal.reason.rawValue)
            m.pointee.text = arena.string(refusal.text, "Refusal.text")
            e.pointee.refusal = m
        case .heartbeat(let heartbeat):
            e.pointee.body_case = PS__ENVELOPE__BODY_HEARTBEAT
            let m: UnsafeMutablePointer<Ps__Heartbeat> = arena.new(ps__heartbeat__init)
            m.pointee.bytes_sent = heartbeat.bytesSent
            m.pointee.bytes_received = heartbeat.bytesReceived
            m.pointee.activity = arena.string(heartbeat.activity, "Heartbeat.activity")
            m.pointee.progress = heartbeat.progress
            m.pointee.unreachable_rank_plus_one = UInt32(heartbeat.unreachable.map { $0 + 1 } ?? 0)
            m.pointee.behind = UInt32(heartbeat.behind)
            m.pointee.is_deaf = heartbeat.isDeaf ? 1 : 0
            e.pointee.heartbeat = m
        case .members(let holders):
            e.pointee.body_case = PS__ENVELOPE__BODY_MEMBERS
            let m: UnsafeMutablePointer<Ps__Members> = arena.new(ps__members__init)
            var list: [UnsafeMutablePointer<Ps__Members__Server>?] = []
            for server in holders.servers { list.append(arena.server(server)) }
            (m.pointee.n_servers, m.pointee.servers) = arena.array(list)
            (m.pointee.n_holders, m.pointee.holders) = arena.array(holders.byShard.map(UInt32.init))
            e.pointee.members = m
        case .challenge(let challenge):
            e.pointee.body_case = PS__ENVELOPE__BODY_CHALLENGE
            let m: UnsafeMutablePointer<Ps__Challenge> = arena.new(ps__challenge__init)
            m.pointee.number = challenge.number
            m.pointee.run_directory = arena.string(challenge.runDirectory, "Challenge.run_directory")
            e.pointee.challenge = m
        case .keys(let members):
            e.pointee.body_case = PS__ENVELOPE__BODY_KEYS
            let m: UnsafeMutablePointer<Ps__Keys> = arena.new(ps__keys__init)
            let texts: [UnsafeMutablePointer<CChar>?] = members.map { arena.string($0, "Keys.members") }
            (m.pointee.n_members, m.pointee.members) = arena.array(texts)
            e.pointee.keys = m
        case .want:
            e.pointee.body_case = PS__ENVELOPE__BODY_WANT
            e.pointee.want = arena.new(ps__want__init)
        case .grant(let attempt, let version):
            e.pointee.body_case = PS__ENVELOPE__BODY_GRANT
            let m: UnsafeMutablePointer<Ps__Grant> = arena.new(ps__grant__init)
            m.pointee.ticket = attempt.ticket.number
            m.pointee.attempt = attempt.number
            m.pointee.version = version.number
            e.pointee.grant = m
        case .contribution(let contribution):
            e.pointee.body_case = PS__ENVELOPE__BODY_CONTRIBUTION
            e.pointee.contribution = arena.contribution(contribution)
        case .counted(let attempt):
            e.pointee.body_case = PS__ENVELOPE__BODY_COUNTED
            let m: UnsafeMutablePointer<Ps__Counted> = arena.new(ps__counted__init)
            m.pointee.ticket = attempt.ticket.number
            m.pointee.attempt = attempt.number
            e.pointee.counted = m
        case .measure(let attempt):
            e.pointee.body_case = PS__ENVELOPE__BODY_MEASURE
            let m: UnsafeMutablePointer<Ps__Measure> = arena.new(ps__measure__init)
            m.pointee.version = attempt.version.number
            m.pointee.part = UInt32(attempt.part)
            m.pointee.attempt = attempt.number
            e.pointee.measure = m
        case .measurement(let measurement):
            e.pointee.body_case = PS__ENVELOPE__BODY_MEASUREMENT
            let m: UnsafeMutablePointer<Ps__Measurement> = arena.new(ps__measurement__init)
            m.pointee.version = measurement.attempt.version.number
            m.pointee.part = UInt32(measurement.attempt.part)
            m.pointee.attempt = measurement.attempt.number
            m.pointee.images = UInt32(measurement.images)
            m.pointee.top1 = UInt32(measurement.top1)
            m.pointee.top5 = UInt32(measurement.top5)
            m.pointee.loss = measurement.loss
            m.pointee.excluded = UInt32(measurement.excluded)
            m.pointee.seconds = measurement.seconds
            e.pointee.measurement = m
        case .measured(let attempt):
            e.pointee.body_case = PS__ENVELOPE__BODY_MEASURED
            let m: UnsafeMutablePointer<Ps__Measured> = arena.new(ps__measured__init)
            m.pointee.version = attempt.version.number
            m.pointee.part = UInt32(attempt.part)
            m.pointee.attempt = attempt.number
            e.pointee.measured = m
        case .pull(let version, let slices):
            e.pointee.body_case = PS__ENVELOPE__BODY_PULL
            let m: UnsafeMutablePointer<Ps__Pull> = arena.new(ps__pull__init)
            m.pointee.version = version.number
            (m.pointee.n_slices, m.pointee.slices) = arena.array(slices.map(UInt32.init))
            e.pointee.pull = m
        case .gone(let version, let slices):
            e.pointee.body_case = PS__ENVELOPE__BODY_GONE
            let m: UnsafeMutablePointer<Ps__Gone> = arena.new(ps__gone__init)
            m.pointee.version = version.number
            (m.pointee.n_slices, m.pointee.slices) = arena.array(slices.map(UInt32.init))
            e.pointee.gone = m
        case .took(let attempt, let slice):
            e.pointee.body_case = PS__ENVELOPE__BODY_TOOK
            let m: UnsafeMutablePointer<Ps__Took> = arena.new(ps__took__init)
            m.pointee.ticket = attempt.ticket.number
            m.pointee.attempt = attempt.number
            m.pointee.slice = UInt32(slice)
            e.pointee.took = m
        case .held(let attempt):
            e.pointee.body_case = PS__ENVELOPE__BODY_HELD
            let m: UnsafeMutablePointer<Ps__Held> = arena.new(ps__held__init)
            m.pointee.ticket = attempt.ticket.number
            m.pointee.attempt = attempt.number
            e.pointee.held = m
        case .resend(let attempt, let slice):
            e.pointee.body_case = PS__ENVELOPE__BODY_RESEND
            let m: UnsafeMutablePointer<Ps__Resend> = arena.new(ps__resend__init)
            m.pointee.ticket = attempt.ticket.number
            m.pointee.attempt = attempt.number
            m.pointee.slice = UInt32(slice)
            e.pointee.resend = m
        case .differs(let difference):
            e.pointee.body_case = PS__ENVELOPE__BODY_DIFFERS
            let m: UnsafeMutablePointer<Ps__Differs> = arena.new(ps__differs__init)
            m.pointee.ticket = difference.ticket.number
            m.pointee.slice = UInt32(difference.slice)
            m.pointee.first = difference.first
            m.pointee.second = difference.second
            e.pointee.differs = m
        case .follow(let progress):
            e.pointee.body_case = PS__ENVELOPE__BODY_FOLLOW
            let m: UnsafeMutablePointer<Ps__Follow> = arena.new(ps__follow__init)
            (m.pointee.n_slices, m.pointee.slices) = arena.array(progress.map { UInt32($0.slice) })
            (m.pointee.n_reaches_plus_one, m.pointee.reaches_plus_one) = arena.array(
                progress.map { $0.reaches.map { $0.number + 1 } ?? 0 })
            e.pointee.follow = m
        case .reset(let reset):
            e.pointee.body_case = PS__ENVELOPE__BODY_RESET
            let m: UnsafeMutablePointer<Ps__Reset> = arena.new(ps__reset__init)
            m.pointee.version = reset.version.number
            if let base = reset.base {
                let b: UnsafeMutablePointer<Ps__Checkpoint> = arena.new(ps__checkpoint__init)
                b.pointee.foreign = arena.string(base.foreign ?? "", "Checkpoint.foreign")
                // The largest generation, which no job comes to, is then not known.
                b.pointee.generation_plus_one = base.generation.map { $0 &+ 1 } ?? 0
                m.pointee.from = b
            }
            m.pointee.rank = UInt32(reset.rank)
            m.pointee.servers = UInt32(reset.servers)
            // As with the base's generation.
            m.pointee.root_plus_one = reset.root.map { $0 &+ 1 } ?? 0
            (m.pointee.n_serves, m.pointee.serves) = arena.array(reset.serves.map(UInt32.init))
            (m.pointee.n_expects, m.pointee.expects) = arena.array(reset.expects.map(UInt32.init))
            var list: [UnsafeMutablePointer<Ps__Reset__Followed>?] = []
            for followed in reset.follows {
                let f: UnsafeMutablePointer<Ps__Reset__Followed> = arena.new(ps__reset__followed__init)
                f.pointee.shard = UInt32(followed.shard)
                f.pointee.server = arena.server(followed.server)
                list.append(f)
            }
            (m.pointee.n_follows, m.pointee.follows) = arena.array(list)
            e.pointee.reset = m
        case .ready(let version):
            e.pointee.body_case = PS__ENVELOPE__BODY_READY
            let m: UnsafeMutablePointer<Ps__Ready> = arena.new(ps__ready__init)
            m.pointee.version = version.number
            e.pointee.ready = m
        case .prepare(let step, let attempts):
            e.pointee.body_case = PS__ENVELOPE__BODY_PREPARE
            e.pointee.prepare = arena.prepare(step, attempts)
        case .prepared(let prepared):
            e.pointee.body_case = PS__ENVELOPE__BODY_PREPARED
            let m: UnsafeMutablePointer<Ps__Prepared> = arena.new(ps__prepared__init)
            m.pointee.step = prepared.step.number
            m.pointee.finite = prepared.isFinite ? 1 : 0
            (m.pointee.n_slices, m.pointee.slices) = arena.array(prepared.norms.map { UInt32($0.slice) })
            (m.pointee.n_squared_norms, m.pointee.squared_norms) = arena.array(prepared.norms.map(\.squared))
            e.pointee.prepared = m
        case .commit(let commit):
            e.pointee.body_case = PS__ENVELOPE__BODY_COMMIT
            e.pointee.commit = arena.commit(commit)
        case .applied(let step):
            e.pointee.body_case = PS__ENVELOPE__BODY_APPLIED
            let m: UnsafeMutablePointer<Ps__Applied> = arena.new(ps__applied__init)
            m.pointee.step = step.number
            e.pointee.applied = m
        case .snapshot(let version):
            e.pointee.body_case = PS__ENVELOPE__BODY_SNAPSHOT
            let m: UnsafeMutablePointer<Ps__Snapshot> = arena.new(ps__snapshot__init)
            m.pointee.version = version.number
            e.pointee.snapshot = m
        case .snapshotting(let version):
            e.pointee.body_case = PS__ENVELOPE__BODY_SNAPSHOTTING
            let m: UnsafeMutablePointer<Ps__Snapshotting> = arena.new(ps__snapshotting__init)
            m.pointee.version = version.number
            e.pointee.snapshotting = m
        case .saved(let version, let files):
            e.pointee.body_case = PS__ENVELOPE__BODY_SAVED
            let m: UnsafeMutablePointer<Ps__Saved> = arena.new(ps__saved__init)
            m.pointee.version = version.number
            var list: [UnsafeMutablePointer<Ps__Saved__File>?] = []
            for file in files {
                let f: UnsafeMutablePointer<Ps__Saved__File> = arena.new(ps__saved__file__init)
                f.pointee.name = arena.string(file.name, "Saved.File.name")
                f.pointee.content = arena.string(file.content, "Saved.File.content")
                f.pointee.bytes = file.bytes
                f.pointee.sha256 = arena.string(file.sha256, "Saved.File.sha256")
                list.append(f)
            }
            (m.pointee.n_files, m.pointee.files) = arena.array(list)
            e.pointee.saved = m
        case .failed(let version, let text, let what):
            e.pointee.body_case = PS__ENVELOPE__BODY_FAILED
            let m: UnsafeMutablePointer<Ps__Failed> = arena.new(ps__failed__init)
            m.pointee.version = version.number
            m.pointee.text = arena.string(text, "Failed.text")
            m.pointee.what = Ps__Failed__What(rawValue: what.rawValue)
            e.pointee.failed = m
        case .finish(let exitCode, let text):
            e.pointee.body_case = PS__ENVELOPE__BODY_FINISH
            let m: UnsafeMutablePointer<Ps__Finish> = arena.new(ps__finish__init)
            m.pointee.exit_code = UInt32(exitCode)
            m.pointee.text = arena.string(text, "Finish.text")
            e.pointee.finish = m
        case .leave(let text):
            e.pointee.body_case = PS__ENVELOPE__BODY_LEAVE
            let m: UnsafeMutablePointer<Ps__Leave> = arena.new(ps__leave__init)
            m.pointee.text = arena.string(text, "Leave.text")
            e.pointee.leave = m
        case .statusRequest:
            e.pointee.body_case = PS__ENVELOPE__BODY_STATUS_REQUEST
            e.pointee.status_request = arena.new(ps__status_request__init)
        case .status(let json):
            e.pointee.body_case = PS__ENVELOPE__BODY_STATUS
            let m: UnsafeMutablePointer<Ps__Status> = arena.new(ps__status__init)
            m.pointee.json = arena.string(json, "Status.json")
            e.pointee.status = m
        case .control(let control):
            e.pointee.body_case = PS__ENVELOPE__BODY_CONTROL
            let m: UnsafeMutablePointer<Ps__Control> = arena.new(ps__control__init)
            switch control {
            case .stop(let version):
                m.pointee.kind = PS__CONTROL__KIND__STOP
                m.pointee.after_step = version.number
            case .checkpoint:
                m.pointee.kind = PS__CONTROL__KIND__CHECKPOINT
            }
            e.pointee.control = m
        case .controlReply(let ok, let text):
            e.pointee.body_case = PS__ENVELOPE__BODY_CONTROL_REPLY
            let m: UnsafeMutablePointer<Ps__ControlReply> = arena.new(ps__control_reply__init)
            m.pointee.ok = ok ? 1 : 0
            m.pointee.text = arena.string(text, "ControlReply.text")
            e.pointee.control_reply = m
        case .push(let attempt, let slice):
            e.pointee.body_case = PS__ENVELOPE__BODY_PUSH
            let m: UnsafeMutablePointer<Ps__Push> = arena.new(ps__push__init)
            m.pointee.ticket = attempt.ticket.number
            m.pointee.attempt = attempt.number
            m.pointee.slice = arena.slice(slice, values)
            e.pointee.push = m
        case .publish(let slice):
            e.pointee.body_case = PS__ENVELOPE__BODY_PUBLISH
            let m: UnsafeMutablePointer<Ps__Publish> = arena.new(ps__publish__init)
            m.pointee.slice = arena.slice(slice, values)
            e.pointee.publish = m
        case .replica(let slice, let content, let remaining):
            e.pointee.body_case = PS__ENVELOPE__BODY_REPLICA
            let m: UnsafeMutablePointer<Ps__Replica> = arena.new(ps__replica__init)
            m.pointee.content = Ps__Replica__Content(rawValue: content.rawValue)
            m.pointee.remaining = UInt32(remaining)
            m.pointee.slice = arena.slice(slice, values)
            e.pointee.replica = m
        }
    }
}
