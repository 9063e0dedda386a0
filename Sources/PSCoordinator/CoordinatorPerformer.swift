// Performs what `CoordinatorState` decides: sends, journals, completes checkpoints, writes what people read. The wire, the
// threads and the disk are handed to it, so that the simulator drives the same code as a process does. Decides nothing.

import Logging
import PSCheckpoint
import PSFiles
import PSKeys
import PSMessages
import PSNode
import PSParameters
import PSProofs
import PSProtocol
import PSRun
import PSTransport

package final class CoordinatorPerformer {
    /// What a coordinator's files are made from.
    package struct Files: Sendable {
        package var run: RunDirectory
        package var journal: Journal
        package var metrics: Metrics
        package var layout: ParameterLayout
        package var nonce: String
        /// The manifest of a checkpoint, without its files.
        package var manifest: @Sendable (_ version: Version, _ generation: UInt32) -> Manifest

        package init(
            run: RunDirectory, journal: Journal, metrics: Metrics, layout: ParameterLayout, nonce: String,
            manifest: @escaping @Sendable (Version, UInt32) -> Manifest
        ) {
            self.run = run
            self.journal = journal
            self.metrics = metrics
            self.layout = layout
            self.nonce = nonce
            self.manifest = manifest
        }
    }

    package private(set) var state: CoordinatorState
    private let wire: any Wire
    private let files: Files
    /// Nothing but the journal: a commit waits for no other file.
    private let journaling: any WorkQueue
    private let disk: any WorkQueue
    private let post: @Sendable (CoordinatorState.Event) -> Void
    private let logger: Logger
    private var gate: Gate<RoutingID>
    /// What the key that a connection showed may be; nil: a job without keys.
    private let security: String
    private let role: (_ key: String) -> KeyRole?
    /// What was turned away since the job's coordinator started.
    private var lastStatusText: (text: String, at: MonotonicTime)?
    package private(set) var turnedAway = JobStatus.TurnedAway()
    /// Told of what is turned away, and by whom.
    package var complain: (Complaints.Kind, _ text: String, RoutingID) -> Void = { _, _, _ in }
    /// What is known of a key, for people.
    package var holder: (_ key: String) -> String = { fingerprint($0) }
    /// Shown each effect before it is performed: the simulator looks on.
    package var watch: (CoordinatorState.Effect) -> Void = { _ in }

    /// - Parameters:
    ///   - gate: decides who is heard.
    ///   - security: as status says it: "local", "required" or "off".
    ///   - role: what the key that a connection showed may be now; nil: nothing.
    ///   - post: hands an event from any thread to the one that calls `handle`.
    package init(
        _ state: CoordinatorState, gate: Gate<RoutingID>, wire: any Wire, files: Files, journaling: any WorkQueue,
        disk: any WorkQueue, logger: Logger, security: String = "local",
        role: @escaping (_ key: String) -> KeyRole? = { _ in nil },
        post: @escaping @Sendable (CoordinatorState.Event) -> Void
    ) {
        self.state = state
        self.gate = gate
        self.role = role
        self.security = security
        self.wire = wire
        self.files = files
        self.journaling = journaling
        self.disk = disk
        self.logger = logger
        self.post = post
    }

    // MARK: Events

    /// - Returns: how the job ends, if it does.
    package func handle(_ event: CoordinatorState.Event, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        try perform(state.receive(event, at: now))
    }

    /// A message from whoever reached this process.
    package func take(_ received: Received, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        guard let peer = received.peer else { return nil }
        let keyRole = received.key.flatMap(role)
        if let key = received.key, keyRole == nil {
            turnAway("key \(holder(key)) was revoked or replaced: its connection is closed", peer, kind: .revoked)
            wire.cut(peer, because: "its key was revoked")
            return nil
        }
        switch received.envelope {
        case .failure(.protocolVersion):
            // It tells our version, by which the sender knows why.
            try wire.send(Gate<RoutingID>.otherVersion, to: peer)
            turnAway(received.problem, peer, weight: Strike.otherVersion)
            return nil
        case .failure:
            turnAway(received.problem, peer, weight: Strike.noMessage)
            return nil
        case .success(let envelope):
            switch gate.decide(envelope, from: peer, keyRole: keyRole) {
            case .turnAway(let text): turnAway(text + (received.key.map { ", key \(holder($0))" } ?? ""), peer)
            case .answer(let answer):
                wire.strike(peer, weight: Strike.word)
                try wire.send(answer, to: peer)
            case .deliver: return try hear(envelope, peer, at: now)
            }
            return nil
        }
    }

    private func turnAway(
        _ text: String, _ peer: RoutingID, weight: Int = Strike.word, kind: Complaints.Kind = .word
    ) {
        wire.strike(peer, weight: weight)
        turnedAway.messages += 1
        complain(kind, text, peer)
    }

    private func hear(
        _ envelope: Envelope, _ peer: RoutingID, at now: MonotonicTime
    ) throws(TransportError) -> ExitStatus? {
        if case .statusRequest = envelope.message {
            wire.belongs(peer, to: .person)
            try wire.send(state.envelope(.status(json: statusText(at: now)), to: envelope.source), to: peer)
            return nil
        }
        let status = try handle(.said(envelope), at: now)
        wire.belongs(peer, to: state.isMember(envelope.source) ? .member : .person)
        // Who is no member got its answer and is forgotten, so that questions leave nothing behind.
        if !state.isKnown(envelope.source) { gate.forget(envelope.source) }
        return status
    }

    /// A connection is closed.
    package func closed(_ peer: RoutingID, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        guard let incarnation = gate.closed(peer) else { return nil }
        return try handle(.closed(incarnation), at: now)
    }

    /// Made at most a few times a second, however often it is asked for.
    private func statusText(at now: MonotonicTime) -> String {
        if let (text, at) = lastStatusText, now.since(at) < 100 { return text }
        let text = String(decoding: JSON.pretty(status(at: now)), as: UTF8.self)
        lastStatusText = (text, now)
        return text
    }

    package func status(at now: MonotonicTime) -> JobStatus {
        var status = state.status(at: now, bytesSent: wire.bytesSent, bytesReceived: wire.bytesReceived)
        status.turnedAway = turnedAway
        status.security = security
        return status
    }

    /// Handshakes and connections that were turned away before they said anything.
    package func turnedAway(handshakes: Int, connections: Int) {
        turnedAway.handshakes += handshakes
        turnedAway.connections += connections
    }

    // MARK: Effects

    private func perform(_ effects: [CoordinatorState.Effect]) throws(TransportError) -> ExitStatus? {
        for effect in effects {
            watch(effect)
            switch effect {
            case .send(let envelope), .heartbeat(let envelope):
                let who = envelope.destination
                if let peer = gate.connection(of: who), try !wire.send(envelope, to: peer) || !state.isKnown(who) {
                    gate.forget(who)
                }
            case .journal(let record, let sync): append(record, sync: sync)
            case .completeCheckpoint(let version, let generation, let files): complete(version, generation, files)
            case .prune(let kept):
                prune(kept)
                files.beginJournalAnew(disk, journaling, logger)
            case .examine(let reference): examine(reference)
            case .stepDone(let report): note { metrics throws(StorageError) in try metrics.append(report) }
            case .evaluated(let report):
                note { metrics throws(StorageError) in try metrics.append(report) }
                logger.notice("evaluated", metadata: report.metadata)
            case .warn(let text): logger.warning("\(text)")
            case .tell(let text): logger.info("\(text)")
            case .exit(let status): return status
            }
        }
        return nil
    }

    private func append(_ record: JournalRecord, sync: Bool) {
        journaling.run { [files, disk, journaling, logger, post] in
            do throws(StorageError) {
                try files.journal.append(record, sync: sync)
            } catch {
                return post(.journalFailed("\(error)"))
            }
            if sync { post(.durable(record)) }
            // A job without checkpoints has a journal that stays small as well.
            if files.journal.takeIsLarge() { files.beginJournalAnew(disk, journaling, logger) }
        }
        if case .rollback(_, let base) = record {
            note { metrics throws(StorageError) in try metrics.rollBack(to: base?.version ?? 0) }
        }
    }

    private func note(_ write: @escaping @Sendable (Metrics) throws(StorageError) -> Void) {
        disk.run { [metrics = files.metrics, logger] in
            do throws(StorageError) {
                try write(metrics)
            } catch {
                logger.warning("the metrics wait for their file, and are written later: \(error)")
            }
        }
    }

    private func complete(_ version: Version, _ generation: UInt32, _ saved: [Int: [SavedFile]]) {
        var manifest = files.manifest(version, generation)
        manifest.files = saved.sorted { $0.key < $1.key }.flatMap { server, files in
            files.compactMap { file in
                Manifest.Role(rawValue: file.content).map {
                    Manifest.File(
                        path: file.name, bytes: Int(clamping: file.bytes), sha256: file.sha256, role: $0,
                        server: server)
                }
            }
        }
        disk.run { [manifest, files, post, logger] in
            let store = files.run.checkpoints
            do throws(StorageError) {
                try store.complete(manifest, layout: files.layout)
            } catch {
                return post(
                    .checkpointFailed(
                        version, "the checkpoint of step \(version) cannot be completed: \(error)",
                        mayPass: error.mayPass))
            }
            do throws(StorageError) {
                // Every server is done with this snapshot and the next of its generation is not ordered before the word
                // below, so any part that is still there was given up. On a slow disk a later generation may write by now.
                try store.removeStaleParts(through: Int(generation))
            } catch {
                logger.warning("parts of checkpoints that were given up cannot be removed: \(error)")
            }
            post(.checkpointCompleted(CheckpointReference(version: version, generation: generation)))
        }
    }

    private func prune(_ kept: Set<Version>) {
        disk.run { [store = files.run.checkpoints, logger] in
            do throws(StorageError) {
                try store.prune(keeping: Set(kept.map { Int(clamping: $0.number) }))
            } catch {
                logger.warning("old checkpoints cannot be removed: \(error)")
            }
        }
    }

    /// Looks with this process's own eyes at a checkpoint that a server finds damaged.
    private func examine(_ reference: CheckpointReference) {
        disk.run { [files, post, job = state.job] in
            do throws(StorageError) {
                let reader = try files.run.open(reference, job: job, nonce: files.nonce, verifying: .everything)
                try reader.check(layout: files.layout)
                post(.examined(reference, .sound))
            } catch {
                post(.examined(reference, error.isDamage ? .damaged("\(error)") : .unavailable("\(error)")))
            }
        }
    }
}

extension CoordinatorPerformer.Files {
    /// What led to where the job is need not be read again, once the reports of those steps are on the disk.
    fileprivate func beginJournalAnew(_ disk: any WorkQueue, _ journaling: any WorkQueue, _ logger: Logger) {
        disk.run { [self] in
            let reported: Version
            do throws(StorageError) {
                reported = try metrics.synchronize()
            } catch {
                return logger.warning("the metrics cannot be made durable: \(error)")
            }
            journaling.run { [journal] in
                do throws(StorageError) {
                    try journal.beginAnew(reported: reported)
                } catch {
                    logger.warning("the journal cannot begin anew and grows on: \(error)")
                }
            }
        }
    }
}

extension EvaluationReport {
    /// What the log says of it: the figures and what they cost.
    fileprivate var metadata: Logger.Metadata {
        func figure(_ value: Double?) -> Logger.MetadataValue { "\(value.map { "\($0)" } ?? "none")" }
        return [
            "step": "\(version)", "top1": figure(top1), "top5": figure(top5), "loss": figure(loss),
            "images": "\(images)", "excluded": "\(excluded)", "worker_seconds": "\(seconds)",
        ]
    }
}
