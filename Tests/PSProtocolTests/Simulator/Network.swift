// The simulated network: what ZeroMQ is seen to do, at its worst. In order on one connection, in no order across; a
// restarted listener is sent the later part of what was meant for the former one; copies may come late.

import PSMessages

struct Packet {
    var envelope: Envelope
    /// The values of a push or publish.
    var values: UInt64?
}

/// From a process that connects to whoever listens at an endpoint, both ways.
final class Connection {
    let client: SimulatedProcess
    let endpoint: String
    var isOpen = true
    /// Nothing gets through before this moment.
    var cutUntil = 0
    /// The moments of the last arrivals: later messages do not overtake them.
    fileprivate var lastArrival = (atServer: 0, atClient: 0)

    init(client: SimulatedProcess, endpoint: String) {
        self.client = client
        self.endpoint = endpoint
    }
}

final class Network {
    unowned let world: World
    /// Who listens where.
    var listeners: [String: SimulatedProcess] = [:]
    var connections: [Connection] = []

    init(world: World) { self.world = world }

    func connect(_ client: SimulatedProcess, to endpoint: String) -> Connection {
        connections.removeAll { !$0.isOpen || !$0.client.isAlive }
        let connection = Connection(client: client, endpoint: endpoint)
        connections.append(connection)
        return connection
    }

    func send(_ packet: Packet, toServerOf connection: Connection) {
        world.see(packet)
        transfer(connection, \.lastArrival.atServer) { [self] in
            guard let listener = listeners[connection.endpoint] else { return }
            listener.act { listener.receive(packet, on: connection) }
        }
    }

    func send(_ packet: Packet, toClientOf connection: Connection) {
        world.see(packet)
        transfer(connection, \.lastArrival.atClient) {
            connection.client.act { if connection.isOpen { connection.client.receive(packet, on: connection) } }
        }
    }

    private func transfer(
        _ connection: Connection, _ last: ReferenceWritableKeyPath<Connection, Int>, _ arrive: @escaping () -> Void
    ) {
        let isStormy = world.now < world.plan.faultsEnd
        if world.now < connection.cutUntil { return }
        if isStormy, world.chance.happens(world.plan.lossProbability) { return }
        let arrival = max(connection[keyPath: last], world.now + world.chance.integer(0...4))
        connection[keyPath: last] = arrival
        world.agenda.add(at: arrival, arrive)
        if isStormy, world.chance.happens(world.plan.duplicateProbability) {
            world.agenda.add(at: arrival + world.chance.integer(0...3000), arrive)
        }
    }
}

/// A process of the job: it may be paused, in which time everything waits, and it may be killed.
class SimulatedProcess {
    unowned let world: World
    let seat: Seat
    let incarnation: Incarnation
    private(set) var isAlive = true
    private(set) var isPaused = false
    private var backlog: [() -> Void] = []
    /// The connection by which each sender was heard last.
    private var routes: [Incarnation: Connection] = [:]

    init(world: World, seat: Seat) {
        self.world = world
        self.seat = seat
        incarnation = world.nextIncarnation()
    }

    func start() {}
    func receive(_ packet: Packet, on connection: Connection) { routes[packet.envelope.source] = connection }
    func tick() {}

    /// Does something in this process now, or when it is awake again, or never.
    func act(_ action: @escaping () -> Void) {
        guard isAlive else { return }
        if isPaused { backlog.append(action) } else { action() }
    }

    func act(after milliseconds: Int, urgency: Int = 0, _ action: @escaping () -> Void) {
        world.agenda.add(at: world.now + milliseconds, urgency: urgency) { [weak self] in self?.act(action) }
    }

    func tickEvery(_ milliseconds: Int) {
        // After what has arrived at the same moment: deadlines are judged when sockets are drained.
        act(after: milliseconds, urgency: 1) { [unowned self] in
            tick()
            tickEvery(milliseconds)
        }
    }

    func pause(for milliseconds: Int) {
        guard isAlive, !isPaused else { return }
        isPaused = true
        world.agenda.add(at: world.now + milliseconds) { [weak self] in
            guard let self else { return }
            isPaused = false
            let waiting = backlog
            backlog = []
            for action in waiting { act(action) }
        }
    }

    func die() {
        isAlive = false
        backlog = []
        for (endpoint, listener) in world.network.listeners where listener === self {
            world.network.listeners[endpoint] = nil
        }
    }

    func reply(_ packet: Packet) {
        guard let connection = routes[packet.envelope.destination] else { return }
        world.network.send(packet, toClientOf: connection)
    }
}

/// A thread that does one thing after the other.
struct SimulatedThread {
    private var freeAt = 0

    mutating func run(_ process: SimulatedProcess, milliseconds: Int, _ work: @escaping () -> Void) {
        let now = process.world.now
        freeAt = max(freeAt, now) + milliseconds
        process.act(after: freeAt - now, work)
    }
}
