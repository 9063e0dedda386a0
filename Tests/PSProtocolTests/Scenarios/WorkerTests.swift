// A worker's rules, one at a time.

import PSMessages
import PSParameters
import PSProtocol
import Testing

@Suite struct WorkerTests {
    private let first = Attempt(ticket: 0, number: 7)

    @Test func itPullsComputesPushesAndContributesWhenAllHold() {
        var bench = WorkerBench.idle()
        #expect(bench.hears(.grant(first, version: 0)).pulls == [0: [0]], "statistics are not pulled")
        #expect(bench.hearsServer(1, .publish(SliceHeader(index: 0, version: 0))).computes == [first])
        #expect(bench.happens(.gradientReady(first, slice: 1)).pushes == [1])
        #expect(bench.happens(.gradientReady(first, slice: 0)).pushes == [0])
        _ = bench.hearsServer(1, .held(first))
        #expect(bench.happens(.computed(contribution(first))).toCoordinator.isEmpty, "one server does not hold it")
        #expect(bench.hearsServer(2, .held(first)).toCoordinator == [.contribution(contribution(first))])
        #expect(bench.passes(1000).toCoordinator == [.contribution(contribution(first))], "until it is answered")
        #expect(bench.hears(.counted(first)).toCoordinator == [.want])
        #expect(bench.state.ticketsDone == 1)
        // A late copy of the grant is no new one; another ticket of the same version needs no pull.
        #expect(bench.hears(.grant(first, version: 0)).isEmpty)
        let second = Attempt(ticket: 1, number: 8)
        #expect(bench.hears(.grant(second, version: 0)).computes == [second])
    }

    @Test func onlyTheExactVersionIsLoaded() {
        var bench = WorkerBench.idle()
        _ = bench.hears(.grant(Attempt(ticket: 2, number: 7), version: 1))
        #expect(bench.hearsServer(1, .publish(SliceHeader(index: 0, version: 0))).isEmpty)
        #expect(bench.hearsServer(1, .publish(SliceHeader(index: 0, version: 1)), generation: 0).isEmpty)
        #expect(bench.hearsServer(3, .publish(SliceHeader(index: 0, version: 1))).isEmpty, "no member")
        #expect(!bench.hearsServer(1, .publish(SliceHeader(index: 0, version: 1))).computes.isEmpty)
    }

    @Test func whatIsNotTakenIsPushedAgain() {
        var bench = WorkerBench.pushing(first)
        _ = bench.hearsServer(1, .took(first, slice: 0))
        let again = bench.passes(5000)
        // Slice 0 was taken but the word that server 0 holds the ticket got lost: one slice brings it back.
        #expect(again.pushes == [0, 1])
        #expect(again.toCoordinator == [.want], "perhaps another ticket must come first")
        #expect(bench.passes(5000).pushes == [], "ever more slowly")
        #expect(bench.passes(5000).pushes == [0, 1])
        #expect(bench.hearsServer(2, .resend(first, slice: 1)).pushes == [1])
        #expect(bench.hearsServer(2, .resend(Attempt(ticket: 0, number: 6), slice: 1)).pushes == [])
    }

    /// Who was told to take a place over does so once; displaced, it takes another.
    @Test func aPlaceIsTakenOverOnce() {
        var hello = Hello(role: .worker, host: "w", pid: 1, rank: 3)
        hello.takesOver = true
        var state = WorkerState(hello: hello, incarnation: 11, at: MonotonicTime(milliseconds: 0))
        func hellos(_ effects: [WorkerState.Effect]) -> [Bool] {
            effects.toCoordinator.compactMap { if case .hello(let hello) = $0 { hello.takesOver } else { nil } }
        }
        let now = MonotonicTime(milliseconds: 0)
        _ = state.receive(.coordinatorSaid(challenge(7, to: 11)), at: now)
        let first = state.receive(.proved(runKey, Challenge(number: 7, runDirectory: "/run")), at: now)
        #expect(hellos(first) == [true])
        let envelope = { (message: Message) in
            Envelope(job: jobID, generation: 1, term: 5, source: coordinatorID, destination: 11, message: message)
        }
        _ = state.receive(.coordinatorSaid(envelope(welcome())), at: now)
        _ = state.receive(.coordinatorSaid(envelope(.refusal(Refusal(.session, "say hello")))), at: now)
        #expect(hellos(state.receive(.tick, at: MonotonicTime(milliseconds: 2000))) == [false])
    }

