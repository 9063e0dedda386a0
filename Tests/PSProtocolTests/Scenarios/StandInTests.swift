// Who answers for a server that is gone, one rule at a time, and how it gets its part back.

import PSMessages
import PSParameters
import PSProtocol
import Testing

extension CoordinatorBench {
    /// All of `servers` say how far their replicas are.
    mutating func beats(_ servers: [Incarnation], behind: Int = 0) -> [CoordinatorState.Effect] {
        servers.flatMap { server in
            var heartbeat = Heartbeat()
            heartbeat.behind = behind
            return says(.heartbeat(heartbeat), from: server)
        }
    }

    /// The connection of a server is closed, and does not come back.
    mutating func disappears(_ server: Incarnation) -> [CoordinatorState.Effect] {
        let closed = happens(.closed(server))
        return closed + passes(250)
    }
}

extension [CoordinatorState.Effect] {
    var resets: [Incarnation: Reset] {
        sent.reduce(into: [:]) { if case .reset(let reset) = $1.message { $0[$1.to] = reset } }
    }

    func holders(to worker: Incarnation) -> Holders? {
        said(to: worker).compactMap { if case .members(let holders) = $0 { holders } else { nil } }.last
    }
}

@Suite struct StandInTests {
    private func running(servers: Int = 3, workers: Int = 1) -> CoordinatorBench {
        .running(servers: servers, workers: workers, replicas: true)
    }

    /// Server 2 is gone, 3 answers for its part, and 22 follows in its place.
    private func replaced(steps: Version = 10) -> CoordinatorBench {
        var bench = CoordinatorBench.running(servers: 3, steps: steps, replicas: true)
        _ = bench.beats([1, 2, 3])
        _ = bench.disappears(2)
        _ = bench.durable()
        for server in [1, 3] { _ = bench.says(.ready(version: 0), from: Incarnation(server)) }
        _ = bench.serverStarts(22, rank: 1)
        _ = bench.says(.ready(version: 0), from: 22)
        return bench
    }

    @Test func aLoadIsOfReplicasAsWell() {
        var bench = CoordinatorBench(servers: 3, replicas: true)
        for server in 1...3 { _ = bench.serverStarts(Incarnation(server), rank: server - 1) }
        let resets = bench.durable().resets
        #expect(resets[2]?.serves == [1])
        #expect(resets[2]?.follows.map(\.shard) == [0])
        #expect(resets[2]?.follows.map(\.server.incarnation) == [1])
        #expect(resets[1]?.follows.map(\.shard) == [2])
        #expect(resets[1]?.expects == [0])
        #expect(resets[1]?.root == nil)
    }

    @Test func theNeighbourAnswersForAServerThatIsGone() {
        var bench = running()
        _ = bench.beats([1, 2, 3])
        let former = bench.says(.want, from: 11).grants[11]
        #expect(bench.happens(.closed(2)).isEmpty, "it may come back by another connection")
        let effects = bench.passes(250)
        #expect(effects.records == [.handover(generation: 2, version: 0, holders: [0, 2, 2])])
        #expect(effects.warnings.contains("server 1 (pid 3 on s) is gone"), "\(effects.warnings)")
        #expect(effects.warnings.contains("server 2 answers for the part of server 1 from step 0 on"))
        let resets = bench.durable().resets
        #expect(resets.keys.sorted() == [1, 3])
        #expect(resets[3]?.serves == [1, 2])
        #expect(resets[3]?.root == 1)
        #expect(resets[1]?.follows.map(\.server.incarnation) == [3], "it keeps the replica of server 2's part")
        #expect(resets[3]?.expects == [2], "nobody else has the part of server 1")
        _ = bench.says(.ready(version: 0), from: 1)
        let running = bench.says(.ready(version: 0), from: 3)
        let holders = running.holders(to: 11)
        #expect(holders?.servers.map(\.incarnation) == [1, 3])
        #expect(holders?.byShard == [0, 1, 1])
        // What was granted is void: the ticket is computed again.
        let again = bench.says(.want, from: 11).grants[11]
        #expect(again?.ticket == former?.ticket)
        #expect(again != former)
    }

    @Test func aConnectionThatComesBackIsNoLoss() {
        var bench = running()
        _ = bench.beats([1, 2, 3])
        _ = bench.happens(.closed(2))
        _ = bench.serverReturns(2, rank: 1, generation: 1, version: 0)
        #expect(bench.passes(400).records == [])
    }

