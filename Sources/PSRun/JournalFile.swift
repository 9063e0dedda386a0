// The append-only file of a job's decisions.

import CZlib
import PSFiles

/// A journal open for appending.
///
/// The file is an 8-byte magic with the format's version, then records:
///
///     u32 length of the payload   u32 CRC-32 of all that follows   u64 durable   payload
///
/// little-endian; the CRC runs over the length too. `durable` is the size of the file that was known to be on disk
/// when the record was written. It tells a crash from damage: bytes that had not been synchronized may be lost in any
/// order when a machine stops, bytes below a later record's `durable` may not.
package final class JournalFile {
    /// What opening a journal found.
    package struct Contents: Sendable {
        package let records: [[UInt8]]
        /// Bytes of a torn tail that were cut off.
        package let cutByteCount: Int
    }

    package static let largestRecord = 16 << 20
    private static let magic = Array("PSJRNL01".utf8)
    private static let headSize = 16

    package let path: String
    private let files: any FileSystem
    private var file: any WritableFile
    private var end: Int
    private var durable = 0
    /// The first failure. A journal that could not be written once takes nothing more: what is on disk is unknown.
    private var failure: StorageError?

    /// Bytes since the journal began or began anew.
    package var byteCount: Int { end }

    /// Opens or creates the journal at `path` and reads its records.
    ///
    /// A tail that a crash can explain is cut; any other damage throws.
    package static func open(
        _ path: String, in files: any FileSystem = LocalFileSystem()
    ) throws(StorageError) -> (journal: JournalFile, contents: Contents) {
        let (contents, end) = try parse(path, files)
        return (try JournalFile(path: path, in: files, end: end), contents)
    }

    /// Reads the records of the journal at `path` and changes nothing.
    package static func read(
        _ path: String, in files: any FileSystem = LocalFileSystem()
    ) throws(StorageError) -> Contents {
        try parse(path, files).contents
    }

    private static func parse(
        _ path: String, _ files: any FileSystem
    ) throws(StorageError) -> (contents: Contents, end: Int) {
        // A thousand times what a journal grows to, those of earlier releases too; more is not asked of the memory.
        let bytes = try files.entry(path) == nil ? [] : try files.read(path, atMost: 8 << 30)
        guard bytes.starts(with: magic) || magic.starts(with: bytes) else {
            throw .damaged(path: path, problem: "not a journal of this version: it does not begin with PSJRNL01")
        }
        let (records, end) = bytes.count < magic.count ? ([], 0) : try replay(bytes, path: path)
        return (Contents(records: records, cutByteCount: bytes.count - end), end)
    }

    private init(path: String, in files: any FileSystem, end: Int) throws(StorageError) {
        self.path = path
        self.files = files
        self.end = end
        file = try files.create(path, keeping: end)
        if end == 0 { try write(JournalFile.magic) }
        try synchronize()
        try files.synchronize(directory: Paths.parent(of: path))
    }

    /// Puts a journal of these records in the place of this one, durably: a crash leaves the one or the other.
    ///
    /// - Parameter name: under which this one stays; what has it, of a try that a crash cut short, is replaced.
    package func beginAnew(with payloads: [[UInt8]], keepingAs name: String) throws(StorageError) {
        if let failure { throw failure }
        // What it holds is durable before it has another name.
        try synchronize()
        // Never the run's own: a person may have moved it.
        let former = Paths.parent(of: name)
        if !files.isDirectory(former) {
            try files.makeDirectory(former)
            try files.synchronize(directory: Paths.parent(of: former))
        }
        try files.keep(path, as: name)
        let next = path + ".new"
        let (old, oldEnd, oldDurable) = (file, end, durable)
        let directory: any OpenDirectory
        do throws(StorageError) {
            // A person may move the run at any moment; what is opened here is renamed wherever it is by then.
            directory = try files.openDirectory(Paths.parent(of: path))
            file = try files.create(next)
            (end, durable) = (0, 0)
            try write(JournalFile.magic)
            for payload in payloads { try append(payload, sync: false) }
            try synchronize()
        } catch {
            // The former journal is as good as it was, and goes on.
            (file, end, durable, failure) = (old, oldEnd, oldDurable, nil)
            try? files.remove(next)
            throw error
        }
        // From here on it is not known which of the two is there.
        try attempt { () throws(StorageError) in
            try directory.renameDurably(Paths.name(of: next), to: Paths.name(of: path))
        }
    }

    /// Appends a record; with `sync` it and all before it are on disk when this returns.
    ///
    /// After an error nothing more can be appended: open the journal anew.
    package func append(_ payload: [UInt8], sync: Bool) throws(StorageError) {
        precondition(payload.count <= JournalFile.largestRecord, "a journal record of \(payload.count) bytes")
        var record = JournalFile.littleEndian(UInt32(payload.count))
        let checked = JournalFile.littleEndian(UInt64(durable)) + payload
        record += JournalFile.littleEndian(JournalFile.checksum(length: record[...], checked: checked[...])) + checked
        try write(record)
        if sync { try synchronize() }
    }

    /// Makes everything appended so far durable.
    package func synchronize() throws(StorageError) {
        try attempt { () throws(StorageError) in try file.synchronize() }
        durable = end
    }

    private func write(_ bytes: [UInt8]) throws(StorageError) {
        try attempt { () throws(StorageError) in try file.write(bytes) }
        end += bytes.count
    }

    private func attempt(_ body: () throws(StorageError) -> Void) throws(StorageError) {
        if let failure { throw failure }
        do throws(StorageError) {
            try body()
        } catch {
            failure = error
            throw error
        }
    }
}

