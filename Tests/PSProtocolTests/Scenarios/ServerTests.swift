// A server's rules, one at a time.

import PSMessages
import PSParameters
import PSProtocol
import Testing

@Suite struct ServerTests {
    private let commit = Commit(step: 0, scale: 0.5, learningRate: 1, averageDecay: 0.5, skip: false)

    @Test func pullsGetExactlyTheirVersion() {
        var bench = ServerBench.ready()
        #expect(bench.asks(.pull(version: 0, slices: [0])).published == [SliceHeader(index: 0, version: 0)])
        #expect(bench.asks(.pull(version: 1, slices: [0])).isEmpty, "parked")
        bench.takesAll()
        _ = bench.orders(.commit(commit))
        // The slice is published as soon as it is updated, before the commit is through.
        #expect(bench.happens(.updated(generation: 1, slice: 0)).published == [SliceHeader(index: 0, version: 1)])
        #expect(bench.asks(.pull(version: 0, slices: [0])).toWorkers == [.gone(version: 0, slices: [0])])
        #expect(bench.asks(.pull(version: 0, slices: [1])).published == [SliceHeader(index: 1, version: 0)])
    }

    /// The order to load comes while the configuration is read: it is not waited for until it comes again.
    @Test func anOrderThatComesEarlyIsDoneAsSoonAsItCanBe() {
        var bench = ServerBench()
        _ = bench.orders(welcome(), generation: 0)
        let reset = Reset(version: 0, base: nil, rank: 0, servers: 1)
        #expect(bench.orders(.reset(reset)).isEmpty)
        let effects = bench.happens(.configured(Layouts.few, twoTickets, bufferBytes: 1 << 20))
        #expect(effects.contains { if case .load(1, reset, _) = $0 { true } else { false } }, "\(effects)")
        #expect(bench.happens(.loaded(generation: 1)).toCoordinator == [.ready(version: 0)])
    }

    /// Whoever is at the other end of a new connection is greeted at once.
    @Test func aNewConnectionIsGreeted() {
        var bench = ServerBench()
        _ = bench.passes(0)
        #expect(bench.passes(100).toCoordinator.isEmpty, "a hello is on its way")
        let greeting = bench.happens(.coordinatorReached).toCoordinator
        #expect(greeting.count == 1)
        #expect(greeting.allSatisfy { if case .hello = $0 { true } else { false } }, "\(greeting)")
        #expect(ServerBench.ready().state.isServing)
        var ready = ServerBench.ready()
        #expect(ready.happens(.coordinatorReached).isEmpty, "it has joined")
    }

