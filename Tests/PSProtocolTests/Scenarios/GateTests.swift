// Who is heard by a coordinator, a server and a worker, and what a stranger learns.

import PSMessages
import PSParameters
import PSProofs
import PSProtocol
import Testing

private let challengeNumber: UInt64 = 4711

private struct GateBench {
    var gate = Gate<String>(
        key: runKey, challenge: Challenge(number: challengeNumber, runDirectory: "/run"), coordinator: 1000, job: jobID)

    mutating func says(
        _ message: Message, from source: Incarnation, on connection: String, to destination: Incarnation = 1000,
        proof: Proof = .none, key: KeyRole? = nil
    ) -> Gate<String>.Decision {
        gate.decide(
            Envelope(
                job: jobID, generation: 1, term: 1, source: source, destination: destination, proof: proof,
                message: message), from: connection, keyRole: key)
    }

    mutating func hello(
        _ role: Role, from source: Incarnation, on connection: String, secret: RunKey = runKey, key: KeyRole? = nil
    ) -> Gate<String>.Decision {
        var hello = Hello(role: role, host: "h", pid: 1, rank: nil)
        hello.challenge = challengeNumber
        let proof = secret.memberProof(challenge: challengeNumber, member: source, role: role.rawValue)
        return says(.hello(hello), from: source, on: connection, to: 0, proof: proof, key: key)
    }
}

private func isTurnedAway(_ decision: Gate<String>.Decision) -> Bool {
    if case .turnAway = decision { true } else { false }
}

@Suite struct GateTests {
    /// Whatever a stranger says: the answers tell where the run directory is, and no name of the job.
    @Test func strangersLearnNothing() {
        var bench = GateBench()
        let messages: [Message] = [
            .hello(Hello(role: .worker, host: "h", pid: 1, rank: nil)), .want, .heartbeat(Heartbeat()),
            .leave(text: ""), .ready(version: 3), .refusal(Refusal(.term, "")), .statusRequest,
            .control(.stop(after: 0)), .control(.checkpoint), .grant(Attempt(ticket: 0, number: 1), version: 0),
        ]
        for message in messages {
            for destination in [0, 5, 999] as [Incarnation] {
                switch bench.says(message, from: 5, on: "a", to: destination) {
                case .deliver: Issue.record("\(message) is delivered")
                case .turnAway: break
                case .answer(let answer):
                    #expect(answer.job == 0 && answer.term == 0 && answer.generation == 0 && answer.source == 0)
                    switch answer.message {
                    case .challenge, .refusal: break
                    default: Issue.record("\(answer.message)")
                    }
                }
            }
        }
    }

    @Test func aHelloNeedsTheRunsSecret() {
        var bench = GateBench()
        #expect(isTurnedAway(bench.hello(.worker, from: 5, on: "a", secret: RunKey(secret: [9], nonce: [4]))))
        #expect(isTurnedAway(bench.hello(.worker, from: 5, on: "a", secret: RunKey(secret: [1, 2, 3], nonce: [5]))))
        #expect(bench.hello(.worker, from: 5, on: "a") == .deliver)
        // A proof is of one process in one role.
        var other = Hello(role: .server, host: "h", pid: 1, rank: nil)
        other.challenge = challengeNumber
        let proof = runKey.memberProof(challenge: challengeNumber, member: 6, role: Role.worker.rawValue)
        #expect(isTurnedAway(bench.says(.hello(other), from: 6, on: "b", to: 0, proof: proof)))
    }

