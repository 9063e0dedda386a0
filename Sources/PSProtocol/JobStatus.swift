// A job's state as a person or a program asks for it.

import PSMessages
import PSParameters

package struct JobStatus: Sendable, Hashable, Codable {
    package enum State: String, Sendable, Hashable, Codable {
        case starting, running, recovering, finished, failed, stopped
    }

    package enum ProcessState: String, Sendable, Hashable, Codable {
        case up
        /// It left, or its process is gone.
        case down
        /// Silent past the deadline.
        case lost
    }

    package struct Process: Sendable, Hashable, Codable {
        package var role: String
        package var rank: Int
        package var pid: Int
        package var host: String
        package var state: ProcessState
        package var heartbeatAgeSeconds: Double
        package var bytesSent: UInt64
        package var bytesReceived: UInt64
        package var activity: String
        /// Contributions counted; 0 for servers and the coordinator.
        package var tickets: Int

        enum CodingKeys: String, CodingKey {
            case role, rank, pid, host, state, activity, tickets
            case heartbeatAgeSeconds = "heartbeat_age_seconds"
            case bytesSent = "bytes_sent"
            case bytesReceived = "bytes_received"
        }

        package init(
            role: String, rank: Int, pid: Int, host: String, state: ProcessState, heartbeatAgeSeconds: Double,
            bytesSent: UInt64, bytesReceived: UInt64, activity: String, tickets: Int
        ) {
            self.role = role
            self.rank = rank
            self.pid = pid
            self.host = host
            self.state = state
            self.heartbeatAgeSeconds = heartbeatAgeSeconds
            self.bytesSent = bytesSent
            self.bytesReceived = bytesReceived
            self.activity = activity
            self.tickets = tickets
        }
    }

    /// Something a person should know, said once.
    package struct Notice: Sendable, Hashable, Codable {
        /// Counted from 1 within one start of the coordinator.
        package var number: Int
        package var text: String
    }

    /// Tickets that were given to a worker while another had them, since the coordinator started.
    package struct Copies: Sendable, Hashable, Codable {
        package var granted = 0
        /// Of those: whoever had the ticket first was done first after all.
        package var inVain = 0

        package init() {}

        enum CodingKeys: String, CodingKey {
            case granted
            case inVain = "in_vain"
        }
    }

    /// Tickets since the coordinator started.
    package struct Tickets: Sendable, Hashable, Codable {
        /// Every grant, of which some were of tickets that others had, too, or whose worker was lost.
        package var granted = 0
        /// Those whose contribution was counted.
        package var counted = 0

        package init() {}
    }

    /// Of a job whose servers hold replicas of one another.
    package struct Replicas: Sendable, Hashable, Codable {
        /// How many there are to be: one for each server's part.
        package var wanted: Int
        /// Those that could be served now.
        package var inStep: Int
        /// Servers that answer for another one's part.
        package var standingIn: Int
        /// Servers that wait for a place.
        package var spares: Int

        enum CodingKeys: String, CodingKey {
            case wanted, spares
            case inStep = "in_step"
            case standingIn = "standing_in"
        }
    }

    /// What was turned away since the coordinator started: of strangers, of who may not say that, of what is no message.
    package struct TurnedAway: Sendable, Hashable, Codable {
        /// Keys that are not on the list, and connections that showed none.
        package var handshakes = 0
        /// Closed from this end, because of what they cost.
        package var connections = 0
        package var messages = 0

        package init() {}
    }

    /// The running average on the test images.
    package struct Evaluation: Sendable, Hashable, Codable {
        package struct Running: Sendable, Hashable, Codable {
            package var version: Version
            /// Of the test images, and those that are measured.
            package var parts: Int
            package var done: Int

            enum CodingKeys: String, CodingKey {
                case parts, done
                case version = "step"
            }
        }

        package var last: EvaluationReport?
        package var best: EvaluationReport?
        package var running: Running?
    }

    package var state: State
    /// Commits so far: "step" for people and in JSON.
    package var version: Version
    /// The version with which the job is done.
    package var lastVersion: Version
    package var epoch: Double
    /// Mean loss of the last step; nil before the first, and where it is not finite.
    package var loss: Double?
    package var learningRate: Double?
    package var imagesPerSecond: Double
    package var imagesPerStep: Int
    /// Why it failed or stopped; empty otherwise.
    package var text: String
    /// Version of the last complete checkpoint; nil before the first.
    package var checkpoint: Version?
    /// Steps in a row whose gradient was not finite.
    package var nonFiniteSteps: Int
    package var generation: UInt32
    /// The plan of the engine in a line; nil in what earlier releases wrote.
    package var plan: String?
    /// The latest ones; nil in what earlier releases wrote.
    package var notices: [Notice]?
    /// The exit code of an end that is under way.
    package var ending: Int?
    /// The version after which the job stops, as a person asked; nil also in what earlier releases wrote.
    package var stopAfter: Version?
    /// Nil while nothing was measured on the test images.
    package var evaluation: Evaluation?
    /// Tickets that came to a server twice with other values, since the coordinator started: a worker computes wrongly. Nil
    /// in what earlier releases wrote.
    package var differingTickets: Int?
    /// Nil in what earlier releases wrote.
    package var copies: Copies?
    /// Nil in what earlier releases wrote.
    package var tickets: Tickets?
    /// Nil where there are none.
    package var replicas: Replicas?
    /// Nil in what earlier releases wrote.
    package var turnedAway: TurnedAway?
    /// Whether processes and people show keys: "required" or "off"; nil in what earlier releases wrote.
    package var security: String?
    package var processes: [Process]

    enum CodingKeys: String, CodingKey {
        case state, epoch, loss, text, checkpoint, generation, plan, notices, ending, evaluation, security, processes,
            copies, tickets, replicas
        case differingTickets = "differing_tickets"
        case turnedAway = "turned_away"
        case stopAfter = "stop_after"
        case version = "step"
        case lastVersion = "steps"
        case learningRate = "learning_rate"
        case imagesPerSecond = "images_per_second"
        case imagesPerStep = "images_per_step"
        case nonFiniteSteps = "non_finite_steps"
    }
}

