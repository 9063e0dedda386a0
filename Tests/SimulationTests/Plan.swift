// One simulated job: its shape and what goes wrong, all from a seed.

import PSMessages
import PSParameters
import PSProtocol

struct Plan {
    var seed: UInt64
    var layout = Layouts.several
    var workers = 1
    var servers = 1
    /// Whether each server's part is held by another one, too.
    var replicas = false
    /// Servers that wait for a place.
    var spares = 0
    /// Without so many nothing is granted.
    var fewestWorkers = 1
    /// When the faults are over, most workers and a server whose part has a replica are gone for good.
    var leavesCore = false
    /// Milliseconds that a message takes at most, while there are faults.
    var longestDelay = 4
    var ticketsPerStep = 3
    var steps = 6
    var stepShape: StepShape { StepShape(ticketsPerStep: ticketsPerStep) }
    var lastVersion: Version { Version(UInt64(steps)) }
    var bufferBytes = 1 << 20
    var checkpointEverySteps = 2
    var poisoned: Set<Step> = []

    /// No fault begins after this moment.
    var faultsEnd = 0
    var lossProbability = 0.0
    var duplicateProbability = 0.0
    /// Random faults between the start and `faultsEnd`.
    var workerKills = 0
    var serverKills = 0
    var coordinatorKills = 0
    var pauses = 0
    var cuts = 0
    /// Times that a connection is closed and made anew.
    var resets = 0
    /// Chance that a process takes its machine with it, so that nobody is told of its end.
    var silentDeaths = 0.0
    /// Paths between two processes that are broken for so long, in milliseconds, perhaps one way, while everybody else sees
    /// both.
    var pathCuts: [Int] = []
    /// Whether the compute thread of one worker is never done from some moment on, while its heartbeats go on.
    var stuckCompute = false
    /// Second servers for ranks that are held, started by mistake.
    var twins = 0
    /// Pushes of strangers who know every name.
    var foreignPushes = 0
    /// Words of strangers to the coordinator, of later terms, in the names of its servers.
    var foreignWords = 0
    /// Strangers' copies of what was said, without proofs, some with flipped, missing or foreign bytes.
    var foreignNoise = 0
    /// Chance that a push is followed by one of other values, which its worker computed wrongly.
    var differingPushes = 0.0
    /// A worker with other kernels says hello first, and computes nothing.
    var idler = false
    /// Times that the newest checkpoint turns bad on the disk: a bit, its end, or all of a file.
    var damages = 0
    /// Times that servers cannot read for a while.
    var unreadable = 0
    /// The run directory is moved away for a while, under the running job.
    var movesAway = false
    /// Chance that one piece of disk work takes so much longer.
    var diskStall: (probability: Double, milliseconds: ClosedRange<Int>) = (0, 0...0)
    /// Chance that a coordinator or server dies in the middle of a change to the disk.
    var midWriteDeaths = 0.0
    /// Checkpoints that are kept.
    var keep = 3
    /// Steps between evaluations; 0: none while training goes on, nor at the end.
    var evaluateEverySteps = 0
    /// Evaluations without a new best one before the job ends; 0: it does not.
    var patience = 0
    /// The job begins with weights from elsewhere, which are those it would have drawn.
    var beginsWithWeights = false
    var personCheckpoints = 0
    var personStops = 0
    /// The run directory is moved before the job is resumed.
    var movesRun = false
    enum GoingBack { case no, toOldest, toAnotherRun }
    /// Where a person resumes the job from: further back, or in a run of its own.
    var goesBack = GoingBack.no
    /// A fault in the code, put there to see that it is found.
    enum Plant: CaseIterable {
        case rotAccepted, unavailableTakenForDamaged, voidCheckpointLoaded, basePruned
        /// Of who is heard: a rank is taken from who lives; tickets have no deadline; a word of a later term is believed
        /// whoever says it; pushes need no grant; the first hello fixes the kernels.
        case seatStolen, noDeadline, termBelieved, pushBelieved, kernelsOfHello
        /// A server's thread loses an update, and says that it is done.
        case updateLost
    }
    var plant: Plant?
    /// Kills at delicate moments.
    var triggers: [Trigger] = []
    /// Ranks are given by whoever starts the processes.
    var givesRanks = true
    /// A server started anew listens where the former one did.
    var keepsEndpoints = true
    /// A person stops the job at this moment and resumes it with so many servers.
    var stop: (at: Int, serversAfter: Int)?
    var computeMilliseconds = 20...120
    /// Of one slice.
    var updateMilliseconds = 0...3

    /// Kills a process soon after the `count`th time that something happens.
    struct Trigger {
        enum Moment: CaseIterable {
            case close, prepare, commit, applied, snapshot, saved, checkpoint, rollback, reset, finished, ended,
                stopAfter
        }
        var moment: Moment
        var count: Int
        var victim: Role
        var delay: Int
    }

    /// A job without any fault.
    static func calm(workers: Int, servers: Int) -> Plan {
        var plan = Plan(seed: 1)
        plan.workers = workers
        plan.servers = servers
        return plan
    }

