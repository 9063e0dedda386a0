// A worker in the simulation: the real state machine, its effects performed as the node performs them, on a simulated
// compute thread and simulated connections.

import PSMessages
import PSParameters
import PSProtocol

final class SimulatedWorker: SimulatedProcess {
    private var state: WorkerState
    private var control: Connection!
    private var servers: [Connection] = []
    private var compute = SimulatedThread()
    private var arriving: UInt64 = 0
    /// The weights in the network's memory.
    private var loaded: [Int: UInt64] = [:]
    private var gradients: (attempt: Attempt, values: [UInt64])?

    override init(world: World, seat: Seat) {
        var hello = Hello(role: .worker, host: "simulated", pid: seat.number, rank: seat.rank)
        hello.kernelCore = "simulated"
        state = WorkerState(hello: hello, incarnation: 0, at: world.time)
        super.init(world: world, seat: seat)
        state = WorkerState(hello: hello, incarnation: incarnation, at: world.time)
    }

    override func start() {
        control = world.network.connect(self, to: "coordinator")
        tickEvery(250)
    }

    override func tick() { handle(.tick) }

    override func receive(_ packet: Packet, on connection: Connection) {
        arriving = packet.values ?? 0
        handle(connection === control ? .coordinatorSaid(packet.envelope) : .serverSaid(packet.envelope))
    }

    private func handle(_ event: WorkerState.Event) {
        let wasPushing = state.activity.hasSuffix("pushing")
        let effects = state.receive(event, at: world.time)
        for effect in effects {
            if wasPushing, case .compute = effect { world.saw(.lowerTicketFirst) }
            perform(effect)
        }
    }

    private func perform(_ effect: WorkerState.Effect) {
        switch effect {
        case .sendToCoordinator(let envelope), .heartbeat(let envelope):
            world.network.send(Packet(envelope: envelope), toServerOf: control)
        case .sendToServer(let rank, let envelope):
            world.network.send(Packet(envelope: envelope), toServerOf: servers[rank])
        case .configure:
            compute.run(self, milliseconds: 30) { [unowned self] in
                handle(.configured(world.plan.layout))
            }
        case .connect(let addresses):
            for connection in servers { connection.isOpen = false }
            servers = addresses.map { world.network.connect(self, to: $0.endpoint) }
        case .load(let slice):
            compute.run(self, milliseconds: 0) { [unowned self, arriving] in loaded[slice] = arriving }
        case .compute(let attempt): run(attempt)
        case .push(let server, let envelope, let slice):
            guard case .push(let attempt, let header) = envelope.message, let gradients,
                gradients.attempt == attempt, header.index == slice
            else { return world.violate("a slice of a gradient that is not there is pushed: \(envelope.message)") }
            world.network.send(Packet(envelope: envelope, values: gradients.values[slice]), toServerOf: servers[server])
        case .exit(let status): world.exited(self, status)
        }
    }

    private func run(_ attempt: Attempt) {
        let milliseconds = world.chance.integer(world.plan.computeMilliseconds)
        compute.run(self, milliseconds: 0) { [unowned self] in
            let layout = world.plan.layout
            let version = world.plan.stepShape.step(of: attempt.ticket).before
            let weights = layout.slices.filter { $0.kind == .weight }
            for slice in weights where loaded[slice.index] != world.arithmetic.values(version, slice: slice.index) {
                world.violate(
                    "ticket \(attempt.ticket) computes with a slice \(slice.index) that is not version \(version)")
            }
            let seen = Arithmetic.digest(layout.slices.indices.map { loaded[$0] ?? 0 }, layout)
            let values = layout.slices.indices.map {
                Arithmetic.gradient(ticket: attempt.ticket, slice: $0, weights: seen)
            }
            gradients = (attempt, values)
        }
        for slice in world.plan.layout.slices.indices.reversed() {
            compute.run(self, milliseconds: milliseconds / world.plan.layout.slices.count) { [unowned self] in
                handle(.gradientReady(attempt, slice: slice))
            }
        }
        compute.run(self, milliseconds: 0) { [unowned self] in
            handle(
                .computed(
                    Contribution(attempt: attempt, loss: Double(attempt.ticket.number), correct: 1, samples: 2, norm: 1)
                ))
        }
    }
}
