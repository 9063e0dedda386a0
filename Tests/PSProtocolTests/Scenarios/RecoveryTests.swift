// What a coordinator does with what its predecessor left: the journal on one side, the servers' memories on the other.

import Foundation
import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import Testing

@Suite struct RecoveryTests {
    private let base = CheckpointReference(version: 0, generation: 1)

    /// The journal of a job that has committed step 0 and closed step 1.
    private func closedStepOne(committed: Bool = true) -> CoordinatorBench {
        var bench = CoordinatorBench.running(servers: 2)
        _ = bench.commits(servers: 2)
        if committed { _ = bench.contributesAll() }
        return bench
    }

    private func successor(of bench: CoordinatorBench, dropping count: Int = 0) -> CoordinatorBench {
        let replay = bench.journal.dropLast(count).reduce(into: Replay()) { $0.apply($1) }
        return CoordinatorBench(servers: 2, replay: replay, incarnation: 2000)
    }

    private func commit(_ step: Step) -> Commit {
        Commit(
            step: step, scale: Arithmetic.rule.clip([0, 0]).scale, learningRate: Arithmetic.rule.learningRate(step),
            averageDecay: Arithmetic.rule.averageDecay(step), skip: false)
    }

    /// On a slow disk the checkpoint of a former generation is completed while the same version is saved again.
    @Test func aCheckpointOfAFormerGenerationIsNotTheOneBeingSaved() {
        var bench = CoordinatorBench()
        _ = bench.serverStarts(1, rank: 0)
        _ = bench.durable()
        _ = bench.says(.ready(version: 0), from: 1)
        _ = bench.says(.snapshotting(version: 0), from: 1)
        _ = bench.says(.saved(version: 0, files: []), from: 1)
        _ = bench.serverStarts(2, rank: 0)
        _ = bench.durable()
        _ = bench.says(.ready(version: 0), from: 2)
        #expect(bench.state.generation == 2)
        _ = bench.says(.snapshotting(version: 0), from: 2)
        #expect(bench.happens(.checkpointCompleted(CheckpointReference(version: 0, generation: 1))).isEmpty)
        _ = bench.says(.saved(version: 0, files: []), from: 2)
        let reference = CheckpointReference(version: 0, generation: 2)
        #expect(bench.happens(.checkpointCompleted(reference)).records.contains(.checkpoint(reference, keeping: [])))
    }

    @Test func aClosedStepIsPreparedAgain() {
        var later = successor(of: closedStepOne())
        _ = later.serverReturns(1, rank: 0, generation: 1, version: 1, lastCommit: commit(0))
        let effects = later.serverReturns(2, rank: 1, generation: 1, version: 1, lastCommit: commit(0))
        #expect(effects.records.isEmpty, "no rollback")
        #expect(effects.sent.filter { if case .prepare(step: 1, _) = $0.message { true } else { false } }.count == 2)
        // Its close is durable already, so the answers decide; the report has the loss of the contributions.
        _ = later.says(.prepared(Prepared(step: 1, isFinite: true, norms: norms(of: 0, servers: 2))), from: 1)
        let decided = later.says(.prepared(Prepared(step: 1, isFinite: true, norms: norms(of: 1, servers: 2))), from: 2)
        #expect(decided.commits.map(\.step) == [1, 1])
        let losses = decided.compactMap { if case .stepDone(let report) = $0 { report.loss } else { nil } }
        #expect(losses == [2.5])
    }

    @Test func aCommitThatReachedOneServerReachesTheOther() {
        var later = successor(of: closedStepOne(committed: false))
        _ = later.serverReturns(1, rank: 0, generation: 1, version: 1, lastCommit: commit(0))
        let effects = later.serverReturns(2, rank: 1, generation: 1, version: 0)
        #expect(effects.commits == [commit(0), commit(0)])
        #expect(later.state.version == 1)
    }

    @Test func aCommitThatReachedNoServerGoesOutAgain() {
        var later = successor(of: closedStepOne(committed: false))
        _ = later.serverReturns(1, rank: 0, generation: 1, version: 0)
        #expect(later.serverReturns(2, rank: 1, generation: 1, version: 0).commits == [commit(0), commit(0)])
    }

