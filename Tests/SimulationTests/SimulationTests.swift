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

    @Test func equalSeedsGiveEqualRuns() {
        let runs = (0..<2).map { _ in
            let world = World(.stormy(seed: 5))
            world.run()
            return world.trace
        }
        #expect(runs[0] == runs[1])
    }

    /// `PS_SEED=n` repeats one job and prints what is said.
    @Test(.enabled(if: oneSeed != nil)) func oneStormyJob() {
        let world = World(.stormy(seed: SimulationTests.oneSeed!))
        world.log = { print($0) }
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
            case .unavailableTakenForDamaged: plan.unreadable = 8
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

    @Test func stormyJobs() {
        var seen: [Rare: Int] = [:]
        for seed in 0..<UInt64(SimulationTests.isLong ? 20_000 : 1500) {
            let world = World(.stormy(seed: seed))
            world.run()
            #expect(world.violations == [], "seed \(seed)")
            seen.merge(world.seen, uniquingKeysWith: +)
        }
        print("rare transitions:", seen.map { "\($0.key) \($0.value)" }.sorted().joined(separator: ", "))
        for rare in Rare.allCases { #expect(seen[rare, default: 0] > 0, "\(rare) never happened") }
    }
}
