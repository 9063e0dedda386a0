// What the coordinator writes to its journal: the job's truth.

import PSMessages
import PSParameters

/// A complete checkpoint.
package struct CheckpointReference: Sendable, Hashable, Codable {
    package var version: Version
    /// Absolute path of its directory.
    package var path: String

    package init(version: Version, path: String) {
        self.version = version
        self.path = path
    }
}

package enum JournalRecord: Sendable, Hashable, Codable {
    /// The first record.
    case header(job: UInt64, seed: UInt64, layoutDigest: UInt64)
    /// The identity of the plan in plan.json, when the job took it.
    case plan(identity: UInt64)
    /// A coordinator started, listening at this endpoint.
    case term(UInt64, endpoint: String)
    /// The first worker's kernels; in exact mode others must have the same.
    case kernels(core: String, hash: UInt64)
    /// Servers load this checkpoint, or the initial values, as this generation; what came after it is void.
    case rollback(generation: UInt32, base: CheckpointReference?)
    /// The step's contributions, in ticket order, are decided.
    case close(step: Step, contributions: [Contribution])
    case commit(Commit)
    case checkpoint(CheckpointReference)
    /// A person asked for a stop when this many steps are committed.
    case stopAfter(version: Version)
    case finished(version: Version, exitCode: Int)

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
package struct Replay: Sendable, Hashable {
    package var job: UInt64 = 0
    package var seed: UInt64 = 0
    package var layoutDigest: UInt64 = 0
    /// Nil for a job begun by a release without plans.
    package var planIdentity: UInt64?
    package var term: UInt64 = 0
    package var endpoint = ""
    package var kernels: Kernels?
    package var generation: UInt32 = 0
    /// Commits so far on the live history.
    package var version: Version = 0
    /// The last step that was closed, if it was not committed as far as the journal tells.
    package var openClose: [Contribution]?
    /// The commit that made `version`, if the journal has it.
    package var lastCommit: Commit?
    /// Steps of the live history whose gradient was not finite, ascending.
    package var skippedSteps: [Step] = []
    /// Ascending by version, on the live history.
    package var checkpoints: [CheckpointReference] = []
    /// Until the job ends.
    package var stopAfter: Version?
    package var finished: Int?

    package struct Kernels: Sendable, Hashable, Codable {
        package var core: String
        package var hash: UInt64
        package init(core: String, hash: UInt64) {
            self.core = core
            self.hash = hash
        }
    }

    package init() {}

    package mutating func apply(_ record: JournalRecord) {
        switch record {
        case .header(let job, let seed, let layoutDigest):
            self.job = job
            self.seed = seed
            self.layoutDigest = layoutDigest
        case .plan(let identity): planIdentity = identity
        case .term(let term, let endpoint):
            self.term = term
            self.endpoint = endpoint
            finished = nil
        case .kernels(let core, let hash): kernels = Kernels(core: core, hash: hash)
        case .rollback(let generation, let base):
            self.generation = generation
            version = base?.version ?? 0
            openClose = nil
            lastCommit = nil
            skippedSteps.removeAll { $0.before >= version }
            rollBack(&checkpoints, to: base)
        case .close(let step, let contributions):
            // A commit record may be missing (it is not synced); a later close proves it.
            if step.before != version { lastCommit = nil }
            version = step.before
            openClose = contributions
        case .commit(let commit):
            version = commit.step.after
            openClose = nil
            lastCommit = commit
            if commit.skip, skippedSteps.last != commit.step { skippedSteps.append(commit.step) }
        case .checkpoint(let reference):
            checkpoints.removeAll { $0.version >= reference.version }
            checkpoints.append(reference)
        case .stopAfter(let version): stopAfter = version
        case .finished(_, let exitCode):
            finished = exitCode
            stopAfter = nil
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
