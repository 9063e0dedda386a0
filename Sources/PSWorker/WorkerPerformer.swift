// Performs what `WorkerState` decides: sends, loads, computes, pushes. The wires and the compute thread are handed to it,
// so that the simulator drives the same code as a process does. Decides nothing.

import Foundation
import Logging
import PSData
import PSDatasets
import PSFiles
import PSMessages
import PSNetwork
import PSNode
import PSParameters
import PSProofs
import PSProtocol
import PSTransport

package final class WorkerPerformer {
    /// What other threads tell the loop.
    package enum Internal: Sendable {
        case event(WorkerState.Event)
        case built(any TicketWork)
    }

    package private(set) var state: WorkerState
    private let control: any Wire
    private let compute: any WorkQueue
    private let disk: any WorkQueue
    /// Reads the run's key where a challenge says that it is; called on the disk's thread.
    private let readKey: @Sendable (Challenge) throws -> RunKey
    private let build: @Sendable (Welcome) throws -> any TicketWork
    private let post: @Sendable (Internal) -> Void
    private let logger: Logger

    private var work: (any TicketWork)?
    /// In the order of the holders that the coordinator named.
    package private(set) var servers: ServerConnections
    private var arriving: Frame?
    /// The contribution being computed or sent.
    private var gradients = SharedBuffer(byteCount: 0)

    /// - Parameters:
    ///   - connect: a wire to a server.
    ///   - build: makes the network and opens the data; called on the compute thread.
    ///   - post: hands an event from any thread to the one that calls `take`.
    package init(
        _ state: WorkerState, control: any Wire, compute: any WorkQueue, disk: any WorkQueue, logger: Logger,
        connect: @escaping ServerConnections.Connect,
        readKey: @escaping @Sendable (Challenge) throws -> RunKey,
        build: @escaping @Sendable (Welcome) throws -> any TicketWork, post: @escaping @Sendable (Internal) -> Void
    ) {
        self.state = state
        self.control = control
        self.compute = compute
        self.disk = disk
        servers = ServerConnections(connect: connect)
        self.readKey = readKey
        self.build = build
        self.post = post
        self.logger = logger
    }

    // MARK: Events

    /// - Returns: how the process ends, if it does.
    package func handle(_ event: WorkerState.Event, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        try perform(state.receive(event, at: now))
    }

    package func take(_ event: Internal, at now: MonotonicTime) throws(TransportError) -> ExitStatus? {
        switch event {
        case .event(let event): return try handle(event, at: now)
        case .built(let work):
            self.work = work
            return try handle(.configured(work.layout, statistics: work.readsStatistics), at: now)
        }
    }

    /// A message of a server.
    /// - Throws: nothing of the sender's doing.
    package func takeFromServer(
        _ envelope: Envelope, values: Frame?, at now: MonotonicTime
    ) throws(TransportError) -> ExitStatus? {
        arriving = values
        defer { arriving = nil }
        return try handle(.serverSaid(envelope), at: now)
    }

    /// Whether a published slice comes with as many values as it has: the network takes what the frame holds.
    package func hasItsValues(_ envelope: Envelope, _ values: Frame?) -> Bool {
        guard case .publish(let header) = envelope.message else { return true }
        guard let slices = state.layout?.slices, slices.indices.contains(header.index) else { return false }
        return values?.byteCount == slices[header.index].byteCount
    }

    // MARK: Effects

    private func perform(_ effects: [WorkerState.Effect]) throws(TransportError) -> ExitStatus? {
        for effect in effects {
            switch effect {
            case .sendToCoordinator(let envelope): try control.send(envelope)
            case .sendToServer(let rank, let envelope): try servers.wires[rank].send(envelope)
            case .heartbeat(var envelope):
                if case .heartbeat(var heartbeat) = envelope.message {
                    heartbeat.bytesSent = control.bytesSent + servers.bytesSent
                    heartbeat.bytesReceived = control.bytesReceived + servers.bytesReceived
                    envelope.message = .heartbeat(heartbeat)
                }
                try control.send(envelope)
            case .prove(let challenge):
                disk.run { [readKey, post] in
                    do {
                        post(.event(.proved(try readKey(challenge), challenge)))
                    } catch {
                        post(.event(.proofFailed("\(error)", mayPass: WorkerPerformer.mayPass(error))))
                    }
                }
            case .warn(let text): logger.warning("\(text)")
            case .configure(let welcome): configure(welcome)
            case .prepare(let attempt): work?.prepare(attempt)
            case .connect(let addresses): try servers.reach(addresses)
            case .load(let slice):
                guard let work, let arriving else { break }
                compute.run { work.load(slice: slice, values: arriving) }
            case .compute(let attempt): compute(attempt)
            case .measure(let attempt): measure(attempt)
            case .push(let server, let envelope, let slice):
                guard let range = state.layout?.slices[slice].range else { break }
                let bytes = range.lowerBound * 4..<range.upperBound * 4
                try servers.wires[server].send(envelope, to: nil, values: Payload(buffer: gradients, range: bytes))
            case .exit(let status): return status
            }
        }
        return nil
    }

    /// Building the network takes memory and time; heartbeats go on meanwhile.
    private func configure(_ welcome: Welcome) {
        logger.info("joined", metadata: ["rank": "\(welcome.rank)", "run": "\(welcome.runDirectory)"])
        compute.run { [post, build] in
            do {
                post(.built(try build(welcome)))
            } catch {
                post(.event(.configurationFailed("\(error)", mayPass: WorkerPerformer.mayPass(error))))
            }
        }
    }

    /// Whether another try of the same start may end otherwise.
    private static func mayPass(_ error: any Error) -> Bool {
        switch error {
        case let error as StorageError: error.mayPass
        case let error as DataError: error.mayPass
        case DatasetError.system, NetworkError.outOfMemory: true
        default: false
        }
    }

    /// A connection that a server refused is not tried again by itself: the server may know this process's key by now.
    package func renew(_ wire: any Wire) throws(TransportError) { try servers.renew(wire) }

    private func compute(_ attempt: Attempt) {
        guard let work else { return }
        let byteCount = work.layout.count * MemoryLayout<Float>.stride
        if let fixed = work.fixedGradients(of: attempt) {
            gradients = fixed
        } else if gradients.bytes.count < byteCount || !isKnownUniquelyReferenced(&gradients) {
            // A slice of an earlier contribution may still be on its way out: then this one gets memory of its own.
            gradients = SharedBuffer(byteCount: byteCount)
        }
        compute.run { [post, gradients] in
            do {
                let contribution = try work.compute(attempt, into: gradients) { slice in
                    post(.event(.gradientReady(attempt, slice: slice)))
                }
                post(.event(.computed(contribution)))
            } catch {
                post(.event(.computeFailed(attempt, "\(error)", mayPass: WorkerPerformer.mayPass(error))))
            }
        }
    }

    private func measure(_ attempt: EvaluationAttempt) {
        guard let work else { return }
        compute.run { [post] in
            do {
                post(.event(.measured(try work.measure(attempt))))
            } catch {
                post(.event(.measureFailed(attempt, "\(error)", WorkerPerformer.measureProblem(error))))
            }
        }
    }

    private static func measureProblem(_ error: any Error) -> WorkerState.MeasureProblem {
        if let error = error as? StorageError, error.isDamage { return .checkpointDamaged }
        return mayPass(error) ? .mayPass : .lasts
    }
}
