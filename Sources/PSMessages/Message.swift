// The messages of a job as Swift values. `Proto/parameter_server.proto` says what each field means.

import PSParameters
import PSProofs

/// The version of the messages' meaning; processes of different versions refuse one another.
package let protocolVersion: UInt32 = 8

/// A random name of one start of one process; 0 means "not known yet".
package typealias Incarnation = UInt64

package enum Role: UInt32, Sendable, Hashable, Codable, CaseIterable {
    case coordinator = 1
    case server = 2
    case worker = 3

    package var name: String {
        switch self {
        case .coordinator: "coordinator"
        case .server: "server"
        case .worker: "worker"
        }
    }
}

package struct Hello: Sendable, Hashable {
    /// What a server that kept its memory still holds.
    package struct Memory: Sendable, Hashable {
        package var version: Version
        package var lastCommit: Commit?
        package init(version: Version, lastCommit: Commit?) {
            self.version = version
            self.lastCommit = lastCommit
        }
    }

    package var role: Role
    package var host: String
    package var pid: Int
    /// The rank this process had or was started for; nil when it takes any.
    package var rank: Int?
    package var endpoint = ""
    package var kernelCore = ""
    package var kernelHash: UInt64 = 0
    package var memory: Memory?
    /// The number of the challenge that the envelope's proof answers; 0: none came yet.
    package var challenge: UInt64 = 0
    /// Whoever started the process says that the one whose rank it takes has ended.
    package var takesOver = false
    /// A server of a job with keys: the public half of the pair that workers reach it by; else empty.
    package var publicKey = ""

    package init(role: Role, host: String, pid: Int, rank: Int?) {
        self.role = role
        self.host = host
        self.pid = pid
        self.rank = rank
    }
}

/// Where the run directory is whose secret both must know.
package struct Challenge: Sendable, Hashable {
    package var number: UInt64
    package var runDirectory: String
    package init(number: UInt64, runDirectory: String) {
        self.number = number
        self.runDirectory = runDirectory
    }
}

package struct Welcome: Sendable, Hashable {
    package var rank: Int
    package var configuration: String
    package var runDirectory: String
    package var nonce: String
    package var layoutDigest: UInt64
    package var plan: String
    package var dataDigest: String
    package var testDigest: String
    /// To a server: checks what workers show.
    package var grantKey: ProofKey?
    package init(
        rank: Int, configuration: String, runDirectory: String, nonce: String, layoutDigest: UInt64, plan: String,
        dataDigest: String = "", testDigest: String = ""
    ) {
        self.rank = rank
        self.configuration = configuration
        self.runDirectory = runDirectory
        self.nonce = nonce
        self.layoutDigest = layoutDigest
        self.plan = plan
        self.dataDigest = dataDigest
        self.testDigest = testDigest
    }
}

package struct Refusal: Sendable, Hashable {
    package enum Reason: UInt32, Sendable, Hashable {
        case unknown = 0
        case protocolVersion, job, generation, incarnation, session, term, kernels, full, malformed, stale, occupied
    }
    package var reason: Reason
    package var text: String
    package init(_ reason: Reason, _ text: String) {
        self.reason = reason
        self.text = text
    }
}

package struct Heartbeat: Sendable, Hashable {
    package var bytesSent: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    package var activity = ""
    package var progress: UInt64 = 0
    /// A worker: the rank of a server that it cannot reach.
    package var unreachable: Int?
    /// A server: how many slices of its replicas are behind.
    package var behind = 0
    /// It hears nothing from the coordinator: no sign that it can be counted on, but a question whether it is heard.
    package var isDeaf = false
    package init() {}
}

package struct ServerAddress: Sendable, Hashable {
    package var endpoint: String
    package var incarnation: Incarnation
    /// Empty in a job without keys.
    package var publicKey: String
    package var rank: Int
    package init(endpoint: String, incarnation: Incarnation, publicKey: String = "", rank: Int) {
        self.endpoint = endpoint
        self.incarnation = incarnation
        self.publicKey = publicKey
        self.rank = rank
    }
}

/// The servers that answer for the weights.
package struct Holders: Sendable, Hashable {
    package var servers: [ServerAddress]
    /// By shard: the place of its server in that list.
    package var byShard: [Int]
    package init(servers: [ServerAddress], byShard: [Int]) {
        self.servers = servers
        self.byShard = byShard
    }
}

/// One grant of one ticket to one worker.
package struct Attempt: Sendable, Hashable, Codable {
    package var ticket: Ticket
    package var number: UInt64
    package init(ticket: Ticket, number: UInt64) {
        self.ticket = ticket
        self.number = number
    }
}

