// Performs what `ServerState` decides: sends, folds, updates, loads, saves. The wire, the threads and the disk are handed
// to it, so that the simulator drives the same code as a process does. Decides nothing.

import Foundation
import Logging
import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProofs
import PSProtocol
import PSRun
import PSTransport

/// What a server makes of the coordinator's welcome.
package struct ServedJob: Sendable {
    package var store: SliceStore
    package var run: RunDirectory
    /// Proof that the run directory is the job's.
    package var nonce: String
    package var shape: StepShape
    package var bufferBytes: Int

    package init(store: SliceStore, run: RunDirectory, nonce: String, shape: StepShape, bufferBytes: Int) {
        self.store = store
        self.run = run
        self.nonce = nonce
        self.shape = shape
        self.bufferBytes = bufferBytes
    }

    /// Where the run is by the word of the coordinator that runs now.
    fileprivate mutating func take(_ welcome: Welcome) {
        run = RunDirectory(at: welcome.runDirectory, in: run.files)
        nonce = welcome.nonce
    }
}

package final class ServerPerformer {
    /// What other threads tell the loop.
    package enum Internal: Sendable {
        case event(ServerState.Event)
        case joined(ServedJob)
        case loaded(generation: UInt32, weights: [Int: SharedBuffer])
        case updated(generation: UInt32, slice: Int, weights: SharedBuffer)
        /// The last contribution to a slice is added.
        case summed(generation: UInt32, slice: Int, SharedBuffer, squaredNorm: Double, isFinite: Bool)
        /// A replica's state is here, or it was updated.
        case replicaUpdated(memory: Int, slice: Int, Version, weights: SharedBuffer)
        /// The state of a slice as it was when its turn came, to be sent.
        case copied(to: Incarnation, Envelope, SliceHeader, [SharedBuffer])
    }

    package private(set) var state: ServerState
    private let control: any Wire
    private let bulk: any Wire
    private let compute: any WorkQueue
    private let disk: any WorkQueue
    /// Reads the run's key where a challenge says that it is; called on the disk's thread.
    private let readKey: @Sendable (Challenge) throws -> RunKey
    private let join: @Sendable (Welcome) throws -> ServedJob
    private let post: @Sendable (Internal) -> Void
    private let logger: Logger

    private var job: ServedJob?
    private var welcome: Welcome?
    /// The weights of what is in memory: pulls are answered from them.
    private var published: [Int: SharedBuffer] = [:]
    /// Finished sums of the step at hand, while somebody may want them.
    private var sums: [Int: SharedBuffer] = [:]
    /// Servers whose slices are followed here.
    package private(set) var sources: ServerConnections
    /// Values that wait for their turn, by number.
    private var held: [UInt64: Frame] = [:]
    /// Those that came with the message at hand.
    private var arriving: (values: HeldValues, frame: Frame)?
    private var arrivals: UInt64 = 0
    package var heldBytes: Int { held.values.reduce(0) { $0 + $1.byteCount } }
    private var routes: [Incarnation: RoutingID] = [:]
    /// Messages of strangers, or of who shows nothing.
    package private(set) var turnedAway = 0
    /// Told of what is turned away, and by whom.
    package var complain: (_ text: String, RoutingID) -> Void = { _, _ in }
    /// Told who may reach this server, public keys in Z85.
    package var allow: ([String]) -> Void = { _ in }

    /// - Parameters:
    ///   - join: reads the job's settings and its run directory; called on the disk's thread.
    ///   - connect: opens a connection to another server.
    ///   - post: hands an event from any thread to the one that calls `take`.
    package init(
        _ state: ServerState, control: any Wire, bulk: any Wire, compute: any WorkQueue, disk: any WorkQueue,
        logger: Logger, readKey: @escaping @Sendable (Challenge) throws -> RunKey,
        join: @escaping @Sendable (Welcome) throws -> ServedJob,
        connect: @escaping ServerConnections.Connect,
        post: @escaping @Sendable (Internal) -> Void
    ) {
        self.state = state
        self.control = control
        self.bulk = bulk
        self.compute = compute
        self.disk = disk
        self.readKey = readKey
        self.join = join
        sources = ServerConnections(connect: connect)
        self.post = post
        self.logger = logger
    }

    // MARK: Events

    /// - Returns: how the process ends, if it does.
    package func handle(_ event: ServerState.Event, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        try perform(state.receive(event, at: now), at: now)
    }

    package func take(_ event: Internal, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        switch event {
        case .event(let event): return try handle(event, at: now)
        case .joined(let job):
            self.job = job
            // Perhaps another coordinator has spoken since.
            if let welcome { self.job!.take(welcome) }
            return try handle(
                .configured(job.store.layout, job.shape, bufferBytes: job.bufferBytes), at: now)
        case .loaded(let generation, let weights):
            guard generation == state.generation else { return nil }
            published = weights
            return try handle(.loaded(generation: generation), at: now)
        case .updated(let generation, let slice, let weights):
            guard generation == state.generation else { return nil }
            published[slice] = weights
            sums[slice] = nil
            return try handle(.updated(generation: generation, slice: slice), at: now)
        case .summed(let generation, let slice, let sum, let squaredNorm, let isFinite):
            guard generation == state.generation else { return nil }
            sums[slice] = sum
            return try handle(
                .folded(generation: generation, slice: slice, squaredNorm: squaredNorm, isFinite: isFinite), at: now)
        case .replicaUpdated(let memory, let slice, let version, let weights):
            if memory == state.memoryNumber { published[slice] = weights }
            return try handle(.replicaUpdated(memory: memory, slice: slice, version), at: now)
        case .copied(let follower, let envelope, let header, let buffers):
            guard envelope.generation == state.generation, let parts = job?.store.parts(of: header.index) else {
                return nil
            }
            for (place, (content, buffer)) in zip(parts, buffers).enumerated() {
                var part = envelope
                part.message = .replica(header, content, remaining: buffers.count - 1 - place)
                try send(part, to: follower, buffer)
            }
            return nil
        }
    }

    /// A message of a worker, whose values may be kept.
    package func takeFromWorker(_ received: Received, at now: MonotonicTime) throws(TransportError) {
        guard let peer = received.peer else { return }
        switch received.envelope {
        case .failure(let error): turnAway("\(error)", peer, weight: Strike.noMessage)
        case .success(let envelope):
            guard state.isShown(envelope) else {
                return turnAway("it does not show what the coordinator gives to workers", peer)
            }
            routes[envelope.source] = peer
            bulk.belongs(peer, to: .member)
            _ = try believe(envelope, received.values, at: now)
        }
    }

    /// A word of a worker that has shown what it may say.
    package func believe(
        _ envelope: Envelope, _ values: Frame?, at now: MonotonicTime
    ) throws(TransportError) -> ExitStatus? {
        defer { arriving = nil }
        arrivals += 1
        arriving = values.map { (HeldValues(number: arrivals, byteCount: $0.byteCount), $0) }
        return try handle(.workerSaid(envelope, arriving?.values), at: now)
    }

    /// A word of a server that is followed.
    package func takeFromSource(_ received: Received, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        guard case .success(let envelope) = received.envelope, isWhole(envelope) else { return nil }
        defer { arriving = nil }
        arrivals += 1
        arriving = received.values.map { (HeldValues(number: arrivals, byteCount: $0.byteCount), $0) }
        return try handle(.sourceSaid(envelope, arriving?.values), at: now)
    }

    /// Whether a part of a state is one that the slice has.
    private func isWhole(_ envelope: Envelope) -> Bool {
        guard case .replica(let header, let content, let remaining) = envelope.message, content != .sum else {
            return true
        }
        guard let store = job?.store, store.layout.slices.indices.contains(header.index) else { return false }
        let parts = store.parts(of: header.index)
        return remaining < parts.count && parts[parts.count - 1 - remaining] == content
    }

    /// The connection to a server that is followed was closed.
    package func lost(_ wire: any Wire, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        guard let source = sources.address(of: wire) else { return nil }
        return try handle(.sourceLost(source.incarnation), at: now)
    }

    /// A connection that a server refused is not tried again by itself: it may know this process's key by now.
    package func renew(_ wire: any Wire) throws(TransportError) { try sources.renew(wire) }

    private func turnAway(_ text: String, _ peer: RoutingID, weight: Int = Strike.word) {
        bulk.strike(peer, weight: weight)
        turnedAway += 1
        complain(text, peer)
    }

    /// The connection of a worker or a follower is closed.
    package func closed(_ peer: RoutingID, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        guard let process = routes.first(where: { $0.value == peer })?.key else { return nil }
        routes[process] = nil
        return try handle(.peerLost(process), at: now)
    }

    // MARK: Effects

    private func perform(_ effects: [ServerState.Effect], at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        for effect in effects {
            switch effect {
            case .sendToCoordinator(let envelope): try control.send(envelope)
            case .sendToWorker(let worker, let envelope):
                if let route = routes[worker], try !bulk.send(envelope, to: route) { routes[worker] = nil }
            case .heartbeat(var envelope):
                if case .heartbeat(var heartbeat) = envelope.message {
                    heartbeat.bytesSent = control.bytesSent + bulk.bytesSent + sources.bytesSent
                    heartbeat.bytesReceived = control.bytesReceived + bulk.bytesReceived + sources.bytesReceived
                    envelope.message = .heartbeat(heartbeat)
                }
                try control.send(envelope)
            case .prove(let challenge):
                disk.run { [readKey, post] in
                    do {
                        post(.event(.proved(try readKey(challenge), challenge)))
                    } catch {
                        post(.event(.proofFailed("\(error)", mayPass: (error as? StorageError)?.mayPass ?? false)))
                    }
                }
            case .warn(let text): logger.warning("\(text)")
            case .allow(let keys): allow(keys)
            case .configure(let welcome):
                self.welcome = welcome
                configure(welcome)
            case .rejoin(let welcome):
                self.welcome = welcome
                job?.take(welcome)
            case .load(let generation, let reset, let slices): load(generation, reset, slices)
            case .keep(let values):
                if let arriving, arriving.values == values { held[values.number] = arriving.frame }
            case .fold(let generation, let slice, let place, let values, let isLast):
                fold(generation, slice, place, values, isLast: isLast)
            case .compare(let generation, let place, let waiting, let difference):
                compare(generation, place, waiting, difference)
            case .update(let generation, let slice, let commit):
                guard let store = job?.store else { break }
                compute.run { [post] in
                    let weights = store.update(slice, commit)
                    post(.updated(generation: generation, slice: slice, weights: weights))
                }
            case .publish(let worker, let envelope, let slice):
                if let buffer = published[slice] { try send(envelope, to: worker, buffer) }
            case .save(let generation, let version, let shards): save(generation, version, shards)
            case .dropValues(let kept):
                let numbers = Set(kept.map(\.number))
                held = held.filter { numbers.contains($0.key) }
            case .goOn(let reset, let slices): goOn(reset, Set(slices))
            case .reach(let addresses): try sources.reach(addresses)
            case .sendToSource(let source, let envelope):
                try sources[source]?.send(envelope)
            case .sendSum(let follower, let envelope, let slice):
                if let sum = sums[slice] { try send(envelope, to: follower, sum) }
            case .sendState(let follower, let envelope, let header):
                guard let store = job?.store else { break }
                compute.run { [post] in post(.copied(to: follower, envelope, header, store.state(of: header.index))) }
            case .fill(let memory, let slice, let version, let content, let isFirst, let isLast):
                guard let store = job?.store, let frame = arriving?.frame else { break }
                compute.run { [post] in
                    let weights = store.fill(slice, content, frame, isFirst: isFirst, isLast: isLast)
                    if let weights {
                        post(.replicaUpdated(memory: memory, slice: slice, version, weights: weights))
                    }
                }
            case .updateReplica(let memory, let slice, let commit, let values):
                guard let store = job?.store else { break }
                let frame = values.flatMap { held.removeValue(forKey: $0.number) }
                compute.run { [post] in
                    guard let weights = store.updateReplica(slice, commit, sum: frame) else { return }
                    post(.replicaUpdated(memory: memory, slice: slice, commit.step.after, weights: weights))
                }
            case .exit(let status): return status
            }
        }
        return nil
    }

    private func configure(_ welcome: Welcome) {
        disk.run { [join, post] in
            do {
                post(.joined(try join(welcome)))
            } catch {
                post(.event(.configurationFailed("\(error)", mayPass: (error as? StorageError)?.mayPass ?? false)))
            }
        }
    }

    private func load(_ generation: UInt32, _ reset: Reset, _ slices: [Int]) {
        guard let job else { return }
        // Workers say where they are when they pull anew.
        routes = [:]
        sums = [:]
        logger.info(
            "loading",
            metadata: ["step": "\(reset.version)", "generation": "\(generation)", "slices": "\(slices.count)"])
        compute.run { [post, number = state.job] in
            do throws(StorageError) {
                let reader = try reset.base.map { (reference) throws(StorageError) in
                    try job.run.open(reference, job: number, nonce: job.nonce, verifying: .structure)
                }
                post(.loaded(generation: generation, weights: try job.store.load(slices, from: reader)))
            } catch {
                post(.event(.loadFailed(generation: generation, "\(error)", isDamage: error.isDamage)))
            }
        }
    }

    private func send(_ envelope: Envelope, to peer: Incarnation, _ buffer: SharedBuffer) throws(TransportError) {
        guard let route = routes[peer] else { return }
        let values = Payload(buffer: buffer, range: 0..<buffer.bytes.count)
        if try !bulk.send(envelope, to: route, values: values) { routes[peer] = nil }
    }

    private func goOn(_ reset: Reset, _ slices: Set<Int>) {
        guard let store = job?.store else { return }
        routes = [:]
        sums = [:]
        published = published.filter { slices.contains($0.key) }
        logger.info(
            "going on from memory",
            metadata: [
                "step": "\(reset.version)", "generation": "\(state.generation)", "serves": "\(reset.serves)",
                "follows": "\(reset.follows.map(\.shard))",
            ])
        compute.run { store.retain(slices) }
    }

    private func fold(_ generation: UInt32, _ slice: Int, _ place: Place, _ values: HeldValues, isLast: Bool) {
        guard let store = job?.store, let frame = held.removeValue(forKey: values.number) else { return }
        compute.run { [post] in
            let (norm, isFinite) = store.fold(slice, frame, isFirst: place == 0, isLast: isLast)
            if isLast, let sum = store.sum(of: slice) {
                return post(
                    .summed(generation: generation, slice: slice, sum, squaredNorm: norm, isFinite: isFinite))
            }
            post(.event(.folded(generation: generation, slice: slice, squaredNorm: norm, isFinite: isFinite)))
        }
    }

    /// The contribution waits to be added, or is added already when the compute thread comes to this.
    private func compare(
        _ generation: UInt32, _ place: Place, _ waiting: HeldValues?, _ difference: Difference
    ) {
        guard let store = job?.store, let arriving = arriving?.frame else { return }
        let waiting = waiting.flatMap { held[$0.number] }
        compute.run { [post] in
            let fingerprint = waiting?.fingerprint ?? store.fingerprint(difference.slice, place)
            guard let fingerprint, fingerprint != arriving.fingerprint else { return }
            post(.event(.differs(generation: generation, difference)))
        }
    }

    /// The compute thread takes references after all updates of the version; the disk thread writes them.
    private func save(_ generation: UInt32, _ version: Version, _ shards: [Int: [Int]]) {
        guard let job else { return }
        let shardCount = state.shardCount
        compute.run { [post, disk] in
            let snapshots = shards.sorted { $0.key < $1.key }.map { job.store.snapshot($0.key, $0.value) }
            disk.run {
                do throws(StorageError) {
                    var files: [SavedFile] = []
                    for snapshot in snapshots {
                        files += try snapshot.write(
                            to: job.run, version: version, generation: generation, shardCount: shardCount,
                            layout: job.store.layout)
                    }
                    post(.event(.saved(generation: generation, version: version, files)))
                } catch {
                    post(
                        .event(
                            .saveFailed(
                                generation: generation, version: version, "\(error)", mayPass: error.mayPass)))
                }
            }
        }
    }
}