/// One committed step, for progress and metrics.
package struct StepReport: Sendable, Hashable, Codable {
    /// The version that the step made: "step" for people and in JSON.
    package var version: Version
    package var epoch: Double
    /// Since the coordinator's first grant; nil where another start committed the step.
    package var elapsedSeconds: Double?
    /// Mean over the step's tickets; nil where it is not finite.
    package var loss: Double?
    /// Share of the step's training images classified right.
    package var accuracy: Double
    package var learningRate: Double
    /// Norm of the aggregated gradient before the clip; nil where it is not finite.
    package var gradientNorm: Double?
    package var clipScale: Double
    package var imagesPerSecond: Double
    package var skipped: Bool
    /// Part of the workers' time on the step's tickets that they waited for images, 0...1; nil where it is not known.
    package var dataShare: Double?
    /// Samples that could not be read, in whose place others were taken; nil: none.
    package var replacedSamples: [UInt64]?

    enum CodingKeys: String, CodingKey {
        case epoch, loss, accuracy, skipped
        case version = "step"
        case elapsedSeconds = "elapsed_seconds"
        case learningRate = "learning_rate"
        case gradientNorm = "gradient_norm"
        case clipScale = "clip_scale"
        case imagesPerSecond = "images_per_second"
        case dataShare = "data_share"
        case replacedSamples = "replaced_samples"
    }
}

extension StepReport {
    /// The report of a commit whose coordinator is gone: all but its times.
    package init(_ committed: Replay.Committed, stepsPerEpoch: Double) {
        self.init(
            committed.commit, committed.contributions, norm: committed.norm, stepsPerEpoch: stepsPerEpoch,
            elapsedSeconds: nil, imagesPerSecond: 0)
    }

    init(
        _ commit: Commit, _ contributions: [Contribution], norm: Double?, stepsPerEpoch: Double,
        elapsedSeconds: Double?, imagesPerSecond: Double
    ) {
        let images = max(1, contributions.reduce(0) { $0 + $1.samples })
        let loss = contributions.reduce(0) { $0 + $1.loss } / Double(contributions.count)
        version = commit.step.after
        epoch = Double(version.number) / stepsPerEpoch
        self.elapsedSeconds = elapsedSeconds
        self.loss = loss.isFinite ? loss : nil
        accuracy = Double(contributions.reduce(0) { $0 + $1.correct }) / Double(images)
        learningRate = Double(commit.learningRate)
        gradientNorm = norm.flatMap { $0.isFinite ? $0 : nil }
        clipScale = Double(commit.scale)
        self.imagesPerSecond = imagesPerSecond
        skipped = commit.skip
        let share =
            contributions.reduce(0) { $0 + $1.dataSeconds } / contributions.reduce(0) { $0 + $1.seconds }
        dataShare = share.isFinite ? min(max(share, 0), 1) : nil
        let replaced = contributions.flatMap { $0.replaced ?? [] }
        replacedSamples = replaced.isEmpty ? nil : replaced
    }
}