    /// The record of a commit is not synced: a machine that failed may have lost it, while servers have applied it.
    @Test func aLostCommitRecordIsWrittenAgain() {
        let before = closedStepOne(committed: false)
        #expect(before.journal.last == .step(.committed(commit(0), norm: 0)))
        var later = successor(of: before, dropping: 1)
        _ = later.serverReturns(1, rank: 0, generation: 1, version: 1, lastCommit: commit(0))
        let effects = later.serverReturns(2, rank: 1, generation: 1, version: 1, lastCommit: commit(0))
        #expect(effects.records == [.step(.committed(commit(0), norm: nil))])
        #expect(effects.commits.count == 2, "servers that have applied it say so")
        #expect(later.state.version == 1)
    }

    @Test func memoryThatDoesNotFitIsRolledBack() {
        // (generation, version, version) that one of two servers may hold, none of which the journal explains.
        for (generation, first, second) in [(1, 1, 2), (1, 3, 3), (2, 1, 1), (0, 1, 1), (1, 0, 2)]
            as [(UInt32, Version, Version)]
        {
            var later = successor(of: closedStepOne(committed: false))
            _ = later.serverReturns(1, rank: 0, generation: 1, version: first)
            let effects = later.serverReturns(2, rank: 1, generation: generation, version: second)
            #expect(effects.records == [.rollback(generation: 2, base: base)])
            #expect(effects.sent.allSatisfy { if case .reset = $0.message { false } else { true } }, "durable first")
            #expect(later.durable().sent.filter { if case .reset = $0.message { true } else { false } }.count == 2)
        }
    }

    /// Numbers of a server that speaks nonsense: no arithmetic may stop the coordinator.
    @Test func memoryOfTheLargestNumbersIsRolledBack() {
        let largest = commit(Step(.max))
        // With two versions apart and without the journal's record, the commits that servers name are looked through.
        for (dropped, first, second) in [(0, Version(.max), Version(.max)), (1, 1, 0)] as [(Int, Version, Version)] {
            var later = successor(of: closedStepOne(committed: false), dropping: dropped)
            _ = later.serverReturns(1, rank: 0, generation: 1, version: first, lastCommit: largest)
            let effects = later.serverReturns(2, rank: 1, generation: 1, version: second, lastCommit: largest)
            #expect(effects.records == [.rollback(generation: 2, base: base)])
        }
    }

