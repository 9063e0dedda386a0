// Safetensors files: what we write we read, and no bytes of anyone else's bring the reader down.

import Glibc
import PSCheckpoint
import PSFiles
import PSParameters
import TestSupport
import Testing

private func outgoing(_ name: String, _ shape: [Int], _ values: [Float]) -> OutgoingTensor {
    OutgoingTensor(name: name, shape: shape) { (emit) throws(StorageError) in
        // In two pieces, so that pieces are tested.
        for part in [values[..<(values.count / 2)], values[(values.count / 2)...]] {
            try part.withUnsafeBufferPointer { (buffer) throws(StorageError) in
                try emit(UnsafeRawBufferPointer(buffer))
            }
        }
    }
}

private func floats(_ file: SafetensorsFile, _ name: String) throws -> [Float]? {
    try file.tensor(named: name).map { tensor in
        try file.withBytes(of: tensor) { bytes in
            (0..<tensor.elementCount).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}

private func file(header: String, data: Int = 0, declaring length: UInt64? = nil) -> [UInt8] {
    withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian, Array.init) + Array(header.utf8)
        + [UInt8](repeating: 7, count: data)
}

@Test func roundTrip() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/x.safetensors"
    let metadata = ["format": "pt", "note \"\\\n\u{1}é": "tab\t"]
    let written = try SafetensorsWriter.write(
        path: path, metadata: metadata,
        tensors: [
            outgoing("w", [2, 3], [1, 2, 3, 4, 5, -6.5]), outgoing("scalar", [], [9]), outgoing("none", [0, 4], []),
        ])
    let file = try SafetensorsFile(path)
    #expect(file.metadata == metadata)
    #expect(file.tensor(named: "w")?.shape == [2, 3])
    #expect(try floats(file, "w") == [1, 2, 3, 4, 5, -6.5])
    #expect(try floats(file, "scalar") == [9])
    #expect(try floats(file, "none") == [])
    #expect(file.tensor(named: "absent") == nil)
    #expect(try written.sha256 == file.sha256())
    #expect(written.byteCount == readFile(path).count)
    #expect(names(in: directory.path) == ["x.safetensors"])
}

/// The example file of the format's specification, written out by hand.
@Test func readsTheFormat() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/hand.safetensors"
    writeFile(
        path,
        file(
            header:
                #" { "b" : {"data_offsets":[4,8],"dtype":"I32","shape":[1]}, "#
                + #""a\u00e9\ud83d\ude00":{"dtype":"F16","shape":[1,2],"data_offsets":[0,4]}}  "#,
            data: 8))
    let open = try SafetensorsFile(path)
    #expect(open.tensors.map(\.name) == ["aé😀", "b"])
    #expect(open.tensors.map(\.dataType) == [.float16, .int32])
    #expect(open.tensors.map(\.range) == [0..<4, 4..<8])
}

private let tensor = #"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#

