// The worker process: sockets and the compute thread around `WorkerPerformer`, and the loop that waits for all of them.

import Foundation
import Logging
import PSConfiguration
import PSData
import PSDatasets
import PSMessages
import PSNetwork
import PSNode
import PSParameters
import PSPlanning
import PSProtocol
import PSRun
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
    private var complaints: Complaints
    private let control: Link
    private let input: NodeInput<WorkerPerformer.Internal>
    private let performer: WorkerPerformer

    package init(_ options: WorkerOptions, logger: Logger) throws(TransportError) {
        complaints = Complaints(logger)
        input = NodeInput(lifeline: options.lifeline)
        let identity = ProcessIdentity(role: .worker)
        let context = TransportContext()
        control = Link(try Socket(.dealer, context: context, largestMessage: 8 << 20))
        try Addresses.connect(control.socket, to: options.coordinator)
        var hello = Hello(role: .worker, host: identity.host, pid: identity.pid, rank: options.rank)
        (hello.kernelCore, hello.kernelHash) = KernelProbe.identity()
        let isExchangeBenchmark = options.isExchangeBenchmark
        performer = WorkerPerformer(
            WorkerState(hello: hello, incarnation: identity.incarnation, timing: options.timing, at: input.now),
            control: control, compute: SerialThread(name: "compute"), logger: logger,
            connect: { (endpoint) throws(TransportError) in
                let socket = try Socket(.dealer, context: context, largestMessage: largestSliceMessage)
                try Addresses.connect(socket, to: endpoint)
                return Link(socket)
            },
            build: { try WorkerNode.build($0, isExchangeBenchmark: isExchangeBenchmark, logger: logger) },
            post: { [mailbox = input.mailbox] in mailbox.post($0) })
        logger.info(
            "worker is up", metadata: ["coordinator": "\(options.coordinator)", "core": "\(hello.kernelCore)"])
    }

    private static func build(
        _ welcome: Welcome, isExchangeBenchmark: Bool, logger: Logger
    ) throws -> any TicketWork {
        let configuration = try JobConfiguration(yaml: welcome.configuration, path: "the coordinator's configuration")
        try RunDirectory(welcome.runDirectory).check(nonce: welcome.nonce)
        if isExchangeBenchmark {
            return try ExchangeWork(configuration: configuration, runDirectory: welcome.runDirectory)
        }
        let plan = try PlanFile(text: welcome.plan, path: "the coordinator's plan")
        logger.info("building the network", metadata: ["plan": "\(plan.summary)"])
        let data = try Dataset.open(configuration.data.set, .train)
        for remark in data.remarks { logger.warning("\(remark)") }
        guard data.digest == welcome.dataDigest else {
            let list = RunDirectory(welcome.runDirectory).samples
            let difference = try? SampleList.firstDifference(between: data.index, and: SampleList.open(list))
            throw DataError.otherSamples(
                path: configuration.data.set.path, problem: difference.map { "\($0)" } ?? "its list of samples differs")
        }
        let run = RunDirectory(welcome.runDirectory)
        guard !welcome.testDigest.isEmpty else {
            return try TicketComputer(configuration: configuration, plan: plan, data: data)
        }
        let test = try Dataset.open(configuration.data.set, .test)
        guard test.digest == welcome.testDigest else {
            throw DataError.otherSamples(
                path: configuration.data.set.path, problem: "its list of test images differs from the coordinator's")
        }
        return try TicketComputer(configuration: configuration, plan: plan, data: data, test: (test, run))
    }

    /// Runs until the job is over for this process.
    package func run() throws(TransportError) -> ExitStatus {
        var nextTick = input.now
        while true {
            let servers = performer.servers.compactMap { $0 as? Link }
            try input.wait([control] + servers, until: nextTick)
            for event in input.mailbox.takeAll() {
                if let status = try performer.take(event, at: input.now) { return leave(status) }
            }
            for _ in 0..<64 {
                guard let received = try control.receive() else { break }
                if let status = try takeFromCoordinator(received) { return leave(status) }
            }
            for link in servers where !link.isClosed {
                for _ in 0..<64 {
                    guard !link.isClosed, let received = try link.receive() else { break }
                    if let status = try takeFromServer(received) { return leave(status) }
                }
            }
            if input.takeStop() != nil, let status = try performer.handle(.stopSignal, at: input.now) {
                return leave(status)
            }
            if input.takeParentGone() { _ = try performer.handle(.parentGone, at: input.now) }
            if input.now >= nextTick {
                nextTick = MonotonicTime(milliseconds: input.now.milliseconds + 100)
                if let status = try performer.handle(.tick, at: input.now) { return leave(status) }
            }
        }
    }

    private func takeFromCoordinator(_ received: Received) throws(TransportError) -> ExitStatus? {
        switch received.envelope {
        case .success(let envelope): return try performer.handle(.coordinatorSaid(envelope), at: input.now)
        case .failure(let error):
            complaints.warn("a frame from the coordinator's address: \(received.problem)", at: input.now)
            guard case .protocolVersion = error else { return nil }
            return try performer.handle(.otherVersion(error.description), at: input.now)
        }
    }

    private func takeFromServer(_ received: Received) throws(TransportError) -> ExitStatus? {
        guard case .success(let envelope) = received.envelope else {
            complaints.warn("a frame from a server's address: \(received.problem)", at: input.now)
            return nil
        }
        guard performer.hasItsValues(envelope, received.values) else {
            complaints.warn("a slice from a server's address with more or fewer values", at: input.now)
            return nil
        }
        return try performer.takeFromServer(envelope, values: received.values, at: input.now)
    }

    private func leave(_ status: ExitStatus) -> ExitStatus {
        control.close(lingerMilliseconds: 500)
        for wire in performer.servers { wire.close(lingerMilliseconds: 0) }
        return status
    }
}
