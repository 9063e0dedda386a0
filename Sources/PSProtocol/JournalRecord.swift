// What the coordinator writes to its journal: the job's truth.

import PSMessages
import PSParameters

package enum JournalRecord: Sendable, Hashable, Codable {
    /// The first record. The recipe: the settings that give the rest its meaning; nil in what earlier releases wrote.
    case header(job: UInt64, seed: UInt64, layoutDigest: UInt64, recipe: [String: String]?)
    /// The recipe of a job that an earlier release began.
    case recipe([String: String])
    /// The job's settings from here on, by key.
    case settings([String: String])
    /// The identity of the plan in plan.json, when the job took it.
    case plan(identity: UInt64)
    /// SHA-256 of the list of the job's training samples, in hexadecimal.
    case data(digest: String)
    /// The same of the list of test images that evaluations from here on are of.
    case testData(digest: String)
    /// A coordinator started, listening at this endpoint.
    case term(UInt64, endpoint: String)
    /// The first worker's kernels; in exact mode others must have the same.
    case kernels(core: String, hash: UInt64)
    /// Servers load this checkpoint, or the initial values, as this generation; what came after it is void.
    case rollback(generation: UInt32, base: CheckpointReference?)
    /// Servers go on from memory with this version as this generation, and these answer for the shards, by rank; a step
    /// that was closed after it is void.
    case handover(generation: UInt32, version: Version, holders: [Int])
    /// What there is to say at every step.
    case step(StepRecord)
    /// A worker has joined: for who looks back.
    case worker(Incarnation, name: String)
    /// A checkpoint is complete; of those before it only these are kept. Nil: all.
    case checkpoint(CheckpointReference, keeping: [Version]?)
    /// An evaluation is complete.
    case evaluated(EvaluationReport)
    /// A person asked for a stop when this many steps are committed.
    case stopAfter(version: Version)
    /// A person wants the job to go on: a stop that was asked for before is void.
    case resumed
    /// The end is decided and saved.
    case finished(version: Version, exitCode: Int)
    /// Everybody was told of the end, and its coordinator leaves.
    case ended
    /// All that the records before come to: the journal begins anew with it.
    case state(Replay)

    // The journals of all releases say "step" where commits are counted.
    enum StopAfterCodingKeys: String, CodingKey {
        case version = "step"
    }

    enum FinishedCodingKeys: String, CodingKey {
        case version = "step"
        case exitCode
    }
}

