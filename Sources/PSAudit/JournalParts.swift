// The journals of a run in the order in which they were written: those that were put away, then the one that is written now.

import PSFiles
import PSProtocol
import PSRun

/// One of a run's journals.
package struct JournalPart: Sendable {
    /// Its path in the run's directory.
    package let name: String
    private let path: String
    private let files: any FileSystem

    /// The run's journals that are there, oldest first.
    package static func all(of run: RunDirectory) throws(StorageError) -> [JournalPart] {
        let former = run.files.isDirectory(run.formerJournals) ? try run.files.list(run.formerJournals) : []
        let places = former.filter { Int($0) != nil }.map { "\(run.formerJournals)/\($0)" } + [run.journal]
        return places.map { path in
            JournalPart(name: String(path.dropFirst(run.path.count + 1)), path: path, files: run.files)
        }
    }

    /// Its records, and what is behind the last one that is whole.
    package func read() throws(StorageError) -> JournalFile.Contents { try JournalFile.read(path, in: files) }
}

/// A record where it stands.
package struct RecordPlace: Sendable, Hashable, Codable {
    /// The path of its journal in the run's directory.
    package let journal: String
    /// Counted from 1.
    package let record: Int
}
