// The server process: sockets and threads around `ServerPerformer`, and the loop that waits for all of them.

import Foundation
import Logging
import PSConfiguration
import PSMessages
import PSModel
import PSNode
import PSParameters
import PSProtocol
import PSRun
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
    private var complaints: Complaints
    private let context = TransportContext()
    private let control: Link
    private let bulk: Link
    private let input: NodeInput<ServerPerformer.Internal>
    private let performer: ServerPerformer

    package init(_ options: ServerOptions, logger: Logger) throws(TransportError) {
        complaints = Complaints(logger)
        input = NodeInput(lifeline: options.lifeline)
        let identity = ProcessIdentity(role: .server)
        control = Link(try Socket(.dealer, context: context, largestMessage: 8 << 20))
        bulk = Link(try Socket(.router, context: context, largestMessage: largestSliceMessage))
        let endpoint = try Addresses.bind(bulk.socket, to: options.bind, facing: options.coordinator)
        try Addresses.connect(control.socket, to: options.coordinator)
        var hello = Hello(role: .server, host: identity.host, pid: identity.pid, rank: options.rank)
        hello.endpoint = endpoint
        performer = ServerPerformer(
            ServerState(hello: hello, incarnation: identity.incarnation, timing: options.timing, at: input.now),
            control: control, bulk: bulk, compute: SerialThread(name: "compute"), disk: SerialThread(name: "disk"),
            logger: logger, join: ServerNode.join, post: { [mailbox = input.mailbox] in mailbox.post($0) })
        logger.info("server is up", metadata: ["endpoint": "\(endpoint)", "coordinator": "\(options.coordinator)"])
    }

    /// Reads what the coordinator says of the job, and proves that this host sees its run directory.
    @Sendable private static func join(_ welcome: Welcome) throws -> ServedJob {
        let configuration = try JobConfiguration(yaml: welcome.configuration, path: "the coordinator's configuration")
        let run = RunDirectory(welcome.runDirectory)
        try run.check(nonce: welcome.nonce)
        let layout = try ModelDescription(configuration.model).layout
        return ServedJob(
            store: try SliceStore(layout: layout, configuration: configuration), run: run, nonce: welcome.nonce,
            shape: configuration.train.stepShape,
            bufferBytes: configuration.server.bufferBytes)
    }

    /// Runs until the job is over for this process.
    package func run() throws(TransportError) -> ExitStatus {
        var nextTick = input.now
        while true {
            try input.wait([control, bulk], until: nextTick)
            for event in input.mailbox.takeAll() {
                if let status = try performer.take(event, at: input.now) { return leave(status) }
            }
            // A bounded number per turn, so that no peer can starve the others.
            for _ in 0..<64 {
                guard let received = try control.receive() else { break }
                if let status = try takeFromCoordinator(received) { return leave(status) }
            }
            for _ in 0..<64 {
                guard let received = try bulk.receive() else { break }
                if case .failure(let error) = received.envelope {
                    complaints.warn("from a worker's address: \(error)", at: input.now)
                }
                try performer.takeFromWorker(received, at: input.now)
            }
            if input.takeStop() != nil { _ = try performer.handle(.stopSignal, at: input.now) }
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

    private func leave(_ status: ExitStatus) -> ExitStatus {
        control.close(lingerMilliseconds: 500)
        bulk.close(lingerMilliseconds: 500)
        return status
    }
}
