// The coordinator process: socket, threads and files around `CoordinatorPerformer`, and the loop that waits for all of
// them.

import Foundation
import Logging
import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSFiles
import PSKeys
import PSMessages
import PSNode
import PSOptimization
import PSParameters
import PSPlanning
import PSProofs
import PSProtocol
import PSRun
import PSTransport
import Synchronization

package final class CoordinatorNode: DaemonNode {
    private let logger: Logger
    private var complaints: Complaints
    private let options: CoordinatorOptions
    private let configuration: JobConfiguration
    private let layout: ParameterLayout
    private let plan: PlanFile
    private let data: Dataset
    private let metrics: Metrics
    private let lock: RunLock
    private let context: TransportContext
    private let link: Link
    package let input: NodeInput<CoordinatorState.Event>
    private let disk = SerialThread(name: "disk")
    private let journaling = SerialThread(name: "journal")
    private let performer: CoordinatorPerformer
    /// Who may speak, by public key; empty in a job without keys.
    private let allowed = AllowedKeys()
    private var nextKeys = MonotonicTime(milliseconds: 0)
    private var nextStatus = MonotonicTime(milliseconds: 0)
    private var nextLook = MonotonicTime(milliseconds: 0)
    /// Whether the last status could not be written.
    private let hasTrouble = Flag()
    /// Where workers and servers reach this process.
    package let endpoint: String

    package init(_ options: CoordinatorOptions, logger: Logger) throws {
        self.logger = logger
        complaints = Complaints(logger)
        self.options = options
        let run = options.runDirectory
        input = NodeInput(lifeline: options.lifeline)

        // Until the start is known to be possible nothing of a run that is there changes.
        var early: JobOpening?
        if try !run.hasJob() {
            early = try JobOpening(
                configuration: options.configuration, run: run, resume: options.resume, mustExist: options.isRestart)
            try run.create()
        }
        lock = try RunLock(run)
        let opening = try JobOpening(
            configuration: options.configuration, run: run, resume: options.resume, mustExist: options.isRestart,
            former: early)
        configuration = opening.configuration
        layout = opening.description.layout
        plan = opening.plan
        data = opening.data
        let ownKeys = try options.keys?.coordinator().keys
        context = try TransportContext(JobSecurity.entrance(options.bind, hasKeys: ownKeys != nil))
        // Before anybody can knock: who is refused does not come again.
        if let keys = options.keys {
            context.gatekeeper?.allow(Set(try keys.allowed().map(\.publicKey)))
            context.gatekeeper?.look(in: ListOnDisk(keys: keys))
        }
        link = Link(try context.listener(largestMessage: largestControlMessage, secretKey: ownKeys?.secretKey))
        let place = try CoordinatorNode.bind(link.socket, options.bind, former: opening.replay.endpoint)
        endpoint = place
        // A start that fails leaves no sockets behind, but those that others may have beside a former coordinator's.
        var isUp = false
        defer { if !isUp, place != opening.replay.endpoint { SocketDirectory.remove(of: place) } }

        try lock.sign()
        try run.create()
        if let remark = opening.planRemark { logger.warning("\(remark)") }
        // Before the journal has a job: one without a plan would be taken for a job older than plans.
        if opening.isNewData { try opening.writeData(to: run) }
        if opening.isNewPlan { try run.replace(run.plan, with: Array(plan.text.utf8)) }
        // And before a wish is in the journal: a start that fails here has changed no history.
        try run.replace(run.configuration, with: Array(configuration.resolvedYAML().utf8))
        let (nonce, key) = try run.writeKey()
        let journal = try Journal(run)
        if journal.cutByteCount > 0 {
            logger.warning("the journal's last record was torn: \(journal.cutByteCount) bytes cut")
        }
        let replay = try opening.start.begin(
            journal, run: run, job: UInt64.random(in: 1...UInt64.max), endpoint: endpoint,
            initial: CoordinatorNode.initial(opening, run))
        if let initial = opening.initial { logger.notice("\(initial.remark)") }
        if let former = opening.replay.testDigest, let test = opening.test, test.digest != former {
            logger.warning("the test images are others than before: evaluations from here on do not compare with those")
        }
        metrics = Metrics(run)
        if let error = metrics.unread {
            logger.warning("the metrics begin anew, those before are kept aside: \(error)")
        }

        let identity = ProcessIdentity(role: .coordinator)
        let settings = CoordinatorNode.settings(options, opening, nonce: nonce)
        let files = CoordinatorPerformer.Files(
            run: run, journal: journal, metrics: metrics, layout: layout, nonce: nonce,
            manifest: CoordinatorNode.manifest(job: replay.job, configuration, layout))
        let state = CoordinatorState(
            settings: settings, identity: Hello(role: .coordinator, host: identity.host, pid: identity.pid, rank: 0),
            incarnation: identity.incarnation, replay: replay,
            lastReport: metrics.takeUp(replay, stepsPerEpoch: settings.stepsPerEpoch),
            at: input.now)
        let gate = Gate<RoutingID>(
            key: key, challenge: Challenge(number: UInt64.random(in: 1...UInt64.max), runDirectory: run.path),
            coordinator: identity.incarnation, job: replay.job)
        performer = CoordinatorPerformer(
            state, gate: gate, wire: link, files: files, journaling: journaling, disk: disk, logger: logger,
            security: CoordinatorNode.security(options, endpoint),
            role: { [allowed] in
                if allowed.roles[$0] == nil { allowed.readAgain() }
                return allowed.roles[$0]
            },
            post: { [mailbox = input.mailbox] in mailbox.post($0) })
        performer.complain = { [unowned self] in
            complaints.warn($0, "\($1), from \(link.connections.address(of: $2))", at: input.now)
        }
        performer.holder = { [allowed] in allowed.holder(of: $0) }
        try Endpoints(
            coordinator: endpoint, pid: identity.pid, host: identity.host, incarnation: identity.incarnation,
            directory: run.number, usesKeys: options.keys != nil
        ).write(to: run)
        for line in Shortcomings.takeNew() { logger.warning("\(line)") }
        if let remark = CoordinatorNode.openness(options, endpoint) { logger.warning("\(remark)") }
        if let keys = options.keys {
            try letIn(keys.allowed())
            // A key that was added a moment ago speaks already.
            allowed.readAgain = { [unowned self] in
                if let list = try? keys.allowed() { try? letIn(list) }
            }
        }
        if options.keys == nil, !JobSecurity.isLocal(endpoint), run.files.exists(run.keys) {
            logger.warning(
                "the keys in \(run.keys) are not asked for: on this machine's own address they are with --keys \(run.keys)"
            )
        }
        isUp = true
        logger.info(
            "coordinator is up",
            metadata: [
                "endpoint": "\(endpoint)", "plan": "\(plan.summary)", "run": "\(run.path)",
                "security": "\(CoordinatorNode.security(options, endpoint))",
            ])
    }

    private static func security(_ options: CoordinatorOptions, _ endpoint: String) -> String {
        if JobSecurity.isLocal(endpoint) { return "local" }
        return options.keys == nil ? "off" : "required"
    }

    /// What a person should know of who can reach this process.
    private static func openness(_ options: CoordinatorOptions, _ endpoint: String) -> String? {
        if JobSecurity.isLocal(endpoint) || JobSecurity.isLoopback(endpoint) { return nil }
        let isEverywhere = Addresses.parse(endpoint).map { Addresses.isEverywhere($0.host) } ?? false
        let place = isEverywhere ? "on every address of this machine" : "at \(endpoint)"
        if options.keys != nil { return isEverywhere ? "the coordinator listens \(place)" : nil }
        return
            "the coordinator listens \(place) without keys (cluster.security is off): whoever reaches it and reads the run "
            + "directory may take part, and nothing is encrypted"
    }

    /// Lets in these from now on; who is in and not among them is turned away.
    private func letIn(_ list: [AllowedKey]) throws {
        let roles = Dictionary(list.map { ($0.publicKey, $0.role) }, uniquingKeysWith: { first, _ in first })
        guard roles != allowed.roles else { return }
        allowed.roles = roles
        for key in list { allowed.names[key.publicKey] = key.name }
        context.gatekeeper?.allow(Set(roles.keys))
        let workers = roles.filter { $0.value == .worker }.keys.sorted()
        _ = try performer.handle(.keys(workers), at: input.now)
    }

    /// Looks for keys that were added or revoked, about once a second.
    private func readKeysIfDue() throws {
        guard let keys = options.keys, input.now >= nextKeys else { return }
        nextKeys = input.now.later(1000)
        // A few small lines; a list that cannot be read leaves everything as it is.
        do throws(KeyError) {
            let list = try keys.allowed()
            try? letIn(list)
        } catch {
            complaints.warn(.file, "the list of keys stays as it was: \(error)", at: input.now)
        }
    }

    /// A restarted coordinator listens where the others look for it.
    private static func bind(_ socket: Socket, _ endpoint: String, former: String) throws(TransportError) -> String {
        if endpoint == DaemonArguments.localBind {
            let isThere =
                SocketDirectory.isEndpoint(former)
                && SocketDirectory.isPrivate(SocketDirectory.directory(of: former))
            if isThere { return try socket.bind(former) }
            return try socket.bind("\(SocketDirectory.scheme)\(try SocketDirectory.make())/coordinator")
        }
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
        _ options: CoordinatorOptions, _ opening: JobOpening, nonce: String
    ) -> CoordinatorSettings {
        let configuration = opening.configuration
        let layout = opening.description.layout
        let train = configuration.train
        let (stepsPerEpoch, steps) = (opening.stepsPerEpoch, opening.stepCount)
        let optimizer = configuration.optimizer
        let schedule = configuration.learningRate
        // A clip by ticket is the workers'; the step's gradient is then taken as it is.
        let threshold = optimizer.clipScope == .step ? optimizer.clip : 0
        let rule = StepRule(
            learningRate: {
                schedule.rate(step: Int(clamping: $0.number), totalSteps: steps, stepsPerEpoch: stepsPerEpoch)
            },
            averageDecay: { optimizer.averageDecay(commit: Int(clamping: $0.number)) },
            clip: { clipScale(threshold: threshold, squaredNorms: $0) })
        var settings = CoordinatorSettings(
            configuration: configuration.resolvedYAML(), runDirectory: options.runDirectory.path,
            nonce: nonce, layoutDigest: layout.digest,
            plan: opening.plan.text, planSummary: opening.plan.summary,
            shardMap: ShardMap(layout: layout, serverCount: configuration.cluster.servers),
            stepShape: train.stepShape, samplesPerTicket: train.batch, lastVersion: Version(UInt64(steps)),
            stepsPerEpoch: stepsPerEpoch, checkpointEverySteps: UInt64(configuration.checkpoint.everySteps),
            checkpointEverySeconds: Int(configuration.checkpoint.everySeconds.rounded(.up)),
            checkpointsKept: configuration.checkpoint.keep,
            nonFiniteLimit: train.nonFiniteLimit, rule: rule)
        settings.dataDigest = opening.start.dataDigest
        if let test = opening.test {
            settings.testDigest = test.digest
            let eval = configuration.eval
            var schedule = EvaluationSchedule(
                images: test.count, batch: eval.imagesOfAPart, stepsPerEpoch: stepsPerEpoch)
            schedule.everySteps = UInt64(eval.everySteps)
            schedule.everyEpochs = eval.everyEpochs
            schedule.atEnd = eval.atEnd
            schedule.patience = train.patience
            schedule.keepsBest = configuration.checkpoint.keepBest
            settings.evaluation = schedule
        }
        settings.timing = options.timing
        settings.hasReplicas = configuration.server.replicas > 0
        settings.fewestWorkers = configuration.cluster.minWorkers
        if !configuration.consistency.speculation { settings.timing.withoutSpeculation() }
        return settings
    }

    /// Writes the checkpoint that the job begins with, given the job's name; nil: its weights are drawn.
    private static func initial(
        _ opening: JobOpening, _ run: RunDirectory
    ) -> ((UInt64) throws(StorageError) -> CheckpointReference)? {
        guard let initial = opening.initial else { return nil }
        return { (job: UInt64) throws(StorageError) -> CheckpointReference in
            try initial.write(
                to: run,
                manifest: CoordinatorNode.manifest(job: job, opening.configuration, opening.description.layout))
        }
    }

    private static func manifest(
        job: UInt64, _ configuration: JobConfiguration, _ layout: ParameterLayout
    ) -> @Sendable (Version, UInt32) -> Manifest {
        { version, generation in
            Manifest(
                job: String(job, radix: 16), model: configuration.model.name, settings: configuration.resolvedYAML(),
                step: Int(clamping: version.number), generation: Int(generation), seed: configuration.seed,
                ticketsConsumed: configuration.train.stepShape.firstTicket(of: version.nextStep).number,
                layoutDigest: layout.digest, serverCount: configuration.cluster.servers, files: [])
        }
    }

    /// Runs until the job is over. The summary is of what the last complete checkpoint holds.
    package func run() throws -> ExitStatus { try leave(runLoop()) }

    package let tickMilliseconds = 50
    package var links: [Link] { [link] }

    package func take(_ event: CoordinatorState.Event) throws -> ExitStatus? {
        try performer.handle(event, at: input.now)
    }

    package func take(_ event: Link.Event, of link: Link) throws -> ExitStatus? {
        switch event {
        case .message(let received): return try performer.take(received, at: input.now)
        case .connected: return nil
        case .closed(let peer): return try peer.flatMap { try performer.closed($0, at: input.now) }
        }
    }

    /// In other words than those of a member that a signal stopped, as the members repeat them.
    private static let stoppedBySignal = "a signal stopped the job"

    package func takeStop(_ signal: Int32) throws -> ExitStatus? {
        let code = signal == SIGINT ? ExitStatus.interrupted : ExitStatus.preempted
        return try performer.handle(.stop(exitCode: code, text: CoordinatorNode.stoppedBySignal), at: input.now)
    }

    package func takeParentGone() throws -> ExitStatus? {
        try performer.handle(
            .stop(exitCode: ExitStatus.preempted, text: "the process that started the job is gone"), at: input.now)
    }

    package func tick() throws -> ExitStatus? {
        let cuts = try link.sweep()
        let handshakes = complaints.warn(
            context.gatekeeper?.takeRefused(), link.takeFailedHandshakes(), at: input.now,
            holder: { [allowed] in allowed.holder(of: $0) })
        performer.turnedAway(handshakes: handshakes, connections: cuts.count)
        complaints.warn(cuts, at: input.now)
        try readKeysIfDue()
        if let status = try performer.handle(.tick, at: input.now) { return status }
        try restoreListenerIfDue()
        writeStatusIfDue()
        return nil
    }

    // MARK: Status

    private func writeStatusIfDue() {
        guard input.now >= nextStatus else { return }
        nextStatus = MonotonicTime(milliseconds: input.now.milliseconds + 1000)
        write(performer.status(at: input.now))
    }

    private func restoreListenerIfDue() throws {
        guard input.now >= nextLook else { return }
        nextLook = input.now.later(1000)
        do throws(TransportError) {
            guard try link.restoreListener(at: endpoint) else { return }
        } catch {
            // Who is connected stays so; it is tried again.
            return complaints.warn(
                .file, "the socket \(endpoint) was removed, and cannot be made again: \(error)", at: input.now)
        }
        _ = try performer.handle(.trouble("somebody removed the socket \(endpoint): it is made again"), at: input.now)
    }

    private func write(_ status: JobStatus) {
        disk.run { [logger, hasTrouble, mailbox = input.mailbox, run = options.runDirectory] in
            do throws(StorageError) {
                try status.write(to: run)
                if hasTrouble.set(false) { logger.info("the run directory can be written again") }
            } catch {
                if hasTrouble.set(true) { return }
                mailbox.post(.trouble("the run directory cannot be written: \(error)"))
            }
        }
    }

    // MARK: The end

    private func leave(_ status: ExitStatus) throws -> ExitStatus {
        link.close(lingerMilliseconds: 500)
        let ownEndpoint = endpoint
        defer { SocketDirectory.remove(of: ownEndpoint) }
        var last = performer.status(at: input.now)
        for index in last.processes.indices { last.processes[index].state = .down }
        write(last)
        journaling.finish()
        disk.finish()
        do throws(StorageError) {
            try writeSummary(status)
        } catch {
            // Why the job failed matters more, and is perhaps the reason for this as well.
            guard status.code == ExitStatus.failed else { throw error }
            logger.warning("no summary: \(error)")
        }
        return status
    }

    private func writeSummary(_ status: ExitStatus) throws(StorageError) {
        let run = options.runDirectory
        let state = performer.state
        let perStep = UInt64(configuration.train.imagesPerStep)
        let checkpoint = state.checkpoints.last
        let steps = checkpoint?.version.number ?? 0
        var hashes: (weights: String, state: String)?
        if let checkpoint {
            let reader = try run.open(checkpoint)
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
        var summary = RunSummary(
            steps: steps, samples: steps * perStep, seconds: seconds,
            imagesPerSecond: seconds > 0 ? Double(images) / seconds : 0,
            finalLoss: performer.status(at: input.now).loss,
            weightsSHA256: hashes?.weights, stateSHA256: hashes?.state,
            workers: configuration.cluster.workers, servers: configuration.cluster.servers,
            ticketsByWorker: Dictionary(
                uniqueKeysWithValues: state.ticketsByRank.map { ("\($0.key)", $0.value) }),
            plan: plan.summary, exitCode: status.code,
            checkpoint: checkpoint.map { run.directory(of: $0) })
        let unreadable = metrics.replacedSamples.filter { $0 < data.count }.map { Int($0) }
        summary.eval = state.evaluations.last
        summary.bestEval = state.evaluations.best
        if !unreadable.isEmpty {
            summary.unreadableSamples = unreadable.map { (try? data.name(of: $0)) ?? "sample \($0)" }
        }
        if state.lastCommit == nil, let former = try? RunSummary.read(from: run) { summary.takeWork(of: former) }
        try summary.write(to: run)
    }
}

/// What was so last.
private final class Flag: Sendable {
    private let isSet = Mutex(false)

    /// - Returns: what it was before.
    func set(_ now: Bool) -> Bool {
        isSet.withLock { former in
            defer { former = now }
            return former
        }
    }
}

/// Who may speak, by public key: shared with the performer's closure, on one thread.
private final class AllowedKeys {
    var roles: [String: KeyRole] = [:]
    /// Of those that were allowed since this start as well.
    var names: [String: String] = [:]
    var readAgain: () -> Void = {}

    /// "4888-a666-d4ff-9b60 of gpu7".
    func holder(of key: String) -> String {
        guard let name = names[key] else { return fingerprint(key) }
        return "\(fingerprint(key)) of \(name)\(roles[key] == nil ? ", revoked or replaced" : "")"
    }
}

private struct ListOnDisk: KeyList {
    let keys: KeyDirectory
    var stamp: [Int]? { keys.listStamp }
    func read() -> Set<String>? { (try? keys.allowed()).map { Set($0.map(\.publicKey)) } }
}
