// The coordinator in the simulation: the real state machine, its journal and checkpoints on the simulated disk; each of
// its decisions is compared with what it must be.

import PSMessages
import PSParameters
import PSProtocol

final class SimulatedCoordinator: SimulatedProcess {
    private(set) var state: CoordinatorState
    private var disk = SimulatedThread()
    private var granted: [Attempt: Incarnation] = [:]
    /// The attempt that counted, by ticket, in this generation.
    private var counted: [Ticket: Attempt] = [:]
    private var closed: Set<Step> = []
    private var prepared: Set<Step> = []
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
            if report.loss == nil || report.version != state.version { world.violate("a wrong report: \(report)") }
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
            if contributions.map(\.attempt.ticket) != Array(world.plan.stepShape.tickets(of: step))
                || !contributions.allSatisfy({ granted[$0.attempt] != nil })
            {
                world.violate("step \(step) is closed with \(contributions.map(\.attempt))")
            }
            closed.insert(step)
        case .rollback(let generation, _):
            counted = [:]
            closed = []
            prepared = []
            if generation > 1 { world.saw(.rollback) }
        case .commit(let commit):
            if commit != world.arithmetic.commits[Int(commit.step.number)] {
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
        case .counted(let attempt):
            let known = counted[attempt.ticket] ?? attempt
            if granted[attempt] != envelope.destination || known != attempt {
                world.violate("\(attempt) is counted, though granted to \(granted[attempt] ?? 0), after \(known)")
            }
            counted[attempt.ticket] = attempt
        case .commit(let commit):
            if !world.disk.isClosed(commit.step) {
                world.violate("the commit of step \(commit.step) goes out before its close is on the disk")
            }
        case .reset where !world.disk.isRolledBack(to: envelope.generation):
            world.violate("generation \(envelope.generation) is loaded before its rollback is on the disk")
        case .finish:
            if finished.contains(envelope.destination) { world.saw(.finishAgain) }
            finished.insert(envelope.destination)
            world.isEnding = true
        default: break
        }
    }
}
