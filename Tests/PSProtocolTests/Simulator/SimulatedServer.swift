// A server in the simulation: the real state machine, and a slice store whose values are hashes.

import PSMessages
import PSParameters
import PSProtocol

final class SimulatedServer: SimulatedProcess {
    private(set) var state: ServerState
    private var control: Connection!
    private var compute = SimulatedThread()
    private var disk = SimulatedThread()
    private var arriving: UInt64 = 0
    private let endpoint: String
    private var shard = (rank: 0, servers: 1)

    // The compute thread's memory.
    private var weights: [Int: UInt64] = [:]
    private var sums: [Int: UInt64] = [:]
    /// Contributions in the sum.
    private var folded: [Int: Int] = [:]
    private var storeVersion: Version = 0
    private var updated: Set<Int> = []

    // The loop's memory.
    private var frames: [Int: [Place: UInt64]] = [:]
    private var published: [Int: UInt64] = [:]
    private var saves: Set<Save> = []

    private struct Save: Hashable {
        var generation: UInt32
        var version: Version
    }

    override init(world: World, seat: Seat) {
        endpoint = world.plan.keepsEndpoints ? "server\(seat.number)" : "server\(seat.number).\(seat.starts)"
        var hello = Hello(role: .server, host: "simulated", pid: seat.number, rank: seat.rank)
        hello.endpoint = endpoint
        state = ServerState(hello: hello, incarnation: 0, at: world.time)
        super.init(world: world, seat: seat)
        state = ServerState(hello: hello, incarnation: incarnation, at: world.time)
    }

    /// Whether it has loaded a version of its generation.
    private(set) var loadedGeneration: UInt32 = 0
    var isServing: Bool { loadedGeneration == state.generation }

    override func start() {
        world.network.listeners[endpoint] = self
        control = world.network.connect(self, to: "coordinator")
        tickEvery(250)
    }

    override func tick() { handle(.tick) }

    override func receive(_ packet: Packet, on connection: Connection) {
        if connection === control { return handle(.coordinatorSaid(packet.envelope)) }
        super.receive(packet, on: connection)
        arriving = packet.values ?? 0
        var bytes = 0
        if case .push(_, let header) = packet.envelope.message {
            bytes = world.plan.layout.slices[header.index].byteCount
            if header.version == state.version.nextStep.after { world.saw(.early) }
        }
        handle(.workerSaid(packet.envelope, payloadBytes: bytes))
    }

    private func handle(_ event: ServerState.Event) {
        let effects = state.receive(event, at: world.time)
        if case .workerSaid(let envelope, _) = event, case .push = envelope.message, effects.isEmpty {
            world.saw(.decline)
        }
        if case .coordinatorSaid(let envelope) = event, case .snapshot = envelope.message {
            for case .sendToCoordinator(let answer) in effects {
                if case .saved = answer.message { world.saw(.saidAgain) }
            }
        }
        for effect in effects { perform(effect) }
        world.check(self)
    }

    private func perform(_ effect: ServerState.Effect) {
        switch effect {
        case .sendToCoordinator(let envelope), .heartbeat(let envelope):
            world.network.send(Packet(envelope: envelope), toServerOf: control)
        case .sendToWorker(_, let envelope): reply(Packet(envelope: envelope))
        case .configure:
            handle(
                .configured(
                    world.plan.layout, world.plan.stepShape, bufferBytes: world.plan.bufferBytes))
        case .load(let generation, let reset, let slices): load(generation, reset, slices)
        case .store(let slice, let place):
            if frames[slice]?[place] != nil { world.violate("place \(place) of slice \(slice) is stored twice") }
            frames[slice, default: [:]][place] = arriving
            checkMemory()
        case .fold(let generation, let slice, let place, let isLast):
            guard let value = frames[slice]?.removeValue(forKey: place) else {
                return world.violate("place \(place) of slice \(slice) is folded before it is stored")
            }
            compute.run(self, milliseconds: world.chance.integer(0...2)) { [unowned self] in
                fold(generation, slice, place, value, isLast: isLast)
            }
        case .update(let generation, let slice, let commit):
            compute.run(self, milliseconds: world.chance.integer(world.plan.updateMilliseconds)) { [unowned self] in
                update(generation, slice, commit)
            }
        case .publish(_, let envelope, let slice):
            guard let values = published[slice] else { return world.violate("slice \(slice) is not published") }
            reply(Packet(envelope: envelope, values: values))
        case .save(let generation, let version): save(generation, version)
        case .dropFrames: frames = [:]
        case .exit(let status): world.exited(self, status)
        }
    }

