// The run directory in the simulation: a journal whose unsynced end may be lost, and checkpoints.

import PSMessages
import PSParameters
import PSProtocol

struct SimulatedDisk {
    private var journal: [JournalRecord] = []
    /// Records that survive whatever happens.
    private var synced = 0
    private var parts: [String: [Int: [Int: UInt64]]] = [:]
    private(set) var checkpoints: [String: [Int: UInt64]] = [:]
    private var damaged: Set<String> = []

    // MARK: The journal

    var replay: Replay {
        journal.reduce(into: Replay()) { $0.apply($1) }
    }

    mutating func append(_ record: JournalRecord, sync: Bool) {
        journal.append(record)
        if sync { synced = journal.count }
    }

    /// A machine fails: any number of the records that were not synced are gone.
    mutating func loseUnsynced(_ chance: inout Chance) {
        journal.removeLast(chance.integer(0...journal.count - synced))
    }

    /// What a coordinator does with the journal before it speaks.
    mutating func startJournal() -> Replay {
        if journal.isEmpty { append(.header(job: 77, seed: 1, layoutDigest: 1), sync: true) }
        append(.term(replay.term + 1, endpoint: "coordinator"), sync: true)
        return replay
    }

    /// Whether the step's close survives whatever happens, on the history that is live.
    func isClosed(_ step: Step) -> Bool {
        for record in journal.prefix(synced).reversed() {
            switch record {
            case .close(step, _): return true
            case .rollback: return false
            default: break
            }
        }
        return false
    }

    func isRolledBack(to generation: UInt32) -> Bool {
        journal.prefix(synced).contains { if case .rollback(generation, _) = $0 { true } else { false } }
    }

    // MARK: Checkpoints

    mutating func writePart(_ version: Version, _ generation: UInt32, rank: Int, _ values: [Int: UInt64]) {
        parts["\(version) of \(generation)", default: [:]][rank] = values
    }

    /// Renames the parts, as the real store does: a part that was renamed before is not there.
    mutating func complete(_ version: Version, _ generation: UInt32, servers: Int) -> String? {
        guard let part = parts.removeValue(forKey: "\(version) of \(generation)"), part.count == servers else {
            return nil
        }
        let path = "step-\(version)"
        checkpoints[path] = part.values.reduce(into: [:]) { $0.merge($1) { _, new in new } }
        damaged.remove(path)
        return path
    }

    /// Nil when the checkpoint is damaged.
    func read(_ path: String, _ slices: [Int]) -> [Int: UInt64]? {
        if path.isEmpty {
            return Dictionary(uniqueKeysWithValues: slices.map { ($0, Arithmetic.initial(slice: $0)) })
        }
        guard !damaged.contains(path), let checkpoint = checkpoints[path] else { return nil }
        return checkpoint.filter { slices.contains($0.key) }
    }

    /// Turns the journal's last checkpoint bad, if there is an older one and steps are to come.
    mutating func damageLast(before last: Version) {
        let known = replay.checkpoints
        guard known.count > 1, damaged.isEmpty, replay.version < last else { return }
        damaged.insert(known[known.count - 1].path)
    }
}
