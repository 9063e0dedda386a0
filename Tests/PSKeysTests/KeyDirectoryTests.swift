// The directory of keys: what each change leaves, that a refused one leaves everything, and that none is lost.

import Foundation
import Glibc
import PSFiles
import PSKeys
import TestSupport
import Testing

@Suite struct KeyDirectoryTests {
    private let roles = ["operator", "server", "viewer", "worker"]

    @Test func aNewDirectory() throws {
        let keys = try Keys()
        #expect(names(in: keys.path) == ["allowed.json", "coordinator.join", "lock"] + roles.map { "\($0).join" })
        #expect(mode(keys.path) == 0o700 && names(in: keys.path).allSatisfy { mode(keys.path($0)) == 0o600 })
        #expect(names(in: keys.temporary.path) == ["keys"])
        let allowed = try keys.directory.allowed()
        #expect(allowed.map(\.name) == roles && allowed.map(\.role.rawValue) == roles)
        for entry in allowed {
            #expect(try JoinFile.read(keys.directory.joinFile(of: entry.name)).keys.publicKey == entry.publicKey)
        }
        let own = try keys.directory.coordinator()
        #expect(try keys.directory.keys.map(\.name) == ["coordinator"] + roles)
        #expect(try keys.directory.keys[0].publicKey == own.keys.publicKey)
        // The list, as people and other programs read it.
        let bytes = readFile(keys.path("allowed.json"))
        let list = try #require(JSONSerialization.jsonObject(with: Data(bytes)) as? [[String: String]])
        #expect(list == allowed.map { ["name": $0.name, "role": $0.role.rawValue, "key": $0.publicKey] })
        #expect(bytes.last == UInt8(ascii: "\n"))
    }

    @Test func whatIsThereIsNotReplaced() throws {
        let keys = try Keys()
        let before = keys.content
        refused("is there already") { try KeyDirectory.create(keys.path + "/", coordinator: nil) }
        refused("is there already") { try KeyDirectory.create(keys.path("lock"), coordinator: nil) }
        symlink("nowhere", "\(keys.temporary.path)/link")
        refused("is there already") { try KeyDirectory.create("\(keys.temporary.path)/link", coordinator: nil) }
        mkdir("\(keys.temporary.path)/empty", 0o755)
        refused("is there already") { try KeyDirectory.create("\(keys.temporary.path)/empty", coordinator: nil) }
        #expect(mode("\(keys.temporary.path)/empty") == 0o755)
        #expect(keys.content == before && names(in: keys.temporary.path) == ["empty", "keys", "link"])
        // Missing parents are made.
        try KeyDirectory.create("\(keys.temporary.path)/runs/one/keys/", coordinator: nil)
        #expect(try KeyDirectory("\(keys.temporary.path)/runs/one/keys").allowed().count == 4)
    }

    @Test func addAndRevoke() throws {
        let keys = try Keys()
        let before = keys.content
        let path = try keys.directory.add(role: .worker, name: "gpu-7_a.b")
        let file = try JoinFile.read(path)
        #expect(path == keys.path("gpu-7_a.b.join") && mode(path) == 0o600)
        #expect(file.name == "gpu-7_a.b" && file.role == .worker && file.coordinator == "tcp://host:7000")
        #expect(file.coordinatorKey == (try keys.directory.coordinator().keys.publicKey))
        let entry = AllowedKey(name: "gpu-7_a.b", role: .worker, publicKey: file.keys.publicKey)
        #expect(try keys.directory.allowed().map(\.name) == ["gpu-7_a.b"] + roles)
        #expect(try keys.directory.allowed()[0] == entry)
        try keys.directory.revoke(name: "gpu-7_a.b")
        #expect(keys.content == before)
        // One that was moved away, and one that no list has.
        try keys.directory.revoke(name: "viewer")
        writeFile(keys.path("viewer.join"), [1])
        refused("viewer.join is there, but the list has no such key") {
            try keys.directory.add(role: .viewer, name: "viewer")
        }
        try keys.directory.revoke(name: "viewer")
        unlink(keys.path("worker.join"))
        try keys.directory.revoke(name: "worker")
        #expect(try keys.directory.allowed().map(\.name) == ["operator", "server"])
        #expect(!names(in: keys.path).contains("viewer.join"))
    }