    private func load(_ generation: UInt32, _ reset: Reset, _ slices: [Int]) {
        shard = (reset.rank, reset.servers)
        if slices.isEmpty { world.saw(.noSliceServer) }
        compute.run(self, milliseconds: world.chance.integer(5...60)) { [unowned self] in
            guard let values = world.disk.read(reset.checkpoint, slices) else {
                return handle(.loadFailed(generation: generation, "damaged"))
            }
            weights = values
            storeVersion = reset.version
            sums = [:]
            folded = [:]
            updated = []
            guard generation == state.generation else { return }
            published = values
            loadedGeneration = generation
            handle(.loaded(generation: generation))
        }
    }

    private func fold(_ generation: UInt32, _ slice: Int, _ place: Place, _ value: UInt64, isLast: Bool) {
        if generation == state.generation {
            if Place(folded[slice, default: 0]) != place {
                world.violate("slice \(slice) takes place \(place) out of order")
            }
            if isLast != (place.number + 1 == world.plan.ticketsPerStep) {
                world.violate("the last fold is not marked")
            }
        }
        folded[slice, default: 0] += 1
        let sum = Arithmetic.fold(place == 0 ? 0 : sums[slice] ?? 0, value)
        sums[slice] = sum
        let isFinite = !isLast || !world.plan.poisoned.contains(storeVersion.nextStep)
        handle(
            .folded(
                generation: generation, slice: slice, squaredNorm: isLast ? Arithmetic.squaredNorm(sum) : 0,
                isFinite: isFinite))
    }

    private func update(_ generation: UInt32, _ slice: Int, _ commit: Commit) {
        guard generation == state.generation else { return }
        if folded[slice] != world.plan.ticketsPerStep || !updated.insert(slice).inserted {
            world.violate("slice \(slice) is updated with \(folded[slice] ?? 0) contributions")
        }
        let value = Arithmetic.update(weights[slice]!, sum: sums[slice] ?? 0, commit)
        let next = commit.step.after
        if value != world.arithmetic.values(next, slice: slice) {
            world.violate("slice \(slice) of version \(next) has other bits than the calm run's")
        }
        weights[slice] = value
        folded[slice] = 0
        if updated.count == weights.count {
            storeVersion = next
            updated = []
        }
        published[slice] = value
        handle(.updated(generation: generation, slice: slice))
    }

    private func save(_ generation: UInt32, _ version: Version) {
        if !saves.insert(Save(generation: generation, version: version)).inserted { world.saw(.saveAnew) }
        compute.run(self, milliseconds: 0) { [unowned self] in
            if !weights.isEmpty, storeVersion != version {
                world.violate("version \(storeVersion) is saved as \(version)")
            }
            disk.run(self, milliseconds: world.chance.integer(5...400)) { [unowned self, weights, shard] in
                world.disk.writePart(version, generation, rank: shard.rank, weights)
                handle(
                    .saved(
                        generation: generation, version: version,
                        [SavedFile(name: "part\(shard.rank)", content: "weights", bytes: 1, sha256: "")]))
            }
        }
    }

    /// Frames are held within the buffer, but for one a slice: that of the next contribution in order.
    private func checkMemory() {
        let bytes = frames.reduce(0) { $0 + $1.value.count * world.plan.layout.slices[$1.key].byteCount }
        let frontiers = state.owned.reduce(0) { $0 + world.plan.layout.slices[$1].byteCount }
        if bytes > world.plan.bufferBytes + frontiers { world.violate("\(bytes) bytes of frames are held") }
    }
}
