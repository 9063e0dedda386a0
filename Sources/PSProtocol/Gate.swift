// The coordinator's gate: decides which words of which connection reach the state machine, and what a stranger is told.
//
// A connection belongs to one process once that has shown that it sees the run directory, and to no other afterwards.
// Until then it is told where that directory is, and nothing else.

import PSMessages
import PSProofs

extension KeyRole {
    fileprivate var member: Role? {
        switch self {
        case .server: .server
        case .worker: .worker
        case .coordinator, .operator, .viewer: nil
        }
    }
}

extension Message {
    /// The closed table of who may say what to a coordinator, hellos and questions of people aside.
    fileprivate func mayBeSaid(by role: Role) -> Bool {
        switch self {
        case .heartbeat, .leave, .refusal, .failed: role != .coordinator
        case .want, .contribution, .measurement: role == .worker
        case .ready, .prepared, .applied, .snapshotting, .saved, .differs: role == .server
        default: false
        }
    }
}

package struct Gate<Connection: Hashable & Sendable>: Sendable {
    package enum Decision: Sendable, Hashable {
        /// Let the state machine hear it.
        case deliver
        /// Answer this, to the connection it came by, and nothing else.
        case answer(Envelope)
        /// Say nothing. The text is for the log.
        case turnAway(String)
    }

    private struct Binding {
        let connection: Connection
        /// Nil: a person.
        let role: Role?
    }

    private let key: RunKey
    private let challenge: Challenge
    private let coordinator: Incarnation
    private let job: UInt64
    private var bindings: [Incarnation: Binding] = [:]
    private var incarnations: [Connection: Incarnation] = [:]

    /// - Parameters:
    ///   - challenge: a number of this start, and where the run directory is.
    ///   - coordinator: this start, whose name is told to nobody who has not shown anything.
    package init(key: RunKey, challenge: Challenge, coordinator: Incarnation, job: UInt64) {
        self.key = key
        self.challenge = challenge
        self.coordinator = coordinator
        self.job = job
    }

    /// Where a process or a person is spoken to.
    package func connection(of incarnation: Incarnation) -> Connection? { bindings[incarnation]?.connection }

    /// Whether it belongs to anybody.
    package func isBound(_ connection: Connection) -> Bool { incarnations[connection] != nil }

    /// - Parameter keyRole: what the key says that the connection showed; nil: a job without keys.
    package mutating func decide(
        _ envelope: Envelope, from connection: Connection, keyRole: KeyRole?
    ) -> Decision {
        if let owner = incarnations[connection], owner != envelope.source {
            return .turnAway("a process speaks in the name of another")
        }
        switch envelope.message {
        case .hello(let hello): return decide(hello, envelope, connection, keyRole)
        case .statusRequest, .control: return decidePerson(envelope, connection, keyRole)
        default: break
        }
        guard let binding = bindings[envelope.source], binding.connection == connection, let role = binding.role else {
            // A member whose connection is another one by now, or a stranger: it may say hello.
            return .answer(bare(.refusal(Refusal(.session, "say hello")), to: envelope.source))
        }
        guard envelope.message.mayBeSaid(by: role) else {
            return .turnAway("a \(role.name) has no business to say that to the coordinator")
        }
        return .deliver
    }

    private mutating func decide(
        _ hello: Hello, _ envelope: Envelope, _ connection: Connection, _ keyRole: KeyRole?
    ) -> Decision {
        if let keyRole, keyRole.member != hello.role {
            return .turnAway("a key of the role \(keyRole.rawValue) was shown by a \(hello.role.name)")
        }
        guard hello.role != .coordinator, envelope.source != coordinator else {
            return .turnAway("a coordinator says hello to nobody")
        }
        guard hello.challenge == challenge.number else {
            return .answer(
                bare(
                    .challenge(challenge), to: envelope.source,
                    proof: key.coordinatorProof(challenge: challenge.number, member: envelope.source)))
        }
        let proof = key.memberProof(challenge: challenge.number, member: envelope.source, role: hello.role.rawValue)
        guard envelope.proof.matches(proof) else {
            return .turnAway("a \(hello.role.name) does not know the run's secret")
        }
        if let former = bindings[envelope.source] {
            if former.role != hello.role { return .turnAway("a process says hello in two roles") }
            incarnations[former.connection] = nil
        }
        bind(envelope.source, connection, hello.role)
        return .deliver
    }

    private mutating func decidePerson(
        _ envelope: Envelope, _ connection: Connection, _ keyRole: KeyRole?
    ) -> Decision {
        if let binding = bindings[envelope.source], binding.connection != connection || binding.role != nil {
            return .turnAway("somebody asks in the name of a process or of somebody else")
        }
        // Who asks names the process that is meant: the run's files say it, and another job may have listened here.
        // A key is shown to the one coordinator that it is for.
        let isMeant = envelope.destination == coordinator || (keyRole != nil && envelope.destination == 0)
        guard isMeant else { return .turnAway("somebody asks another coordinator") }
        switch (keyRole, envelope.message) {
        case (nil, .control):
            // Who may read a run may look at its job; only who may read its secret commands it.
            guard envelope.proof.matches(key.controlProof(coordinator: coordinator, person: envelope.source)) else {
                return .turnAway("somebody commands the job who does not know the run's secret")
            }
        case (nil, _), (.operator, _), (.viewer, .statusRequest): break
        default: return .turnAway("a key of the role \(keyRole!.rawValue) may not ask for that")
        }
        bind(envelope.source, connection, nil)
        return .deliver
    }

    private mutating func bind(_ incarnation: Incarnation, _ connection: Connection, _ role: Role?) {
        bindings[incarnation] = Binding(connection: connection, role: role)
        incarnations[connection] = incarnation
    }

    /// The process or person is not spoken to any more.
    package mutating func forget(_ incarnation: Incarnation) {
        if let binding = bindings.removeValue(forKey: incarnation) { incarnations[binding.connection] = nil }
    }

    /// The connection is closed.
    /// - Returns: the process it belonged to.
    package mutating func closed(_ connection: Connection) -> Incarnation? {
        guard let incarnation = incarnations.removeValue(forKey: connection) else { return nil }
        return bindings.removeValue(forKey: incarnation)?.role == nil ? nil : incarnation
    }

    /// The answer to another release's message.
    package static var otherVersion: Envelope {
        Envelope(
            job: 0, generation: 0, source: 0, destination: 0,
            message: .refusal(Refusal(.protocolVersion, "install the same release on every host")))
    }

    /// An envelope that tells nothing of the job.
    private func bare(_ message: Message, to destination: Incarnation, proof: Proof = .none) -> Envelope {
        Envelope(job: 0, generation: 0, source: 0, destination: destination, proof: proof, message: message)
    }
}
