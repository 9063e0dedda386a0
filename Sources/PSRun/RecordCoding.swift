// A journal's records as bytes: JSON, but for what there is to say at every step, which is protobuf.

import PSFiles
import PSMessages
import PSParameters
import PSProtocol

extension JournalRecord {
    package func encoded() -> [UInt8] {
        if case .step(let record) = self { return record.encoded() }
        return JSON.compact(self)
    }

    /// What a record says; several where an earlier release said more at once. Nil: it is of no release that is known.
    package static func decode(_ bytes: [UInt8]) -> [JournalRecord]? {
        guard bytes.first == UInt8(ascii: "{") else {
            return bytes.withUnsafeBytes { bytes in (try? StepRecord.decode(bytes)).map { [.step($0)] } }
        }
        if let record = try? JSON.decode(JournalRecord.self, from: bytes) { return [record] }
        return (try? JSON.decode(EarlierRecord.self, from: bytes))?.records
    }
}

/// What earlier releases said at every step, in JSON; a worker's name was not in it.
private enum EarlierRecord: Codable {
    case counted(Contribution)
    case close(step: Step, contributions: [Contribution])
    case commit(Commit, norm: Double?)

    var records: [JournalRecord] {
        switch self {
        case .counted(let contribution): [.step(.counted(contribution, worker: 0))]
        case .close(let step, let contributions):
            contributions.map { .step(.counted($0, worker: 0)) }
                + [.step(.closed(step, attempts: contributions.map(\.attempt)))]
        case .commit(let commit, let norm): [.step(.committed(commit, norm: norm))]
        }
    }
}