    @Test func rotate() throws {
        let keys = try Keys()
        let old = try JoinFile.read(keys.path("worker.join"))
        let others = keys.content.filter { $0.key != "worker.join" && $0.key != "allowed.json" }
        #expect(try keys.directory.rotate(name: "worker") == keys.path("worker.join"))
        let new = try JoinFile.read(keys.path("worker.join"))
        #expect(new.keys.publicKey != old.keys.publicKey && new.keys.secretKey != old.keys.secretKey)
        #expect(new.role == .worker && new.coordinatorKey == old.coordinatorKey && new.coordinator == old.coordinator)
        let allowed = try keys.directory.allowed()
        #expect(allowed.map(\.name) == roles && allowed[3].publicKey == new.keys.publicKey)
        #expect(keys.content.filter { $0.key != "worker.join" && $0.key != "allowed.json" } == others)
        // A file that was given away is made again.
        unlink(keys.path("worker.join"))
        #expect(try JoinFile.read(keys.directory.rotate(name: "worker")).keys != new.keys)
    }

    @Test func rotateTheCoordinator() throws {
        let keys = try Keys()
        let old = try keys.directory.coordinator()
        let list = readFile(keys.path("allowed.json"))
        let before = try roles.map { try JoinFile.read(keys.path("\($0).join")) }
        unlink(keys.path("viewer.join"))
        #expect(try keys.directory.rotate(name: "coordinator") == keys.path("coordinator.join"))
        let new = try keys.directory.coordinator()
        #expect(new.keys.publicKey != old.keys.publicKey && new.coordinator == old.coordinator)
        #expect(readFile(keys.path("allowed.json")) == list && !names(in: keys.path).contains("viewer.join"))
        for var file in before where file.role != .viewer {
            file.coordinatorKey = new.keys.publicKey
            #expect(try JoinFile.read(keys.path("\(file.name).join")) == file)
        }
        #expect(names(in: keys.path).allSatisfy { mode(keys.path($0)) == 0o600 })
    }

    @Test func aRefusedChangeLeavesEveryByte() throws {
        let keys = try Keys()
        let before = keys.content
        let long = String(repeating: "n", count: 65)
        for name in ["", ".", "..", ".x", "a/b", "../a", "a b", "ä", "a\n", "a\0", long] {
            refused("is no name for a key") { try keys.directory.add(role: .worker, name: name) }
            refused("is no name for a key") { try keys.directory.revoke(name: name) }
            refused("is no name for a key") { try keys.directory.rotate(name: name) }
        }
        for name in ["allowed", "coordinator"] {
            refused("is reserved") { try keys.directory.add(role: .worker, name: name) }
        }
        refused("is reserved") { try keys.directory.revoke(name: "allowed") }
        refused("cannot be revoked") { try keys.directory.revoke(name: "coordinator") }
        refused("has a key named worker;") { try keys.directory.add(role: .server, name: "worker") }
        refused("a job has one coordinator") { try keys.directory.add(role: .coordinator, name: "second") }
        refused("has no key named nobody;") { try keys.directory.revoke(name: "nobody") }
        refused("has no key named nobody;") { try keys.directory.rotate(name: "nobody") }
        #expect(keys.content == before)
        // What cannot be read is not replaced.
        chmod(keys.path("server.join"), 0o644)
        refused("server.join has mode 0644") { try keys.directory.rotate(name: "coordinator") }
        chmod(keys.path("coordinator.join"), 0o644)
        refused("coordinator.join has mode 0644") { try keys.directory.rotate(name: "worker") }
        refused("coordinator.join has mode 0644") { try keys.directory.add(role: .worker, name: "w") }
        #expect(keys.content == before)
        let away = KeyDirectory("\(keys.temporary.path)/nowhere")
        refused("nowhere is not there") { try away.add(role: .worker, name: "w") }
        refused("is not there") { try KeyDirectory(keys.temporary.path).add(role: .worker, name: "w") }
        #expect(names(in: keys.temporary.path) == ["keys"])
    }

