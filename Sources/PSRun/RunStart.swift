// How a coordinator takes up a run: what it brings along is held against the journal before a byte is written, then made
// durable, then nothing is forgotten.

import PSCheckpoint
import PSFiles
import PSMessages
import PSParameters
import PSProtocol

/// A start of a job's coordinator.
package struct RunStart: Sendable {
    /// What whoever starts it wants.
    package enum Wish: Sendable, Hashable {
        /// Begin the job, or take it up where the journal ends. A stop that was asked for holds.
        case takeUp
        /// Go on, whatever was asked before.
        case goOn
        /// Go back to a checkpoint, or begin with one of another run.
        case from(CheckpointReference)
    }

    package var seed: UInt64
    package var layoutDigest: UInt64
    /// The settings that give the journal and the checkpoints their meaning, by key.
    package var recipe: [String: String]
    /// All settings, by key; empty: they are not written down.
    package var settings: [String: String] = [:]
    package var planIdentity: UInt64
    /// Of the list of training samples.
    package var dataDigest: String
    /// Of the list of test images; nil: the job does not look at them.
    package var testDigest: String?
    package var wish: Wish

    package init(
        seed: UInt64, layoutDigest: UInt64, recipe: [String: String], planIdentity: UInt64, dataDigest: String,
        testDigest: String? = nil, wish: Wish
    ) {
        self.seed = seed
        self.layoutDigest = layoutDigest
        self.recipe = recipe
        self.planIdentity = planIdentity
        self.dataDigest = dataDigest
        self.testDigest = testDigest
        self.wish = wish
    }

    /// Throws what cannot be; changes nothing.
    package func check(_ replay: Replay, run: RunDirectory) throws(StorageError) {
        guard replay.job != 0 else { return }
        var problems = RunStart.differences(of: recipe, from: replay.recipe ?? [:])
        if problems.isEmpty, replay.seed != seed { problems = ["seed is \(seed), the run's is \(replay.seed)"] }
        if problems.isEmpty, replay.layoutDigest != layoutDigest { problems = ["its model has other tensors"] }
        if problems.isEmpty, let former = replay.dataDigest, former != dataDigest {
            problems = ["its data set lists other training samples"]
        }
        if problems.isEmpty { return }
        throw .mismatch(
            path: run.path,
            problems: problems + [
                "such settings give a run's steps and checkpoints their meaning: go on with the run's own, or start another run"
            ])
    }

    /// What differs in two recipes. A setting that one of them does not have is not compared: it is of another release.
    package static func differences(of recipe: [String: String], from former: [String: String]) -> [String] {
        recipe.sorted { $0.key < $1.key }.compactMap { key, value in
            former[key].flatMap { $0 == value ? nil : "\(key) is \(value), the run's is \($0)" }
        }
    }

    /// Writes what the start comes to into the journal, durably, and returns what the journal then says.
    ///
    /// - Parameters:
    ///   - job: the name of a job that begins.
    ///   - initial: makes the checkpoint that the job begins with, given the job's name; nil: its weights are drawn.
    package func begin(
        _ journal: Journal, run: RunDirectory, job: UInt64, endpoint: String,
        initial: ((_ job: UInt64) throws(StorageError) -> CheckpointReference)? = nil
    ) throws(StorageError) -> Replay {
        if journal.replay.job == 0 {
            try journal.append(
                // Durable before a checkpoint is there, which without a job would be anybody's.
                .header(job: job, seed: seed, layoutDigest: layoutDigest, recipe: recipe), sync: initial != nil)
        } else if journal.replay.recipe == nil {
            // Begun by a release that did not write it down.
            try journal.append(.recipe(recipe), sync: false)
        }
        if !settings.isEmpty, journal.replay.settings != settings {
            try journal.append(.settings(settings), sync: false)
        }
        if journal.replay.planIdentity == nil { try journal.append(.plan(identity: planIdentity), sync: false) }
        if journal.replay.dataDigest == nil { try journal.append(.data(digest: dataDigest), sync: false) }
        if let testDigest, journal.replay.testDigest != testDigest {
            try journal.append(.testData(digest: testDigest), sync: false)
        }
        if let initial, journal.replay.generation == 0 {
            let base = try initial(journal.replay.job)
            try journal.append(.rollback(generation: 1, base: base), sync: false)
        }
        try adopt(journal, run)
        switch wish {
        case .takeUp: break
        case .goOn: try journal.append(.resumed, sync: false)
        case .from(let base):
            try journal.append(.resumed, sync: false)
            // At once: a coordinator that is started in this one's place goes back to it as well.
            try journal.append(.rollback(generation: journal.replay.generation + 1, base: base), sync: false)
        }
        // Durable before the first word: no two starts ever speak in the same term.
        try journal.append(.term(journal.replay.term + 1, endpoint: endpoint), sync: true)
        return journal.replay
    }

    /// A checkpoint of the live history that got its name but not its record, because the coordinator died in between.
    private func adopt(_ journal: Journal, _ run: RunDirectory) throws(StorageError) {
        let replay = journal.replay
        guard replay.generation > 0 else { return }
        for entry in (try? run.checkpoints.list()) ?? [] {
            let version = Version(UInt64(entry.step))
            guard version <= replay.version, replay.checkpoints.last.map({ $0.version < version }) ?? true,
                let manifest = try? Manifest.read(from: entry.path, in: run.files),
                manifest.job == String(replay.job, radix: 16), manifest.generation == Int(replay.generation)
            else { continue }
            try journal.append(
                .checkpoint(
                    CheckpointReference(version: version, generation: replay.generation), keeping: nil), sync: false)
        }
    }
}
