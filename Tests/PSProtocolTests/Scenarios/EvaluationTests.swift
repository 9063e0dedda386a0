// Evaluation beside training as the coordinator sequences it.

import PSMessages
import PSParameters
import PSProtocol
import Testing

@Suite struct EvaluationScheduleTests {
    @Test func whatIsDue() {
        var schedule = EvaluationSchedule(images: 10, batch: 4, stepsPerEpoch: 2.5)
        func due(_ schedule: EvaluationSchedule, until last: UInt64 = 12) -> [UInt64] {
            (0...last).filter { schedule.isDue(Version($0)) }
        }
        #expect(due(schedule) == [])
        schedule.everySteps = 5
        #expect(due(schedule) == [5, 10])
        schedule.everySteps = 0
        schedule.everyEpochs = 1
        // 2.5, 5, 7.5, 10 steps: the first whole one at or behind each.
        #expect(due(schedule) == [3, 5, 8, 10])
        schedule.stepsPerEpoch = 30
        schedule.everyEpochs = 0.1
        #expect(due(schedule) == [3, 6, 9, 12])
        schedule.stepsPerEpoch = 2.5
        schedule.everyEpochs = 0.2
        #expect(due(schedule, until: 4) == [1, 2, 3, 4])
    }
}

@Suite struct CoordinatorEvaluationTests {
    private static func schedule(every steps: UInt64, patience: Int = 0) -> EvaluationSchedule {
        var schedule = EvaluationSchedule(images: 3, batch: 1, stepsPerEpoch: 5)
        schedule.everySteps = steps
        schedule.patience = patience
        return schedule
    }

    private func measurement(
        _ attempt: EvaluationAttempt, top1: Int = 1, loss: Double = 1
    ) -> Message {
        .measurement(Measurement(attempt: attempt, images: 1, top1: top1, top5: 1, loss: loss, excluded: 0))
    }

    /// Whether the job is asked to save.
    private func isSnapshot(_ effects: [CoordinatorState.Effect]) -> Bool {
        effects.sent.contains { if case .snapshot = $0.message { true } else { false } }
    }

