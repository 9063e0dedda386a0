// Who belongs to a job: welcomes, refusals by name, ranks, silences.

import PSMessages
import PSProtocol
import Testing

@Suite struct MemberTests {
    @Test func workersAreWelcomedByRank() {
        var bench = CoordinatorBench.running(workers: 0)
        for worker in 0..<3 {
            guard
                case .welcome(let welcome)? = bench.workerStarts(Incarnation(20 + worker)).said(
                    to: Incarnation(20 + worker)
                ).first
            else {
                Issue.record("no welcome")
                return
            }
            #expect(welcome.rank == worker)
            #expect(welcome.configuration == "yaml")
            #expect(welcome.plan == "plan")
        }
    }

    /// The first step that is closed fixes the kernels; until then nobody who only says hello can.
    @Test func otherKernelsAreRefusedByName() {
        var bench = CoordinatorBench.running(workers: 0)
        #expect(bench.workerStarts(20, kernel: 2).refusals.isEmpty)
        _ = bench.workerStarts(11)
        #expect(bench.journal.allSatisfy { if case .kernels = $0 { false } else { true } })
        _ = bench.commits()
        #expect(bench.journal.contains(.kernels(core: "Haswell", hash: 1)))
        let refusal = bench.says(.want, from: 20).refusals.first
        #expect(refusal?.reason == .kernels)
        #expect(refusal?.text.contains("Haswell") == true)
        // They are in the journal, so a later coordinator refuses at the hello.
        var later = CoordinatorBench(replay: bench.replay, incarnation: 2000)
        #expect(later.workerStarts(13, kernel: 2).refusals.first?.reason == .kernels)
    }

    /// Whoever came first and is gone, or is never done, does not keep those with other kernels waiting.
    @Test func theFirstStepBeginsAnewWithOtherKernels() {
        var bench = CoordinatorBench.running(workers: 0)
        _ = bench.workerStarts(20, kernel: 2)
        _ = bench.says(.want, from: 20)
        _ = bench.workerStarts(11)
        #expect(bench.says(.want, from: 11).grants.isEmpty, "another's first step is open")
        _ = bench.happens(.closed(20))
        let effects = bench.passes(2000)
        #expect(effects.records == [.rollback(generation: 2, base: CheckpointReference(version: 0, generation: 1))])
        #expect(effects.warnings.contains { $0.contains("begun anew") })
    }

