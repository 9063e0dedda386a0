// Whole jobs in virtual time: whatever goes wrong on the way, they end, with the bits of the calm run.

import Foundation
import Testing

@Suite struct SimulationTests {
    private static let isLong = ProcessInfo.processInfo.environment["PS_LONG_TESTS"] == "1"

    static let oneSeed = ProcessInfo.processInfo.environment["PS_SEED"].flatMap { UInt64($0) }

    @Test(arguments: [(1, 1), (3, 2), (2, 3)])
    func calmJob(workers: Int, servers: Int) {
        let world = World(.calm(workers: workers, servers: servers))
        world.run()
        #expect(world.violations == [])
        #expect(world.result?.code == 0)
    }

    /// Servers that live keep their places when the coordinator is started again, whoever else waits for one.
    @Test(arguments: [(2, 1), (2, 4), (3, 2)])
    func coordinatorsComeAndGo(servers: Int, spares: Int) {
        for seed in 0..<UInt64(20) {
            var plan = Plan.calm(workers: 2, servers: servers)
            (plan.seed, plan.replicas, plan.spares, plan.givesRanks) = (seed, true, spares, seed % 2 == 0)
            (plan.steps, plan.checkpointEverySteps, plan.coordinatorKills, plan.faultsEnd) = (60, 7, 5, 10_000)
            let world = World(plan)
            world.run()
            #expect(world.violations == [], "seed \(seed)")
            #expect(world.result?.code == 0)
            #expect(world.seen[.standIn] == nil && world.seen[.rollback] == nil, "seed \(seed): \(world.seen)")
        }
    }

    @Test func equalSeedsGiveEqualRuns() {
        let runs = (0..<2).map { _ in
            let world = World(.stormy(seed: 5))
            world.run()
            return world.trace
        }
        #expect(runs[0] == runs[1])
    }

    /// The power fails before each change to the disk that a job makes, one after the other: it ends with the calm bits.
    @Test(arguments: [false, true])
    func aPowerCutBetweenAnyTwoWrites(replicas: Bool) {
        var plan = Plan.calm(workers: 2, servers: 2)
        plan.replicas = replicas
        plan.evaluateEverySteps = 3
        // A person stops it and goes on, so that the end of a job and its resumption are among the changes.
        plan.stop = (400, 2)
        func world(failingAt change: Int?) -> World {
            var plan = plan
            plan.seed = UInt64(change ?? 0)
            let world = World(plan)
            world.powerFailsAt = change
            world.run()
            return world
        }
        let count = world(failingAt: nil).changesToDisk
        #expect(count > 100, "\(count)")
        for change in 1...count where SimulationTests.isLong || change % 3 == 0 {
            let world = world(failingAt: change)
            #expect(world.violations == [], "change \(change)")
        }
    }

    /// `PS_SEED=n` repeats one job and prints what is said.
    @Test(.enabled(if: oneSeed != nil)) func oneStormyJob() {
        let world = World(.stormy(seed: SimulationTests.oneSeed!))
        world.log = { print(SimulationTests.readable($0)) }
        world.run()
        #expect(world.violations == [])
    }

    /// A fault of each kind, put into what is tested, is found: the invariants can fail.
    @Test(arguments: Plan.Plant.allCases)
    func plantedFaultsAreFound(plant: Plan.Plant) {
        for seed in 0..<UInt64(600) {
            var plan = Plan.stormy(seed: seed)
            plan.plant = plant
            switch plant {
            case .rotAccepted: plan.damages = 2
            case .unavailableTakenForDamaged: (plan.unreadable, plan.serverKills, plan.replicas) = (8, 4, false)
            case .voidCheckpointLoaded:
                plan.goesBack = .toOldest
                plan.stop = (plan.faultsEnd / 2, plan.servers)
            case .basePruned: break
            case .seatStolen:
                (plan.twins, plan.givesRanks, plan.pauses, plan.cuts, plan.resets) = (2, true, 0, 0, 0)
                (plan.lossProbability, plan.coordinatorKills, plan.triggers, plan.midWriteDeaths) = (0, 0, [], 0)
            case .noDeadline: plan.stuckCompute = plan.workers > 1
            case .termBelieved: plan.foreignWords = 10
            case .pushBelieved: plan.foreignPushes = 40
            case .kernelsOfHello: plan.idler = true
            case .updateLost: break
            }
            let world = World(plan)
            world.run()
            if world.violations.isEmpty { continue }
            // It is the plant that is found.
            plan.plant = nil
            let sound = World(plan)
            sound.run()
            #expect(sound.violations == [], "seed \(seed)")
            print("\(plant): seed \(seed), \(world.violations[0])")
            return
        }
        Issue.record("\(plant) is not found")
    }

