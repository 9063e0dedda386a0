// A worker in the simulation: the performer that a process has, on a simulated network and thread.

import PSCheckpoint
import PSMessages
import PSNode
import PSParameters
import PSPrediction
import PSProtocol
import PSRun
import PSTransport
import PSWorker

final class SimulatedWorker: SimulatedProcess {
    private var performer: WorkerPerformer!
    private var control: Connection!
    private var compute: SimulatedQueue!
    /// When the last event of the compute thread is heard: they keep their order.
    private var lastPost = 0

    override func start() {
        control = world.network.connect(self, to: "coordinator")
        compute = SimulatedQueue(self) { [unowned self] in world.chance.integer(0...1) }
        var hello = Hello(role: .worker, host: "simulated", pid: seat.number, rank: seat.rank)
        hello.kernelCore = "simulated"
        hello.takesOver = seat.starts > 1
        if seat.isIdler { hello.kernelHash = 666 }
        nonisolated(unsafe) let process = self
        let coordinatorWire = SimulatedWire(.client(control), world.network)
        if seat.isIdler {
            coordinatorWire.drops = { envelope in if case .want = envelope.message { true } else { false } }
        }
        performer = WorkerPerformer(
            WorkerState(hello: hello, incarnation: incarnation, at: world.time),
            control: coordinatorWire, compute: compute,
            disk: SimulatedQueue(self) { [unowned self] in world.chance.integer(0...3) },
            logger: SimulatedProcess.logger,
            connect: { [unowned self] (address) throws(TransportError) in
                SimulatedWire(.client(world.network.connect(self, to: address.endpoint)), world.network)
            },
            readKey: { try RunDirectory(at: $0.runDirectory, in: process.files).readKey() },
            build: { welcome in
                SimulatedWork(
                    process.world.arithmetic, schedule: process.world.schedule,
                    read: { try process.read($0, runDirectory: welcome.runDirectory) },
                    complain: { process.world.violate($0) })
            },
            post: { process.post($0) })
        tickEvery(250)
    }

    /// Computing takes its time: the slices of a gradient come one after the other.
    private func post(_ event: WorkerPerformer.Internal) {
        let slices = world.plan.layout.slices.count
        let pause: Int
        switch event {
        case .event(.gradientReady), .event(.computed), .event(.measured):
            pause = world.chance.integer(world.plan.computeMilliseconds) / (slices + 1)
        default: pause = 0
        }
        if world.now >= seat.stuckFrom,
            pause > 0 || { if case .event(.measureFailed) = event { true } else { false } }()
        {
            return
        }
        lastPost = max(lastPost, world.now) + pause
        act(after: lastPost - world.now) { [unowned self] in
            ended(try? performer.take(event, at: world.time))
        }
    }

    private func read(_ version: Version, runDirectory: String) throws -> [Float] {
        let run = RunDirectory(at: runDirectory, in: files)
        let reader = try CheckpointReader(run.checkpoints.path(step: Int(version.number)), in: files)
        return try reader.values(.current, layout: world.plan.layout)
    }

    override func tick() {
        ended(try? performer.handle(.tick, at: world.time))
    }

    override func lost(_ connection: Connection) {
        guard connection === control else { return }
        ended(try? performer.handle(.coordinatorLost, at: world.time))
        ended(try? performer.handle(.coordinatorReached, at: world.time))
    }

    override func receive(_ packet: Packet, on connection: Connection) {
        if connection === control {
            let wasPushing = performer.state.activity.hasSuffix("pushing")
            ended(try? performer.handle(.coordinatorSaid(packet.envelope), at: world.time))
            if wasPushing, performer.state.activity.hasSuffix("computing") { world.saw(.lowerTicketFirst) }
            return
        }
        let received = packet.received(from: nil)
        guard performer.hasItsValues(packet.envelope, received.values) else {
            return world.violate("a slice with more or fewer values: \(packet.envelope.message)")
        }
        ended(try? performer.takeFromServer(packet.envelope, values: received.values, at: world.time))
    }
}