package struct Contribution: Sendable, Hashable, Codable {
    package var attempt: Attempt
    package var loss: Double
    package var correct: Int
    package var samples: Int
    package var norm: Double
    /// The time that computing took, and the part of it that the images were waited for; 0 where it is not known.
    package var seconds = 0.0
    package var dataSeconds = 0.0
    /// Samples that could not be read, in whose place others were taken; nil: none.
    package var replaced: [UInt64]?

    enum CodingKeys: String, CodingKey {
        case attempt, loss, correct, samples, norm, replaced
    }

    package init(attempt: Attempt, loss: Double, correct: Int, samples: Int, norm: Double) {
        self.attempt = attempt
        self.loss = loss
        self.correct = correct
        self.samples = samples
        self.norm = norm
    }
}

/// One grant of one part of an evaluation to one worker.
package struct EvaluationAttempt: Sendable, Hashable {
    /// The version that is measured.
    package var version: Version
    /// Which of the parts that `eval.batch` divides the test images into.
    package var part: Int
    package var number: UInt64
    package init(version: Version, part: Int, number: UInt64) {
        self.version = version
        self.part = part
        self.number = number
    }
}

/// What a part of the test images came to.
package struct Measurement: Sendable, Hashable {
    package var attempt: EvaluationAttempt
    /// Those that could be read.
    package var images: Int
    /// Images whose label was the most probable class, or among the five most probable.
    package var top1: Int
    package var top5: Int
    /// Sum of the images' cross-entropies.
    package var loss: Double
    /// Images that could not be read.
    package var excluded: Int
    package var seconds = 0.0

    package init(attempt: EvaluationAttempt, images: Int, top1: Int, top5: Int, loss: Double, excluded: Int) {
        self.attempt = attempt
        self.images = images
        self.top1 = top1
        self.top5 = top5
        self.loss = loss
        self.excluded = excluded
    }
}

/// A commit's numbers, all decided by the coordinator.
package struct Commit: Sendable, Hashable, Codable {
    package var step: Step
    package var scale: Float
    package var learningRate: Float
    package var averageDecay: Float
    package var skip: Bool
    package init(step: Step, scale: Float, learningRate: Float, averageDecay: Float, skip: Bool) {
        self.step = step
        self.scale = scale
        self.learningRate = learningRate
        self.averageDecay = averageDecay
        self.skip = skip
    }
}

/// A complete checkpoint: a version, and where it lies.
package struct CheckpointReference: Sendable, Hashable, Codable {
    package var version: Version
    /// The generation that wrote it; nil where an earlier release did not say.
    package var generation: UInt32?
    /// Its directory, absolute, when it is another run's; nil: below the run's own directory, wherever that is.
    package var foreign: String?

    package init(version: Version, generation: UInt32? = nil, foreign: String? = nil) {
        self.version = version
        self.generation = generation
        self.foreign = foreign
    }

    private enum CodingKeys: CodingKey { case version, generation, foreign, path }

    package init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        version = try values.decode(Version.self, forKey: .version)
        generation = try values.decodeIfPresent(UInt32.self, forKey: .generation)
        foreign = try values.decodeIfPresent(String.self, forKey: .foreign)
        // Earlier releases wrote the absolute path of every checkpoint, their own included.
        if let path = try values.decodeIfPresent(String.self, forKey: .path),
            !path.hasSuffix("/checkpoints/step-\(version)")
        {
            foreign = path
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(version, forKey: .version)
        try values.encodeIfPresent(generation, forKey: .generation)
        try values.encodeIfPresent(foreign, forKey: .foreign)
    }
}

package struct Reset: Sendable, Hashable {
    package var version: Version
    /// Nil for the initial values.
    package var base: CheckpointReference?
    package var rank: Int
    /// Also the number of shards.
    package var servers: Int
    /// Go on from memory, if it is of this generation or a later one; nil: load the base.
    package var root: UInt32?
    /// Shards that the server answers for.
    package var serves: [Int]
    /// Shards that it keeps a replica of.
    package var follows: [Followed] = []
    /// Shards that it answers for and somebody has a replica of.
    package var expects: [Int] = []

    package struct Followed: Sendable, Hashable {
        package var shard: Int
        /// Who answers for it.
        package var server: ServerAddress
        package init(shard: Int, server: ServerAddress) {
            self.shard = shard
            self.server = server
        }
    }

    /// A server that answers for the shard of its rank.
    package init(version: Version, base: CheckpointReference?, rank: Int, servers: Int) {
        self.version = version
        self.base = base
        self.rank = rank
        self.servers = servers
        serves = [rank]
    }
}

/// How far a server has a slice that it keeps a replica of.
package struct Progress: Sendable, Hashable {
    package var slice: Int
    /// The version it comes to with the commits; nil: it has nothing.
    package var reaches: Version?
    package init(slice: Int, reaches: Version?) {
        self.slice = slice
        self.reaches = reaches
    }
}

