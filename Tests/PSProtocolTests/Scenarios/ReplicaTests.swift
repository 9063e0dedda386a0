// Replicas on a server, one rule at a time: what holder and follower say to one another, and generations from memory.

import PSMessages
import PSParameters
import PSProofs
import PSProtocol
import Testing

private let commit = Commit(step: 0, scale: 0.5, learningRate: 1, averageDecay: 0.5, skip: false)
private let key = ProofKey(1, 2, 3, 4)

/// Server 1 of two, of generation 1 and version 0: it answers for its shard, slice 0, and keeps a replica of slice 1, whose
/// holder is server 2. Which shard a slice is of is the shard map's: the larger one is rank 0's.
extension ServerBench {
    static func withReplica() -> ServerBench {
        var bench = ServerBench()
        var welcome = Welcome(
            rank: 0, configuration: "yaml", runDirectory: "/run", nonce: "n", layoutDigest: Layouts.few.digest,
            plan: "plan")
        welcome.grantKey = key
        _ = bench.orders(.welcome(welcome), generation: 0)
        _ = bench.happens(.configured(Layouts.few, twoTickets, bufferBytes: 1 << 20))
        var reset = Reset(version: 0, base: nil, rank: 0, servers: 2)
        reset.follows = [Reset.Followed(shard: 1, server: ServerBench.other)]
        reset.expects = [0]
        let load = bench.orders(.reset(reset))
        #expect(load.contains { if case .load(1, reset, [0, 1]) = $0 { true } else { false } }, "both are loaded")
        _ = bench.happens(.loaded(generation: 1))
        return bench
    }

    static let other = ServerAddress(endpoint: "tcp://b:1", incarnation: 2, rank: 1)

    mutating func follower(reaches version: Version?, slice: Int = 0) -> [ServerState.Effect] {
        asks(.follow([Progress(slice: slice, reaches: version)]), from: 2)
    }

    /// What its holder sends of slice 1.
    mutating func isSent(
        _ content: ReplicaContent, version: Version, remaining: Int = 0, number: UInt64 = 50,
        from source: Incarnation = 2,
        generation: UInt32 = 1
    ) -> [ServerState.Effect] {
        let header = SliceHeader(index: 1, version: version)
        let envelope = Envelope(
            job: jobID, generation: generation, source: source, destination: 1,
            proof: key.peer(from: source, to: 1, generation: generation),
            message: .replica(header, content, remaining: remaining))
        return happens(
            .sourceSaid(envelope, HeldValues(number: number, byteCount: Layouts.few.slices[1].byteCount)))
    }

    /// Slice 0 of both tickets of step 0.
    mutating func takesOwn() -> [ServerState.Effect] {
        var effects: [ServerState.Effect] = []
        for ticket in twoTickets.tickets(of: state.version.nextStep) {
            _ = pushes(ticket, 0)
            effects = happens(
                .folded(generation: state.generation, slice: 0, squaredNorm: 3, isFinite: true))
        }
        return effects
    }
}

extension [ServerState.Effect] {
    var sums: [Int] { compactMap { if case .sendSum(_, _, let slice) = $0 { slice } else { nil } } }

    var states: [SliceHeader] { compactMap { if case .sendState(_, _, let header) = $0 { header } else { nil } } }

    var progress: [Progress] {
        flatMap { effect -> [Progress] in
            if case .sendToSource(_, let envelope) = effect, case .follow(let progress) = envelope.message {
                progress
            } else {
                []
            }
        }
    }

    var replicaUpdates: [Int] {
        compactMap { if case .updateReplica(_, let slice, _, _) = $0 { slice } else { nil } }
    }

    var prepared: [Prepared] {
        toCoordinator.compactMap { if case .prepared(let prepared) = $0 { prepared } else { nil } }
    }

    var warnings: [String] { compactMap { if case .warn(let text) = $0 { text } else { nil } } }
}

@Suite struct ReplicaTests {
    // MARK: The holder

    @Test func aStepIsPreparedWhenItsSumIsHeldTwice() {
        var bench = ServerBench.withReplica()
        #expect(bench.takesOwn().sums == [], "nobody has said that he follows")
        #expect(bench.orders(.prepare(step: 0, attempts: [])).prepared == [], "somebody is expected")
        #expect(bench.follower(reaches: 0).sums == [0])
        #expect(bench.follower(reaches: 1).prepared.map(\.step) == [0])
    }

    @Test func whoFollowsAlreadyIsSentTheSumAtOnce() {
        var bench = ServerBench.withReplica()
        #expect(bench.follower(reaches: 0).isEmpty)
        #expect(bench.takesOwn().sums == [0])
    }