    @Test func aConnectionBelongsToOneProcess() {
        var bench = GateBench()
        _ = bench.hello(.server, from: 5, on: "a")
        #expect(bench.says(.ready(version: 0), from: 5, on: "a") == .deliver)
        // Its name on another connection, and another name on its own.
        #expect(bench.says(.ready(version: 0), from: 5, on: "b") != .deliver)
        #expect(isTurnedAway(bench.says(.ready(version: 0), from: 6, on: "a")))
        #expect(isTurnedAway(bench.says(.statusRequest, from: 5, on: "c")))
        #expect(bench.gate.connection(of: 5) == "a")
        // A worker has no server's words, a server none of a worker's.
        #expect(isTurnedAway(bench.says(.want, from: 5, on: "a")))
        _ = bench.hello(.worker, from: 7, on: "d")
        #expect(isTurnedAway(bench.says(.ready(version: 0), from: 7, on: "d")))
        #expect(isTurnedAway(bench.says(.control(.stop(after: 0)), from: 7, on: "d")))
        // Shown anew, it moves to another connection; the closing of the former is no news then.
        #expect(bench.hello(.server, from: 5, on: "e") == .deliver)
        #expect(bench.says(.ready(version: 0), from: 5, on: "a") != .deliver)
        #expect(bench.gate.closed("a") == nil)
        #expect(bench.gate.closed("e") == 5)
        #expect(bench.says(.ready(version: 0), from: 5, on: "e") != .deliver)
    }

    /// The run's files may be open to others, its secret is not.
    @Test func onlyWhoKnowsTheSecretCommands() {
        var bench = GateBench()
        let stop = Message.control(.stop(after: 0))
        #expect(bench.says(.statusRequest, from: 8, on: "a") == .deliver)
        #expect(isTurnedAway(bench.says(stop, from: 8, on: "a")))
        let other = runKey.controlProof(coordinator: 1000, person: 9)
        #expect(isTurnedAway(bench.says(stop, from: 8, on: "a", proof: other)))
        let former = runKey.controlProof(coordinator: 999, person: 8)
        #expect(isTurnedAway(bench.says(stop, from: 8, on: "a", proof: former)))
        let own = runKey.controlProof(coordinator: 1000, person: 8)
        #expect(bench.says(stop, from: 8, on: "a", proof: own) == .deliver)
    }

    @Test func keysMayWhatTheirRoleMay() {
        var bench = GateBench()
        #expect(isTurnedAway(bench.hello(.server, from: 5, on: "a", key: .worker)))
        #expect(isTurnedAway(bench.hello(.worker, from: 5, on: "a", key: .viewer)))
        #expect(isTurnedAway(bench.hello(.worker, from: 5, on: "a", key: .operator)))
        #expect(bench.hello(.worker, from: 5, on: "a", key: .worker) == .deliver)
        #expect(bench.says(.statusRequest, from: 8, on: "b", key: .viewer) == .deliver)
        #expect(isTurnedAway(bench.says(.control(.checkpoint), from: 8, on: "b", key: .viewer)))
        #expect(bench.says(.control(.checkpoint), from: 9, on: "c", key: .operator) == .deliver)
        for role in [KeyRole.server, .worker, .coordinator] {
            #expect(isTurnedAway(bench.says(.control(.stop(after: 0)), from: 10, on: "d", key: role)))
            #expect(isTurnedAway(bench.says(.statusRequest, from: 10, on: "d", key: role)))
        }
    }

    /// Only servers of the job say that another coordinator runs it.
    @Test func aLaterTermCountsFromServersOnly() {
        var bench = CoordinatorBench.running(workers: 1)
        #expect(bench.says(.heartbeat(Heartbeat()), from: 11, term: 9).exit == nil)
        #expect(bench.says(.want, from: 77, term: 9).exit == nil)
        #expect(bench.says(.refusal(Refusal(.term, "")), from: 1, term: 9).exit != nil)
    }
}