/// What a replica is sent: the finished sum of a step, or a part of a slice's state.
package enum ReplicaContent: UInt32, Sendable, Hashable, CaseIterable {
    case sum = 0
    case weights, average, momentum, meanSquare
}

/// What a server could not do.
package enum ServerFailure: UInt32, Sendable, Hashable {
    /// The checkpoint could not be read, which may pass.
    case loadUnavailable = 0
    /// A part of a checkpoint could not be written: no space, no permission.
    case saveFailed = 1
    /// The checkpoint was read, and is not what it should be.
    case loadDamaged = 2
    /// A part of a checkpoint could not be written, which may pass.
    case saveUnavailable = 3
    /// It does not have the version in memory.
    case memoryGone = 4
}

package struct Prepared: Sendable, Hashable {
    package struct Norm: Sendable, Hashable {
        package var slice: Int
        package var squared: Double
        package init(slice: Int, squared: Double) {
            self.slice = slice
            self.squared = squared
        }
    }
    package var step: Step
    package var isFinite: Bool
    package var norms: [Norm]
    package init(step: Step, isFinite: Bool, norms: [Norm]) {
        self.step = step
        self.isFinite = isFinite
        self.norms = norms
    }
}

package struct SavedFile: Sendable, Hashable, Codable {
    package var name: String
    package var content: String
    package var bytes: UInt64
    package var sha256: String
    package init(name: String, content: String, bytes: UInt64, sha256: String) {
        self.name = name
        self.content = content
        self.bytes = bytes
        self.sha256 = sha256
    }
}

/// What a person asks of a running job.
package enum Control: Sendable, Hashable {
    /// When this many steps are committed.
    case stop(after: Version)
    case checkpoint
}

/// The index and version of a slice; its values travel beside the message, in a frame of their own.
package struct SliceHeader: Sendable, Hashable {
    package var index: Int
    package var version: Version
    package init(index: Int, version: Version) {
        self.index = index
        self.version = version
    }
}

/// What an envelope says.
package enum Message: Sendable, Hashable {
    case hello(Hello)
    case welcome(Welcome)
    case refusal(Refusal)
    case heartbeat(Heartbeat)
    case members(Holders)
    case challenge(Challenge)
    /// Public keys of the workers and servers that may reach a server.
    case keys([String])

    case want
    case grant(Attempt, version: Version)
    case contribution(Contribution)
    case counted(Attempt)
    case measure(EvaluationAttempt)
    case measurement(Measurement)
    case measured(EvaluationAttempt)

    case pull(version: Version, slices: [Int])
    case gone(version: Version, slices: [Int])
    case took(Attempt, slice: Int)
    case held(Attempt)
    case resend(Attempt, slice: Int)
    case differs(Difference)
    case follow([Progress])

    case reset(Reset)
    case ready(version: Version)
    case prepare(step: Step, attempts: [Attempt])
    case prepared(Prepared)
    case commit(Commit)
    case applied(step: Step)
    case snapshot(version: Version)
    case snapshotting(version: Version)
    case saved(version: Version, files: [SavedFile])
    case failed(version: Version, text: String, what: ServerFailure)

    case finish(exitCode: Int, text: String)
    case leave(text: String)

    case statusRequest
    case status(json: String)
    case control(Control)
    case controlReply(ok: Bool, text: String)

    case push(Attempt, SliceHeader)
    case publish(SliceHeader)
    /// - remaining: parts of the state that come after this one.
    case replica(SliceHeader, ReplicaContent, remaining: Int)

    /// Whether a payload frame belongs to this message.
    package var carriesValues: Bool {
        switch self {
        case .push, .publish, .replica: true
        default: false
        }
    }
}

/// What a server says of a slice of a ticket's gradient that came twice with other values: every worker computes the same
/// bits, so one of these did not.
package struct Difference: Sendable, Hashable {
    package var ticket: Ticket
    package var slice: Int
    /// Whose values count; and who sent the others, perhaps the same.
    package var first: Incarnation
    package var second: Incarnation

    package init(ticket: Ticket, slice: Int, first: Incarnation, second: Incarnation) {
        self.ticket = ticket
        self.slice = slice
        self.first = first
        self.second = second
    }
}

/// A message with the names it is checked against.
package struct Envelope: Sendable, Hashable {
    package var job: UInt64
    package var generation: UInt32
    package var term: UInt64
    package var source: Incarnation
    package var destination: Incarnation
    package var proof = Proof.none
    package var message: Message

    package init(
        job: UInt64, generation: UInt32, term: UInt64 = 0, source: Incarnation, destination: Incarnation,
        proof: Proof = .none, message: Message
    ) {
        self.job = job
        self.generation = generation
        self.term = term
        self.source = source
        self.destination = destination
        self.proof = proof
        self.message = message
    }
}