    @Test func whoIsBehindIsSentTheState() {
        var bench = ServerBench.withReplica()
        #expect(bench.follower(reaches: nil).states == [SliceHeader(index: 0, version: 0)])
        _ = bench.takesOwn()
        // It is not waited for while the state is on its way.
        #expect(bench.orders(.prepare(step: 0, attempts: [])).prepared.count == 1)
        _ = bench.orders(.commit(commit))
        // What is under way counts: the copy is made after it.
        #expect(bench.follower(reaches: 0).states == [SliceHeader(index: 0, version: 1)])
        _ = bench.happens(.updated(generation: 1, slice: 0))
        #expect(bench.follower(reaches: 0).states == [SliceHeader(index: 0, version: 1)])
        #expect(bench.follower(reaches: 1).isEmpty)
    }

    @Test func whoDoesNotGetOnIsDoneWithout() {
        var bench = ServerBench.withReplica()
        _ = bench.takesOwn()
        _ = bench.orders(.prepare(step: 0, attempts: []))
        #expect(bench.passes(100).prepared == [])
        #expect(bench.passes(1900).prepared == [])
        let effects = bench.passes(100)
        #expect(effects.prepared.count == 1)
        #expect(effects.warnings.count == 1, "\(effects.warnings)")
    }

    @Test func aFollowerWhoseConnectionIsClosedIsNotWaitedFor() {
        var bench = ServerBench.withReplica()
        _ = bench.follower(reaches: 0)
        _ = bench.takesOwn()
        #expect(bench.orders(.prepare(step: 0, attempts: [])).prepared == [])
        #expect(bench.happens(.peerLost(2)).prepared.count == 1)
    }

    /// What a worker is given does not make it a server.
    @Test func onlyServersFollow() {
        let bench = ServerBench.withReplica()
        func isShown(_ proof: Proof) -> Bool {
            bench.state.isShown(
                Envelope(
                    job: jobID, generation: 1, source: 11, destination: 1, proof: proof,
                    message: .follow([Progress(slice: 0, reaches: nil)])))
        }
        #expect(!isShown(key.pass(worker: 11, generation: 1)))
        #expect(!isShown(.none))
        #expect(!isShown(key.peer(from: 12, to: 1, generation: 1)))
        #expect(isShown(key.peer(from: 11, to: 1, generation: 1)))
    }

    // MARK: The follower

    @Test func aReplicaAppliesWhatCameTogether() {
        var bench = ServerBench.withReplica()
        _ = bench.passes(0)
        // The sum first.
        let taken = bench.isSent(.sum, version: 1)
        #expect(taken.progress == [Progress(slice: 1, reaches: 1)])
        #expect(taken.replicaUpdates == [])
        _ = bench.follower(reaches: nil)
        _ = bench.takesOwn()
        #expect(bench.orders(.commit(commit)).replicaUpdates == [1])
        #expect(bench.isSent(.sum, version: 1).progress == [Progress(slice: 1, reaches: 1)], "a copy is said again")
        #expect(bench.happens(.replicaUpdated(memory: bench.state.memoryNumber, slice: 1, 1)).isEmpty)
        _ = bench.happens(.updated(generation: 1, slice: 0))
        // The commit first.
        _ = bench.takesOwn()
        var next = commit
        next.step = 1
        #expect(bench.orders(.commit(next)).replicaUpdates == [])
        #expect(bench.isSent(.sum, version: 2).replicaUpdates == [1])
    }

    @Test func aStateIsTakenFromItsFirstPartOn() {
        var bench = ServerBench.withReplica()
        #expect(bench.isSent(.average, version: 3).isEmpty, "its first part is missing")
        #expect(bench.isSent(.average, version: 3, remaining: 1).isEmpty, "nor is one of the middle the first")
        #expect(bench.isSent(.weights, version: 3, remaining: 1).fills == [.weights])
        #expect(bench.isSent(.weights, version: 4, remaining: 1).fills == [.weights], "a newer one")
        #expect(bench.isSent(.average, version: 3).isEmpty, "of the older one")
        let last = bench.isSent(.average, version: 4)
        #expect(last.fills == [.average])
        #expect(last.progress.isEmpty, "it is not in the memory yet")
        let filled = bench.happens(.replicaUpdated(memory: bench.state.memoryNumber, slice: 1, 4))
        #expect(filled.progress.contains(Progress(slice: 1, reaches: 4)))
    }