/// Whoever listens where the coordinator was.
@Suite struct RogueTests {
    @Test func whoDoesNotKnowTheSecretIsNotObeyed() {
        var bench = WorkerBench.idle()
        _ = bench.happens(.coordinatorLost)
        for message in [welcome(), .finish(exitCode: 0, text: ""), .refusal(Refusal(.kernels, ""))] {
            #expect(bench.hears(message, from: 666).isEmpty, "\(message)")
        }
        #expect(bench.hears(.finish(exitCode: 0, text: "")).isEmpty, "in the former's name")
        // It shows a run of its own, which it knows the secret of.
        let own = RunKey(secret: [9], nonce: [9])
        let asked = challenge(9, to: 11, key: own)
        _ = bench.happens(.coordinatorSaid(asked))
        let effects = bench.happens(.proved(own, Challenge(number: 9, runDirectory: "/run")))
        #expect(effects.warnings.first?.contains("runs another job") == true, "\(effects)")
        #expect(bench.hears(welcome(), from: 666).isEmpty)
        // It names the job's run, whose secret it does not know.
        _ = bench.happens(.coordinatorSaid(challenge(10, to: 11, key: own)))
        #expect(
            bench.happens(.proved(runKey, Challenge(number: 10, runDirectory: "/run"))).warnings.first?.contains(
                "does not know the secret") == true)
        #expect(bench.hears(.finish(exitCode: 0, text: ""), from: 666).exit == nil)
        // The job's own, started anew with another nonce.
        let anew = RunKey(secret: [1, 2, 3], nonce: [5])
        _ = bench.happens(.coordinatorSaid(challenge(11, to: 11, key: anew)))
        let hello = bench.happens(.proved(anew, Challenge(number: 11, runDirectory: "/run"))).toCoordinator
        guard case .hello? = hello.first else {
            Issue.record("\(hello)")
            return
        }
        #expect(bench.hears(.finish(exitCode: 0, text: ""), term: 6, from: 2000).exit?.code == 0)
    }
}

@Suite struct GrantTests {
    private let key = ProofKey(1, 2, 3, 4)

    private func server() -> ServerBench {
        var bench = ServerBench()
        var message = welcome()
        if case .welcome(var welcome) = message {
            welcome.grantKey = key
            message = .welcome(welcome)
        }
        _ = bench.orders(message, generation: 0)
        return bench
    }

    private func envelope(_ message: Message, from worker: Incarnation, proof: Proof) -> Envelope {
        Envelope(job: jobID, generation: 1, source: worker, destination: 1, proof: proof, message: message)
    }

    /// A pull shows the pass, a push its grant; each is of one worker.
    @Test func whatWorkersShow() {
        let state = server().state
        let pull = Message.pull(version: 0, slices: [0])
        let push = Message.push(Attempt(ticket: 3, number: 9), SliceHeader(index: 0, version: 1))
        let (pass, grant) = (
            key.pass(worker: 11, generation: 1), key.grant(worker: 11, ticket: 3, attempt: 9)
        )
        #expect(state.isShown(envelope(pull, from: 11, proof: pass)))
        #expect(state.isShown(envelope(push, from: 11, proof: grant)))
        #expect(!state.isShown(envelope(pull, from: 11, proof: grant)))
        #expect(!state.isShown(envelope(push, from: 11, proof: pass)))
        #expect(!state.isShown(envelope(pull, from: 12, proof: pass)))
        #expect(!state.isShown(envelope(push, from: 12, proof: grant)))
        #expect(!state.isShown(envelope(push, from: 11, proof: key.grant(worker: 11, ticket: 4, attempt: 9))))
        #expect(!state.isShown(envelope(push, from: 11, proof: .none)))
        #expect(!ServerBench().state.isShown(envelope(pull, from: 11, proof: pass)), "no coordinator has spoken")
    }

    /// What the coordinator gives is what servers ask for.
    @Test func theCoordinatorGivesThem() {
        var bench = CoordinatorBench.running(workers: 1)
        var pass: Proof?
        var grant: (Attempt, Proof)?
        for case .send(let envelope) in bench.workerStarts(12) + bench.says(.want, from: 12) {
            switch envelope.message {
            case .members: pass = envelope.proof
            case .grant(let attempt, _): grant = (attempt, envelope.proof)
            default: break
            }
        }
        var key: ProofKey?
        for case .send(let envelope) in bench.serverStarts(1, rank: 0) {
            if case .welcome(let welcome) = envelope.message { key = welcome.grantKey }
        }
        #expect(key?.pass(worker: 12, generation: 1) == pass)
        #expect(grant.map { key?.grant(worker: 12, ticket: $0.0.ticket.number, attempt: $0.0.number) == $0.1 } == true)
    }

    /// A whole page of slices that are not here is one refusal.
    @Test func oneAnswerToOneQuestion() {
        var bench = ServerBench.ready()
        #expect(bench.asks(.pull(version: 0, slices: Array(2..<50_000))).toWorkers.count == 1)
    }
}
