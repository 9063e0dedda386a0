// A step as the coordinator sequences it: tickets, close, prepare, commit, snapshots.

import PSMessages
import PSProtocol
import Testing

@Suite struct StepTests {
    @Test func ticketsAreGrantedLowestFirst() {
        var bench = CoordinatorBench.running(workers: 3, ticketsPerStep: 3)
        let tickets = (0..<3).map { bench.says(.want, from: Incarnation(11 + $0)).grants[Incarnation(11 + $0)]?.ticket }
        #expect(tickets == [0, 1, 2])
        // The first one's worker leaves: its ticket goes first, whoever asks.
        _ = bench.says(.leave(text: ""), from: 11)
        _ = bench.workerStarts(14)
        #expect(bench.says(.want, from: 14).grants[14]?.ticket == 0)
    }

    @Test func aRepeatedWantGetsTheSameGrant() {
        var bench = CoordinatorBench.running()
        let first = bench.says(.want, from: 11).grants[11]
        #expect(first != nil)
        #expect(bench.says(.want, from: 11).grants[11] == first)
    }

    /// A server without room takes ticket 1 only after ticket 0; when the worker of ticket 0 is gone and nobody is
    /// free, the worker of ticket 1 must compute it.
    @Test func whoIsBlockedByAnOpenTicketIsGivenIt() {
        var bench = CoordinatorBench.running(workers: 2)
        _ = bench.says(.want, from: 11)
        let blocked = bench.says(.want, from: 12).grants[12]
        #expect(blocked?.ticket == 1)
        _ = bench.says(.leave(text: ""), from: 11)
        #expect(bench.says(.want, from: 12).grants[12]?.ticket == 0)
    }

    @Test func commitWaitsForTheDiskAndForEveryServer() {
        var bench = CoordinatorBench.running(servers: 2)
        let effects = bench.contributesAll()
        #expect(effects.decisions.count == 2, "the kernels and the close are journaled as prepare goes out")
        #expect(effects.sent.filter { if case .prepare = $0.message { true } else { false } }.map(\.to) == [1, 2])
        let norms = [[Prepared.Norm(slice: 1, squared: 900)], [Prepared.Norm(slice: 0, squared: 1600)]]
        #expect(bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms[0])), from: 2).commits.isEmpty)
        #expect(bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms[1])), from: 1).commits.isEmpty)
        let decided = bench.durable()
        #expect(decided.commits.count == 2)
        // The rule is asked with the norms in slice order, and its answer goes out bit for bit.
        let scale = Arithmetic.rule.clip([1600, 900]).scale
        #expect(scale != Arithmetic.rule.clip([900, 1600]).scale)
        #expect(decided.commits.first == Commit(step: 0, scale: scale, learningRate: 1, averageDecay: 0.5, skip: false))
        #expect(Set(decided.commits).count == 1)
        #expect(decided.records == [.step(.committed(decided.commits[0], norm: 50))])
    }

