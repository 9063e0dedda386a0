// The coordinator process: socket, journal and files around `CoordinatorState`. Performs its effects; decides nothing.

import Foundation
import Logging
import PSCheckpoint
import PSConfiguration
import PSData
import PSMessages
import PSModel
import PSNode
import PSOptimization
import PSParameters
import PSPlanning
import PSProtocol
import PSTransport

package final class CoordinatorNode {
    private let logger: Logger
    private var complaints: Complaints
    private let options: CoordinatorOptions
    private let layout: ParameterLayout
    private let plan: PlanFile
    private let lock: RunDirectoryLock
    private let journal: JobJournal
    private let context = TransportContext()
    private let link: Link
    private let input: NodeInput<CoordinatorState.Event>
    private let disk = SerialThread(name: "disk")
    private let identity = ProcessIdentity(role: .coordinator)
    private var state: CoordinatorState
    private var routes: [Incarnation: RoutingID] = [:]
    private var nextStatus = MonotonicTime(milliseconds: 0)
    private let job: UInt64
    /// Where workers and servers reach this process.
    package let endpoint: String

    package init(_ options: CoordinatorOptions, logger: Logger) throws {
        self.logger = logger
        complaints = Complaints(logger)
        self.options = options
        let directory = options.runDirectory
        let configuration = options.configuration
        let description = try ModelDescription(configuration.model)
        layout = description.layout
        let images = try configuration.data.open(.train).count

        input = NodeInput(lifeline: options.lifeline)
        lock = try RunDirectoryLock(runDirectory: directory.path)
        try directory.create()
        journal = try JobJournal(path: directory.journal)
        var replay = journal.replay
        if journal.cutByteCount > 0 {
            logger.warning("the journal's last record was torn: \(journal.cutByteCount) bytes cut")
        }
        // Before the journal has a job: one without a plan would be taken for a job older than plans.
        let (plan, isNewPlan) = try JobPlan.of(
            directory, replay: replay, configuration: configuration, description: description, logger: logger)
        self.plan = plan
        if isNewPlan { try directory.replace(directory.plan, with: Array(plan.text.utf8)) }
        if replay.job == 0 {
            replay.apply(
                .header(
                    job: UInt64.random(in: 1...UInt64.max), seed: configuration.seed, layoutDigest: layout.digest))
            try journal.append(
                .header(job: replay.job, seed: replay.seed, layoutDigest: replay.layoutDigest), sync: true)
        } else if replay.layoutDigest != layout.digest || replay.seed != configuration.seed {
            throw CoordinatorError(
                "\(directory.path) holds a job of another model or seed (seed \(replay.seed)): "
                    + "resume it with its own settings, or choose another run directory")
        }
        job = replay.job
        if replay.planIdentity == nil {
            replay.apply(.plan(identity: plan.identity))
            try journal.append(.plan(identity: plan.identity), sync: true)
        }

        link = Link(try Socket(.router, context: context, largestMessage: 8 << 20))
        endpoint = try CoordinatorNode.bind(link.socket, options.bind, former: replay.endpoint)
        replay.apply(.term(replay.term + 1, endpoint: endpoint))
        // Durable before the first word: no two starts ever speak in the same term.
        try journal.append(.term(replay.term, endpoint: endpoint), sync: true)
        try directory.replace(directory.configuration, with: Array(configuration.resolvedYAML().utf8))

        if let path = options.resumeFrom {
            let reader = try CheckpointReader(path)
            try reader.check(layout: layout)
            let base = CheckpointReference(
                version: Version(UInt64(reader.manifest.step)), path: RunDirectory(path).path)
            // In the journal at once: a coordinator that is started in this one's place goes back to it as well.
            let record = JournalRecord.rollback(generation: replay.generation + 1, base: base)
            replay.apply(record)
            try journal.append(record, sync: true)
        }
        state = CoordinatorState(
            settings: try CoordinatorNode.settings(options, layout: layout, plan: plan, images: images),
            identity: Hello(role: .coordinator, host: identity.host, pid: identity.pid, rank: 0),
            incarnation: identity.incarnation, replay: replay, at: input.now)
        try writeEndpoints()
        logger.info(
            "coordinator is up",
            metadata: ["endpoint": "\(endpoint)", "plan": "\(plan.summary)", "run": "\(directory.path)"])
    }

    /// A restarted coordinator listens where the others look for it.
    private static func bind(_ socket: Socket, _ endpoint: String, former: String) throws(TransportError) -> String {
        guard let wanted = Addresses.parse(endpoint), wanted.port == "*" || wanted.port == "0",
            let old = Addresses.parse(former), old.host == Addresses.numericHost(wanted.host)
        else { return try Addresses.bind(socket, to: endpoint) }
        do throws(TransportError) {
            return try socket.bind(former)
        } catch  where error.isAddressInUse {
            return try Addresses.bind(socket, to: endpoint)
        }
    }

    private static func settings(
        _ options: CoordinatorOptions, layout: ParameterLayout, plan: PlanFile, images: Int
    ) throws -> CoordinatorSettings {
        let configuration = options.configuration
        let train = configuration.train
        let stepsPerEpoch = Double(images) / Double(train.imagesPerStep)
        let steps = train.steps ?? Int((train.epochs * stepsPerEpoch).rounded(.up))
        let optimizer = configuration.optimizer
        let schedule = configuration.learningRate
        // A clip by ticket is the workers'; the step's gradient is then taken as it is.
        let threshold = optimizer.clipScope == .step ? optimizer.clip : 0
        let rule = StepRule(
            learningRate: { schedule.rate(step: Int($0.number), totalSteps: steps, stepsPerEpoch: stepsPerEpoch) },
            averageDecay: { optimizer.averageDecay(commit: Int($0.number)) },
            clip: { clipScale(threshold: threshold, squaredNorms: $0) })
        var settings = CoordinatorSettings(
            configuration: configuration.resolvedYAML(), runDirectory: options.runDirectory.path,
            nonce: try options.runDirectory.writeNonce(), layoutDigest: layout.digest,
            plan: plan.text, planSummary: plan.summary, sliceCount: layout.slices.count,
            serverCount: configuration.cluster.servers,
            stepShape: train.stepShape, samplesPerTicket: train.batch, lastVersion: Version(UInt64(steps)),
            stepsPerEpoch: stepsPerEpoch, checkpointEverySteps: UInt64(configuration.checkpoint.everySteps),
            checkpointEverySeconds: Int(configuration.checkpoint.everySeconds.rounded(.up)),
            nonFiniteLimit: train.nonFiniteLimit, rule: rule)
        settings.timing = options.timing
        return settings
    }

    /// Runs until the job is over. The summary is of what the last complete checkpoint holds.
    package func run() throws -> ExitStatus {
        var nextTick = input.now
        while true {
            try input.wait([link], until: nextTick)
            for event in input.mailbox.takeAll() {
                if let status = try perform(state.receive(event, at: input.now)) { return try leave(status) }
            }
            for _ in 0..<256 {
                guard let received = try link.receive() else { break }
                if let status = try take(received) { return try leave(status) }
            }
            if let signal = input.takeStop() {
                let code = signal == SIGINT ? ExitStatus.interrupted : ExitStatus.preempted
                _ = try perform(state.receive(.stop(exitCode: code, text: "stopped by a signal"), at: input.now))
            }
            if input.takeParentGone() {
                _ = try perform(
                    state.receive(
                        .stop(exitCode: ExitStatus.preempted, text: "the process that started the job is gone"),
                        at: input.now))
            }
            if input.now >= nextTick {
                nextTick = MonotonicTime(milliseconds: input.now.milliseconds + 50)
                if let status = try perform(state.receive(.tick, at: input.now)) { return try leave(status) }
                writeStatusIfDue()
            }
        }
    }

    private func take(_ received: Received) throws -> ExitStatus? {
        guard let peer = received.peer else { return nil }
        switch received.envelope {
        case .failure(let error):
            complaints.warn("from an unknown sender: \(error)", at: input.now)
            try link.send(state.envelope(.refusal(Refusal(of: error)), to: 0), to: peer)
            return nil
        case .success(let envelope):
            switch envelope.message {
            case .statusRequest, .control:
                // Another job may have listened at this port before: who asks names the process that is meant.
                guard envelope.destination == identity.incarnation else {
                    let refusal = Refusal(.incarnation, "another process than the one that is meant listens here")
                    try link.send(state.envelope(.refusal(refusal), to: envelope.source), to: peer)
                    return nil
                }
            default: break
            }
            routes[envelope.source] = peer
            if case .statusRequest = envelope.message {
                let json = String(decoding: jsonBytes(status()), as: UTF8.self)
                try link.send(state.envelope(.status(json: json), to: envelope.source), to: peer)
                return nil
            }
            let status = try perform(state.receive(.said(envelope), at: input.now))
            // Who is no member got its answer and is forgotten, so that questions leave nothing behind.
            if !state.isMember(envelope.source) { routes[envelope.source] = nil }
            return status
        }
    }

    // MARK: Effects

    private func perform(_ effects: [CoordinatorState.Effect]) throws -> ExitStatus? {
        for effect in effects {
            switch effect {
            case .send(let envelope), .heartbeat(let envelope):
                if let route = routes[envelope.destination], try !link.send(envelope, to: route) {
                    routes[envelope.destination] = nil
                }
            case .journal(let record, let sync): append(record, sync: sync)
            case .completeCheckpoint(let version, let generation, let files):
                complete(version, generation, files)
            case .stepDone(let report): appendMetrics(report)
            case .warn(let text): logger.warning("\(text)")
            case .exit(let status): return status
            }
        }
        return nil
    }

    private func append(_ record: JournalRecord, sync: Bool) {
        disk.run { [journal, mailbox = input.mailbox] in
            do throws(CheckpointError) {
                try journal.append(record, sync: sync)
                if sync { mailbox.post(.durable(record)) }
            } catch {
                mailbox.post(.journalFailed("\(error)"))
            }
        }
    }

    private func complete(_ version: Version, _ generation: UInt32, _ files: [Int: [SavedFile]]) {
        let configuration = options.configuration
        let tickets = configuration.train.stepShape.firstTicket(of: version.nextStep).number
        let manifest = Manifest(
            job: String(job, radix: 16), model: configuration.model.name, settings: configuration.resolvedYAML(),
            step: Int(version.number), generation: Int(generation), seed: configuration.seed, ticketsConsumed: tickets,
            layoutDigest: layout.digest, serverCount: configuration.cluster.servers,
            files: files.sorted { $0.key < $1.key }.flatMap { server, files in
                files.compactMap { file in
                    Manifest.Role(rawValue: file.content).map {
                        Manifest.File(
                            path: file.name, bytes: Int(file.bytes), sha256: file.sha256, role: $0, server: server)
                    }
                }
            })
        let store = options.runDirectory.checkpoints
        disk.run { [layout, mailbox = input.mailbox, logger] in
            do throws(CheckpointError) {
                let path = try store.complete(manifest, layout: layout)
                do throws(CheckpointError) {
                    // Every server is done with this snapshot and the next is not ordered before the word below, so
                    // any part that is still there was given up.
                    try store.removeStaleParts()
                } catch {
                    logger.warning("parts of checkpoints that were given up cannot be removed: \(error)")
                }
                mailbox.post(.checkpointCompleted(CheckpointReference(version: version, path: path)))
            } catch {
                mailbox.post(.checkpointFailed("the checkpoint of step \(version) cannot be completed: \(error)"))
                return
            }
            do throws(CheckpointError) {
                _ = try store.prune(keeping: configuration.checkpoint.keep)
            } catch {
                logger.warning("old checkpoints cannot be removed: \(error)")
            }
        }
    }

    private func appendMetrics(_ report: StepReport) {
        let path = options.runDirectory.metrics
        disk.run { [logger] in
            guard var line = try? JSONEncoder().encode(report) else { return }
            line.append(UInt8(ascii: "\n"))
            if let file = fopen(path, "a") {
                let written = line.withUnsafeBytes { fwrite($0.baseAddress!, 1, $0.count, file) }
                if fclose(file) != 0 || written != line.count {
                    logger.warning("cannot write \(path): \(String(cString: strerror(errno)))")
                }
            }
        }
    }

    // MARK: Status

    private func status() -> JobStatus {
        state.status(at: input.now, bytesSent: link.bytesSent, bytesReceived: link.bytesReceived)
    }

    private func writeStatusIfDue() {
        guard input.now >= nextStatus else { return }
        nextStatus = MonotonicTime(milliseconds: input.now.milliseconds + 1000)
        write(status())
    }

    private func write(_ status: JobStatus) {
        let directory = options.runDirectory
        disk.run { [logger] in
            do throws(CheckpointError) {
                try directory.replaceQuickly(directory.status, with: jsonBytes(status))
            } catch {
                logger.warning("\(error)")
            }
        }
    }

    private func writeEndpoints() throws(CheckpointError) {
        let directory = options.runDirectory
        let endpoints = Endpoints(
            coordinator: endpoint, pid: identity.pid, host: identity.host, incarnation: identity.incarnation)
        try directory.replace(directory.endpoints, with: jsonBytes(endpoints))
    }

    // MARK: The end

    private func leave(_ status: ExitStatus) throws -> ExitStatus {
        link.socket.close(lingerMilliseconds: 500)
        var last = self.status()
        for index in last.processes.indices { last.processes[index].state = .down }
        write(last)
        disk.finish()
        do throws(CheckpointError) {
            try writeSummary(status)
        } catch {
            // Why the job failed matters more, and is perhaps the reason for this as well.
            guard status.code == ExitStatus.failed else { throw error }
            logger.warning("no summary: \(error)")
        }
        return status
    }

    private func writeSummary(_ status: ExitStatus) throws(CheckpointError) {
        let configuration = options.configuration
        let perStep = UInt64(configuration.train.imagesPerStep)
        let checkpoint = state.checkpoints.last
        let steps = checkpoint?.version.number ?? 0
        var hashes: (weights: String, state: String)?
        if let checkpoint {
            let reader = try CheckpointReader(checkpoint.path)
            hashes = (
                try Fingerprint.weightsSHA256(reader, layout: layout),
                try Fingerprint.stateSHA256(reader, layout: layout)
            )
        }
        var seconds = 0.0
        var images: UInt64 = 0
        if let first = state.firstGrant, let last = state.lastCommit, state.version > first.version {
            seconds = Double(last.since(first.at)) / 1000
            images = state.version.commits(since: first.version) * perStep
        }
        let summary = RunSummary(
            steps: steps, samples: steps * perStep, seconds: seconds,
            imagesPerSecond: seconds > 0 ? Double(images) / seconds : 0, finalLoss: self.status().loss, eval: nil,
            weightsSHA256: hashes?.weights, stateSHA256: hashes?.state,
            workers: configuration.cluster.workers, servers: configuration.cluster.servers,
            ticketsByWorker: Dictionary(
                uniqueKeysWithValues: state.ticketsByRank.map { ("\($0.key)", $0.value) }),
            restarts: 0, plan: plan.summary, exitCode: status.code, checkpoint: checkpoint?.path)
        try summary.write(to: options.runDirectory)
    }
}