// MARK: Reading

extension JournalFile {
    /// A record found at some position, whole and with the right checksum.
    private struct Found {
        let payload: Range<Int>
        let durable: UInt64
    }

    /// All records up to the first that is not whole, and where they end.
    private static func replay(_ bytes: [UInt8], path: String) throws(StorageError) -> ([[UInt8]], end: Int) {
        var records: [[UInt8]] = []
        var position = magic.count
        while let record = record(in: bytes, at: position) {
            records.append(Array(bytes[record.payload]))
            position = record.payload.upperBound
        }
        // Was the rest known to be on disk? Then a later record says so. (The bytes between are not trusted, not even
        // for a length, so every position is tried.)
        var candidate = position + 1
        while candidate < bytes.count {
            if let later = record(in: bytes, at: candidate, durableAbove: UInt64(position)) {
                throw .damaged(
                    path: path,
                    problem: "record \(records.count), at byte \(position), is damaged, and later records "
                        + "(one at byte \(candidate), \(later.payload.count) bytes) show that this is no torn tail; "
                        + "restore the file from a copy, or start a new run from the last checkpoint")
            }
            candidate += 1
        }
        return (records, position)
    }

    /// The record at `position`, if one is there whose `durable` is above the given size.
    private static func record(in bytes: [UInt8], at position: Int, durableAbove known: UInt64? = nil) -> Found? {
        guard bytes.count - position >= headSize else { return nil }
        let length = Int(littleEndian(bytes[position..<position + 4]))
        let durable = littleEndian(bytes[position + 8..<position + 16])
        guard durable <= position, known.map({ durable > $0 }) ?? true, length <= largestRecord,
            length <= bytes.count - position - headSize
        else { return nil }
        let end = position + headSize + length
        let expected = checksum(length: bytes[position..<position + 4], checked: bytes[position + 8..<end])
        guard littleEndian(bytes[position + 4..<position + 8]) == expected else { return nil }
        return Found(payload: position + headSize..<end, durable: durable)
    }

    private static func checksum(length: ArraySlice<UInt8>, checked: ArraySlice<UInt8>) -> UInt32 {
        [length, checked].reduce(UInt32(0)) { sum, part in
            part.withUnsafeBufferPointer { UInt32(crc32_z(UInt(sum), $0.baseAddress, $0.count)) }
        }
    }

    private static func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian, Array.init)
    }

    private static func littleEndian(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
