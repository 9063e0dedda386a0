// The worker process: sockets and the compute thread around `WorkerState`. Performs its effects; decides nothing.

import Foundation
import Logging
import PSCheckpoint
import PSConfiguration
import PSMessages
import PSNetwork
import PSNode
import PSParameters
import PSPlanning
import PSProtocol
import PSTransport

package struct WorkerOptions: Sendable {
    /// tcp://HOST:PORT
    package var coordinator: String
    package var rank: Int?
    /// Standard input is a pipe from who started this process; its end means that they are gone.
    package var lifeline = false
    package var timing = Timing()
    /// Push prepared random gradients instead of computing.
    package var isExchangeBenchmark = false

    package init(coordinator: String) { self.coordinator = coordinator }
}

package final class WorkerNode {
    /// What other threads tell the loop.
    private enum Internal: Sendable {
        case event(WorkerState.Event)
        case built(any TicketWork)
    }

    private let logger: Logger
    private var complaints: Complaints
    private let context = TransportContext()
    private let control: Link
    private let input: NodeInput<Internal>
    private let compute = SerialThread(name: "compute")
    private var state: WorkerState
    private var work: (any TicketWork)?
    private let isExchangeBenchmark: Bool

    /// In rank order.
    private var servers: [Link] = []
    /// Counters of links that are closed.
    private var closedBytes: (sent: UInt64, received: UInt64) = (0, 0)
    private var arriving: Frame?
    /// The contribution being computed or sent.
    private var gradients = SharedBuffer(byteCount: 0)

    package init(_ options: WorkerOptions, logger: Logger) throws(TransportError) {
        self.logger = logger
        complaints = Complaints(logger)
        isExchangeBenchmark = options.isExchangeBenchmark
        input = NodeInput(lifeline: options.lifeline)
        let identity = ProcessIdentity(role: .worker)
        control = Link(try Socket(.dealer, context: context, largestMessage: 8 << 20))
        try Addresses.connect(control.socket, to: options.coordinator)
        var hello = Hello(role: .worker, host: identity.host, pid: identity.pid, rank: options.rank)
        (hello.kernelCore, hello.kernelHash) = KernelProbe.identity()
        state = WorkerState(hello: hello, incarnation: identity.incarnation, timing: options.timing, at: input.now)
        logger.info(
            "worker is up", metadata: ["coordinator": "\(options.coordinator)", "core": "\(hello.kernelCore)"])
    }

    /// Runs until the job is over for this process.
    package func run() throws(TransportError) -> ExitStatus {
        var nextTick = input.now
        while true {
            try input.wait([control] + servers, until: nextTick)
            for event in input.mailbox.takeAll() {
                if let status = try take(event) { return leave(status) }
            }
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
            for link in servers {
                for _ in 0..<64 {
                    guard let received = try link.receive() else { break }
                    guard case .success(let envelope) = received.envelope else {
                        complaints.warn("a frame from a server's address: \(received.problem)", at: input.now)
                        continue
                    }
                    guard hasItsValues(envelope, received.values) else {
                        complaints.warn("a slice from a server's address with more or fewer values", at: input.now)
                        continue
                    }
                    arriving = received.values
                    defer { arriving = nil }
                    if let status = try perform(state.receive(.serverSaid(envelope), at: input.now)) {
                        return leave(status)
                    }
                }
            }
            if input.takeStop() != nil, let status = try perform(state.receive(.stopSignal, at: input.now)) {
                return leave(status)
            }
            if input.takeParentGone() { _ = try perform(state.receive(.parentGone, at: input.now)) }
            if input.now >= nextTick {
                nextTick = MonotonicTime(milliseconds: input.now.milliseconds + 100)
                if let status = try perform(state.receive(.tick, at: input.now)) { return leave(status) }
            }
        }
    }

    /// Whether a published slice comes with as many values as it has: the network takes what the frame holds.
    private func hasItsValues(_ envelope: Envelope, _ values: Frame?) -> Bool {
        guard case .publish(let header) = envelope.message else { return true }
        guard let slices = state.layout?.slices, slices.indices.contains(header.index) else { return false }
        return values?.byteCount == slices[header.index].byteCount
    }

    private func leave(_ status: ExitStatus) -> ExitStatus {
        control.socket.close(lingerMilliseconds: 500)
        for link in servers { link.socket.close(lingerMilliseconds: 0) }
        return status
    }

    private func take(_ event: Internal) throws(TransportError) -> ExitStatus? {
        switch event {
        case .event(let event): return try perform(state.receive(event, at: input.now))
        case .built(let work):
            self.work = work
            return try perform(
                state.receive(.configured(work.layout), at: input.now))
        }
    }

    // MARK: Effects

    private func perform(_ effects: [WorkerState.Effect]) throws(TransportError) -> ExitStatus? {
        for effect in effects {
            switch effect {
            case .sendToCoordinator(let envelope): try control.send(envelope)
            case .sendToServer(let rank, let envelope): try servers[rank].send(envelope)
            case .heartbeat(var envelope):
                if case .heartbeat(var heartbeat) = envelope.message {
                    heartbeat.bytesSent = servers.reduce(control.bytesSent + closedBytes.sent) { $0 + $1.bytesSent }
                    heartbeat.bytesReceived =
                        servers.reduce(control.bytesReceived + closedBytes.received) { $0 + $1.bytesReceived }
                    envelope.message = .heartbeat(heartbeat)
                }
                try control.send(envelope)
            case .configure(let welcome): configure(welcome)
            case .connect(let addresses): try connect(addresses)
            case .load(let slice):
                guard let work, let arriving else { break }
                compute.run { work.load(slice: slice, values: arriving) }
            case .compute(let attempt): compute(attempt)
            case .push(let server, let envelope, let slice):
                guard let range = state.layout?.slices[slice].range else { break }
                let bytes = range.lowerBound * 4..<range.upperBound * 4
                try servers[server].send(envelope, values: Payload(buffer: gradients, range: bytes))
            case .exit(let status): return status
            }
        }
        return nil
    }

    /// Building the network takes memory and time; heartbeats go on meanwhile.
    private func configure(_ welcome: Welcome) {
        logger.info("joined", metadata: ["rank": "\(welcome.rank)", "run": "\(welcome.runDirectory)"])
        compute.run { [mailbox = input.mailbox, logger, isExchangeBenchmark] in
            do {
                let configuration = try JobConfiguration(
                    yaml: welcome.configuration, path: "the coordinator's configuration")
                try RunDirectory(welcome.runDirectory).check(nonce: welcome.nonce)
                let work: any TicketWork
                if isExchangeBenchmark {
                    work = try ExchangeWork(configuration: configuration, runDirectory: welcome.runDirectory)
                } else {
                    let plan = try PlanFile(text: welcome.plan, path: "the coordinator's plan")
                    logger.info("building the network", metadata: ["plan": "\(plan.summary)"])
                    work = try TicketComputer(configuration: configuration, plan: plan)
                }
                mailbox.post(.built(work))
            } catch {
                mailbox.post(.event(.configurationFailed("\(error)")))
            }
        }
    }

    /// A connection to a server that is not a member any more is closed: nothing that was queued for it arrives late.
    private func connect(_ addresses: [ServerAddress]) throws(TransportError) {
        for link in servers {
            closedBytes.sent += link.bytesSent
            closedBytes.received += link.bytesReceived
            link.socket.close(lingerMilliseconds: 0)
        }
        servers = []
        for address in addresses {
            let socket = try Socket(.dealer, context: context, largestMessage: largestSliceMessage)
            try Addresses.connect(socket, to: address.endpoint)
            servers.append(Link(socket))
        }
    }

    private func compute(_ attempt: Attempt) {
        guard let work else { return }
        let byteCount = work.layout.count * MemoryLayout<Float>.stride
        if let fixed = work.fixedGradients(of: attempt) {
            gradients = fixed
        } else if gradients.bytes.count < byteCount || !isKnownUniquelyReferenced(&gradients) {
            // A slice of an earlier contribution may still be on its way out: then this one gets memory of its own.
            gradients = SharedBuffer(byteCount: byteCount)
        }
        compute.run { [mailbox = input.mailbox, gradients] in
            do {
                let contribution = try work.compute(attempt, into: gradients) { slice in
                    mailbox.post(.event(.gradientReady(attempt, slice: slice)))
                }
                mailbox.post(.event(.computed(contribution)))
            } catch {
                mailbox.post(.event(.computeFailed(attempt, "\(error)")))
            }
        }
    }
}
