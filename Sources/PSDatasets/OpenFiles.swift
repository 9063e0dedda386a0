// A bounded number of open files, for samples that lie in shards.

import Synchronization

/// Opens a set's files when they are needed and keeps the ones used last. May be used from many threads at once.
final class OpenFiles: Sendable {
    /// Far below the usual limit of 1024 descriptors of a process.
    static let most = 64

    fileprivate struct Slots {
        var files: [Int: (file: FileBytes, lastUse: Int)] = [:]
        var uses = 0
    }

    private let root: String
    private let files: [IndexedFile]
    private let limit: Int
    private let slots = Mutex(Slots())

    init(root: String, _ files: [IndexedFile], limit: Int = most) {
        self.root = root
        self.files = files
        self.limit = limit
    }

    func path(_ container: Int) -> String { "\(root)/\(files[container].name)" }

    /// Descriptors held now.
    var openCount: Int { slots.withLock { $0.files.count } }

    /// - Parameter container: the file's number in the index, which has checked it.
    /// - Throws: `changed` when the file is not the one that was indexed.
    func file(_ container: Int) throws(DatasetError) -> FileBytes {
        if let file = slots.withLock({ $0.use(container) }) { return file }
        // Opened outside of the lock: a slow file server holds up only who waits for this file.
        let file = try FileBytes(path(container), expected: files[container].stamp)
        slots.withLock { slots in
            if slots.files.count >= limit, let oldest = slots.files.min(by: { $0.value.lastUse < $1.value.lastUse }) {
                // Closed when its last reader is done with it.
                slots.files[oldest.key] = nil
            }
            slots.files[container] = (file, slots.uses)
        }
        return file
    }
}

extension OpenFiles.Slots {
    fileprivate mutating func use(_ container: Int) -> FileBytes? {
        uses += 1
        files[container]?.lastUse = uses
        return files[container]?.file
    }
}
