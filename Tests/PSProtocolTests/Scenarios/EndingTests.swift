// How jobs end: at the last step, on request, by failure; whoever is there or not.

import PSMessages
import PSParameters
import PSProtocol
import Testing

@Suite struct EndingTests {
    private func finishes(_ bench: inout CoordinatorBench, version: Version, code: Int) {
        bench.saves(version, servers: 1)
        #expect(bench.journal.last == .finished(version: version, exitCode: code))
        let told = bench.durable().sent.filter { if case .finish(code, _) = $0.message { true } else { false } }.map(
            \.to)
        #expect(told == [1, 11])
    }

    @Test func theLastStepIsSavedThenEverybodyIsTold() {
        var bench = CoordinatorBench.running(steps: 1)
        #expect(bench.commits().sent.contains { $0.message == .snapshot(version: 1) })
        #expect(bench.says(.want, from: 11).isEmpty)
        finishes(&bench, version: 1, code: 0)
        // Who did not hear is told again; when all have left, or after a while, the coordinator goes too.
        #expect(bench.says(.heartbeat(Heartbeat()), from: 11).said(to: 11) == [.finish(exitCode: 0, text: "")])
        _ = bench.says(.leave(text: ""), from: 1)
        #expect(bench.passes(100).exit == nil)
        _ = bench.says(.leave(text: ""), from: 11)
        // That everybody was told is written down last: until then the next start would tell them again.
        #expect(bench.passes(100).records == [.ended])
        #expect(bench.durable().exit == ExitStatus(code: 0, text: ""))
    }

    @Test func theEndDoesNotWaitForeverForGoodbyes() {
        var bench = CoordinatorBench.running(steps: 1)
        _ = bench.commits()
        finishes(&bench, version: 1, code: 0)
        #expect(bench.passes(2900).exit == nil)
        #expect(bench.passes(100).records == [.ended])
        #expect(bench.durable().exit?.code == 0)
    }

    @Test func stopSavesWhatIsCommitted() {
        var bench = CoordinatorBench.running()
        _ = bench.commits()
        let effects = bench.happens(.stop(exitCode: 130, text: "interrupted"))
        #expect(effects.said(to: 1) == [.snapshot(version: 1)])
        finishes(&bench, version: 1, code: 130)
    }

    @Test func stopCarriesAClosedStepThrough() {
        var bench = CoordinatorBench.running()
        _ = bench.contributesAll()
        #expect(bench.happens(.stop(exitCode: 75, text: "")).isEmpty)
        _ = bench.durable()
        #expect(bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms())), from: 1).commits.count == 1)
        #expect(bench.says(.applied(step: 0), from: 1).said(to: 1) == [.snapshot(version: 1)])
        finishes(&bench, version: 1, code: 75)
    }

    @Test func stopAfterAStep() {
        var bench = CoordinatorBench.running()
        _ = bench.says(.control(.stop(after: 2)), from: 99)
        // A coordinator started anew remembers it until the job has ended.
        var replay = Replay()
        for record in bench.journal { replay.apply(record) }
        #expect(replay.stopAfter == 2)
        replay.apply(.finished(version: 2, exitCode: 75))
        replay.apply(.ended)
        #expect(replay.stopAfter == 2 && replay.finished == nil)
        replay.apply(.resumed)
        #expect(replay.stopAfter == nil)
        #expect(!bench.commits().sent.contains { $0.message == .snapshot(version: 1) })
        #expect(bench.commits().sent.contains { $0.message == .snapshot(version: 2) })
        finishes(&bench, version: 2, code: 75)
    }