@Test(
    arguments: [
        ([], "0 bytes"),
        ([1, 2, 3], "3 bytes"),
        (file(header: "{}", declaring: 1 << 40), "above the limit"),
        (file(header: "{}", declaring: .max), "above the limit"),
        (file(header: "{}", declaring: 3), "truncated"),
        (file(header: "[]"), "expected {"),
        (file(header: "{\"a\":1}"), "expected {"),
        (file(header: "{} x"), "follows"),
        (file(header: "{\"a\":\(tensor)}", data: 3), "truncated"),
        (file(header: "{\"a\":\(tensor)}", data: 5), "1 bytes follow"),
        (file(header: "{\"a\":\(tensor),\"a\":\(tensor)}", data: 4), "two entries"),
        (file(header: "{\"a\":\(tensor),\"b\":\(tensor)}", data: 4), "overlaps"),
        (file(header: #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, data: 8), "hole of 4"),
        (file(header: #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, data: 4), "needs 8 bytes"),
        (file(header: #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, data: 4), "ends before"),
        (file(header: #"{"a":{"dtype":"F9","shape":[1],"data_offsets":[0,4]}}"#, data: 4), "unknown dtype \"F9\""),
        (file(header: #"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, data: 4), "whole number"),
        (file(header: #"{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}"#, data: 4), "whole number"),
        (file(header: #"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#), "too large"),
        (file(header: #"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,0]}}"#), "too large"),
        (file(header: #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, data: 4), "two data_offsets"),
        (file(header: #"{"a":{"dtype":"F32","data_offsets":[0,4]}}"#, data: 4), "lacks"),
        (file(header: #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}"#, data: 4), "\"x\""),
        (file(header: "{\"\u{1}\":\(tensor)}", data: 4), "control character"),
        (file(header: "{\"\\ud800\":\(tensor)}", data: 4), "surrogate"),
        (file(header: "{\"a"), "does not end"),
    ] as [([UInt8], String)])
func refusesALyingFile(bytes: [UInt8], reason: String) {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/x.safetensors"
    writeFile(path, bytes)
    let error = #expect(throws: StorageError.self) { try SafetensorsFile(path) }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
    #expect(error?.description.hasPrefix(path) == true)
}

/// Whatever is flipped or cut, opening throws or every tensor can be read.
@Test func survivesBitFlipsAndTruncation() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/x.safetensors"
    try SafetensorsWriter.write(
        path: path, metadata: ["k": "v"],
        tensors: [outgoing("w", [2, 3], [1, 2, 3, 4, 5, 6]), outgoing("b", [3], [7, 8, 9])])
    let sound = readFile(path)
    let damaged = "\(directory.path)/damaged"
    func open(_ bytes: [UInt8]) -> Bool {
        writeFile(damaged, bytes)
        guard let file = try? SafetensorsFile(damaged) else { return false }
        for tensor in file.tensors { try? file.withBytes(of: tensor) { #expect($0.count == tensor.range.count) } }
        return true
    }
    #expect(open(sound))
    for length in 0..<sound.count { #expect(!open(Array(sound[..<length]))) }
    for bit in 0..<sound.count * 8 {
        var bytes = sound
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        _ = open(bytes)
    }
    let random = CounterRandom(key: 5)
    for trial in 0..<2000 {
        let draws = random.stream(UInt64(trial))
        var bytes = sound
        for flip in 0..<UInt64(1 + trial % 8) {
            bytes[draws.integer(2 * flip, below: bytes.count)] = UInt8(draws.integer(2 * flip + 1, below: 256))
        }
        _ = open(bytes)
    }
}

/// A disk on which nothing finds room.
private struct FullDisk: AlteredFiles {
    private final class FullFile: WritableFile {
        let path: String
        init(_ path: String) { self.path = path }
        func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
            throw .system(operation: "write", path: path, code: ENOSPC)
        }
        func synchronize() throws(StorageError) {}
    }

    private let local = LocalFileSystem()

    func create(_ path: String, keeping kept: Int) throws(StorageError) -> any WritableFile {
        _ = try local.create(path, keeping: kept)
        return FullFile(path)
    }

}

/// Whoever plants a link at the name that a file has while it is written chooses nothing by it.
@Test func aLinkInTheWayIsNotFollowed() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/x.safetensors"
    try "a person's".write(toFile: "\(directory.path)/other", atomically: true, encoding: .utf8)
    symlink("\(directory.path)/other", "\(path).tmp")
    let error = #expect(throws: StorageError.self) {
        try SafetensorsWriter.write(path: path, metadata: [:], tensors: [outgoing("w", [1], [2])])
    }
    #expect(error == .system(operation: "create", path: "\(path).tmp", code: ELOOP))
    #expect(readFile("\(directory.path)/other") == Array("a person's".utf8))
}

@Test func aFullDiskLeavesThePreviousFile() throws {
    let directory = TemporaryDirectory()
    let path = "\(directory.path)/x.safetensors"
    try SafetensorsWriter.write(path: path, metadata: [:], tensors: [outgoing("w", [1], [1])])
    let before = readFile(path)
    let error = #expect(throws: StorageError.self) {
        try SafetensorsWriter.write(path: path, metadata: [:], tensors: [outgoing("w", [1], [2])], in: FullDisk())
    }
    #expect(error == .system(operation: "write", path: "\(path).tmp", code: ENOSPC))
    #expect(error?.description.contains("No space left on device") == true)
    #expect(readFile(path) == before)
    #expect(names(in: directory.path) == ["x.safetensors"])
}

/// A rename would replace the device by a plain file.
@Test func aDeviceIsNotReplaced() {
    #expect(
        throws: StorageError.damaged(
            path: "/dev/null", problem: "is there and is no regular file; choose another path")
    ) {
        try SafetensorsWriter.write(path: "/dev/null", metadata: [:], tensors: [])
    }
}

@Test func aMissingDirectoryIsNamed() {
    let error = #expect(throws: StorageError.self) {
        try SafetensorsWriter.write(path: "/nonexistent/x", metadata: [:], tensors: [])
    }
    #expect(error == .system(operation: "create", path: "/nonexistent/x.tmp", code: ENOENT))
    #expect(throws: StorageError.self) { try SafetensorsFile("/tmp") }
}

/// FIPS 180-2, appendix B.
@Test func publishedSHA256() {
    func hash(_ pieces: [String]) -> String {
        var hash = SHA256()
        for piece in pieces { Array(piece.utf8).withUnsafeBytes { hash.update($0) } }
        return hash.hexadecimal()
    }
    #expect(hash(["abc"]) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
        hash(["abcdbcdecdefdefgefghfghighij", "hijkijkljklmklmnlmnomnopnopq"])
            == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
}
