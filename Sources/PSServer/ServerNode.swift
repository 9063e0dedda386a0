// The server process: sockets and threads around `ServerState`. Performs its effects; decides nothing.

import Foundation
import Logging
import PSCheckpoint
import PSConfiguration
import PSMessages
import PSModel
import PSNode
import PSOptimization
import PSParameters
import PSProtocol
import PSTransport

package struct ServerOptions: Sendable {
    /// tcp://HOST:PORT
    package var coordinator: String
    /// Where workers reach this server; nil: the address that faces the coordinator, a free port.
    package var bind: String?
    package var rank: Int?
    /// Standard input is a pipe from who started this process; its end means that they are gone.
    package var lifeline = false
    package var timing = Timing()

    package init(coordinator: String) { self.coordinator = coordinator }
}

package final class ServerNode {
    /// What other threads tell the loop.
    private enum Internal: Sendable {
        case event(ServerState.Event)
        case loaded(generation: UInt32, weights: [Int: SharedBuffer])
        case updated(generation: UInt32, slice: Int, weights: SharedBuffer)
    }

    private let logger: Logger
    private var complaints: Complaints
    private let context = TransportContext()
    private let control: Link
    private let bulk: Link
    private let input: NodeInput<Internal>
    private let compute = SerialThread(name: "compute")
    private let disk = SerialThread(name: "disk")
    private var state: ServerState

    private var store: SliceStore?
    private var runDirectory = ""
    /// The buffers that pulls are answered from.
    private var published: [Int: SharedBuffer] = [:]
    /// Frames of contributions that wait for their turn.
    private var frames: [Int: [Int: Frame]] = [:]
    private var arriving: Frame?
    private var routes: [Incarnation: RoutingID] = [:]
    private var shard = (rank: 0, servers: 1)

    package init(_ options: ServerOptions, logger: Logger) throws(TransportError) {
        self.logger = logger
        complaints = Complaints(logger)
        input = NodeInput(lifeline: options.lifeline)
        let identity = ProcessIdentity(role: .server)
        control = Link(try Socket(.dealer, context: context, largestMessage: 8 << 20))
        bulk = Link(try Socket(.router, context: context, largestMessage: largestSliceMessage))
        let endpoint = try Addresses.bind(bulk.socket, to: options.bind, facing: options.coordinator)
        try Addresses.connect(control.socket, to: options.coordinator)
        var hello = Hello(role: .server, host: identity.host, pid: identity.pid, rank: options.rank)
        hello.endpoint = endpoint
        state = ServerState(
            hello: hello, incarnation: identity.incarnation, timing: options.timing, at: input.now)
        logger.info("server is up", metadata: ["endpoint": "\(endpoint)", "coordinator": "\(options.coordinator)"])
    }

    /// Runs until the job is over for this process.
    package func run() throws(TransportError) -> ExitStatus {
        var nextTick = input.now
        while true {
            try input.wait([control, bulk], until: nextTick)
            for internalEvent in input.mailbox.takeAll() {
                if let status = try take(internalEvent) { return leave(status) }
            }
            // A bounded number per turn, so that no peer can starve the others.
            for _ in 0..<64 {
                guard let received = try control.receive() else { break }
                guard case .success(let envelope) = received.envelope else {
                    complaints.warn("a frame from the coordinator's address: \(received.problem)", at: input.now)
                    if case .failure(let error) = received.envelope, case .protocolVersion = error,
                        let status = try perform(state.receive(.otherVersion(error.description), at: input.now))
                    {
                        return leave(status)
                    }
                    continue
                }
                if let status = try perform(state.receive(.coordinatorSaid(envelope), at: input.now)) {
                    return leave(status)
                }
            }
            for _ in 0..<64 {
                guard let received = try bulk.receive() else { break }
                try takeFromWorker(received)
            }
            if input.takeStop() != nil { _ = try perform(state.receive(.stopSignal, at: input.now)) }
            if input.takeParentGone() { _ = try perform(state.receive(.parentGone, at: input.now)) }
            if input.now >= nextTick {
                nextTick = MonotonicTime(milliseconds: input.now.milliseconds + 100)
                if let status = try perform(state.receive(.tick, at: input.now)) { return leave(status) }
            }
        }
    }

    private func leave(_ status: ExitStatus) -> ExitStatus {
        control.socket.close(lingerMilliseconds: 500)
        bulk.socket.close(lingerMilliseconds: 500)
        return status
    }

    private func takeFromWorker(_ received: Received) throws(TransportError) {
        guard let peer = received.peer else { return }
        switch received.envelope {
        case .failure(let error):
            complaints.warn("from a worker's address: \(error)", at: input.now)
            // The sender may be anything; it is told once per frame what is wrong.
            try bulk.send(state.to(0, .refusal(Refusal(of: error))), to: peer)
        case .success(let envelope):
            routes[envelope.source] = peer
            arriving = received.values
            defer { arriving = nil }
            _ = try perform(
                state.receive(
                    .workerSaid(envelope, payloadBytes: received.values?.byteCount ?? 0), at: input.now))
        }
    }

    private func take(_ event: Internal) throws(TransportError) -> ExitStatus? {
        switch event {
        case .event(let event): return try perform(state.receive(event, at: input.now))
        case .loaded(let generation, let weights):
            guard generation == state.generation else { return nil }
            published = weights
            return try perform(state.receive(.loaded(generation: generation), at: input.now))
        case .updated(let generation, let slice, let weights):
            guard generation == state.generation else { return nil }
            published[slice] = weights
            return try perform(state.receive(.updated(generation: generation, slice: slice), at: input.now))
        }
    }

    // MARK: Effects

    private func perform(_ effects: [ServerState.Effect]) throws(TransportError) -> ExitStatus? {
        for effect in effects {
            switch effect {
            case .sendToCoordinator(let envelope): try control.send(envelope)
            case .sendToWorker(let worker, let envelope):
                if let route = routes[worker], try !bulk.send(envelope, to: route) { routes[worker] = nil }
            case .heartbeat(var envelope):
                if case .heartbeat(var heartbeat) = envelope.message {
                    heartbeat.bytesSent = control.bytesSent + bulk.bytesSent
                    heartbeat.bytesReceived = control.bytesReceived + bulk.bytesReceived
                    envelope.message = .heartbeat(heartbeat)
                }
                try control.send(envelope)
            case .configure(let welcome):
                return try perform(state.receive(configure(welcome), at: input.now))
            case .load(let generation, let reset, let slices):
                load(generation, reset, slices)
            case .store(let slice, let place):
                if let arriving { frames[slice, default: [:]][place] = arriving }
            case .fold(let generation, let slice, let place, let isLast):
                fold(generation, slice, place, isLast: isLast)
            case .update(let generation, let slice, let commit):
                guard let store else { break }
                compute.run { [mailbox = input.mailbox] in
                    let weights = store.update(slice, commit)
                    mailbox.post(.updated(generation: generation, slice: slice, weights: weights))
                }
            case .publish(let worker, let envelope, let slice):
                guard let route = routes[worker], let buffer = published[slice] else { break }
                let values = Payload(buffer: buffer, range: 0..<buffer.bytes.count)
                if try !bulk.send(envelope, to: route, values: values) { routes[worker] = nil }
            case .save(let generation, let version): save(generation, version)
            case .dropFrames: frames = [:]
            case .exit(let status): return status
            }
        }
        return nil
    }

    private func configure(_ welcome: Welcome) -> ServerState.Event {
        do {
            let configuration = try JobConfiguration(
                yaml: welcome.configuration, path: "the coordinator's configuration")
            try RunDirectory(welcome.runDirectory).check(nonce: welcome.nonce)
            let layout = try ModelDescription(configuration.model).layout
            runDirectory = welcome.runDirectory
            store = SliceStore(layout: layout, configuration: configuration)
            return .configured(
                layout, ticketsPerStep: configuration.train.ticketsPerStep,
                bufferBytes: configuration.server.bufferBytes)
        } catch {
            return .configurationFailed("\(error)")
        }
    }

    private func load(_ generation: UInt32, _ reset: Reset, _ slices: [Int]) {
        guard let store else { return }
        // Workers say where they are when they pull anew.
        routes = [:]
        shard = (reset.rank, reset.servers)
        logger.info(
            "loading",
            metadata: ["step": "\(reset.version)", "generation": "\(generation)", "slices": "\(slices.count)"])
        compute.run { [mailbox = input.mailbox] in
            do throws(CheckpointError) {
                let weights = try store.load(slices, checkpoint: reset.checkpoint)
                mailbox.post(.loaded(generation: generation, weights: weights))
            } catch {
                mailbox.post(.event(.loadFailed(generation: generation, "\(error)")))
            }
        }
    }

    private func fold(_ generation: UInt32, _ slice: Int, _ place: Int, isLast: Bool) {
        guard let store, let frame = frames[slice]?.removeValue(forKey: place) else { return }
        compute.run { [mailbox = input.mailbox] in
            let (norm, isFinite) = frame.withFloats {
                store.fold(slice, values: $0, isFirst: place == 0, isLast: isLast)
            }
            mailbox.post(
                .event(.folded(generation: generation, slice: slice, squaredNorm: norm, isFinite: isFinite)))
        }
    }

    /// The compute thread takes references after all updates of the version; the disk thread writes them.
    private func save(_ generation: UInt32, _ version: UInt64) {
        guard let store, let layout = state.layout else { return }
        let runDirectory = runDirectory
        let shard = shard
        compute.run { [mailbox = input.mailbox, disk] in
            let snapshot = store.snapshot()
            disk.run {
                do throws(CheckpointError) {
                    let files = try snapshot.write(
                        runDirectory: runDirectory, version: version, generation: generation, server: shard.rank,
                        serverCount: shard.servers, layout: layout)
                    mailbox.post(.event(.saved(generation: generation, version: version, files)))
                } catch {
                    mailbox.post(
                        .event(.saveFailed(generation: generation, version: version, "\(error)")))
                }
            }
        }
    }
}