    @Test func strangersAreRefusedByName() {
        var bench = ServerBench.ready()
        let pull = Message.pull(version: 0, slices: [0])
        #expect(bench.asks(pull, job: 5).refusals == [.job])
        #expect(bench.asks(pull, to: 999).refusals == [.incarnation])
        #expect(bench.asks(pull, generation: 2).refusals == [.generation])
        #expect(bench.asks(.pull(version: 0, slices: [77])).refusals == [.malformed])
        #expect(bench.asks(.pull(version: 0, slices: [0, 0])).refusals == [.malformed])
        #expect(bench.asks(.want).refusals == [.malformed])
        let attempt = Attempt(ticket: 0, number: 1)
        #expect(bench.asks(.push(attempt, SliceHeader(index: 0, version: 0)), bytes: 3).refusals == [.malformed])
        #expect(bench.asks(.push(attempt, SliceHeader(index: 9, version: 0)), bytes: 3).refusals == [.malformed])
        #expect(bench.pushes(8, 0).refusals == [.stale])
        #expect(
            bench.asks(.push(Attempt(ticket: 2, number: 1), SliceHeader(index: 0, version: 0))).refusals == [.stale])
    }

    @Test func contributionsAreFoldedInTicketOrder() {
        var bench = ServerBench.ready()
        #expect(bench.pushes(1, 0).folds == [])
        #expect(bench.pushes(0, 0).folds == [0])
        #expect(bench.folds(0).folds == [1])
    }

    @Test func aTicketIsHeldWhenEverySliceIsHere() {
        var bench = ServerBench.ready()
        let attempt = Attempt(ticket: 0, number: 1)
        #expect(bench.pushes(0, 0).toWorkers == [.took(attempt, slice: 0)])
        #expect(bench.pushes(0, 1).toWorkers == [.took(attempt, slice: 1), .held(attempt)])
        // A copy, also one of another attempt, is not stored again, and is answered in full.
        let other = Attempt(ticket: 0, number: 2)
        let again = bench.pushes(0, 1, from: 12, number: 2)
        #expect(again.toWorkers == [.took(other, slice: 1), .held(other)])
        #expect(again.compared.count == 1)
        #expect(again.count == 3)
    }

    @Test func withoutRoomOnlyTheNextInOrderIsTaken() {
        var bench = ServerBench.ready(bufferBytes: 0)
        #expect(bench.pushes(1, 0, from: 12).isEmpty, "left without an answer")
        #expect(bench.pushes(0, 0).folds == [0])
        // Its turn has come: the sender is asked.
        #expect(bench.folds(0).toWorkers == [.resend(Attempt(ticket: 1, number: 1), slice: 0)])
        #expect(bench.pushes(1, 0, from: 12).folds == [1])
    }

    /// Another server has published all its slices, this one is still at the commit.
    @Test func aPushForTheNextStepIsAskedForWhenItOpens() {
        var bench = ServerBench.ready()
        bench.takesAll()
        _ = bench.orders(.commit(commit))
        #expect(bench.pushes(2, 0).isEmpty)
        _ = bench.happens(.updated(generation: 1, slice: 0))
        let effects = bench.happens(.updated(generation: 1, slice: 1))
        #expect(effects.toCoordinator == [.applied(step: 0)])
        #expect(effects.toWorkers == [.resend(Attempt(ticket: 2, number: 1), slice: 0)])
    }

    /// Whatever it is at, and whatever generation who asks knows.
    @Test func whoeverAsksWhetherItIsThereIsAnswered() {
        var bench = ServerBench.ready()
        let sign = Message.heartbeat(Heartbeat())
        #expect(bench.asks(sign, generation: 7).toWorkers == [sign])
        var waiting = ServerBench()
        _ = waiting.orders(welcome(), generation: 0)
        #expect(waiting.asks(sign).toWorkers == [sign])
    }

    @Test func whatComesTwiceIsComparedAndADifferenceSaidOnce() {
        var bench = ServerBench.ready()
        #expect(bench.pushes(0, 0).compared.isEmpty)
        let difference = Difference(ticket: 0, slice: 0, first: 11, second: 12)
        #expect(bench.pushes(0, 0, from: 12, number: 2).compared == [difference])
        _ = bench.folds(0)
        #expect(bench.pushes(0, 0, from: 12, number: 2).compared == [difference], "added already")
        let alarm = bench.happens(.differs(generation: 1, difference))
        #expect(alarm.toCoordinator == [.differs(difference)])
        #expect(bench.happens(.differs(generation: 1, difference)).isEmpty, "once a ticket")
        #expect(bench.pushes(0, 0, from: 12, number: 2).compared.isEmpty)
        #expect(bench.happens(.differs(generation: 0, difference)).isEmpty)
    }

    @Test func prepareIsAnsweredWhenTheLastTicketIsFolded() {
        var bench = ServerBench.ready()
        for (ticket, slice) in [(0, 0), (1, 0), (0, 1), (1, 1)] as [(Ticket, Int)] { _ = bench.pushes(ticket, slice) }
        for slice in [0, 0, 1] { _ = bench.folds(slice) }
        let prepare = Message.prepare(step: 0, attempts: [])
        #expect(bench.orders(prepare).isEmpty)
        let norms = [Prepared.Norm(slice: 0, squared: 3), Prepared.Norm(slice: 1, squared: 4)]
        let answer = Message.prepared(Prepared(step: 0, isFinite: true, norms: norms))
        #expect(bench.folds(1).toCoordinator == [answer])
        #expect(bench.orders(prepare).toCoordinator == [answer], "and again when asked again")
        #expect(bench.orders(.prepare(step: 1, attempts: [])).isEmpty)
        #expect(bench.orders(prepare, generation: 2).isEmpty)
    }

    @Test func aCommitIsAppliedOnce() {
        var bench = ServerBench.ready()
        #expect(bench.orders(.commit(commit)).isEmpty, "nothing is prepared")
        bench.takesAll()
        #expect(bench.orders(.commit(commit)).count == 2)
        #expect(bench.orders(.commit(commit)).isEmpty, "under way")
        for slice in 0..<2 { _ = bench.happens(.updated(generation: 1, slice: slice)) }
        #expect(bench.state.version == 1)
        #expect(bench.orders(.commit(commit)).toCoordinator == [.applied(step: 0)])
        #expect(bench.state.version == 1)
        var other = commit
        other.scale = 0.25
        #expect(bench.orders(.commit(other)).exit?.code == ExitStatus.failed)
    }

    @Test func aSaveIsAnsweredAgainWhenAskedAgain() {
        var bench = ServerBench.ready()
        let order = Message.snapshot(version: 0)
        #expect(bench.orders(order).toCoordinator == [.snapshotting(version: 0)])
        let files = [SavedFile(name: "a", content: "weights", bytes: 1, sha256: "")]
        let saved = Message.saved(version: 0, files: files)
        #expect(bench.happens(.saved(generation: 1, version: 0, files)).toCoordinator == [saved])
        #expect(bench.orders(order).toCoordinator == [saved])
        #expect(bench.orders(.snapshot(version: 3)).refusals == [.stale])
        // A failure too: the word of it may have got lost.
        var failing = ServerBench.ready()
        _ = failing.orders(order)
        let failed = Message.failed(version: 0, text: "full", what: .saveFailed)
        #expect(
            failing.happens(.saveFailed(generation: 1, version: 0, "full", mayPass: false)).toCoordinator == [failed])
        #expect(failing.orders(order).toCoordinator == [failed])
    }

    /// A coordinator that died may have renamed the parts: its successor has them written anew.
    @Test func anotherCoordinatorHasTheSnapshotWrittenAnew() {
        var bench = ServerBench.ready()
        _ = bench.orders(.snapshot(version: 0))
        _ = bench.happens(.saved(generation: 1, version: 0, []))
        _ = bench.orders(welcome(), term: 6, from: 2000)
        let effects = bench.orders(.snapshot(version: 0), term: 6, from: 2000)
        #expect(effects.toCoordinator == [.snapshotting(version: 0)])
        #expect(effects.count == 2)
    }

    @Test func aRestartedCoordinatorIsToldWhatIsHeld() {
        var bench = ServerBench.ready()
        bench.takesAll()
        _ = bench.orders(.commit(commit))
        _ = bench.happens(.updated(generation: 1, slice: 0))
        // In the middle of a commit the successor refuses a heartbeat by name: the server waits until it knows.
        _ = bench.orders(.refusal(Refusal(.incarnation, "")), term: 6, from: 2000)
        #expect(bench.passes(100).isEmpty)
        _ = bench.happens(.updated(generation: 1, slice: 1))
        guard case .hello(let hello)? = bench.passes(100).toCoordinator.first else {
            Issue.record("another answer")
            return
        }
        #expect(hello.memory == Hello.Memory(version: 1, lastCommit: commit))
        #expect(hello.rank == 0)
        _ = bench.orders(welcome(), term: 6, from: 2000)
        #expect(bench.orders(.commit(commit), term: 6, from: 2000).toCoordinator == [.applied(step: 0)])
        // The former one is refused by its term.
        #expect(bench.orders(.snapshot(version: 1)).refusals == [.term])
    }

    @Test func aRefusalBeforeTheWelcomeIsHeard() {
        var bench = ServerBench()
        #expect(bench.orders(.refusal(Refusal(.full, "all are up"))).exit?.text.contains("all are up") == true)
        var other = ServerBench()
        #expect(other.orders(.finish(exitCode: 75, text: "stopped")).exit?.code == 75)
    }

    @Test func aLaterGenerationDropsEverything() {
        var bench = ServerBench.ready()
        _ = bench.pushes(0, 0)
        let reset = Message.reset(Reset(version: 4, base: CheckpointReference(version: 4), rank: 0, servers: 1))
        #expect(bench.orders(reset, generation: 2).count == 2)
        #expect(bench.orders(reset, generation: 2).isEmpty, "loading already")
        #expect(bench.asks(.pull(version: 4, slices: [0]), generation: 2).refusals == [.generation], "not yet")
        #expect(bench.folds(0).isEmpty, "of the former generation")
        #expect(bench.happens(.loaded(generation: 1)).isEmpty)
        #expect(bench.happens(.loaded(generation: 2)).toCoordinator == [.ready(version: 4)])
        #expect(bench.orders(reset, generation: 2).toCoordinator == [.ready(version: 4)])
        #expect(bench.orders(reset, generation: 1).isEmpty)
    }

    @Test func withoutACoordinatorItLeavesToBeResumed() {
        var bench = ServerBench.ready()
        #expect(bench.passes(119_999).exit == nil)
        #expect(bench.passes(1).exit?.code == ExitStatus.preempted)
    }
}
