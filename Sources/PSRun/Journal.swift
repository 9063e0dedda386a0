// The journal as records in the journal file's frames.

import PSFiles
import PSParameters
import PSProtocol

/// The journal of one job, open for appending. Used by one thread at a time.
package final class Journal: @unchecked Sendable {
    // Sendable: handed to the thread that writes it after opening.

    private let file: JournalFile
    private let run: RunDirectory
    /// What the records written so far come to.
    package private(set) var replay: Replay
    /// Bytes of a torn record that were cut when the journal was opened.
    package let cutByteCount: Int

    package init(_ run: RunDirectory) throws(StorageError) {
        let (file, contents) = try JournalFile.open(run.journal, in: run.files)
        self.file = file
        self.run = run
        cutByteCount = contents.cutByteCount
        replay = try Journal.replay(contents, path: run.journal)
    }

    /// What the journal of a run says; changes nothing and needs no lock.
    package static func read(_ run: RunDirectory) throws(StorageError) -> Replay {
        try replay(JournalFile.read(run.journal, in: run.files), path: run.journal)
    }

    private static func replay(_ contents: JournalFile.Contents, path: String) throws(StorageError) -> Replay {
        var replay = Replay()
        for (index, bytes) in contents.records.enumerated() {
            guard let records = JournalRecord.decode(bytes) else {
                throw .damaged(
                    path: path,
                    problem:
                        "record \(index + 1) is sound but not of this release: resume with the release that wrote it")
            }
            for record in records { replay.apply(record) }
        }
        return replay
    }

    /// Where the journal should begin anew next, in bytes.
    private var limit = Journal.growth
    private static let growth = 8 << 20

    /// True once when it has grown by so much that it should begin anew.
    package func takeIsLarge() -> Bool {
        guard file.byteCount > limit else { return false }
        limit = file.byteCount + Journal.growth
        return true
    }

    package func append(_ record: JournalRecord, sync: Bool) throws(StorageError) {
        try file.append(record.encoded(), sync: sync)
        replay.apply(record)
    }

    /// Begins the journal anew with one record of all that counts: what led to a checkpoint need not be read again. The
    /// former one stays among the run's former journals, for who looks back.
    ///
    /// - Parameter reported: the reports of commits up to this version are durable elsewhere.
    package func beginAnew(reported: Version) throws(StorageError) {
        let version = replay.version
        replay.committed.removeAll { $0.commit.step.after <= reported && $0.commit.step.after != version }
        let former = run.formerJournal(replay.part)
        var next = replay
        next.part += 1
        try file.beginAnew(with: [JournalRecord.state(next).encoded()], keepingAs: former)
        replay = next
        limit = file.byteCount + Journal.growth
    }
}
