// The worker process: sockets and the compute thread around `WorkerPerformer`, and the loop that waits for all of them.

import Foundation
import Logging
import PSConfiguration
import PSData
import PSDatasets
import PSKeys
import PSMessages
import PSNetwork
import PSNode
import PSParameters
import PSPlanning
import PSProtocol
import PSRun
import PSTransport

package final class WorkerNode: DaemonNode {
    private var complaints: Complaints
    private let joining: JoinOptions
    private var admission: Admission
    private let trail: CoordinatorTrail
    private var nextRenewal = MonotonicTime(milliseconds: 0)
    private let control: Link
    package let input: NodeInput<WorkerPerformer.Internal>
    private let performer: WorkerPerformer

    /// - Parameter isExchangeBenchmark: push prepared random gradients instead of computing.
    package init(_ options: MemberOptions, isExchangeBenchmark: Bool, logger: Logger) throws(TransportError) {
        complaints = Complaints(logger)
        input = NodeInput(lifeline: options.lifeline)
        joining = options.joining
        admission = Admission(joining, logger)
        trail = CoordinatorTrail(options.whereabouts, endpoint: joining.coordinator, logger: logger)
        let identity = ProcessIdentity(role: .worker)
        let context = try TransportContext()
        control = Link(
            try context.client(largestMessage: largestControlMessage, keys: joining.file?.clientKeys), forgets: true)
        try Addresses.connect(control.socket, to: joining.coordinator)
        var hello = Hello(role: .worker, host: identity.host, pid: identity.pid, rank: options.rank)
        hello.takesOver = options.takesOver
        (hello.kernelCore, hello.kernelHash) = KernelProbe.identity()
        performer = WorkerPerformer(
            WorkerState(hello: hello, incarnation: identity.incarnation, at: input.now),
            control: control, compute: SerialThread(name: "compute"), disk: SerialThread(name: "disk"), logger: logger,
            connect: { [joining] (address) throws(TransportError) in
                let keys = joining.file.map { $0.clientKeys(to: address.publicKey) }
                let socket = try context.client(largestMessage: largestSliceMessage, keys: keys)
                try Addresses.connect(socket, to: address.endpoint)
                return Link(socket)
            },
            readKey: { [hasKeys = joining.file != nil] (challenge) in
                try RunDirectory(challenge.runDirectory).readKey(isNamedByStranger: !hasKeys)
            },
            build: { [wanted = options.rank] welcome in
                if let wanted, wanted != welcome.rank {
                    logger.warning("rank \(wanted) is that of another worker: this is worker \(welcome.rank)")
                }
                return try WorkerNode.build(welcome, isExchangeBenchmark: isExchangeBenchmark, logger: logger)
            },
            post: { [mailbox = input.mailbox] in mailbox.post($0) })
        logger.info(
            "worker is up", metadata: ["coordinator": "\(joining.coordinator)", "core": "\(hello.kernelCore)"])
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
    package func run() throws -> ExitStatus { leave(try runLoop()) }

    package let tickMilliseconds = 100
    package var links: [Link] { [control] + performer.servers.wires.compactMap { $0 as? Link } }

    package func take(_ event: WorkerPerformer.Internal) throws -> ExitStatus? {
        try performer.take(event, at: input.now)
    }

    package func take(_ event: Link.Event, of link: Link) throws -> ExitStatus? {
        switch event {
        case .message(let received) where link === control: return try takeFromCoordinator(received)
        case .message(let received): return try takeFromServer(received)
        case .connected: return link === control ? try performer.handle(.coordinatorReached, at: input.now) : nil
        case .closed where link === control: return try performer.handle(.coordinatorLost, at: input.now)
        case .closed: return nil
        }
    }

    package func takeStop(_ signal: Int32) throws -> ExitStatus? { try performer.handle(.stopSignal, at: input.now) }

    package func takeParentGone() throws -> ExitStatus? { try performer.handle(.parentGone, at: input.now) }

    package func tick() throws -> ExitStatus? {
        _ = try control.sweep()
        try trail.follow(control, hasJoined: performer.state.isJoined, at: input.now)
        if let text = admission.refusal(of: control, hasJoined: performer.state.job != 0) {
            return ExitStatus(code: ExitStatus.refused, text: text)
        }
        for link in performer.servers.wires.compactMap({ $0 as? Link }) {
            _ = try link.sweep()
            if link.isRefused || link.hasFailed, input.now >= nextRenewal {
                nextRenewal = input.now.later(1000)
                try performer.renew(link)
            }
        }
        return try performer.handle(.tick, at: input.now)
    }

    private func takeFromCoordinator(_ received: Received) throws(TransportError) -> ExitStatus? {
        switch received.envelope {
        case .success(let envelope): return try performer.handle(.coordinatorSaid(envelope), at: input.now)
        case .failure(let error):
            complaints.warn(.word, "a frame from the coordinator's address: \(received.problem)", at: input.now)
            guard case .protocolVersion = error else { return nil }
            return try performer.handle(.otherVersion(error.description), at: input.now)
        }
    }

    private func takeFromServer(_ received: Received) throws(TransportError) -> ExitStatus? {
        guard case .success(let envelope) = received.envelope else {
            complaints.warn(.word, "a frame from a server's address: \(received.problem)", at: input.now)
            return nil
        }
        guard performer.hasItsValues(envelope, received.values) else {
            complaints.warn(.word, "a slice from a server's address with more or fewer values", at: input.now)
            return nil
        }
        return try performer.takeFromServer(envelope, values: received.values, at: input.now)
    }

    private func leave(_ status: ExitStatus) -> ExitStatus {
        var status = status
        let hint = joining.hint(of: control)
        if status.code != 0, !status.text.hasSuffix(hint) { status.text += hint }
        control.close(lingerMilliseconds: 500)
        for wire in performer.servers.wires { wire.close(lingerMilliseconds: 0) }
        return status
    }
}