    /// One seed after the other, from `PS_SWARM_FIRST`, `PS_SWARM_COUNT` of them: what scripts/swarm runs in parts.
    @Test(.enabled(if: swarm != nil)) func aPartOfTheSwarm() {
        guard let (first, count) = SimulationTests.swarm else { return }
        var seen: [Rare: Int] = [:]
        for seed in first..<first + count {
            let world = World(.stormy(seed: seed))
            world.run()
            seen.merge(world.seen, uniquingKeysWith: +)
            if world.violations.isEmpty { continue }
            print("VIOLATION seed \(seed): \(world.violations[0])")
            Issue.record("seed \(seed): \(world.violations)")
            if SimulationTests.endsWithFirst { return }
        }
        let never = Rare.allCases.filter { seen[$0, default: 0] == 0 }
        print("SWARM \(count) seeds from \(first): never seen \(never.map(\.rawValue))")
    }

    static let swarm: (first: UInt64, count: UInt64)? = {
        let environment = ProcessInfo.processInfo.environment
        guard let count = environment["PS_SWARM_COUNT"].flatMap({ UInt64($0) }) else { return nil }
        return (environment["PS_SWARM_FIRST"].flatMap { UInt64($0) } ?? 0, count)
    }()

    private static let endsWithFirst = ProcessInfo.processInfo.environment["PS_SWARM_ENDS"] == "1"

    /// A fault that one seed in a hundred has is found by a few hundred seeds.
    @Test func aRareFaultIsFound() {
        var found: [UInt64] = []
        for seed in 0..<UInt64(300) where seed % 10 == 7 {
            var plan = Plan.stormy(seed: seed)
            if seed % 100 == 37 { plan.plant = .updateLost }
            let world = World(plan)
            world.run()
            if !world.violations.isEmpty { found.append(seed) }
        }
        #expect(found == [37, 137, 237])
    }

    /// What led to a violation, for people.
    static func history(of plan: Plan) -> String {
        let world = World(plan)
        var lines: [String] = []
        world.log = { lines.append(readable($0)) }
        world.run()
        return lines.suffix(80).joined(separator: "\n")
    }

    /// A line of the log without the names of modules and the wrapping of values.
    private static func readable(_ line: String) -> String {
        var line = line
        for noise in ["PSMessages.", "PSParameters.", "PSProtocol.", "PSProofs."] {
            line = line.replacing(noise, with: "")
        }
        return line.count > 300 ? line.prefix(300) + "..." : line
    }

    @Test func stormyJobs() {
        var seen: [Rare: Int] = [:]
        for seed in 0..<UInt64(SimulationTests.isLong ? 20_000 : 1500) {
            let world = World(.stormy(seed: seed))
            world.run()
            if !world.violations.isEmpty { print(SimulationTests.history(of: .stormy(seed: seed))) }
            #expect(world.violations == [], "seed \(seed); PS_SEED=\(seed) repeats it")
            seen.merge(world.seen, uniquingKeysWith: +)
        }
        print("rare transitions:", seen.map { "\($0.key) \($0.value)" }.sorted().joined(separator: ", "))
        for rare in Rare.allCases { #expect(seen[rare, default: 0] > 0, "\(rare) never happened") }
    }
}
