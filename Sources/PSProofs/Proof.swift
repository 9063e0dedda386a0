// Proofs that a message is from who may send it: 128 bits of an HMAC-SHA-256 by libcrypto, under a key that only those
// who may check or make them have.

import CCrypto

/// What a sender shows for what it says. `none` is shown by who has nothing to show.
package struct Proof: Sendable, Hashable {
    package var high: UInt64
    package var low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package static let none = Proof(high: 0, low: 0)
}

/// A key for proofs: 256 bits. Its description tells nothing.
package struct ProofKey: Sendable, Hashable, CustomStringConvertible {
    fileprivate let words: [UInt64]

    /// Of the system's random source.
    package static func random() -> ProofKey {
        var source = SystemRandomNumberGenerator()
        return ProofKey(words: (0..<4).map { _ in source.next() })
    }

    /// The key that the parts together give; who lacks one of them cannot make it.
    package init(of parts: [[UInt8]]) {
        // Lengths go in, so that parts cannot be cut differently and give the same key.
        let bytes = parts.flatMap { ProofKey.bytes([UInt64($0.count)]) + $0 }
        self.init(words: ProofKey.digest(key: [], bytes))
    }

    private init(words: [UInt64]) { self.words = words }

    /// As it travels to those who are to check proofs.
    package init(_ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64) {
        words = [first, second, third, fourth]
    }

    package var parts: (UInt64, UInt64, UInt64, UInt64) { (words[0], words[1], words[2], words[3]) }

    /// - Parameter purpose: what is proved: proofs of one purpose are none of another.
    package func proof(of purpose: StaticString, _ values: UInt64...) -> Proof {
        let digest = ProofKey.digest(
            key: ProofKey.bytes(words), purpose.withUTF8Buffer { Array($0) } + [0] + ProofKey.bytes(values))
        return Proof(high: digest[0], low: digest[1])
    }

    package var description: String { "a key" }

    private static func bytes(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in withUnsafeBytes(of: word.littleEndian, Array.init) }
    }

    private static func digest(key: [UInt8], _ message: [UInt8]) -> [UInt64] {
        var digest = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        let result = HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &digest, &count)
        precondition(result != nil && count == 32, "libcrypto has no HMAC-SHA-256")
        return digest.withUnsafeBytes { bytes in
            (0..<4).map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self)) }
        }
    }
}

extension Proof {
    /// Compares without telling by the time it takes how much was right.
    package func matches(_ other: Proof) -> Bool { (high ^ other.high) | (low ^ other.low) == 0 }
}

/// What only those know who see a job's run directory: a secret of the run's own, and a number that each start of a
/// coordinator writes anew.
package struct RunKey: Sendable, Hashable {
    /// The run's, as long as there is the run: a coordinator started anew is known by it.
    package let secret: ProofKey
    private let key: ProofKey

    package init(secret: [UInt8], nonce: [UInt8]) {
        self.secret = ProofKey(of: [secret])
        key = ProofKey(of: [secret, nonce])
    }

    /// The coordinator's, to a process that said hello.
    /// - Parameter challenge: a number of the coordinator's start.
    package func coordinatorProof(challenge: UInt64, member: UInt64) -> Proof {
        key.proof(of: "coordinator", challenge, member)
    }

    /// A person's who wants the job to do something, to this start of the coordinator.
    package func controlProof(coordinator: UInt64, person: UInt64) -> Proof {
        key.proof(of: "control", coordinator, person)
    }

    /// The process's, to the coordinator that sent the challenge.
    package func memberProof(challenge: UInt64, member: UInt64, role: UInt32) -> Proof {
        key.proof(of: "member", challenge, member, UInt64(role))
    }
}

extension ProofKey {
    /// Lets a worker read weights of a generation.
    package func pass(worker: UInt64, generation: UInt32) -> Proof {
        proof(of: "pass", worker, UInt64(generation))
    }

    /// Lets a server follow another one, and shows it that the other is what it says, in a generation.
    package func peer(from sender: UInt64, to receiver: UInt64, generation: UInt32) -> Proof {
        proof(of: "peer", sender, receiver, UInt64(generation))
    }

    /// Lets a worker push the gradient of one attempt at one ticket.
    package func grant(worker: UInt64, ticket: UInt64, attempt: UInt64) -> Proof {
        proof(of: "grant", worker, ticket, attempt)
    }
}