    @Test func aServerWithEmptyMemoryRollsTheJobBack() {
        var bench = CoordinatorBench.running(servers: 2)
        _ = bench.commits(servers: 2)
        _ = bench.contributesAll()
        let effects = bench.serverStarts(3, rank: 1)
        #expect(effects.records == [.rollback(generation: 2, base: base)])
        #expect(bench.state.version == 0)
        // What was under way is void: neither the late answer nor the close's durability commits anything.
        #expect(
            bench.says(.prepared(Prepared(step: 1, isFinite: true, norms: norms())), from: 1, generation: 1).isEmpty)
        let resets = bench.durable().sent.compactMap {
            if case .reset(let reset) = $0.message { (reset, $0.to) } else { nil }
        }
        #expect(resets.map(\.1) == [1, 3])
        #expect(resets[1].0 == Reset(version: 0, base: base, rank: 1, servers: 2))
        // The replaced one is sent away by name.
        #expect(bench.says(.heartbeat(Heartbeat()), from: 2).refusals.first?.reason == .session)
        #expect(bench.serverReturns(2, rank: 1, generation: 1, version: 1).refusals.first?.reason == .full)
        _ = bench.says(.ready(version: 0), from: 1)
        #expect(bench.says(.want, from: 11).grants.isEmpty)
        // The new members, then what it wanted meanwhile.
        let ready = bench.says(.ready(version: 0), from: 3)
        #expect(ready.said(to: 11).count == 2 && ready.grants[11]?.ticket == 0)
        guard case .members? = ready.said(to: 11).first else {
            Issue.record("it is granted what it cannot compute yet")
            return
        }
    }

    @Test func aServerIsLostDuringTheRollback() {
        var bench = CoordinatorBench.running(servers: 2)
        _ = bench.serverStarts(3, rank: 1)
        let stale = bench.journal.last!
        #expect(bench.serverStarts(4, rank: 0).records == [.rollback(generation: 3, base: base)])
        #expect(bench.happens(.durable(stale)).isEmpty)
        _ = bench.durable()
        #expect(bench.serverStarts(5, rank: 1).records == [.rollback(generation: 4, base: base)])
        _ = bench.durable()
        #expect(bench.says(.ready(version: 0), from: 4, generation: 3).isEmpty)
        for server in [4, 5] as [Incarnation] { _ = bench.says(.ready(version: 0), from: server) }
        #expect(bench.says(.want, from: 11).grants[11] != nil)
    }

    @Test func aBadCheckpointIsPassedOverForAnOlderOne() {
        var bench = CoordinatorBench.running()
        _ = bench.commits()
        _ = bench.says(.control(.checkpoint), from: 99)
        bench.saves(1, servers: 1)
        #expect(bench.state.checkpoints.map(\.version) == [0, 1])
        _ = bench.serverStarts(2, rank: 0)
        _ = bench.durable()
        let newest = CheckpointReference(version: 1, generation: 1)
        // A second reader decides.
        let failed = bench.says(.failed(version: 1, text: "hash", what: .loadDamaged), from: 2)
        #expect(failed.records.isEmpty)
        #expect(failed.examined == [newest])
        #expect(bench.says(.failed(version: 1, text: "hash", what: .loadDamaged), from: 2).examined.isEmpty, "once")
        let older = bench.happens(.examined(newest, .damaged("hash")))
        #expect(older.records == [.rollback(generation: 3, base: base)])
        #expect(older.warnings.first?.contains("step 1: hash; the one of step 0 is tried") == true)
        _ = bench.durable()
        // The oldest has nothing older, and that is not written down.
        _ = bench.says(.failed(version: 0, text: "hash", what: .loadDamaged), from: 2)
        let end = bench.happens(.examined(base, .damaged("hash")))
        #expect(end.records.isEmpty)
        guard case .finish(let code, let text)? = end.said(to: 2).first else {
            Issue.record("\(end)")
            return
        }
        #expect(code == 1)
        #expect(text.contains("step 0"))
    }

    /// What cannot be read may be whole: it is tried again, and then the job ends with its history as it was.
    @Test func whatCannotBeReadIsTriedAgainAndNeverMadeVoid() {
        for isDamageFirst in [false, true] {
            var bench = CoordinatorBench.running()
            _ = bench.commits()
            _ = bench.says(.control(.checkpoint), from: 99)
            bench.saves(1, servers: 1)
            _ = bench.serverStarts(2, rank: 0)
            _ = bench.durable()
            let journal = bench.journal
            let newest = CheckpointReference(version: 1, generation: 1)
            if isDamageFirst {
                // The server's own eyes are bad: the checkpoint is sound.
                _ = bench.says(.failed(version: 1, text: "hash", what: .loadDamaged), from: 2)
                #expect(bench.happens(.examined(newest, .sound)).warnings.count == 1)
            } else {
                let away = bench.says(.failed(version: 1, text: "stale mount", what: .loadUnavailable), from: 2)
                #expect(away.warnings.first?.contains("stale mount; it is tried again") == true)
            }
            let again = bench.passes(1000).said(to: 2)
            #expect(again.contains(.reset(Reset(version: 1, base: newest, rank: 0, servers: 1))))
            var back = bench
            _ = back.says(.ready(version: 1), from: 2)
            #expect(back.state.version == 1, "the storage came back")
            for _ in 0..<3 {
                #expect(bench.passes(9000).said(to: 2).allSatisfy { if case .finish = $0 { false } else { true } })
                _ = bench.says(.heartbeat(Heartbeat()), from: 2)
            }
            let end = bench.passes(4000).said(to: 2)
            guard case .finish(1, let text)? = end.last else {
                Issue.record("\(end)")
                return
            }
            #expect(text.contains("nothing was changed"))
            #expect(bench.journal == journal)
        }
    }

    /// A person named a checkpoint of another job: its rollback is the journal's first word, and whatever happens then,
    /// the job goes back no further.
    @Test func aNamedCheckpointIsTheBase() {
        let named = CheckpointReference(version: 6, foreign: "/elsewhere/step-6")
        var replay = Replay()
        for record in [
            .header(job: jobID, seed: 1, layoutDigest: Layouts.few.digest, recipe: [:]), .term(1, endpoint: ""),
            .rollback(generation: 1, base: nil), .checkpoint(CheckpointReference(version: 8), keeping: nil),
            .rollback(generation: 2, base: named),
        ] as [JournalRecord] { replay.apply(record) }
        #expect(replay.version == 6)
        #expect(replay.checkpoints == [named])
        var bench = CoordinatorBench(replay: replay)
        #expect(bench.serverStarts(1, rank: 0).records == [.rollback(generation: 3, base: named)])
        _ = bench.durable()
        _ = bench.says(.failed(version: 6, text: "hash", what: .loadDamaged), from: 1)
        let failed = bench.happens(.examined(named, .damaged("hash")))
        #expect(failed.said(to: 1).count == 1, "the end")
        #expect(failed.records.isEmpty)
    }

    /// The first thing such a job does is to save a checkpoint of its own: then it needs the other run no more.
    @Test func aBaseOfAnotherRunIsSavedAtOnce() {
        var replay = Replay()
        for record in [
            .header(job: jobID, seed: 1, layoutDigest: Layouts.few.digest, recipe: [:]),
            .rollback(generation: 1, base: CheckpointReference(version: 6, foreign: "/elsewhere/step-6")),
        ] as [JournalRecord] { replay.apply(record) }
        var bench = CoordinatorBench(replay: replay)
        _ = bench.serverStarts(1, rank: 0)
        _ = bench.durable()
        #expect(bench.says(.ready(version: 6), from: 1).said(to: 1).contains(.snapshot(version: 6)))
        bench.saves(6, servers: 1)
        #expect(bench.state.checkpoints == [CheckpointReference(version: 6, generation: 2)])
    }

    /// The files of a checkpoint go only when the journal does not name it any more, and that is durable.
    @Test func pruningWaitsForTheRecord() {
        var bench = CoordinatorBench.running()
        for version in [1, 2] as [Version] {
            _ = bench.commits()
            _ = bench.says(.control(.checkpoint), from: 99)
            bench.saves(version, servers: 1)
        }
        let last = CheckpointReference(version: 2, generation: 1)
        #expect(bench.journal.last == .checkpoint(last, keeping: [1]))
        #expect(bench.replay.checkpoints.map(\.version) == [1, 2])
        let kept = bench.durable().compactMap { if case .prune(let kept) = $0 { kept } else { nil } }
        #expect(kept == [[1, 2]])
    }

    @Test func journalRecordsSurviveTheirEncoding() throws {
        let records: [JournalRecord] = [
            .header(job: .max, seed: 7, layoutDigest: 9, recipe: ["train.batch": "2"]), .plan(identity: .max),
            .term(3, endpoint: "tcp://h:1"),
            .kernels(core: "Haswell", hash: 5),
            .rollback(generation: 2, base: nil), .rollback(generation: 3, base: base),
            .worker(8, name: "worker 0 (pid 1 on h)"),
            .checkpoint(base, keeping: [1, 2]),
            .checkpoint(CheckpointReference(version: 3, foreign: "/x"), keeping: nil),
            .stopAfter(version: 9), .finished(version: 9, exitCode: 75), .resumed, .ended, .recipe(["seed": "1"]),
        ]
        #expect(try JSON.decode([JournalRecord].self, from: JSON.compact(records)) == records)
        // And all of them together as the one record that a journal begins anew with.
        let replay = records.reduce(into: Replay()) { $0.apply($1) }
        let state = try JSON.decode(JournalRecord.self, from: JSON.compact(JournalRecord.state(replay)))
        #expect([state].reduce(into: Replay()) { $0.apply($1) } == replay)
    }

    /// What earlier releases wrote, and how it is read: a path below the run's own directory moves with it.
    @Test func journalsOfEarlierReleasesAreRead() throws {
        let lines: [(JournalRecord, String)] = [
            (
                .header(job: 5, seed: 7, layoutDigest: 9, recipe: nil),
                #"{"header":{"job":5,"layoutDigest":9,"seed":7}}"#
            ),
            (
                .checkpoint(CheckpointReference(version: 6), keeping: nil),
                #"{"checkpoint":{"_0":{"path":"/old/place/checkpoints/step-6","version":6}}}"#
            ),
            (
                .rollback(generation: 2, base: CheckpointReference(version: 6, foreign: "/good")),
                #"{"rollback":{"base":{"path":"/good","version":6},"generation":2}}"#
            ),
        ]
        for (record, line) in lines { #expect(try JSON.decode(JournalRecord.self, from: line.utf8) == record) }
    }

    /// As every release has written them: a journal is read by the next one.
    @Test func journalRecordsAreTheseBytes() throws {
        let lines: [(JournalRecord, String)] = [
            (
                .worker(11, name: "worker 0 (pid 1 on h)"), #"{"worker":{"_0":11,"name":"worker 0 (pid 1 on h)"}}"#
            ),
            (.checkpoint(base, keeping: [0]), #"{"checkpoint":{"_0":{"generation":1,"version":0},"keeping":[0]}}"#),
            (.stopAfter(version: 7), #"{"stopAfter":{"step":7}}"#),
            (.finished(version: 9, exitCode: 75), #"{"finished":{"exitCode":75,"step":9}}"#),
        ]
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        for (record, line) in lines {
            #expect(String(decoding: try encoder.encode(record), as: UTF8.self) == line)
            #expect(try JSONDecoder().decode(JournalRecord.self, from: Data(line.utf8)) == record)
        }
    }

    /// One that did not leave in order is named, once, with what is kept of its work.
    @Test func aCoordinatorThatFollowsOneThatIsGoneSaysSo() {
        var replay = Replay()
        replay.apply(.header(job: jobID, seed: 1, layoutDigest: Layouts.few.digest, recipe: [:]))
        replay.apply(.term(1, endpoint: "tcp://a:1"))
        replay.apply(.rollback(generation: 1, base: nil))
        replay.apply(.step(.counted(contribution(Attempt(ticket: 0, number: 1)), worker: 11)))
        var left = replay
        left.apply(.ended)

        var bench = CoordinatorBench(replay: replay)
        #expect(
            bench.passes(100).warnings == [
                "the coordinator before this one, at tcp://a:1, is gone: this one goes on from step 0, with 1 of the next "
                    + "step's tickets counted"
            ])
        #expect(bench.passes(100).warnings == [])
        var other = CoordinatorBench(replay: left)
        #expect(other.passes(100).warnings == [])
        // What an earlier release wrote does not tell.
        var older = CoordinatorBench(replay: Replay())
        #expect(older.passes(100).warnings == [])
    }

    /// What a former coordinator had counted of the open step is counted: the servers hold it.
    @Test func countedTicketsAreCountedByTheNextCoordinator() {
        var first = CoordinatorBench.running(servers: 1, workers: 1)
        _ = first.commits()
        guard let attempt = first.says(.want, from: 11).grants[11] else { return }
        _ = first.says(.contribution(contribution(attempt)), from: 11)
        #expect(first.journal.last == .step(.counted(contribution(attempt), worker: 11)))
        var bench = CoordinatorBench(servers: 1, replay: first.replay, incarnation: 1001)
        _ = bench.serverReturns(1, rank: 0, generation: 1, version: 1)
        _ = bench.workerStarts(12)
        let granted = bench.says(.want, from: 12).grants[12]
        #expect(granted?.ticket == Ticket(attempt.ticket.number + 1), "only what was not counted")
        guard let granted else { return }
        let effects = bench.says(.contribution(contribution(granted)), from: 12)
        #expect(
            effects.records.last
                == .step(.closed(1, attempts: [attempt, granted])))
        // Whoever had not heard that it is counted is told.
        #expect(bench.serverReturns(1, rank: 0, generation: 1, version: 1).records == [])

        // Where the servers have lost their memory it is void.
        var other = CoordinatorBench(servers: 1, replay: first.replay, incarnation: 1002)
        _ = other.serverStarts(2, rank: 0)
        _ = other.durable()
        _ = other.says(.ready(version: 0), from: 2)
        _ = other.workerStarts(12)
        #expect(other.says(.want, from: 12).grants[12]?.ticket == 0)
    }

    // MARK: Who comes first

    /// A coordinator that is started again waits for those that have the last steps in memory, before others have their places.
    @Test func aSpareDoesNotTakeThePlaceOfWhoHasTheMemory() {
        let first = CoordinatorBench.running(servers: 2, replicas: true)
        var bench = CoordinatorBench(servers: 2, replay: first.replay, incarnation: 1001, replicas: true)
        #expect(bench.serverStarts(7, takesOver: false).refusals.map(\.reason) == [.occupied])
        // Started by mistake for a rank, it is there before the one that has the memory.
        #expect(bench.serverStarts(8, rank: 1, takesOver: false).refusals.isEmpty)
        #expect(bench.serverReturns(1, rank: 0, generation: 1, version: 0).records == [], "the other is waited for")
        let whole = bench.serverReturns(2, rank: 1, generation: 1, version: 0)
        #expect(whole.refusals.isEmpty && whole.records.isEmpty, "both go on from memory")
        #expect(bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).state == .running)
        #expect(bench.says(.heartbeat(Heartbeat()), from: 8).refusals.map(\.reason) == [.session])
        #expect(bench.serverStarts(8, rank: 1, takesOver: false).refusals.map(\.reason) == [.occupied])
    }

    /// One that was done without, and has what it held then, makes room for the one that has the last steps.
    @Test func aYoungerMemoryComesFirst() {
        var replay = CoordinatorBench.running(servers: 2, replicas: true).replay
        replay.apply(.handover(generation: 2, version: 0, holders: [0, 1]))
        var bench = CoordinatorBench(servers: 2, replay: replay, incarnation: 1001, replicas: true)
        #expect(bench.serverReturns(5, rank: 0, generation: 1, version: 0).refusals.isEmpty)
        #expect(bench.serverReturns(2, rank: 1, generation: 2, version: 0).records == [], "another may be on its way")
        #expect(bench.serverReturns(1, rank: 0, generation: 2, version: 0).refusals.isEmpty)
        #expect(bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).state == .running)
        #expect(bench.serverReturns(5, rank: 0, generation: 1, version: 0).refusals.map(\.reason) == [.occupied])
    }

    /// A server that takes any rank was given that of one whose rank is given: else that one would wait for ever, and
    /// another rank have nobody.
    @Test func whoWantsARankComesBeforeWhoTakesAny() {
        var bench = CoordinatorBench(servers: 2, replicas: true)
        #expect(bench.serverStarts(7, takesOver: false).refusals.isEmpty)
        #expect(bench.serverStarts(1, rank: 0, takesOver: false).refusals.isEmpty)
        #expect(bench.says(.heartbeat(Heartbeat()), from: 7).refusals.map(\.reason) == [.session])
        #expect(bench.serverStarts(8, rank: 0, takesOver: false).refusals.map(\.reason) == [.occupied])
        #expect(bench.serverStarts(7, takesOver: false).decisions.count == 1, "the other rank is free: all are there")
    }

    /// After the time that a server's way back takes, whoever waits has the place of one that did not come.
    @Test func whoDoesNotComeBackIsNotWaitedForLong() {
        let first = CoordinatorBench.running(servers: 2, replicas: true)
        var bench = CoordinatorBench(servers: 2, replay: first.replay, incarnation: 1001, replicas: true)
        _ = bench.serverReturns(1, rank: 0, generation: 1, version: 0)
        _ = bench.passes(2900)
        #expect(bench.serverStarts(7, takesOver: false).refusals.map(\.reason) == [.occupied])
        #expect(bench.passes(200).decisions == [.handover(generation: 2, version: 0, holders: [0, 0])])
        #expect(bench.serverStarts(7, takesOver: false).refusals.isEmpty)
    }

    /// Whoever started it knows that the former one has ended.
    @Test func whoTakesOverIsNotHeldUp() {
        let first = CoordinatorBench.running(servers: 2)
        var bench = CoordinatorBench(servers: 2, replay: first.replay, incarnation: 1001)
        _ = bench.serverReturns(1, rank: 0, generation: 1, version: 0)
        #expect(bench.serverStarts(8, rank: 1).decisions.count == 1, "the rollback")
    }

    /// A server that answers for nothing has no say in what the others prepare and save.
    @Test func onlyWhoAnswersForAPartSavesAndPrepares() {
        var bench = CoordinatorBench.running(servers: 2, replicas: true)
        _ = bench.commits(servers: 2)
        // Server 0 answers for both parts; who takes the other's place follows.
        _ = bench.says(.leave(text: ""), from: 2)
        _ = bench.durable()
        _ = bench.says(.ready(version: 1), from: 1)
        _ = bench.serverStarts(3, rank: 1)
        _ = bench.passes(1000)
        _ = bench.says(.ready(version: 1), from: 3)
        #expect(bench.state.participants == [0, 1] && bench.state.holders == [0, 0])
        #expect(bench.says(.control(.checkpoint), from: 99).said(to: 1) == [.snapshot(version: 1)])
        #expect(bench.says(.saved(version: 1, files: []), from: 3).isEmpty, "nothing of it is the other's")
        #expect(bench.passes(1100).said(to: 1).contains(.snapshot(version: 1)))
        #expect(!bench.says(.saved(version: 1, files: []), from: 1).isEmpty)
    }

    /// What is said while servers are missing.
    @Test func aStopWhileServersAreMissingSaysWhatIsLost() {
        var first = CoordinatorBench.running(servers: 2)
        _ = first.commits(servers: 2)
        var bench = CoordinatorBench(servers: 2, replay: first.replay, incarnation: 1001)
        _ = bench.happens(.stop(exitCode: ExitStatus.preempted, text: "stopped"))
        let text = bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).text
        #expect(
            text
                == "stopped; the servers are not all there: the last commits are not saved, the job resumes from step 0"
        )
    }
}