    /// A version that is due is saved at once; then parts and tickets take turns, and the next version that is due is not
    /// saved before the evaluation is done.
    @Test func partsAndTicketsTakeTurns() throws {
        var bench = CoordinatorBench.running(evaluation: Self.schedule(every: 1))
        #expect(isSnapshot(bench.commits()))
        #expect(bench.says(.want, from: 11).grants[11] != nil, "nothing is to be measured before it is saved")
        bench.saves(1, servers: 1)
        _ = bench.says(.contribution(contribution(try #require(bench.says(.want, from: 11).grants[11]))), from: 11)

        let first = try #require(bench.says(.want, from: 11).parts[11])
        #expect(first.version == 1 && first.part == 0)
        #expect(bench.says(.want, from: 11).parts[11] == first)
        #expect(bench.says(measurement(first), from: 11).said(to: 11) == [.measured(first)])
        let ticket = try #require(bench.says(.want, from: 11).grants[11])
        let second = { (bench: inout CoordinatorBench) in bench.says(.want, from: 11).parts[11] }
        // The step is complete: its close does not wait, as version 1 is saved.
        #expect(bench.says(.contribution(contribution(ticket)), from: 11).decisions.count == 1)
        _ = bench.durable()
        _ = bench.says(.prepared(Prepared(step: 1, isFinite: true, norms: norms())), from: 1)
        let applied = bench.says(.applied(step: 1), from: 1)
        #expect(bench.state.version == 2 && !isSnapshot(applied), "version 1 is not measured yet")
        #expect(!isSnapshot(bench.passes(100)))
        let part = try #require(second(&bench))
        #expect(part.part == 1)
        _ = bench.says(measurement(part), from: 11)
        // Training waits now: the last part goes first.
        let last = try #require(second(&bench))
        let done = bench.says(measurement(last, top1: 0), from: 11)
        #expect(isSnapshot(done))
        #expect(done.evaluations.map(\.version) == [1] && done.evaluations[0].top1 == 2.0 / 3)
        #expect(done.records.contains(.evaluated(done.evaluations[0])))
        #expect(bench.replay.evaluations == done.evaluations)
    }

    /// Sums go by the order of the parts, whatever the order in which they come; a dead worker's part is granted again.
    @Test func theOrderOfArrivalDoesNotMatter() throws {
        let losses = [0.1, 1e16, -1e16]
        var reports: [EvaluationReport] = []
        for order in [[0, 1, 2], [2, 0, 1]] {
            var bench = CoordinatorBench.running(workers: 4, evaluation: Self.schedule(every: 1))
            _ = bench.commits()
            bench.saves(1, servers: 1)
            var attempts: [Int: EvaluationAttempt] = [:]
            // Who has computed last gets a part first.
            for worker in 12...14 {
                let effects = bench.says(.want, from: Incarnation(worker))
                let part = try #require(effects.parts[Incarnation(worker)])
                attempts[part.part] = part
            }
            // The second one's worker dies, and a late word of it does not count.
            _ = bench.says(.leave(text: ""), from: 13)
            let dead = try #require(attempts[1])
            _ = bench.workerStarts(15)
            let again = try #require(bench.says(.want, from: 15).parts[15])
            #expect(again.part == 1 && again != dead)
            #expect(bench.says(measurement(dead, loss: 5), from: 13).refusals.count == 1)
            attempts[1] = again
            var last: [CoordinatorState.Effect] = []
            for part in order {
                let worker = part == 1 ? 15 : 12 + part
                last = bench.says(measurement(attempts[part]!, loss: losses[part]), from: Incarnation(worker))
            }
            reports += last.evaluations
        }
        #expect(reports.count == 2 && reports[0] == reports[1])
        #expect(reports[0].loss == ((0.1 + 1e16) - 1e16) / 3)
    }

    /// The last version is measured before the job ends; a stop meanwhile ends it, and the next start measures.
    @Test func theEndIsMeasured() throws {
        var schedule = EvaluationSchedule(images: 1, batch: 1, stepsPerEpoch: 5)
        schedule.atEnd = true
        var bench = CoordinatorBench.running(steps: 1, evaluation: schedule)
        _ = bench.commits()
        bench.saves(1, servers: 1)
        #expect(!bench.journal.contains { if case .finished = $0 { true } else { false } })
        let part = try #require(bench.says(.want, from: 11).parts[11])
        _ = bench.says(.control(.stop(after: 0)), from: 99)
        let stopped = bench.durable()
        #expect(stopped.records.contains(.finished(version: 1, exitCode: ExitStatus.preempted)))
        #expect(bench.says(measurement(part), from: 11).records.isEmpty)

        var replay = bench.replay
        replay.apply(.resumed)
        var next = CoordinatorBench(steps: 1, replay: replay, incarnation: 2000, evaluation: schedule)
        _ = next.says(.hello(Hello(role: .server, host: "s", pid: 3, rank: 0)), from: 1, generation: 0, to: 0)
        _ = next.durable()
        _ = next.says(.ready(version: 1), from: 1)
        var hello = Hello(role: .worker, host: "w", pid: 2, rank: 0)
        (hello.kernelCore, hello.kernelHash) = ("Haswell", 1)
        _ = next.says(.hello(hello), from: 11, generation: 0, to: 0)
        let again = try #require(next.says(.want, from: 11).parts[11])
        let done = next.says(measurement(again), from: 11)
        #expect(done.evaluations.count == 1)
        #expect(done.records.contains(.finished(version: 1, exitCode: 0)))
    }

    /// Ends at the version at which the evaluations before it say so, not at the moment they are known.
    @Test func patienceIsCountedInVersions() throws {
        var schedule = Self.schedule(every: 1, patience: 1)
        schedule.images = 1
        var bench = CoordinatorBench.running(evaluation: schedule)
        for version in 1...2 {
            _ = bench.commits()
            bench.saves(Version(UInt64(version)), servers: 1)
            let part = try #require(bench.says(.want, from: 11).parts[11])
            _ = bench.says(measurement(part), from: 11)
        }
        #expect(bench.replay.evaluations.map(\.version) == [1, 2])
        // Version 2 was no better than 1: at 3 it is over.
        let ended = bench.commits()
        #expect(bench.state.version == 3)
        #expect(ended.warnings.contains { $0.hasPrefix("stopped early at step 3: none of 1 evaluations") })
    }

    /// A checkpoint that a worker finds damaged is not measured, and training goes on.
    @Test func aDamagedCheckpointIsLeftOut() throws {
        var bench = CoordinatorBench.running(evaluation: Self.schedule(every: 1))
        _ = bench.commits()
        bench.saves(1, servers: 1)
        _ = bench.says(.want, from: 11)
        let effects = bench.says(.failed(version: 1, text: "rot", what: .loadDamaged), from: 11)
        #expect(effects.warnings == ["step 1 is not evaluated: rot"])
        #expect(isSnapshot(bench.commits()), "the next one is")
    }
}

@Suite struct WorkerEvaluationTests {
    private let attempt = EvaluationAttempt(version: 4, part: 2, number: 9)

    private func result(_ attempt: EvaluationAttempt) -> Measurement {
        Measurement(attempt: attempt, images: 1, top1: 1, top5: 1, loss: 0.5, excluded: 0)
    }

    /// It says what it measured until that is counted; a late copy of the grant is no new one.
    @Test func aPartIsReportedUntilItIsCounted() {
        var bench = WorkerBench.idle()
        #expect(bench.hears(.measure(attempt)).contains { if case .measure(attempt) = $0 { true } else { false } })
        #expect(bench.happens(.measured(result(attempt))).toCoordinator == [.measurement(result(attempt))])
        #expect(bench.passes(1000).toCoordinator.contains(.measurement(result(attempt))))
        #expect(bench.hears(.measured(attempt)).toCoordinator == [.want])
        #expect(bench.hears(.measure(attempt)).isEmpty)
    }

    /// What may pass is tried again when the coordinator grants it again; what is damaged is told; what lasts ends the
    /// process for good.
    @Test func whatCannotBeMeasured() {
        var bench = WorkerBench.idle()
        _ = bench.hears(.measure(attempt))
        #expect(bench.happens(.measureFailed(attempt, "away", .mayPass)).toCoordinator.isEmpty)
        #expect(bench.passes(1000).toCoordinator.contains(.want))
        _ = bench.hears(.measure(attempt))
        #expect(
            bench.happens(.measureFailed(attempt, "rot", .checkpointDamaged)).toCoordinator
                == [.failed(version: 4, text: "rot", what: .loadDamaged)])
        _ = bench.hears(.measure(EvaluationAttempt(version: 5, part: 0, number: 10)))
        let last = bench.happens(
            .measureFailed(EvaluationAttempt(version: 5, part: 0, number: 10), "no such class", .lasts))
        #expect(last.exit?.code == ExitStatus.refused)
    }
}
