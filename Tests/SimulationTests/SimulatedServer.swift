// A server in the simulation: the performer that a process has, with the real slice store and the real checkpoint files,
// on a simulated network, threads and disk.

import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProtocol
import PSRun
import PSServer
import PSTransport

final class SimulatedServer: SimulatedProcess {
    private var performer: ServerPerformer!
    private var control: Connection!
    private var compute: SimulatedQueue!
    private var writing: SimulatedQueue!
    private let endpoint: String
    private var saves: Set<[UInt64]> = []
    private var hasLost = false

    override init(world: World, seat: Seat) {
        endpoint = world.plan.keepsEndpoints ? "server\(seat.number)" : "server\(seat.number).\(seat.starts)"
        super.init(world: world, seat: seat)
    }

    var state: ServerState { _read { yield performer.state } }
    var isServing: Bool { performer.state.isServing }

    override func start() {
        world.network.listeners[endpoint] = self
        control = world.network.connect(self, to: "coordinator")
        compute = SimulatedQueue(self) { [unowned self] in world.chance.integer(world.plan.updateMilliseconds) }
        writing = SimulatedQueue(self) { [unowned self] in world.diskTime(world.chance.integer(5...400)) }
        // Where there are spares one of them has its place by now, as a rule.
        let rank = world.plan.spares > 0 && seat.starts > 1 ? nil : seat.rank
        var hello = Hello(role: .server, host: "simulated", pid: seat.number, rank: rank)
        hello.endpoint = endpoint
        hello.takesOver = seat.isTwin ? world.plan.plant == .seatStolen : seat.starts > 1 && rank != nil
        nonisolated(unsafe) let process = self
        let coordinatorWire = SimulatedWire(.client(control), world.network)
        coordinatorWire.look = { [unowned self] in look(at: $0) }
        performer = ServerPerformer(
            ServerState(hello: hello, incarnation: incarnation, at: world.time),
            control: coordinatorWire, bulk: SimulatedWire(.listener, world.network), compute: compute,
            disk: writing, logger: SimulatedProcess.logger,
            readKey: { try RunDirectory(at: $0.runDirectory, in: process.files).readKey() },
            join: { try process.join($0) },
            connect: { [unowned self] (address) throws(TransportError) in
                SimulatedWire(.client(world.network.connect(self, to: address.endpoint)), world.network)
            },
            post: { process.post($0) })
        tickEvery(250)
    }

    private func join(_ welcome: Welcome) throws -> ServedJob {
        let run = RunDirectory(at: welcome.runDirectory, in: files)
        try run.check(nonce: welcome.nonce)
        return ServedJob(
            store: try SliceStore(layout: world.plan.layout, configuration: world.arithmetic.configuration), run: run,
            nonce: welcome.nonce, shape: world.plan.stepShape, bufferBytes: world.plan.bufferBytes)
    }

    private func post(_ event: ServerPerformer.Internal) {
        act { [self] in
            var event = event
            if world.plan.plant == .unavailableTakenForDamaged,
                case .event(.loadFailed(let generation, let text, _)) = event
            {
                event = .event(.loadFailed(generation: generation, text, isDamage: true))
            }
            if world.plan.plant == .updateLost, !hasLost, case .updated(let generation, let slice, let weights) = event
            {
                hasLost = true
                event = .updated(
                    generation: generation, slice: slice, weights: SharedBuffer(byteCount: weights.bytes.count))
            }
            if case .event(.loadFailed(_, _, isDamage: false)) = event { world.saw(.unavailable) }
            ended(try? performer.take(event, at: world.time))
            check()
        }
    }

    override func tick() {
        ended(try? performer.handle(.tick, at: world.time))
        check()
    }

    override func receive(_ packet: Packet, on connection: Connection) {
        if connection === control {
            ended(try? performer.handle(.coordinatorSaid(packet.envelope), at: world.time))
            return check()
        }
        if performer.sources.wires.contains(where: { ($0 as? SimulatedWire)?.connection === connection }) {
            ended(try? performer.takeFromSource(packet.received(from: nil), at: world.time))
            return check()
        }
        guard connection.client !== self else { return }
        if case .push(_, let header) = packet.envelope.message,
            header.version.number == state.version.number + 1
        {
            world.saw(.early)
        }
        try? performer.takeFromWorker(packet.received(from: connection.peer), at: world.time)
        check()
    }

    func hears(_ received: Received) {
        try? performer.takeFromWorker(received, at: world.time)
        check()
    }

    /// A stranger who knows every name of the job, and no more.
    func takePush(of ticket: Ticket, from worker: Incarnation) {
        guard isServing, let slice = state.owned.first, let job = world.coordinator?.state.job else { return }
        let byteCount = world.plan.layout.slices[slice].byteCount
        let envelope = Envelope(
            job: job, generation: state.generation, source: worker, destination: incarnation,
            message: .push(
                Attempt(ticket: ticket, number: UInt64(world.chance.integer(1...9))),
                SliceHeader(index: slice, version: state.version)))
        let values = (0..<byteCount).map { _ in UInt8(world.chance.integer(0...60)) }
        if world.plan.plant == .pushBelieved {
            ended(try? performer.believe(envelope, Frame(values), at: world.time))
        } else {
            let stranger = RoutingID(bytes: [1, 2, 3])
            let received = Received(peer: stranger, envelope: .success(envelope), values: Frame(values))
            try? performer.takeFromWorker(received, at: world.time)
        }
        world.saw(.foreignPush)
        check()
    }

    override func closed(_ peer: RoutingID) { ended(try? performer.closed(peer, at: world.time)) }

    override func lost(_ connection: Connection) {
        guard connection === control else {
            let source = performer.sources.wires.first { ($0 as? SimulatedWire)?.connection === connection }
            if let source { ended(try? performer.lost(source, at: world.time)) }
            return
        }
        ended(try? performer.handle(.coordinatorLost, at: world.time))
        ended(try? performer.handle(.coordinatorReached, at: world.time))
        check()
    }

    private func look(at envelope: Envelope) {
        guard case .saved(let version, _) = envelope.message else { return }
        if !saves.insert([UInt64(envelope.generation), version.number]).inserted { world.saw(.saidAgain) }
    }

    private func check() {
        guard isAlive else { return }
        // Frames are held within the buffer, but for one a slice: that of the next contribution in order.
        let slices = world.plan.layout.slices
        let bytes = performer.heldBytes
        let frontiers = state.owned.reduce(0) { $0 + slices[$1].byteCount }
        let followed = state.followedSlices.reduce(0) { $0 + 3 * slices[$1].byteCount }
        if isServing, !state.serves.isEmpty, state.owned.isEmpty { world.saw(.noSliceServer) }
        if bytes > world.plan.bufferBytes + frontiers + followed { world.violate("\(bytes) bytes of frames are held") }
        world.check(self)
    }
}