    static func stormy(seed: UInt64) -> Plan {
        var chance = Chance(seed: seed)
        var plan = Plan(seed: seed)
        plan.layout = chance.happens(0.8) ? Layouts.several : Layouts.few
        plan.workers = chance.integer(1...4)
        plan.servers = chance.integer(1...3)
        plan.ticketsPerStep = chance.integer(1...5)
        plan.steps = chance.integer(3...10)
        plan.bufferBytes = chance.pick([0, 256, 1 << 20])
        plan.checkpointEverySteps = chance.integer(0...3)
        if chance.happens(0.3) { plan.poisoned = [Step(UInt64(chance.integer(0...plan.steps - 1)))] }
        plan.faultsEnd = chance.integer(2000...12_000)
        plan.lossProbability = chance.pick([0, 0, 0.003, 0.03, 0.3])
        plan.duplicateProbability = chance.pick([0, 0.01, 0.05, 0.5])
        plan.longestDelay = chance.pick([4, 4, 40, 400])
        plan.workerKills = chance.integer(0...3)
        plan.serverKills = chance.integer(0...2)
        plan.coordinatorKills = chance.integer(0...2)
        plan.pauses = chance.integer(0...3)
        plan.cuts = chance.integer(0...3)
        plan.resets = chance.integer(0...3)
        plan.silentDeaths = chance.pick([0, 0, 0.3, 1])
        // Swarms: each fault is there or not.
        if chance.happens(0.3) {
            plan.pathCuts = (0..<chance.integer(1...2)).map { _ in chance.integer(3000...60_000) }
        }
        plan.stuckCompute = plan.workers > 1 && chance.happens(0.2)
        plan.twins = chance.pick([0, 0, 0, 1, 2])
        plan.foreignPushes = chance.pick([0, 0, 5, 40])
        plan.foreignWords = chance.pick([0, 0, 3, 10])
        plan.foreignNoise = chance.pick([0, 0, 20, 200])
        plan.differingPushes = chance.pick([0, 0, 0, 0.02])
        plan.idler = chance.happens(0.15)
        plan.damages = chance.pick([0, 0, 0, 1, 2])
        plan.unreadable = chance.pick([0, 0, 0, 1, 2])
        plan.movesAway = chance.happens(0.1)
        if chance.happens(0.2) { plan.diskStall = (chance.pick([0.02, 0.2]), 500...9000) }
        plan.midWriteDeaths = chance.pick([0, 0, 0.3, 0.8])
        plan.keep = chance.integer(2...3)
        plan.personCheckpoints = chance.pick([0, 0, 1, 3])
        plan.personStops = chance.pick([0, 0, 0, 1])
        plan.movesRun = chance.happens(0.3)
        plan.goesBack = chance.pick([.no, .no, .toOldest, .toAnotherRun])
        for _ in 0..<chance.integer(0...3) {
            plan.triggers.append(
                Trigger(
                    moment: chance.pick(Trigger.Moment.allCases), count: chance.integer(1...6),
                    victim: chance.pick([.coordinator, .coordinator, .server, .worker]), delay: chance.integer(0...25)))
        }
        plan.givesRanks = chance.happens(0.7)
        plan.keepsEndpoints = chance.happens(0.5)
        if chance.happens(0.25) {
            plan.stop = (chance.integer(0...plan.faultsEnd), chance.integer(1...3))
        }
        plan.computeMilliseconds = chance.pick([1...10, 20...120, 50...800])
        plan.updateMilliseconds = chance.pick([0...3, 0...3, 10...100])
        plan.evaluateEverySteps = chance.pick([0, 1, 2, 3, 100])
        plan.beginsWithWeights = chance.happens(0.3)
        // What is left out, as its checkpoint cannot be read or written, may change when patience ends.
        if plan.damages + plan.unreadable == 0, !plan.movesAway, plan.diskStall.probability == 0,
            plan.midWriteDeaths == 0, plan.poisoned.isEmpty, plan.goesBack != .toAnotherRun
        {
            plan.patience = chance.pick([0, 1, 2])
        }
        plan.replicas = chance.happens(0.5)
        plan.fewestWorkers = min(plan.workers, chance.pick([1, 1, 1, 2]))
        plan.leavesCore = chance.happens(0.4)
        if plan.leavesCore, plan.replicas, plan.servers > 1, chance.happens(0.7) {
            // Nothing else that needs a server of every rank.
            (plan.midWriteDeaths, plan.triggers, plan.damages, plan.unreadable) = (0, [], 0, 0)
            (plan.stop, plan.personStops, plan.movesAway, plan.idler, plan.twins) = (nil, 0, false, false, 0)
        }
        if plan.replicas, plan.servers > 1 { plan.spares = chance.pick([0, 0, 1, 2]) }
        return plan
    }
}

/// Transitions that are rare and must be seen.
enum Rare: String, CaseIterable {
    case rollback, prepareAgain, commitAgain, resend, early, reissue, lowerTicketFirst, saidAgain, gone, refusal
    case olderCheckpoint, rot, unavailable, skip, workerLost, serverWakes, resumed, finishAgain, noSliceServer
    case evaluated, partAgain, measuredAgain, endsEarly, lastEvaluationLater, leftOut
    case begunWithWeights, begunAgain
    case ticketCopied, unreachable, reachable, deaf, seatKept, foreignPush, foreignWord, foreignNoise, otherKernels,
        differs
    case standIn, returned, coreOnly, countedBefore, stateSent, sumSent, memoryGone, bothGone
    case savedLater, diesWriting, tornTail, slowDisk, moved, movedAway, goesBack, foreignBase, adopted, stopPromised
}
