// The server process: sockets and threads around `ServerPerformer`, and the loop that waits for all of them.

import Foundation
import Logging
import PSConfiguration
import PSKeys
import PSMessages
import PSModel
import PSNode
import PSParameters
import PSProtocol
import PSRun
import PSTransport

package final class ServerNode: DaemonNode {
    private var complaints: Complaints
    private let context: TransportContext
    private let joining: JoinOptions
    private var admission: Admission
    private let trail: CoordinatorTrail
    private var nextRenewal = MonotonicTime(milliseconds: 0)
    private let control: Link
    private let bulk: Link
    /// Where workers and other servers reach this process.
    private let endpoint: String
    private var nextLook = MonotonicTime(milliseconds: 0)
    package let input: NodeInput<ServerPerformer.Internal>
    private let performer: ServerPerformer

    /// - Parameter bind: where workers reach this server; nil: the address that faces the coordinator, a free port.
    package init(_ options: MemberOptions, bind: String?, logger: Logger) throws(TransportError) {
        complaints = Complaints(logger)
        input = NodeInput(lifeline: options.lifeline)
        joining = options.joining
        admission = Admission(joining, logger)
        trail = CoordinatorTrail(options.whereabouts, endpoint: joining.coordinator, logger: logger)
        let identity = ProcessIdentity(role: .server)
        let own = joining.file == nil ? nil : try ServerNode.makeKeys()
        context = try TransportContext(JobSecurity.entrance(bind ?? joining.coordinator, hasKeys: own != nil))
        control = Link(
            try context.client(largestMessage: largestControlMessage, keys: joining.file?.clientKeys), forgets: true)
        bulk = Link(try context.listener(largestMessage: largestSliceMessage, secretKey: own?.secretKey), limits: .bulk)
        endpoint = try Addresses.bind(bulk.socket, to: bind, facing: joining.coordinator)
        try Addresses.connect(control.socket, to: joining.coordinator)
        var hello = Hello(role: .server, host: identity.host, pid: identity.pid, rank: options.rank)
        hello.takesOver = options.takesOver
        hello.endpoint = endpoint
        hello.publicKey = own?.publicKey ?? ""
        performer = ServerPerformer(
            ServerState(hello: hello, incarnation: identity.incarnation, at: input.now),
            control: control, bulk: bulk, compute: SerialThread(name: "compute"), disk: SerialThread(name: "disk"),
            logger: logger,
            readKey: { [hasKeys = joining.file != nil] (challenge) in
                try RunDirectory(challenge.runDirectory).readKey(isNamedByStranger: !hasKeys)
            },
            join: ServerNode.join,
            connect: { [context] (address) throws(TransportError) in
                // The pair of this start's own, as which the coordinator made it known.
                let keys = own.map {
                    ClientKeys(serverKey: address.publicKey, publicKey: $0.publicKey, secretKey: $0.secretKey)
                }
                let socket = try context.client(largestMessage: largestSliceMessage, keys: keys)
                try Addresses.connect(socket, to: address.endpoint)
                return Link(socket)
            },
            post: { [mailbox = input.mailbox] in mailbox.post($0) })
        performer.complain = { [unowned self] in
            complaints.warn(.word, "\($0), from \(bulk.connections.address(of: $1))", at: input.now)
        }
        performer.allow = { [context] in context.gatekeeper?.allow(Set($0)) }
        logger.info(
            "server is up", metadata: ["endpoint": "\(endpoint)", "coordinator": "\(joining.coordinator)"])
    }

    /// A pair of this start's own: the coordinator tells workers its public half.
    private static func makeKeys() throws(TransportError) -> KeyPair {
        do throws(KeyError) { return try KeyPair.make() } catch {
            throw TransportError("make a pair of keys", reason: "\(error)")
        }
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
    package func run() throws -> ExitStatus { leave(try runLoop()) }

    package let tickMilliseconds = 100
    package var links: [Link] { [control, bulk] + sources }
    private var sources: [Link] { performer.sources.wires.compactMap { $0 as? Link } }

    package func take(_ event: ServerPerformer.Internal) throws -> ExitStatus? {
        try performer.take(event, at: input.now)
    }

    package func take(_ event: Link.Event, of link: Link) throws -> ExitStatus? {
        switch event {
        case .message(let received) where link === control: return try takeFromCoordinator(received)
        case .message(let received) where link === bulk: try takeFromWorker(received)
        case .message(let received): return try takeFromSource(received)
        case .connected: return link === control ? try performer.handle(.coordinatorReached, at: input.now) : nil
        case .closed where link === control: return try performer.handle(.coordinatorLost, at: input.now)
        case .closed(let peer) where link === bulk: return try peer.flatMap { try performer.closed($0, at: input.now) }
        case .closed: return try performer.lost(link, at: input.now)
        }
        return nil
    }

    package func takeStop(_ signal: Int32) throws -> ExitStatus? { try performer.handle(.stopSignal, at: input.now) }

    package func takeParentGone() throws -> ExitStatus? { try performer.handle(.parentGone, at: input.now) }

    package func tick() throws -> ExitStatus? {
        _ = try control.sweep()
        try trail.follow(control, hasJoined: performer.state.isJoined, at: input.now)
        if let text = admission.refusal(of: control, hasJoined: performer.state.job != 0) {
            return ExitStatus(code: ExitStatus.refused, text: text)
        }
        complaints.warn(try bulk.sweep(), at: input.now)
        if input.now >= nextLook {
            nextLook = input.now.later(1000)
            do throws(TransportError) {
                if try bulk.restoreListener(at: endpoint) {
                    complaints.warn(.file, "somebody removed the socket \(endpoint): it is made again", at: input.now)
                }
            } catch {
                // Who is connected stays so; it is tried again.
                complaints.warn(
                    .file, "the socket \(endpoint) was removed, and cannot be made again: \(error)", at: input.now)
            }
        }
        for link in sources {
            _ = try link.sweep()
            if link.isRefused || link.hasFailed, input.now >= nextRenewal {
                nextRenewal = input.now.later(1000)
                try performer.renew(link)
            }
        }
        complaints.warn(context.gatekeeper?.takeRefused(), bulk.takeFailedHandshakes(), at: input.now)
        return try performer.handle(.tick, at: input.now)
    }

    private func takeFromWorker(_ received: Received) throws(TransportError) {
        // Revoked since it came in: the coordinator says so.
        if let key = received.key, let peer = received.peer, context.gatekeeper?.isAllowed(key) == false {
            return bulk.cut(peer, because: "its key was revoked")
        }
        try performer.takeFromWorker(received, at: input.now)
    }

    private func takeFromSource(_ received: Received) throws(TransportError) -> ExitStatus? {
        if case .failure = received.envelope {
            complaints.warn(.word, "a frame from another server's address: \(received.problem)", at: input.now)
        }
        return try performer.takeFromSource(received, at: input.now)
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

    private func leave(_ status: ExitStatus) -> ExitStatus {
        var status = status
        let hint = joining.hint(of: control)
        if status.code != 0, !status.text.hasSuffix(hint) { status.text += hint }
        control.close(lingerMilliseconds: 500)
        bulk.close(lingerMilliseconds: 500)
        for link in sources { link.close(lingerMilliseconds: 0) }
        return status
    }
}
