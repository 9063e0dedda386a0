// A process of a simulated job: it may be paused, in which time everything waits, and it may be killed, also in the middle
// of what it does to the disk.

import Glibc
import Logging
import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProtocol
import PSTransport

class SimulatedProcess {
    unowned let world: World
    let seat: Seat
    let incarnation: Incarnation
    let files: SimulatedFiles
    private(set) var isAlive = true
    private(set) var isPaused = false
    private var backlog: [() -> Void] = []
    /// Changes to the disk before it dies in the middle of its work; nil: it does not.
    var changesLeft: Int?

    /// Says nothing but to a person who repeats a seed.
    static let logger = Logger(label: "simulated") { label -> any LogHandler in
        SimulationTests.oneSeed == nil ? SwiftLogNoOpLogHandler() : StreamLogHandler.standardError(label: label)
    }

    init(world: World, seat: Seat) {
        self.world = world
        self.seat = seat
        incarnation = world.nextIncarnation()
        files = SimulatedFiles(world.disk, owner: incarnation)
        files.readFault = { [unowned self] in self.world.readFault(self.seat) }
        files.beforeChange = { [unowned self] () throws(StorageError) in
            self.world.changesToDisk += 1
            if self.world.changesToDisk == self.world.powerFailsAt { self.world.powerFails() }
            if changesLeft == 0 { self.world.dies(self) }
            changesLeft = changesLeft.map { $0 - 1 }
            // What is dead writes nothing.
            if !isAlive { throw .system(operation: "write", path: "", code: EIO) }
        }
    }

    func start() {}
    func receive(_ packet: Packet, on connection: Connection) {}
    /// Of a process that listens: the connection of a peer is closed.
    func closed(_ peer: RoutingID) {}
    /// Of a process that connects: the connection is closed, and made anew.
    func lost(_ connection: Connection) {}
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
        world.network.ended(self)
    }

    /// What a performer says on its way out; a thrown transport error cannot be here.
    func ended(_ status: ExitStatus?) {
        guard let status, isAlive else { return }
        finish()
        world.exited(self, status)
    }

    /// What is done on the way out.
    func finish() {}
}

/// A thread of a simulated process: it does one thing after the other, each in its time.
final class SimulatedQueue: WorkQueue, @unchecked Sendable {
    // Sendable: the simulation has one thread.

    private unowned let process: SimulatedProcess
    private let milliseconds: () -> Int
    private var freeAt = 0
    private var waiting: [@Sendable () -> Void] = []

    /// - Parameter milliseconds: how long the next piece of work takes.
    init(_ process: SimulatedProcess, milliseconds: @escaping () -> Int) {
        self.process = process
        self.milliseconds = milliseconds
    }

    func run(_ work: @escaping @Sendable () -> Void) {
        let now = process.world.now
        freeAt = max(freeAt, now) + milliseconds()
        waiting.append(work)
        process.act(after: freeAt - now) { [self] in if !waiting.isEmpty { waiting.removeFirst()() } }
    }

    /// What a process does before it exits of its own will: the work at hand to its end.
    func finish() {
        while !waiting.isEmpty { waiting.removeFirst()() }
    }
}