    /// Where a server is gone nobody is told that the last step is saved.
    @Test func aStopWithoutAServerSaysWhatIsLost() {
        var bench = CoordinatorBench.running()
        _ = bench.commits()
        _ = bench.happens(.closed(1))
        _ = bench.passes(2000)
        _ = bench.says(.control(.stop(after: 0)), from: 99)
        let loss = "server 0 is gone: the last commits are not saved, the job resumes from step 0"
        #expect(bench.durable().said(to: 99) == [.controlReply(ok: true, text: "the job stops; \(loss)")])
        #expect(bench.passes(100).warnings == [loss])
        let status = bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0)
        #expect(status.text == "stopped on request; \(loss)" && status.state == .stopped)
    }

    /// What a person was promised holds, whenever the coordinator dies; and nothing is promised before it is durable.
    @Test func aPromisedStopOutlivesTheCoordinator() {
        var bench = CoordinatorBench.running()
        _ = bench.commits()
        #expect(bench.says(.control(.stop(after: 0)), from: 99).said(to: 99).isEmpty)
        let promised = bench.journal
        #expect(promised.last == .stopAfter(version: 1))
        let reply = bench.durable()
        #expect(reply.said(to: 99) == [.controlReply(ok: true, text: "the job saves its last step and stops")])
        #expect(reply.said(to: 1) == [.snapshot(version: 1)])
        finishes(&bench, version: 1, code: 75)
        // Killed before anything was saved: the next one saves and stops.
        var early = CoordinatorBench(
            replay: promised.reduce(into: Replay()) { $0.apply($1) }, incarnation: 2000)
        let back = early.serverReturns(1, rank: 0, generation: 1, version: 1)
        #expect(back.said(to: 1).contains(.snapshot(version: 1)))
        #expect(early.workerStarts(12).grants.isEmpty)
        // Killed in its farewell: the next one only says goodbye.
        var late = CoordinatorBench(replay: bench.replay, incarnation: 2000)
        guard case .finish(75, _)? = late.says(.heartbeat(Heartbeat()), from: 1).said(to: 1).first else {
            Issue.record("the job goes on")
            return
        }
        _ = late.passes(3000)
        #expect(late.durable().exit?.code == 75)
        // Or even after that: the stop holds until a person says otherwise.
        var replay = bench.replay
        replay.apply(.ended)
        var after = CoordinatorBench(replay: replay, incarnation: 2500)
        _ = after.passes(3000)
        #expect(after.durable().exit?.code == 75)
        // A person who resumes it means it.
        replay.apply(.resumed)
        var resumed = CoordinatorBench(replay: replay, incarnation: 3000)
        _ = resumed.serverReturns(1, rank: 0, generation: 1, version: 1)
        _ = resumed.workerStarts(12)
        #expect(resumed.says(.want, from: 12, to: 3000).grants[12] != nil)
    }

    /// A step that was under way when "stop now" came ends before the wish is durable: nobody asked for that step.
    @Test func aStepThatEndsBeforeTheWishIsDurable() {
        var bench = CoordinatorBench.running()
        _ = bench.contributesAll()
        _ = bench.durable()
        #expect(bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms())), from: 1).commits.count == 1)
        #expect(bench.says(.control(.stop(after: 0)), from: 99).said(to: 99).isEmpty)
        #expect(bench.says(.applied(step: 0), from: 1).said(to: 1) == [.snapshot(version: 1)])
        #expect(bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).text == "stopped on request")
        let reply = bench.durable().said(to: 99)
        #expect(reply == [.controlReply(ok: true, text: "the job saves its last step and stops")])
        finishes(&bench, version: 1, code: 75)
    }

    /// The last checkpoint whose own gradient was finite is where the job stands when it fails, and what is kept.
    @Test func aJobWithoutFiniteGradientsGoesBackToWhereTheyWere() {
        var bench = CoordinatorBench.running()
        for version in [1, 2, 3] as [Version] {
            _ = bench.commits()
            _ = bench.says(.control(.checkpoint), from: 99)
            bench.saves(version, servers: 1)
        }
        // Step 3 is the first bad one: the weights of version 3 are suspect, those of version 2 led to a finite one.
        _ = bench.commits(isFinite: false)
        _ = bench.says(.control(.checkpoint), from: 99)
        bench.saves(4, servers: 1)
        #expect(bench.state.checkpoints.map(\.version) == [2, 3, 4], "one more than checkpoint.keep")
        _ = bench.commits(isFinite: false)
        let last = bench.commits(isFinite: false)
        let base = CheckpointReference(version: 2, generation: 1)
        #expect(last.records.last == .rollback(generation: 2, base: base))
        let told = bench.durable().said(to: 11)
        guard case .finish(1, let text)? = told.first else {
            Issue.record("\(told)")
            return
        }
        #expect(text.contains("from step 3 on") && text.contains("checkpoint of step 2"))
        #expect(text.contains("psctl train --run-dir /run --resume last --set learningRate.base="))
        #expect(bench.replay.version == 2 && bench.replay.skippedSteps.isEmpty)
        #expect(bench.state.checkpoints == [base])
    }

    @Test func stopBeforeServersAreThereEndsAtOnce() {
        var bench = CoordinatorBench(servers: 2)
        _ = bench.serverStarts(1)
        #expect(bench.happens(.stop(exitCode: 75, text: "")).said(to: 1) == [.finish(exitCode: 75, text: "")])
        var loading = CoordinatorBench()
        _ = loading.serverStarts(1)
        #expect(loading.happens(.stop(exitCode: 75, text: "")).said(to: 1) == [.finish(exitCode: 75, text: "")])
        #expect(loading.durable().isEmpty, "the rollback is not carried on")
    }

    /// A job that is stopped does not wait for a dead server; one at its end waits, trains the lost steps again, and
    /// only then says that it is done.
    @Test func aServerLostAtTheEnd() {
        var stopped = CoordinatorBench.running()
        _ = stopped.commits()
        _ = stopped.happens(.stop(exitCode: 75, text: "stopped"))
        #expect(stopped.serverStarts(2, rank: 0).said(to: 11) == [.finish(exitCode: 75, text: "stopped")])

        var done = CoordinatorBench.running(steps: 1)
        _ = done.commits()
        _ = done.passes(8000)
        #expect(done.passes(60_000).exit == nil)
        #expect(done.serverStarts(2, rank: 0).records.count == 1)
        _ = done.durable()
        _ = done.says(.ready(version: 0), from: 2)
        #expect(done.state.version == 0)
        _ = done.workerStarts(12)
        #expect(done.says(.want, from: 12).grants[12]?.ticket == 0)
    }

    @Test func aCoordinatorKilledAtTheVeryEndHasNobodyToGather() {
        var bench = CoordinatorBench.running(steps: 1)
        _ = bench.commits()
        finishes(&bench, version: 1, code: 0)
        var later = CoordinatorBench(steps: 1, replay: bench.replay, incarnation: 2000)
        #expect(later.says(.heartbeat(Heartbeat()), from: 11).said(to: 11) == [.finish(exitCode: 0, text: "")])
        #expect(later.passes(3000).records == [.ended])
        #expect(later.durable().exit?.code == 0)
        // With more steps to do it goes on.
        var longer = CoordinatorBench(steps: 2, replay: bench.replay, incarnation: 2000)
        #expect(longer.passes(3000).exit == nil)
    }

    @Test func aDiskThatFillsEndsTheJobWithTheReason() {
        var bench = CoordinatorBench.running()
        _ = bench.commits()
        _ = bench.says(.control(.checkpoint), from: 99)
        let effects = bench.says(.failed(version: 1, text: "no space left on device", what: .saveFailed), from: 1)
        guard case .finish(1, let text)? = effects.said(to: 11).first else {
            Issue.record("\(effects)")
            return
        }
        #expect(text.contains("no space left on device"))
        #expect(bench.state.checkpoints.map(\.version) == [0])
    }

    /// A file server that is away for a moment costs a checkpoint, not the job; training goes on meanwhile.
    @Test func whatCannotBeWrittenForAMomentIsTriedAgain() {
        var bench = CoordinatorBench.running()
        _ = bench.commits()
        _ = bench.says(.control(.checkpoint), from: 99)
        _ = bench.says(.snapshotting(version: 1), from: 1)
        let failed = bench.says(.failed(version: 1, text: "stale", what: .saveUnavailable), from: 1)
        #expect(failed.warnings.first?.contains("stale; it is tried again for 30 s") == true)
        #expect(bench.commits().commits.count == 1)
        #expect(!bench.passes(1000).sent.contains { $0.message == .snapshot(version: 2) }, "not at once")
        #expect(bench.passes(1000).said(to: 1).contains(.snapshot(version: 2)), "what is current then")
        bench.saves(2, servers: 1)
        #expect(bench.state.checkpoints.map(\.version) == [0, 2])

        // At the end too, and not for ever.
        var stopped = bench
        _ = stopped.commits()
        #expect(stopped.happens(.stop(exitCode: 75, text: "")).said(to: 1) == [.snapshot(version: 3)])
        _ = stopped.happens(.checkpointFailed(3, "away", mayPass: true))
        var isBack = stopped
        #expect(isBack.passes(2000).said(to: 1).contains(.snapshot(version: 3)))
        finishes(&isBack, version: 3, code: 75)
        for _ in 0..<16 {
            _ = stopped.passes(2000)
            _ = stopped.says(.heartbeat(Heartbeat()), from: 1)
            _ = stopped.says(.failed(version: 3, text: "away", what: .saveUnavailable), from: 1)
        }
        guard case .finish(1, let text)? = stopped.says(.heartbeat(Heartbeat()), from: 11).said(to: 11).first else {
            Issue.record("the job waits for ever")
            return
        }
        #expect(text.contains("away"))
        // A full disk does not pass by itself.
        var full = bench
        _ = full.says(.control(.checkpoint), from: 99)
        _ = full.commits()
        _ = full.says(.control(.checkpoint), from: 99)
        #expect(full.says(.failed(version: 3, text: "full", what: .saveFailed), from: 1).said(to: 11).count == 1)
    }

    /// A server that waits for a place is no member, and hears of the end all the same.
    @Test func whoWaitsIsToldOfTheEnd() {
        var bench = CoordinatorBench.running(steps: 1)
        _ = bench.serverStarts(99, rank: 0, takesOver: false)
        let told = bench.happens(.journalFailed("the disk is gone"))
        #expect(told.said(to: 99).contains { if case .finish = $0 { true } else { false } }, "\(told)")
    }
}
