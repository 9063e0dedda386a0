// The simulated network: what ZeroMQ is seen to do, at its worst. In order on one connection, in no order across; a
// restarted listener is sent the later part of what was meant for the former one; copies may come late.

import PSMessages
import PSNode
import PSTransport

struct Packet {
    var envelope: Envelope
    /// The values of a push or publish, as they were when they were sent.
    var values: [UInt8]?
    /// What they were sent from: not to be written before it is let go.
    var source: Payload?

    func received(from peer: RoutingID?) -> Received {
        Received(peer: peer, envelope: .success(envelope), values: values.map { Frame($0) })
    }
}

/// From a process that connects to whoever listens at an endpoint, both ways.
final class Connection {
    let client: SimulatedProcess
    let endpoint: String
    /// Another one whenever the connection is made anew.
    fileprivate(set) var peer: RoutingID
    var isOpen = true
    /// Nothing gets through before these moments.
    var cutUntil = (toServer: 0, toClient: 0)
    /// The moments of the last arrivals by the way they went: later messages do not overtake them.
    private var lastArrivals = (toServer: 0, toClient: 0)

    init(client: SimulatedProcess, endpoint: String, peer: RoutingID) {
        self.client = client
        self.endpoint = endpoint
        self.peer = peer
    }

    /// When what is ready to arrive does: not before what was sent earlier.
    fileprivate func arrival(_ way: Network.Way, at time: Int) -> Int {
        if way == .toServer {
            lastArrivals.toServer = max(lastArrivals.toServer, time)
            return lastArrivals.toServer
        }
        lastArrivals.toClient = max(lastArrivals.toClient, time)
        return lastArrivals.toClient
    }
}

final class Network {
    unowned let world: World
    /// Who listens where.
    var listeners: [String: SimulatedProcess] = [:]
    var connections: [Connection] = []
    private var count = 0
    /// Paths that are broken whatever connection is opened over them.
    var brokenPaths: [BrokenPath] = []

    struct BrokenPath {
        let client: ObjectIdentifier
        let endpoint: String
        let until: Int
        /// Nil: both ways.
        let way: Way?
    }

    enum Way { case toServer, toClient }

    private func isBroken(_ connection: Connection, _ way: Way) -> Bool {
        if world.now < (way == .toServer ? connection.cutUntil.toServer : connection.cutUntil.toClient) { return true }
        return brokenPaths.contains {
            $0.client == ObjectIdentifier(connection.client.seat) && $0.endpoint == connection.endpoint
                && world.now < $0.until && $0.way.map { $0 == way } ?? true
        }
    }

    init(world: World) { self.world = world }

    func connect(_ client: SimulatedProcess, to endpoint: String) -> Connection {
        connections.removeAll { !$0.isOpen || !$0.client.isAlive }
        let connection = Connection(client: client, endpoint: endpoint, peer: nextPeer())
        connections.append(connection)
        return connection
    }

    private func nextPeer() -> RoutingID {
        count += 1
        return RoutingID(bytes: withUnsafeBytes(of: count, Array.init))
    }

    /// The connection is closed: both ends that live are told, and it is opened anew.
    func reset(_ connection: Connection) {
        let former = connection.peer
        connection.peer = nextPeer()
        if let listener = listeners[connection.endpoint] {
            world.agenda.add(at: world.now + world.chance.integer(0...50)) { listener.act { listener.closed(former) } }
        }
        guard connection.isOpen else { return }
        world.agenda.add(at: world.now) { connection.client.act { connection.client.lost(connection) } }
    }

    /// A process is no more. Where its machine is gone with it, nobody is told.
    func ended(_ process: SimulatedProcess) {
        let endpoints = Set(listeners.filter { $0.value === process }.keys)
        let isTold = !world.chance.happens(world.plan.silentDeaths)
        let own = connections.filter { $0.client === process }
        let others = connections.filter { endpoints.contains($0.endpoint) && $0.client !== process }
        for endpoint in endpoints { listeners[endpoint] = nil }
        guard isTold else { return }
        for connection in own + others { reset(connection) }
    }

    func send(_ packet: Packet, toServerOf connection: Connection) {
        world.see(packet)
        var wrong: Packet?
        if case .push = packet.envelope.message, world.chance.happens(world.plan.differingPushes) {
            wrong = Packet(envelope: packet.envelope, values: packet.values)
            wrong!.values![world.chance.integer(0...wrong!.values!.count - 1)] ^= 1
        }
        transfer(packet, connection, .toServer) { [self, wrong] in
            guard let listener = listeners[connection.endpoint] else { return }
            listener.act { [world] in
                listener.receive(packet, on: connection)
                guard let wrong else { return }
                world.wrongPushes += 1
                listener.receive(wrong, on: connection)
            }
        }
    }

    func send(_ packet: Packet, toClientOf connection: Connection) {
        world.see(packet)
        transfer(packet, connection, .toClient) {
            connection.client.act { if connection.isOpen { connection.client.receive(packet, on: connection) } }
        }
    }

    private func transfer(
        _ packet: Packet, _ connection: Connection, _ way: Way, _ arrive: @escaping () -> Void
    ) {
        let isStormy = world.now < world.plan.faultsEnd
        if isBroken(connection, way) { return }
        if isStormy, world.chance.happens(world.plan.lossProbability) { return }
        let delay = isStormy ? world.plan.longestDelay : 4
        let arrival = connection.arrival(way, at: world.now + world.chance.integer(0...delay))
        world.agenda.add(at: arrival) { [world] in
            if let source = packet.source, source.withBytes({ Array($0) }) != packet.values {
                world.violate("values were written while they were on their way: \(packet.envelope.message)")
            }
            arrive()
        }
        if isStormy, world.chance.happens(world.plan.duplicateProbability) {
            world.agenda.add(at: arrival + world.chance.integer(0...3000), arrive)
        }
    }
}

/// A performer's wire in the simulation: one connection of a client, or all that lead to a listener.
final class SimulatedWire: Wire {
    enum End {
        case client(Connection)
        case listener
    }

    let end: End
    var connection: Connection? { if case .client(let connection) = end { connection } else { nil } }
    private unowned let network: Network
    /// Told of each message before it leaves.
    var look: (Envelope) -> Void = { _ in }
    /// What its process does not say.
    var drops: (Envelope) -> Bool = { _ in false }
    let bytesSent: UInt64 = 0
    let bytesReceived: UInt64 = 0

    init(_ end: End, _ network: Network) {
        self.end = end
        self.network = network
    }

    func send(_ envelope: Envelope, to peer: RoutingID?, values: Payload?) throws(TransportError) -> Bool {
        look(envelope)
        if drops(envelope) { return true }
        let packet = Packet(envelope: envelope, values: values?.withBytes { Array($0) }, source: values)
        switch end {
        case .client(let connection): network.send(packet, toServerOf: connection)
        case .listener:
            guard let connection = network.connections.first(where: { $0.peer == peer }), connection.isOpen else {
                return false
            }
            network.send(packet, toClientOf: connection)
        }
        return true
    }

    func belongs(_ peer: RoutingID, to owner: Connections.Owner) {}
    func strike(_ peer: RoutingID, weight: Int) {}
    func cut(_ peer: RoutingID, because reason: String) {}

    func close(lingerMilliseconds: Int) {
        if case .client(let connection) = end { connection.isOpen = false }
    }
}