    /// A server asks late for a slice of an attempt that is computed a second time: it gets none that is not final.
    @Test func whatIsStillBeingComputedIsNotPushed() {
        var bench = WorkerBench.computing(first)
        #expect(bench.hearsServer(1, .resend(first, slice: 0)).pushes == [])
        _ = bench.happens(.gradientReady(first, slice: 0))
        #expect(bench.hearsServer(1, .resend(first, slice: 0)).pushes == [0])
        #expect(bench.hearsServer(2, .resend(first, slice: 1)).pushes == [])
        _ = bench.hearsServer(1, .took(first, slice: 0))
        #expect(bench.hearsServer(1, .resend(first, slice: 0)).pushes == [], "it has been taken")
    }

    @Test func aLaterGrantReplacesAContributionWithoutRoom() {
        var bench = WorkerBench.pushing(Attempt(ticket: 1, number: 7))
        #expect(bench.hears(.grant(Attempt(ticket: 1, number: 7), version: 0)).isEmpty)
        let lower = Attempt(ticket: 0, number: 8)
        #expect(bench.hears(.grant(lower, version: 0)).computes == [lower])
        #expect(bench.hearsServer(1, .held(Attempt(ticket: 1, number: 7))).isEmpty)
    }

    /// An immediate new want would meet the same refusal again, thousands of times a second.
    @Test func afterARefusalItAsksOnlyWhenARetryIsDue() {
        var bench = WorkerBench.idle()
        _ = bench.hears(.grant(first, version: 0))
        #expect(bench.hearsServer(1, .gone(version: 0, slices: [0])).isEmpty)
        #expect(bench.passes(999).toCoordinator.isEmpty)
        #expect(bench.passes(1).toCoordinator == [.want])
        #expect(!bench.hears(.grant(first, version: 0)).pulls.isEmpty, "the attempt may stand")
        #expect(bench.hearsServer(1, .refusal(Refusal(.malformed, "no such slice"))).exit?.code == ExitStatus.failed)
    }

    @Test func anAbandonedComputationIsNotContributed() {
        var bench = WorkerBench.computing(first)
        _ = bench.hears(WorkerBench.members, generation: 2)
        #expect(bench.happens(.gradientReady(first, slice: 0)).isEmpty)
        #expect(bench.happens(.computed(contribution(first))).toCoordinator == [.want])
        // The weights are of the former generation.
        #expect(!bench.hears(.grant(Attempt(ticket: 0, number: 9), version: 0), generation: 2).pulls.isEmpty)
    }

    @Test func aRestartedCoordinatorIsJoinedWhileComputing() {
        var bench = WorkerBench.computing(first)
        _ = bench.hears(.refusal(Refusal(.incarnation, "")), term: 6, from: 2000)
        guard case .hello(let hello)? = bench.passes(100).toCoordinator.first else {
            Issue.record("another answer")
            return
        }
        #expect(hello.rank == 0)
        #expect(bench.hears(welcome(), term: 6, from: 2000).isEmpty)
        #expect(bench.hears(.refusal(Refusal(.incarnation, "late")), term: 6, from: 2000).isEmpty)
        #expect(bench.passes(1000).toCoordinator.isEmpty, "it is joined and computes")
        #expect(bench.happens(.computed(contribution(first))).toCoordinator == [.want])
        // The former coordinator is refused by its term.
        guard case .refusal(let refusal)? = bench.hears(.counted(first)).toCoordinator.first else {
            Issue.record("another answer")
            return
        }
        #expect(refusal.reason == .term)
    }