/// What a journal says when read from its start.
package struct Replay: Sendable, Hashable, Codable {
    package var job: UInt64 = 0
    package var seed: UInt64 = 0
    package var layoutDigest: UInt64 = 0
    /// Nil for a job begun by a release that did not write it down.
    package var recipe: [String: String]?
    /// Nil for a job begun by a release without plans.
    package var planIdentity: UInt64?
    /// Nil for a job begun by a release that did not look at the list of samples.
    package var dataDigest: String?
    /// Nil while no test images were looked at.
    package var testDigest: String?
    package var term: UInt64 = 0
    package var endpoint = ""
    package var kernels: Kernels?
    package var generation: UInt32 = 0
    /// Which of the run's journals this is, counted from 1; nil in what earlier releases wrote.
    private var partNumber: Int?
    package var part: Int {
        get { partNumber ?? 1 }
        set { partNumber = newValue }
    }
    /// The job's settings as they are now, by key; nil in what earlier releases wrote.
    package private(set) var settings: [String: String]?
    /// The generation that began with a load: memory from it on counts. Nil: the last one.
    private var rootGeneration: UInt32?
    package var root: UInt32 { rootGeneration ?? generation }
    /// By shard, the rank of the server that answers for it; nil: each server for its own.
    package var holders: [Int]?
    /// Commits so far on the live history.
    package var version: Version = 0
    /// The last step that was closed, if it was not committed as far as the journal tells.
    package var openClose: [Contribution]?
    /// Of the step after `version`, as far as they were counted; nil in what earlier releases wrote.
    private var countedContributions: [Contribution]?
    package var openContributions: [Contribution] { countedContributions ?? [] }
    /// The last commits, ascending, as far as the journal has them and their reports may be missing elsewhere.
    package var committed: [Committed] = []
    /// Steps of the live history whose gradient was not finite, ascending.
    package var skippedSteps: [Step] = []
    /// Those that are kept, ascending by version, on the live history.
    package var checkpoints: [CheckpointReference] = []
    /// Of the live history, ascending by version; nil in what earlier releases wrote.
    private var evaluationReports: [EvaluationReport]?
    package var evaluations: [EvaluationReport] { evaluationReports ?? [] }
    /// A promise: it holds until a person wants the job to go on.
    package var stopAfter: Version?
    /// The exit code of an end that is decided, until its coordinator has left or the job goes on.
    package var finished: Int?
    /// Whether the last coordinator has left in order; nil in what earlier releases wrote.
    private var hasLeft: Bool?
    /// Where the coordinator before the last one listened, if it did not leave in order.
    package private(set) var goneEndpoint: String?

    package struct Kernels: Sendable, Hashable, Codable {
        package var core: String
        package var hash: UInt64
        package init(core: String, hash: UInt64) {
            self.core = core
            self.hash = hash
        }
    }

    /// A commit with what a report says of it.
    package struct Committed: Sendable, Hashable, Codable {
        package var commit: Commit
        package var contributions: [Contribution]
        package var norm: Double?

        package init(commit: Commit, contributions: [Contribution], norm: Double?) {
            self.commit = commit
            self.contributions = contributions
            self.norm = norm
        }
    }

    /// The commit that made `version`, if the journal has it.
    package var lastCommitted: Committed? {
        committed.last.flatMap { $0.commit.step.after == version ? $0 : nil }
    }

    package init() {}

    package mutating func apply(_ record: JournalRecord) {
        switch record {
        case .header(let job, let seed, let layoutDigest, let recipe):
            self.job = job
            self.seed = seed
            self.layoutDigest = layoutDigest
            self.recipe = recipe
        case .recipe(let recipe): self.recipe = recipe
        case .settings(let settings): self.settings = settings
        case .plan(let identity): planIdentity = identity
        case .data(let digest): dataDigest = digest
        case .testData(let digest): testDigest = digest
        case .term(let term, let endpoint):
            goneEndpoint = hasLeft == false ? self.endpoint : nil
            hasLeft = false
            self.term = term
            self.endpoint = endpoint
        case .kernels(let core, let hash): kernels = Kernels(core: core, hash: hash)
        case .rollback(let generation, let base):
            self.generation = generation
            rootGeneration = generation
            holders = nil
            countedContributions = nil
            version = base?.version ?? 0
            openClose = nil
            committed.removeAll { $0.commit.step.before >= version }
            skippedSteps.removeAll { $0.before >= version }
            evaluationReports?.removeAll { $0.version > version }
            rollBack(&checkpoints, to: base)
        case .handover(let generation, let version, let holders):
            rootGeneration = root
            self.generation = generation
            self.holders = holders
            self.version = version
            openClose = nil
            countedContributions = nil
        case .step(let record): apply(record)
        case .worker: break
        case .checkpoint(let reference, let kept):
            checkpoints.removeAll { $0.version >= reference.version || kept?.contains($0.version) == false }
            checkpoints.append(reference)
        case .evaluated(let report):
            evaluationReports = (evaluations.filter { $0.version != report.version } + [report]).sorted {
                $0.version < $1.version
            }
        case .stopAfter(let version): stopAfter = version
        case .finished(_, let exitCode): finished = exitCode
        case .resumed:
            stopAfter = nil
            finished = nil
        case .ended:
            finished = nil
            hasLeft = true
        case .state(let replay): self = replay
        }
    }

    private mutating func apply(_ record: StepRecord) {
        switch record {
        case .granted: break
        case .counted(let contribution, _):
            if countedContributions == nil { countedContributions = [] }
            countedContributions!.append(contribution)
        case .closed(let step, let attempts):
            // A commit record may be missing, since it is not synced; a later close proves the commit.
            version = step.before
            openClose = attempts.map { attempt in
                openContributions.last { $0.attempt == attempt }
                    // Of one that the journal does not have nothing else is known.
                    ?? Contribution(attempt: attempt, loss: .nan, correct: 0, samples: 0, norm: .nan)
            }
            countedContributions = nil
        case .committed(let commit, let norm):
            // A coordinator that recovers may write a commit again; its contributions are then those of the first time.
            let first = committed.last { $0.commit.step == commit.step }
            let contributions = version == commit.step.before ? openClose ?? [] : first?.contributions ?? []
            committed.removeAll { $0.commit.step >= commit.step }
            committed.append(Committed(commit: commit, contributions: contributions, norm: norm ?? first?.norm))
            version = commit.step.after
            openClose = nil
            countedContributions = nil
            if commit.skip, skippedSteps.last != commit.step { skippedSteps.append(commit.step) }
        }
    }
}

/// Leaves the checkpoints of the history that ends with `base`. One that is not among them belongs to another job,
/// whose history this one continues.
func rollBack(_ checkpoints: inout [CheckpointReference], to base: CheckpointReference?) {
    guard let base else {
        checkpoints = []
        return
    }
    if checkpoints.contains(base) {
        checkpoints.removeAll { $0.version > base.version }
    } else {
        checkpoints = [base]
    }
}