    @Test func whoIsSilentForLongIsFenced() {
        var bench = running()
        _ = bench.passes(3000)
        _ = bench.beats([1, 3])
        #expect(bench.passes(900).records == [])
        _ = bench.beats([1, 3])
        let effects = bench.passes(100)
        #expect(effects.warnings.contains("server 1 (pid 3 on s) is silent"), "\(effects.warnings)")
        #expect(effects.records == [.handover(generation: 2, version: 0, holders: [0, 2, 2])])
    }

    /// The decision stands, and those that are left carry it out before anything else.
    @Test func aCommitThatIsOutIsCarriedThrough() {
        var bench = running()
        _ = bench.beats([1, 2, 3])
        _ = bench.contributesAll()
        _ = bench.durable()
        var decision: [CoordinatorState.Effect] = []
        for server in 1...3 {
            let prepared = Prepared(step: 0, isFinite: true, norms: norms(of: server - 1, servers: 3))
            decision = bench.says(.prepared(prepared), from: Incarnation(server))
        }
        #expect(decision.commits.count == 3)
        _ = bench.says(.applied(step: 0), from: 1)
        #expect(bench.disappears(2).records == [])
        let last = bench.says(.applied(step: 0), from: 3)
        #expect(last.records == [.handover(generation: 2, version: 1, holders: [0, 2, 2])])
    }

    /// Its servers say so: then there is no other way.
    @Test func whenBothAreGoneTheJobGoesBack() {
        var bench = running()
        _ = bench.beats([1, 2, 3])
        _ = bench.disappears(2)
        _ = bench.durable()
        _ = bench.says(.ready(version: 0), from: 1)
        let lacking = bench.says(
            .failed(version: 0, text: "step 0 of 1 slices is not in its memory", what: .memoryGone), from: 3)
        #expect(lacking.warnings.contains { $0.hasPrefix("both servers that had the part of server") })
        #expect(lacking.records == [])
        _ = bench.serverStarts(22, rank: 1)
        let base = CheckpointReference(version: 0, generation: 1)
        #expect(bench.journal.last == .rollback(generation: 3, base: base))
    }