    /// The values of contributions that wait are kept when a state has come.
    @Test func aStateDropsNothingElse() {
        var bench = ServerBench.withReplica()
        _ = bench.pushes(1, 0)
        _ = bench.isSent(.weights, version: 3, remaining: 1)
        _ = bench.isSent(.average, version: 3)
        let filled = bench.happens(.replicaUpdated(memory: bench.state.memoryNumber, slice: 1, 3))
        let kept = filled.compactMap { effect -> [HeldValues]? in
            if case .dropValues(let kept) = effect { kept } else { nil }
        }
        #expect(kept.first?.map(\.number) == [1])
    }

    @Test func strangersFillNothing() {
        var bench = ServerBench.withReplica()
        #expect(bench.isSent(.sum, version: 1, from: 3).isEmpty, "it is not the holder")
        #expect(bench.isSent(.sum, version: 1, generation: 2).isEmpty)
        let envelope = Envelope(
            job: jobID, generation: 1, source: 2, destination: 1, proof: key.pass(worker: 1, generation: 1),
            message: .replica(SliceHeader(index: 1, version: 1), .sum, remaining: 0))
        let values = HeldValues(number: 5, byteCount: Layouts.few.slices[1].byteCount)
        #expect(bench.happens(.sourceSaid(envelope, values)).isEmpty, "it shows a worker's pass")
    }

    // MARK: Another generation from memory

    private func handover(_ version: Version) -> Message {
        var reset = Reset(version: version, base: nil, rank: 0, servers: 2)
        reset.root = 1
        reset.serves = [0, 1]
        return .reset(reset)
    }

    @Test func whoHasTheReplicaServesIt() {
        var bench = ServerBench.withReplica()
        #expect(bench.orders(handover(0), generation: 2).toCoordinator == [.ready(version: 0)])
        let pull = bench.asks(.pull(version: 0, slices: [0, 1]), generation: 2)
        #expect(pull.published.map(\.index) == [0, 1])
    }

    @Test func whatIsOnItsWayIsWaitedFor() {
        var bench = ServerBench.withReplica()
        _ = bench.follower(reaches: nil)
        _ = bench.takesOwn()
        _ = bench.isSent(.sum, version: 1)
        _ = bench.orders(.commit(commit))
        _ = bench.happens(.updated(generation: 1, slice: 0))
        #expect(bench.orders(handover(1), generation: 2).toCoordinator == [])
        #expect(bench.asks(.pull(version: 1, slices: [1]), generation: 2).refusals == [.generation])
        let done = bench.happens(.replicaUpdated(memory: bench.state.memoryNumber, slice: 1, 1))
        #expect(done.toCoordinator == [.ready(version: 1)])
    }

    @Test func whoLacksAStepSaysSo() {
        var bench = ServerBench.withReplica()
        _ = bench.follower(reaches: nil)
        _ = bench.takesOwn()
        _ = bench.orders(.commit(commit))
        _ = bench.happens(.updated(generation: 1, slice: 0))
        let answer = bench.orders(handover(1), generation: 2).toCoordinator
        #expect(answer.contains { if case .failed(1, _, .memoryGone) = $0 { true } else { false } }, "\(answer)")
        // It has not given up what it has.
        var own = Reset(version: 1, base: nil, rank: 0, servers: 2)
        own.root = 1
        #expect(bench.orders(.reset(own), generation: 3).toCoordinator == [.ready(version: 1)])
    }

    /// After a load the memory from before it is void, whatever version it is of.
    @Test func memoryFromBeforeALoadCountsForNothing() {
        var bench = ServerBench.withReplica()
        var reset = Reset(version: 0, base: nil, rank: 0, servers: 2)
        reset.root = 2
        let answer = bench.orders(.reset(reset), generation: 3).toCoordinator
        #expect(answer.contains { if case .failed(0, _, .memoryGone) = $0 { true } else { false } }, "\(answer)")
    }

    /// The order to go on comes in the middle of an update: what is updated is what is served.
    @Test func anUpdateUnderWayEndsFirst() {
        var bench = ServerBench.withReplica()
        _ = bench.follower(reaches: nil)
        _ = bench.takesOwn()
        _ = bench.orders(.commit(commit))
        var own = Reset(version: 1, base: nil, rank: 0, servers: 2)
        own.root = 1
        #expect(bench.orders(.reset(own), generation: 2).toCoordinator == [])
        #expect(bench.happens(.updated(generation: 1, slice: 0)).toCoordinator.contains(.ready(version: 1)))
    }
}

extension [ServerState.Effect] {
    fileprivate var fills: [ReplicaContent] {
        compactMap { if case .fill(_, _, _, let content, _, _) = $0 { content } else { nil } }
    }
}
