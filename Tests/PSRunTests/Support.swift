// What the tests of this target share: a directory that goes away, raw files.

import FoundationEssentials
import Glibc
import PSCheckpoint
import PSFiles
import PSParameters

/// A new directory, removed with the object.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/checkpoint-tests-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template)!)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }
}

func writeFile(_ path: String, _ bytes: [UInt8]) {
    let file = fopen(path, "w")!
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
}

func readFile(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(byte)) }
    return bytes