    /// Only the longest name there may be: its temporary file fits, too.
    @Test func theLongestName() throws {
        let keys = try Keys()
        let name = String(repeating: "n", count: 64)
        #expect(try JoinFile.read(keys.directory.add(role: .worker, name: name)).name == name)
    }

    @Test func listsThatSayTwoThingsAreRefused() throws {
        let keys = try Keys()
        let path = keys.path("allowed.json")
        let other = try KeyPair.make().publicKey
        func entry(_ name: String, _ role: String, _ key: String) -> String {
            "{\"name\": \"\(name)\", \"role\": \"\(role)\", \"key\": \"\(key)\"}"
        }
        let sound = entry("b", "worker", manualPublic)
        for (text, words) in [
            ("[\(sound), \(entry("b", "viewer", other))]", "b is in it twice"),
            ("[\(sound), \(entry("c", "viewer", manualPublic))]", "the key of c is that of another name"),
            ("[\(entry("c", "coordinator", other))]", "c is a coordinator"),
            ("[\(entry("c", "boss", other))]", "\"boss\" is no role"),
            ("[\(entry("../c", "worker", other))]", "entry 1 has a name"),
            ("[\(entry("allowed", "worker", other))]", "entry 1 has a name"),
            ("[\(entry("c", "worker", String(other.dropLast())))]", "the key of c is not 40"),
            ("{}", "is no list of keys"), ("", "is no list of keys"), ("[\(sound)", "is no list of keys"),
        ] {
            writeFile(path, Array(text.utf8))
            refused(words) { try keys.directory.allowed() }
            refused(words) { try keys.directory.add(role: .worker, name: "new") }
        }
        writeFile(path, Array("[\(sound), \(entry("a", "viewer", other))]".utf8))
        #expect(try keys.directory.allowed().map(\.name) == ["a", "b"])
        rename(path, keys.path("list"))
        symlink("\(keys.temporary.path)/list", path)
        rename(keys.path("list"), "\(keys.temporary.path)/list")
        refused("out of its directory") { try keys.directory.allowed() }
        rename(keys.path("worker.join"), keys.path("coordinator.join"))
        refused("is the file of a worker") { try keys.directory.coordinator() }
    }

    /// Whoever comes second waits: every key that was made is in the list, and no command fails.
    @Test func changesAtOnceAreAllKept() throws {
        let keys = try Keys()
        let directory = keys.directory
        let count = 24
        DispatchQueue.concurrentPerform(iterations: count) { index in
            #expect(throws: Never.self) {
                _ = try directory.add(role: .worker, name: "w\(index)")
                if index % 3 == 1 { _ = try directory.rotate(name: "w\(index)") }
                if index % 3 == 2 { try directory.revoke(name: "w\(index)") }
            }
        }
        let kept = (0..<count).filter { $0 % 3 != 2 }.map { "w\($0)" }
        #expect(Set(try directory.allowed().map(\.name)) == Set(kept + roles))
        for entry in try directory.allowed() {
            #expect(try JoinFile.read(directory.joinFile(of: entry.name)).keys.publicKey == entry.publicKey)
        }
        #expect(names(in: keys.path).count == kept.count + roles.count + 3)
    }

    /// What a killed command left is gone with the next change; a link in its place leads nowhere.
    @Test func leftTemporaryFilesGo() throws {
        let keys = try Keys()
        writeFile("\(keys.temporary.path)/precious", [1, 2])
        symlink("\(keys.temporary.path)/precious", keys.path(".w.join.tmp"))
        writeFile(keys.path(".other.join.tmp"), [7])
        _ = try keys.directory.add(role: .worker, name: "w")
        #expect(readFile("\(keys.temporary.path)/precious") == [1, 2])
        #expect(names(in: keys.path).allSatisfy { !$0.hasPrefix(".") } && mode(keys.path("w.join")) == 0o600)
    }
}