    @Test func aLateRefusalDoesNotEndAnAttempt() {
        var bench = WorkerBench.pushing(first)
        for server in 1...2 as ClosedRange<Incarnation> { _ = bench.hearsServer(server, .held(first)) }
        #expect(bench.hears(.refusal(Refusal(.stale, "of an earlier one"))).toCoordinator == [.want])
        #expect(bench.hears(.grant(first, version: 0)).computes == [first])
    }

    @Test func whatCannotBeIsSaidAtOnce() {
        var digest = WorkerBench()
        _ = digest.hears(welcome(digest: 1), generation: 0)
        #expect(digest.happens(.configured(Layouts.few, statistics: false)).exit?.text.contains("same release") == true)
        var kernels = WorkerBench()
        #expect(kernels.hears(.refusal(Refusal(.kernels, "other bits"))).exit?.code == ExitStatus.refused)
        var version = WorkerBench()
        #expect(
            version.happens(.otherVersion("version 2")).exit == ExitStatus(code: ExitStatus.refused, text: "version 2"))
        var joined = WorkerBench.idle()
        #expect(joined.happens(.otherVersion("a stray frame")).isEmpty)
        var job = WorkerBench.idle()
        #expect(job.hears(.grant(first, version: 0), job: 5).exit?.code == ExitStatus.failed)
        for mayPass in [true, false] {
            var compute = WorkerBench.computing(first)
            let exit = compute.happens(.computeFailed(first, "a bad image", mayPass: mayPass)).exit
            #expect(exit?.text.contains("a bad image") == true)
            #expect(exit?.code == (mayPass ? ExitStatus.failed : ExitStatus.refused))
        }
    }

    /// A server that has nothing to say answers when it is asked; one that does not is out of reach.
    @Test func aServerThatDoesNotAnswerIsNamed() {
        var bench = WorkerBench.computing(first)
        var warnings: [String] = []
        var asked: [Int: Int] = [:]
        for _ in 0..<60 {
            _ = bench.hears(.heartbeat(Heartbeat()))
            let effects = bench.passes(100)
            warnings += effects.warnings
            for server in effects.asksWhetherThere {
                asked[server, default: 0] += 1
                if server == 0 { #expect(bench.hearsServer(1, .heartbeat(Heartbeat())).isEmpty) }
            }
        }
        #expect(warnings == ["no word from server 1 at b, asked 5 times: no ticket is taken until there is"])
        #expect(asked == [0: 6, 1: 6], "once a second, and on when it is lost")
        let heartbeat = bench.passes(500).heartbeat
        #expect(heartbeat?.unreachable == 1)
        #expect(heartbeat?.activity == "no word from server 1 at b")
        // What is computed goes on, and is pushed as far as it goes; another ticket is not taken.
        #expect(bench.happens(.gradientReady(first, slice: 1)).pushes == [1])
        _ = bench.happens(.computed(contribution(first)))
        #expect(bench.hears(.grant(Attempt(ticket: 1, number: 9), version: 0)).isEmpty)
        // Any word of another generation's, too, is a sign; what was lost on the way is sent again at once.
        let back = bench.hearsServer(2, .heartbeat(Heartbeat()), generation: 7)
        #expect(back.warnings == ["server 1 answers again"])
        let next = bench.passes(100)
        #expect(next.pushes == [1])
        #expect(next.heartbeat?.unreachable == nil)
    }

    /// Its process stood still: it did not ask, so nobody left it without an answer.
    @Test func aWorkerThatStoodStillBlamesNobody() {
        var bench = WorkerBench.computing(first)
        let effects = bench.passes(60_000)
        #expect(effects.warnings.isEmpty)
        #expect(effects.asksWhetherThere == [0, 1])
    }
}