    @Test func ordersAreRepeatedToThoseWhoAreSilent() {
        var bench = CoordinatorBench.running(servers: 2)
        _ = bench.contributesAll()
        _ = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms(of: 0, servers: 2))), from: 1)
        let again = bench.passes(1000).sent
        #expect(again.map(\.to).contains(2))
        #expect(!again.contains { if case .prepare = $0.message { $0.to == 1 } else { false } })
    }

    @Test func nextTicketsAreGrantedBeforeServersHaveApplied() {
        var bench = CoordinatorBench.running()
        _ = bench.contributesAll()
        _ = bench.durable()
        _ = bench.says(.want, from: 11)
        let effects = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms())), from: 1)
        #expect(effects.grants[11]?.ticket == 2)
        // But the step is not closed before they have.
        _ = bench.says(.contribution(contribution(effects.grants[11]!)), from: 11)
        let last = bench.says(.want, from: 11).grants[11]!
        #expect(bench.says(.contribution(contribution(last)), from: 11).decisions.isEmpty)
        #expect(!bench.says(.applied(step: 0), from: 1).records.isEmpty)
    }

    @Test func aRevokedAttemptDoesNotCount() {
        var bench = CoordinatorBench.running(workers: 2)
        let attempt = bench.says(.want, from: 11).grants[11]!
        _ = bench.says(.want, from: 12)
        _ = bench.workerStarts(13, rank: 0)
        _ = bench.says(.want, from: 13)
        #expect(bench.says(.contribution(contribution(attempt)), from: 12).refusals.first?.reason == .stale)
    }

    @Test func answersToOldOrdersAreNotTaken() {
        var bench = CoordinatorBench.running()
        _ = bench.commits()
        _ = bench.contributesAll()
        _ = bench.durable()
        #expect(bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms())), from: 1).commits.isEmpty)
        #expect(
            bench.says(.prepared(Prepared(step: 1, isFinite: true, norms: norms())), from: 1, generation: 0).commits
                .isEmpty)
        #expect(bench.says(.prepared(Prepared(step: 1, isFinite: true, norms: norms())), from: 1).commits.count == 1)
    }

    @Test func aStepThatIsNotFiniteIsSkippedAndKInARowEndTheJob() {
        var bench = CoordinatorBench.running()
        let first = bench.commits(isFinite: false)
        #expect(first.commits == [Commit(step: 0, scale: 0, learningRate: 1, averageDecay: 0.5, skip: true)])
        _ = bench.commits()
        _ = bench.commits(isFinite: false)
        _ = bench.commits(isFinite: false)
        #expect(bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).nonFiniteSteps == 2)
        // A restarted coordinator counts on.
        #expect(bench.replay.skippedSteps == [0, 2, 3])
        // The step 0 that is saved led to a gradient that was not finite: there is no way back.
        _ = bench.commits(isFinite: false)
        for message in [Message.snapshotting(version: 5), .saved(version: 5, files: [])] {
            _ = bench.says(message, from: 1)
        }
        _ = bench.happens(.checkpointCompleted(CheckpointReference(version: 5, generation: 1)))
        let finish = bench.happens(.durable(.finished(version: 5, exitCode: 1))).said(to: 11)
        guard case .finish(let code, let text)? = finish.first else {
            Issue.record("\(finish)")
            return
        }
        #expect(code == 1)
        #expect(text.contains("3 steps in a row"))
    }

    @Test func aLossThatIsNoNumberIsReportedAsNone() {
        var bench = CoordinatorBench.running(ticketsPerStep: 1)
        var bad = contribution(bench.says(.want, from: 11).grants[11]!)
        bad.loss = .nan
        _ = bench.says(.contribution(bad), from: 11)
        _ = bench.happens(.durable(.step(.closed(0, attempts: []))))
        let effects = bench.says(.prepared(Prepared(step: 0, isFinite: false, norms: norms())), from: 1)
        let reports = effects.compactMap { if case .stepDone(let report) = $0 { report } else { nil } }
        #expect(reports.count == 1)
        #expect(reports.first?.loss == nil)
    }

    @Test func nothingIsCommittedAfterTheJournalFails() {
        var bench = CoordinatorBench.running()
        _ = bench.contributesAll()
        _ = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms())), from: 1)
        let effects = bench.happens(.journalFailed("disk full"))
        #expect(effects.said(to: 1) == [.finish(exitCode: 1, text: "disk full")])
        #expect(bench.durable().isEmpty)
    }

    /// A worker computes wrongly: people are told which, once a ticket, and the job goes on with what came first.
    @Test func aTicketThatCameTwiceWithOtherValuesIsSaid() {
        var bench = CoordinatorBench.running(servers: 2, workers: 2)
        let difference = Difference(ticket: 1, slice: 0, first: 11, second: 12)
        let text = bench.says(.differs(difference), from: 2).warnings.first ?? ""
        for part in ["ticket 1", "server 1", "slice 0", "worker 0 (pid", "worker 1 (pid", "whose values count"] {
            #expect(text.contains(part), "\(text)")
        }
        #expect(bench.says(.differs(difference), from: 1).isEmpty, "once")
        #expect(bench.says(.differs(Difference(ticket: 900, slice: 0, first: 11, second: 12)), from: 1).isEmpty)
        #expect(bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).differingTickets == 1)
    }

    @Test func aServersNormsAreOfItsOwnSlices() {
        var bench = CoordinatorBench.running(servers: 2, workers: 1)
        _ = bench.contributesAll()
        _ = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms(of: 0, servers: 2))), from: 1)
        for wrong in [norms(of: 0, servers: 2), norms(of: 0, servers: 1), []] {
            let effects = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: wrong)), from: 2)
            #expect(effects.refusals.first?.reason == .malformed)
        }
        let own = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms(of: 1, servers: 2))), from: 2)
        #expect(own.refusals.isEmpty)
    }

    @Test func aContributionIsOfAWholeTicket() {
        var bench = CoordinatorBench.running(workers: 1)
        let attempt = bench.says(.want, from: 11).grants[11]!
        let wrong = Contribution(attempt: attempt, loss: 2.5, correct: 1, samples: 5, norm: 1)
        #expect(bench.says(.contribution(wrong), from: 11).refusals.first?.reason == .malformed)
        #expect(bench.says(.contribution(contribution(attempt)), from: 11).refusals.isEmpty)
    }
}