    @Test func aTicketThatIsNeverDoneIsGivenToAnother() {
        var bench = CoordinatorBench.running(workers: 2)
        let first = bench.says(.want, from: 11).grants[11]!
        let second = bench.says(.want, from: 12).grants[12]!
        bench.now.milliseconds += 1000
        _ = bench.says(.contribution(contribution(second)), from: 12)
        #expect(bench.says(.want, from: 12).grants.isEmpty)
        var copy: Attempt?
        for _ in 0..<10 {
            for member in [1, 11, 12] as [Incarnation] { _ = bench.says(.heartbeat(Heartbeat()), from: member) }
            let effects = bench.passes(500)
            guard let attempt = effects.grants[12] else { continue }
            copy = attempt
            #expect(effects.warnings.contains { $0.contains("has had ticket 0 for 2.0 s") }, "\(effects.warnings)")
        }
        #expect(copy?.ticket == first.ticket)
        #expect(copy?.number != first.number)
        // The first that is done counts, whoever's it is.
        #expect(
            bench.says(.contribution(contribution(first)), from: 11).sent.contains { $0.message == .counted(first) })
        #expect(bench.says(.contribution(contribution(copy!)), from: 12).refusals.first?.reason == .stale)
    }

    /// It is not waited for whether the worker comes back; if it does, its own copy is as good as the other's.
    @Test func aWorkersTicketGoesToAnotherWhenItsConnectionCloses() {
        var bench = CoordinatorBench.running(workers: 2)
        let first = bench.says(.want, from: 11).grants[11]!
        let second = bench.says(.want, from: 12).grants[12]!
        _ = bench.says(.contribution(contribution(second)), from: 12)
        #expect(bench.says(.want, from: 12).grants.isEmpty)
        let copy = bench.happens(.closed(11)).grants[12]
        #expect(copy?.ticket == first.ticket && copy?.number != first.number)
        #expect(bench.workerStarts(11).warnings.isEmpty)
        #expect(bench.says(.want, from: 11).grants[11] == first, "it still has it")
        #expect(
            bench.says(.contribution(contribution(first)), from: 11).sent.contains { $0.message == .counted(first) })
        let copies = bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).copies
        #expect(copies?.granted == 1 && copies?.inVain == 1)
    }

    /// What a worker that is gone had is given to whoever wants something next, and that is said with both names.
    @Test func aLostWorkersTicketIsToldWithBothNames() {
        var bench = CoordinatorBench.running(workers: 2)
        let first = bench.says(.want, from: 11).grants[11]!
        _ = bench.happens(.closed(11))
        for _ in 0..<4 {
            for member in [1, 12] as [Incarnation] { _ = bench.says(.heartbeat(Heartbeat()), from: member) }
            _ = bench.passes(500)
        }
        let effects = bench.says(.want, from: 12)
        #expect(effects.grants[12]?.ticket == first.ticket)
        let told = effects.compactMap { if case .tell(let text) = $0 { text } else { nil } }
        #expect(told.contains { $0.contains("is gone: its ticket 0 goes to worker 1 (pid ") }, "\(told)")
        let copies = bench.state.status(at: bench.now, bytesSent: 0, bytesReceived: 0).copies
        #expect(copies?.granted == 0, "nobody else has it")
    }

    @Test func aWorkerWithoutAWayToAServerComputesNothing() {
        var bench = CoordinatorBench.running(servers: 2, workers: 2)
        let first = bench.says(.want, from: 11).grants[11]!
        var heartbeat = Heartbeat()
        heartbeat.unreachable = 1
        let effects = bench.says(.heartbeat(heartbeat), from: 11)
        #expect(effects.warnings.first?.contains("cannot reach server 1 (pid 3 on s)") == true, "\(effects.warnings)")
        let again = bench.says(.heartbeat(heartbeat), from: 11)
        #expect(again.warnings.isEmpty, "once")
        // Perhaps what it shows to servers is of a former coordinator.
        #expect(again.said(to: 11).contains { if case .members = $0 { true } else { false } })
        #expect(bench.says(.want, from: 11).isEmpty)
        // Another reaches it: the path is broken, not the server.
        let other = bench.says(.want, from: 12).grants[12]
        #expect(other?.ticket != first.ticket)
        _ = bench.passes(2000)
        #expect(bench.says(.contribution(contribution(first)), from: 11).refusals.first?.reason == .stale)
        #expect(bench.says(.heartbeat(Heartbeat()), from: 11).warnings.first?.contains("again") == true)
        #expect(bench.says(.want, from: 11).grants[11]?.ticket == first.ticket)
    }

    /// A second start by mistake, a copied unit of an init system: the job goes on as if it were not there.
    @Test func aLiveServersRankIsNotTaken() {
        var bench = CoordinatorBench.running(servers: 2)
        let records = bench.journal
        #expect(bench.serverStarts(3, rank: 1, takesOver: false).refusals.first?.reason == .occupied)
        #expect(bench.journal == records)
        // Its connection is closed, and it does not come back: then it is gone.
        _ = bench.happens(.closed(2))
        #expect(bench.serverStarts(3, rank: 1, takesOver: false).refusals.first?.reason == .occupied)
        _ = bench.passes(2000)
        #expect(bench.serverStarts(3, rank: 1, takesOver: false).refusals.isEmpty)
        #expect(bench.journal.count == records.count + 1)
    }

    @Test func aStartForARankTakesIt() {
        var bench = CoordinatorBench.running(workers: 1)
        let first = bench.says(.want, from: 11).grants[11]!
        _ = bench.workerStarts(12, rank: 0)
        #expect(bench.says(.contribution(contribution(first)), from: 11).refusals.first?.reason == .session)
        // Its ticket is the next to be granted, under another attempt.
        let second = bench.says(.want, from: 12).grants[12]
        #expect(second?.ticket == first.ticket)
        #expect(second?.number != first.number)
    }

    @Test func aProcessThatComesBackYieldsItsRank() {
        var bench = CoordinatorBench.running(workers: 1)
        let hello = Hello(role: .worker, host: "w", pid: 9, rank: 0)
        var kernels = hello
        kernels.kernelCore = "Haswell"
        kernels.kernelHash = 1
        let answer = bench.says(.hello(kernels), from: 12).said(to: 12).first
        guard case .welcome(let welcome)? = answer else {
            Issue.record("\(String(describing: answer))")
            return
        }
        #expect(welcome.rank == 1)
        #expect(bench.says(.want, from: 11).grants[11] != nil, "the one that was there is undisturbed")
    }

    @Test func noMoreServersThanRanks() {
        var bench = CoordinatorBench.running(servers: 2)
        #expect(bench.serverStarts(3).refusals.first?.reason == .occupied)
        #expect(bench.serverStarts(4, rank: 7).refusals.first?.reason == .full)
    }

    @Test func aSilentWorkersTicketIsGrantedAnew() {
        var bench = CoordinatorBench.running(workers: 2)
        let first = bench.says(.want, from: 11).grants[11]!
        _ = bench.says(.want, from: 12)
        _ = bench.passes(7900)
        _ = bench.says(.heartbeat(Heartbeat()), from: 12)
        _ = bench.says(.heartbeat(Heartbeat()), from: 1)
        _ = bench.passes(200)
        #expect(bench.says(.want, from: 11).refusals.first?.reason == .session)
        _ = bench.workerStarts(13)
        #expect(bench.says(.want, from: 13).grants[13]?.ticket == first.ticket)
    }

    @Test func anotherJobAndAnotherStartAreNamed() {
        var bench = CoordinatorBench.running()
        #expect(bench.says(.want, from: 11, job: 5).refusals.first?.reason == .job)
        #expect(bench.says(.want, from: 11, to: 999).refusals.first?.reason == .incarnation)
        #expect(bench.says(.want, from: 55).refusals.first?.reason == .session)
        #expect(bench.says(.ready(version: 0), from: 11).refusals.first?.reason == .malformed)
    }

    @Test func aLaterTermEndsThisCoordinator() {
        var bench = CoordinatorBench.running()
        let effects = bench.says(.heartbeat(Heartbeat()), from: 1, to: 4711, term: 2)
        #expect(effects.exit?.code == ExitStatus.failed)
        #expect(effects.exit?.text.contains("later term") == true)
    }

    /// A server fell silent, then another one lost its memory. The first one's next word must start the recovery.
    @Test func aSilentServerWakesWhileOthersAreGathered() {
        var bench = CoordinatorBench.running(servers: 2)
        _ = bench.passes(8000)
        _ = bench.serverStarts(3, rank: 1)
        #expect(
            !bench.journal.contains(.rollback(generation: 2, base: CheckpointReference(version: 0, generation: 1))))
        let effects = bench.says(.heartbeat(Heartbeat()), from: 1)
        #expect(effects.records == [.rollback(generation: 2, base: CheckpointReference(version: 0, generation: 1))])
    }

    @Test func aWorkerThatMissedTheNewServersIsToldAgain() {
        var bench = CoordinatorBench.running(servers: 1)
        _ = bench.serverStarts(3, rank: 0)
        _ = bench.durable()
        _ = bench.says(.ready(version: 0), from: 3)
        guard
            case .members(let holders)? = bench.says(.heartbeat(Heartbeat()), from: 11, generation: 1).said(to: 11)
                .first
        else {
            Issue.record("not told")
            return
        }
        #expect(holders.servers.map(\.incarnation) == [3])
    }

    /// The path to it is broken one way: what it says still arrives, what it is told does not.
    @Test func aServerThatHearsNothingSaysSo() {
        var bench = ServerBench.ready()
        func isDeaf(_ effects: [ServerState.Effect]) -> Bool? {
            effects.lazy.compactMap {
                if case .heartbeat(let envelope) = $0, case .heartbeat(let heartbeat) = envelope.message {
                    heartbeat.isDeaf
                } else {
                    nil
                }
            }.first
        }
        func warnings(_ effects: [ServerState.Effect]) -> [String] {
            effects.compactMap { if case .warn(let text) = $0 { text } else { nil } }
        }
        for _ in 0..<4 { #expect(isDeaf(bench.passes(500)) == false) }
        let deaf = bench.passes(500)
        #expect(isDeaf(deaf) == true)
        #expect(warnings(deaf).first?.hasPrefix("this server, 0, hears nothing from the coordinator any more") == true)
        #expect(warnings(bench.passes(500)).isEmpty)
        _ = bench.orders(.heartbeat(Heartbeat()))
        let back = bench.passes(500)
        #expect(isDeaf(back) == false && warnings(back) == ["the coordinator is heard again"])
        // A process that stood still has not asked.
        #expect(isDeaf(bench.passes(20_000)) == false)
    }

    @Test func aWorkerThatHearsNothingWantsNothing() {
        var bench = WorkerBench.idle()
        for _ in 0..<4 { #expect(bench.passes(500).heartbeat?.isDeaf == false) }
        let deaf = bench.passes(500)
        #expect(deaf.heartbeat?.isDeaf == true && deaf.warnings.count == 1)
        #expect(bench.passes(1000).toCoordinator == [])
        _ = bench.hears(.heartbeat(Heartbeat()))
        #expect(bench.passes(500).toCoordinator == [.want])
    }

    /// It is answered, said once, and counts as silent.
    @Test func whoHearsNothingIsNotCountedOn() {
        var bench = CoordinatorBench.running(servers: 3, workers: 1, replicas: true)
        _ = bench.beats([1, 2, 3])
        var heartbeat = Heartbeat()
        heartbeat.isDeaf = true
        func says() -> [CoordinatorState.Effect] { bench.says(.heartbeat(heartbeat), from: 2) }
        let first = says()
        #expect(first.said(to: 2) == [.heartbeat(Heartbeat())])
        #expect(first.warnings == [], "it may be an old word")
        _ = bench.passes(500)
        _ = bench.beats([1, 3])
        #expect(
            says().warnings == [
                "server 1 (pid 3 on s) says that it hears nothing from here: look at the network between the two hosts"
            ])
        for _ in 0..<6 {
            _ = bench.passes(500)
            _ = bench.beats([1, 3])
            #expect(says().warnings == [])
        }
        #expect(bench.passes(500).records == [.handover(generation: 2, version: 0, holders: [0, 2, 2])])
        #expect(says().said(to: 2) == [.heartbeat(Heartbeat())], "also when it is given up")
        #expect(bench.beats([2]).warnings.contains("server 1 is heard again"))
    }

    /// Whoever holds a worker's key must not fill the log.
    @Test func whatAMemberSaysOfItsPathsIsToldOnceASecond() {
        var bench = CoordinatorBench.running(servers: 1, workers: 1)
        var told = 0
        for turn in 0..<1000 {
            var heartbeat = Heartbeat()
            heartbeat.isDeaf = turn.isMultiple(of: 2)
            heartbeat.unreachable = (turn / 2).isMultiple(of: 2) ? 0 : nil
            told += bench.says(.heartbeat(heartbeat), from: 11).warnings.count
            if turn.isMultiple(of: 10) { _ = bench.passes(100) }
        }
        #expect((5...11).contains(told), "\(told) lines in ten seconds")
    }
}
