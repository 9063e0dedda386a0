// The journal: what was appended comes back, a torn tail is cut, damage is refused, failed writes are final.

import Glibc
import PSFiles
import PSParameters
import PSRun
import TestSupport
import Testing

private let payloads: [[UInt8]] = (0..<12).map { index in
    (0..<[0, 1, 7, 40][index % 4]).map { UInt8(truncatingIfNeeded: $0 * 31 + index) }
}

/// Appends `payloads`; every third is synchronized. Returns where each record ends.
private func write(_ path: String) throws -> [Int] {
    let journal = try JournalFile.open(path).journal
    var ends = [8]
    for (index, payload) in payloads.enumerated() {
        try journal.append(payload, sync: index % 3 == 2)
        ends.append(readFile(path).count)
    }
    return ends
}

@Test func appendedRecordsComeBack() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/journal"
    _ = try write(path)
    let (journal, contents) = try JournalFile.open(path)
    #expect(contents.records == payloads)
    #expect(contents.cutByteCount == 0)
    try journal.append([1, 2, 3], sync: true)
    #expect(try JournalFile.open(path).contents.records == payloads + [[1, 2, 3]])
}

/// Cut anywhere, the journal opens with the whole records before the cut, and appending goes on from there.
@Test func aTornTailIsCut() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/journal"
    let ends = try write(path)
    let sound = readFile(path)
    for length in 0..<sound.count {
        writeFile(path, Array(sound[..<length]))
        let (journal, contents) = try JournalFile.open(path)
        let whole = ends.dropFirst().count { $0 <= length }
        #expect(contents.records == Array(payloads[..<whole]))
        #expect(contents.cutByteCount == (length < 8 ? length : length - ends[whole]))
        // Now and then only: synchronizing takes time.
        if length % 11 != 0 { continue }
        try journal.append([9], sync: true)
        #expect(try JournalFile.open(path).contents.records == payloads[..<whole] + [[9]])
    }
}

/// One flipped bit: refused where a later record proves the bytes were on disk, else cut at the damaged record.
@Test func damageIsRefusedOrCut() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/journal"
    let ends = try write(path)
    let sound = readFile(path)
    // Records 0, 1 and 2 are durable from record 3 on, and so forth; nothing follows the last synchronization.
    let proven = ends[9]
    // Every byte, and every bit of a byte: five and eight have no common factor.
    for bit in stride(from: 0, to: sound.count * 8, by: 5) {
        var bytes = sound
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        writeFile(path, bytes)
        if bit / 8 < proven {
            #expect(throws: StorageError.self, "bit \(bit)") { try JournalFile.open(path) }
            #expect(readFile(path) == bytes)
        } else {
            let damaged = ends.dropFirst().count { $0 <= bit / 8 }
            #expect(try JournalFile.open(path).contents.records == Array(payloads[..<damaged]), "bit \(bit)")
        }
    }
}

/// A machine that stops may lose an unsynchronized record and keep the one behind it.
@Test func aLostUnsynchronizedRecordIsATornTail() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/journal"
    let ends = try write(path)
    var bytes = readFile(path)
    for index in ends[9]..<ends[10] { bytes[index] = 0 }
    writeFile(path, bytes)
    let contents = try JournalFile.open(path).contents
    #expect(contents.records == Array(payloads[..<9]))
    #expect(contents.cutByteCount == bytes.count - ends[9])
}

@Test func anotherFileIsNoJournal() {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/journal"
    writeFile(path, Array("PSJRNL99 and more".utf8))
    let error = #expect(throws: StorageError.self) { try JournalFile.open(path) }
    #expect(error?.description.contains("not a journal of this version") == true)
    #expect(readFile(path) == Array("PSJRNL99 and more".utf8))
}

@Test func randomBytesNeverTrap() {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/journal"
    let random = CounterRandom(key: 11)
    for trial in 0..<300 {
        let draws = random.stream(UInt64(trial))
        let bytes = (0..<draws.integer(0, below: 300)).map { UInt8(draws.integer(UInt64($0) + 1, below: 256)) }
        writeFile(path, Array("PSJRNL01".utf8) + bytes)
        let contents = try? JournalFile.open(path).contents
        #expect(contents == nil || contents!.cutByteCount <= bytes.count)
    }
}

@Test(arguments: [("/dev/null/run", ENOTDIR), ("/dev/null", ENOTDIR), ("/proc/nothing/run", ENOENT)])
func aRunDirectoryThatCannotBe(path: String, code: Int32) {
    let error = #expect(throws: StorageError.self) { try RunDirectory(path).create() }
    guard case .system("create directory", _, let found) = error else {
        Issue.record("\(error?.description ?? "")")
        return
    }
    #expect(found == code)
}

/// The machine's files, in which a person moves a directory right after a file of some name was created.
private struct FilesBeingMoved: AlteredFiles {
    let local = LocalFileSystem()
    let trigger: String
    let directory: String
    let destination: String

    func create(_ path: String, keeping kept: Int) throws(StorageError) -> any WritableFile {
        let file = try local.create(path, keeping: kept)
        if Paths.name(of: path) == trigger { try local.rename(directory, to: destination) }
        return file
    }
}

/// A run may be moved at any moment, in the middle of this as well: the journal is in it, wherever it is, and goes on.
@Test func aJournalThatBeginsAnewWhileItsRunIsMoved() throws {
    let directory = TemporaryDirectory()
    let (here, there) = ("\(directory.path)/run", "\(directory.path)/away")
    try LocalFileSystem().makeDirectory(here)
    let files = FilesBeingMoved(trigger: "journal.new", directory: here, destination: there)
    let journal = try JournalFile.open("\(here)/journal", in: files).journal
    for payload in payloads { try journal.append(payload, sync: false) }
    try journal.beginAnew(with: [[1, 2]], keepingAs: "\(here)/journals/1")
    try journal.append([3], sync: true)
    #expect(try JournalFile.read("\(there)/journal").records == [[1, 2], [3]])
    #expect(try JournalFile.read("\(there)/journals/1").records == payloads)
}
