// The three roles in the simulation: the real state machines, with their effects performed on simulated threads, disks
// and connections as the nodes perform them on real ones.

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
                handle(.configured(world.plan.layout, ticketsPerStep: world.plan.ticketsPerStep))
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
            let version = Int(attempt.ticket / UInt64(world.plan.ticketsPerStep))
            let weights = layout.slices.filter { $0.kind == .weight }
            for slice in weights where loaded[slice.index] != world.arithmetic.expected[version][slice.index] {
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
                    Contribution(attempt: attempt, loss: Double(attempt.ticket), correct: 1, samples: 2, norm: 1)))
        }
    }
}

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
    private var storeVersion = 0
    private var updated: Set<Int> = []

    // The loop's memory.
    private var frames: [Int: [Int: UInt64]] = [:]
    private var published: [Int: UInt64] = [:]
    private var saves: Set<[UInt64]> = []

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
            if header.version == state.version + 1 { world.saw(.early) }
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
                    world.plan.layout, ticketsPerStep: world.plan.ticketsPerStep, bufferBytes: world.plan.bufferBytes))
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
            compute.run(self, milliseconds: world.chance.integer(0...3)) { [unowned self] in
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
            storeVersion = Int(reset.version)
            sums = [:]
            folded = [:]
            updated = []
            guard generation == state.generation else { return }
            published = values
            loadedGeneration = generation
            handle(.loaded(generation: generation))
        }
    }

    private func fold(_ generation: UInt32, _ slice: Int, _ place: Int, _ value: UInt64, isLast: Bool) {
        if generation == state.generation {
            if folded[slice, default: 0] != place { world.violate("slice \(slice) takes place \(place) out of order") }
            if isLast != (place + 1 == world.plan.ticketsPerStep) { world.violate("the last fold is not marked") }
        }
        folded[slice, default: 0] += 1
        let sum = Arithmetic.fold(place == 0 ? 0 : sums[slice] ?? 0, value)
        sums[slice] = sum
        let isFinite = !isLast || !world.plan.poisoned.contains(UInt64(storeVersion))
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
        if value != world.arithmetic.expected[storeVersion + 1][slice] {
            world.violate("slice \(slice) of version \(storeVersion + 1) has other bits than the calm run's")
        }
        weights[slice] = value
        folded[slice] = 0
        if updated.count == weights.count {
            storeVersion += 1
            updated = []
        }
        published[slice] = value
        handle(.updated(generation: generation, slice: slice))
    }

    private func save(_ generation: UInt32, _ version: UInt64) {
        if !saves.insert([UInt64(generation), version]).inserted { world.saw(.saveAnew) }
        compute.run(self, milliseconds: 0) { [unowned self] in
            if !weights.isEmpty, storeVersion != Int(version) {
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

final class SimulatedCoordinator: SimulatedProcess {
    private(set) var state: CoordinatorState
    private var disk = SimulatedThread()
    private var granted: [Attempt: UInt64] = [:]
    private var closed: Set<UInt64> = []
    private var prepared: Set<UInt64> = []
    private var finished: Set<Incarnation> = []

    override init(world: World, seat: Seat) {
        let replay = world.disk.startJournal()
        let make = { (incarnation: Incarnation) in
            CoordinatorState(
                settings: world.settings, identity: Hello(role: .coordinator, host: "simulated", pid: 1, rank: 0),
                incarnation: incarnation, replay: replay, at: world.time)
        }
        state = make(0)
        super.init(world: world, seat: seat)
        state = make(incarnation)
    }

    override func start() {
        world.network.listeners["coordinator"] = self
        tickEvery(100)
    }

    override func tick() { handle(.tick) }

    override func receive(_ packet: Packet, on connection: Connection) {
        super.receive(packet, on: connection)
        handle(.said(packet.envelope))
    }

    func handle(_ event: CoordinatorState.Event) {
        for effect in state.receive(event, at: world.time) where isAlive { perform(effect) }
    }

    private func perform(_ effect: CoordinatorState.Effect) {
        switch effect {
        case .send(let envelope), .heartbeat(let envelope):
            look(at: envelope)
            reply(Packet(envelope: envelope))
        case .journal(let record, let sync): append(record, sync: sync)
        case .completeCheckpoint(let version, let generation, let files):
            disk.run(self, milliseconds: world.chance.integer(1...30)) { [unowned self] in
                guard let path = world.disk.complete(version, generation, servers: files.count) else {
                    return handle(.checkpointFailed("no part of step \(version), generation \(generation)"))
                }
                act(after: 1) { [unowned self] in
                    handle(.checkpointCompleted(CheckpointReference(version: version, path: path)))
                }
            }
        case .stepDone(let report):
            if report.loss == nil || report.step != state.version { world.violate("a wrong report: \(report)") }
        case .warn(let text):
            if text.hasSuffix("is tried") { world.saw(.olderCheckpoint) }
            if text.contains("its ticket is granted anew") { world.saw(.workerLost) }
        case .exit(let status): world.exited(self, status)
        }
    }

    private func append(_ record: JournalRecord, sync: Bool) {
        check(record)
        disk.run(self, milliseconds: sync ? world.chance.integer(1...15) : 0) { [unowned self] in
            world.disk.append(record, sync: sync)
            world.reached(record)
            if sync { act(after: 0) { [unowned self] in handle(.durable(record)) } }
        }
    }

    private func check(_ record: JournalRecord) {
        switch record {
        case .close(let step, let contributions):
            let count = UInt64(world.plan.ticketsPerStep)
            if contributions.map(\.attempt.ticket) != Array(step * count..<(step + 1) * count)
                || !contributions.allSatisfy({ granted[$0.attempt] != nil })
            {
                world.violate("step \(step) is closed with \(contributions.map(\.attempt))")
            }
            closed.insert(step)
        case .rollback(let generation, _):
            closed = []
            prepared = []
            if generation > 1 { world.saw(.rollback) }
        case .commit(let commit):
            if commit != world.arithmetic.commits[Int(commit.step)] {
                world.violate("step \(commit.step) is committed with \(commit)")
            }
            if commit.skip { world.saw(.skip) }
            if !prepared.contains(commit.step) { world.saw(.commitAgain) }
        default: break
        }
    }

    private func look(at envelope: Envelope) {
        switch envelope.message {
        case .grant(let attempt, _):
            if granted[attempt] == nil, granted.keys.contains(where: { $0.ticket == attempt.ticket }) {
                world.saw(.reissue)
            }
            if let worker = granted[attempt], worker != envelope.destination {
                world.violate("\(attempt) is granted to two workers")
            }
            granted[attempt] = envelope.destination
        case .prepare(let step, _):
            prepared.insert(step)
            if !closed.contains(step) { world.saw(.prepareAgain) }
        case .finish:
            if finished.contains(envelope.destination) { world.saw(.finishAgain) }
            finished.insert(envelope.destination)
            world.isEnding = true
        default: break
        }
    }
}