    @Test func whoIsBackFollowsAndGetsItsPartBetweenTwoSteps() {
        var bench = running()
        _ = bench.beats([1, 2, 3])
        _ = bench.disappears(2)
        _ = bench.durable()
        for server in [1, 3] { _ = bench.says(.ready(version: 0), from: Incarnation(server)) }
        let welcome = bench.serverStarts(22, rank: 1)
        let reset = welcome.resets[22]
        #expect(reset?.serves == [])
        #expect(reset?.follows.map(\.shard) == [0, 1])
        #expect(reset?.follows.map(\.server.incarnation) == [1, 3])
        _ = bench.says(.ready(version: 0), from: 22)
        // Tickets go on meanwhile.
        let attempt = bench.says(.want, from: 11).grants[11]!
        _ = bench.beats([22], behind: 2)
        #expect(bench.passes(500).records == [])
        _ = bench.beats([1, 3, 22])
        #expect(bench.passes(500).records == [], "a step is under way")
        _ = bench.says(.contribution(contribution(attempt)), from: 11)
        let second = bench.says(.want, from: 11).grants[11]!
        _ = bench.says(.contribution(contribution(second)), from: 11)
        _ = bench.durable()
        let map = ShardMap(layout: Layouts.few, serverCount: 3)
        let both = (map.slices(of: 1) + map.slices(of: 2)).sorted().map { Prepared.Norm(slice: $0, squared: 0) }
        _ = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms(of: 0, servers: 3))), from: 1)
        let decision = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: both)), from: 3)
        #expect(decision.commits.count == 3, "who follows is told as well")
        #expect(bench.says(.want, from: 11).grants.isEmpty, "nothing begins before the part is back")
        for server in [1, 3] { _ = bench.says(.applied(step: 0), from: Incarnation(server)) }
        let back = bench.says(.applied(step: 0), from: 22)
        #expect(back.records == [.handover(generation: 3, version: 1, holders: [0, 1, 2])])
        #expect(bench.durable().resets[3]?.expects == [2])
        for server in [1, 3, 22] { _ = bench.says(.ready(version: 1), from: Incarnation(server)) }
        #expect(bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).replicas?.standingIn == 0)
    }

    /// Between the decision and its commit: then it gets nothing, and the job goes on, here to its end.
    @Test func whoFallsBehindAgainIsNotWaitedFor() {
        var bench = replaced(steps: 1)
        _ = bench.beats([22], behind: 2)
        _ = bench.contributesAll()
        _ = bench.durable()
        _ = bench.beats([22])
        let map = ShardMap(layout: Layouts.few, serverCount: 3)
        let both = (map.slices(of: 1) + map.slices(of: 2)).sorted().map { Prepared.Norm(slice: $0, squared: 0) }
        _ = bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: norms(of: 0, servers: 3))), from: 1)
        #expect(bench.says(.prepared(Prepared(step: 0, isFinite: true, norms: both)), from: 3).commits.count == 3)
        _ = bench.beats([22], behind: 1)
        for server in [1, 3] { _ = bench.says(.applied(step: 0), from: Incarnation(server)) }
        let end = bench.says(.applied(step: 0), from: 22)
        #expect(end.records == [])
        #expect(end.sent.contains { $0.message == .snapshot(version: 1) }, "the last step is saved")
    }

    /// Also where no step is under way.
    @Test func whoIsBehindDoesNotGetItsPart() {
        var bench = replaced()
        #expect(bench.passes(500).records == [], "nothing is known of it yet")
        _ = bench.beats([22], behind: 2)
        #expect(bench.passes(500).records == [])
        _ = bench.beats([22])
        #expect(bench.passes(500).records == [.handover(generation: 3, version: 0, holders: [0, 1, 2])])
    }

    /// Memory that is behind is no replica: the job waits for the server rather than lose steps.
    @Test func whoIsNotInStepDoesNotStandIn() {
        var bench = running()
        _ = bench.beats([1, 2])
        _ = bench.beats([3], behind: 4)
        #expect(bench.disappears(2).records == [])
        #expect(bench.passes(2000).warnings.contains { $0.contains("the job waits for it") })
    }

    @Test func aCoordinatorThatIsBackKnowsWhoAnswers() {
        var first = running()
        _ = first.beats([1, 2, 3])
        _ = first.disappears(2)
        _ = first.durable()
        for server in [1, 3] { _ = first.says(.ready(version: 0), from: Incarnation(server)) }
        var bench = CoordinatorBench(servers: 3, replay: first.replay, incarnation: 1001, replicas: true)
        _ = bench.serverReturns(1, rank: 0, generation: 2, version: 0)
        #expect(bench.serverReturns(3, rank: 2, generation: 2, version: 0).records == [], "the third may come yet")
        let effects = bench.passes(3000)
        #expect(effects.records == [], "it goes on in the generation that there is")
        #expect(bench.state.holders == [0, 2, 2])
        _ = bench.workerStarts(11)
        #expect(bench.says(.want, from: 11).grants[11] != nil)
    }

    /// A hand-over was journaled, and its coordinator died before all had heard of it.
    @Test func aHandoverThatNotAllHeardOfIsDoneAnew() {
        var first = running()
        _ = first.beats([1, 2, 3])
        _ = first.disappears(2)
        _ = first.durable()
        var bench = CoordinatorBench(servers: 3, replay: first.replay, incarnation: 1001, replicas: true)
        _ = bench.serverReturns(1, rank: 0, generation: 2, version: 0)
        _ = bench.serverReturns(3, rank: 2, generation: 1, version: 0)
        let effects = bench.passes(3000)
        #expect(effects.records == [.handover(generation: 3, version: 0, holders: [0, 2, 2])])
    }

    @Test func theJournalKeepsWhoAnswers() {
        var replay = Replay()
        replay.apply(.rollback(generation: 1, base: nil))
        replay.apply(.step(.closed(0, attempts: [])))
        replay.apply(.handover(generation: 2, version: 0, holders: [1, 1]))
        #expect(replay.openClose == nil, "what was closed is void")
        #expect((replay.generation, replay.root) == (2, 1))
        #expect(replay.holders == [1, 1])
        replay.apply(.handover(generation: 3, version: 0, holders: [0, 1]))
        #expect(replay.root == 1)
        replay.apply(.rollback(generation: 4, base: nil))
        #expect((replay.root, replay.holders) == (4, nil))
    }
}
