// The journal as records: JSON in the journal file's frames.

import Foundation
import PSCheckpoint
import PSProtocol

/// The journal of one job, open for appending. Used by one thread at a time.
final class JobJournal: @unchecked Sendable {
    // Sendable: the node hands it to its disk thread after opening.

    private let file: JournalFile
    let replay: Replay
    /// Bytes of a torn record that were cut when the journal was opened.
    let cutByteCount: Int

    init(path: String) throws(CheckpointError) {
        let (file, contents) = try JournalFile.open(path)
        self.file = file
        cutByteCount = contents.cutByteCount
        let decoder = JSONDecoder()
        decoder.nonConformingFloatDecodingStrategy = .convertFromString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        var replay = Replay()
        for (index, bytes) in contents.records.enumerated() {
            guard let record = try? decoder.decode(JournalRecord.self, from: Data(bytes)) else {
                throw .damaged(
                    path: path,
                    problem:
                        "record \(index + 1) is sound but not of this release: resume with the release that wrote it")
            }
            replay.apply(record)
        }
        self.replay = replay
    }

    func append(_ record: JournalRecord, sync: Bool) throws(CheckpointError) {
        // A contribution's loss may be infinite or no number.
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        guard let data = try? encoder.encode(record) else {
            preconditionFailure("a journal record that does not encode: \(record)")
        }
        try file.append(Array(data), sync: sync)
    }
}
