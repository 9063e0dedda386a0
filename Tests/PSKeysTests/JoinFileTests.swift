// Join files: what is read is what was written, and what is not exactly that is refused by name.

import Foundation
import Glibc
import PSFiles
import PSKeys
import PSProofs
import TestSupport
import Testing

/// A directory of keys that goes with the object.
final class Keys {
    let temporary = TemporaryDirectory()
    let directory: KeyDirectory
    var path: String { directory.path }

    init(coordinator: String? = "tcp://host:7000") throws {
        directory = try KeyDirectory.create("\(temporary.path)/keys", coordinator: coordinator)
    }

    func path(_ name: String) -> String { "\(path)/\(name)" }

    /// Every file with its bytes.
    var content: [String: [UInt8]] {
        Dictionary(uniqueKeysWithValues: names(in: path).map { ($0, readFile(path($0))) })
    }
}

/// Expects an error that says these words, and no secret.
func refused(
    _ words: String, hiding secret: String = manualSecret, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> some Any
) {
    let error = #expect(throws: KeyError.self, sourceLocation: sourceLocation) { _ = try body() }
    let text = error?.description ?? ""
    #expect(text.contains(words) && !text.contains(secret), "\(text)", sourceLocation: sourceLocation)
    #expect(!text.contains("\n"), sourceLocation: sourceLocation)
}

func mode(_ path: String) -> mode_t {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
}

@Suite struct JoinFileTests {
    @Test func whatWasWrittenIsRead() throws {
        let keys = try Keys()
        let own = try keys.directory.coordinator()
        #expect(own.role == .coordinator && own.coordinatorKey == own.keys.publicKey)
        for role in KeyRole.allCases {
            let file = try JoinFile.read(keys.path("\(role.rawValue).join"))
            #expect(file.name == role.rawValue && file.role == role && file.coordinator == "tcp://host:7000")
            #expect(file.coordinatorKey == own.keys.publicKey)
        }
        let away = try Keys(coordinator: nil)
        #expect(try JoinFile.read(away.path("worker.join")).coordinator == nil)
    }

    /// A file with the manual's pair, one field of which is another.
    private func write(_ keys: Keys, _ changes: [String: Any?]) throws -> String {
        var fields: [String: Any] = [
            "name": "w", "role": "worker", "coordinator_key": manualPublic, "public_key": manualPublic,
            "secret_key": manualSecret,
        ]
        for (name, value) in changes { fields[name] = value }
        let path = keys.path("w.join")
        writeFile(path, Array(try JSONSerialization.data(withJSONObject: fields)))
        chmod(path, 0o600)
        return path
    }

    @Test func contentThatIsNotAJoinFilesIsRefused() throws {
        let keys = try Keys()
        #expect(try JoinFile.read(write(keys, [:])).keys.secretKey == manualSecret)
        let other = try KeyPair.make().publicKey
        for (changes, words) in [
            (["role": "wroker"], "\"wroker\" is no role; the roles are coordinator, server, worker"),
            (["role": manualSecret], "a text of 40 bytes is no role"),
            (["role": 3], "role"), (["role": nil], "the key \"role\" is missing"),
            (["secret_key": nil], "the key \"secret_key\" is missing"),
            (["secret_key": [manualSecret]], "at secret_key"),
            (["secret_key": String(manualSecret.dropLast())], "the secret key is not 40 characters of Z85"),
            (["public_key": other], "the public key does not belong to the secret key"),
            (["coordinator_key": "\\" + manualPublic.dropFirst()], "the coordinator's key is not 40 characters"),
            (["role": "coordinator", "coordinator_key": other], "the coordinator's key in it is another one"),
            (["name": "../w"], "its name"), (["name": ""], "its name"),
            (["name": String(repeating: "n", count: 65)], "its name"),
        ] as [([String: Any?], String)] {
            refused(words) { try JoinFile.read(write(keys, changes)) }
        }
        let path = keys.path("w.join")
        for bytes in [[], Array("{\"secret_key\": \"\(manualSecret)\"".utf8), [0xff, 0xfe, 0], Array("[]".utf8)] {
            writeFile(path, bytes)
            refused("w.join is no join file") { try JoinFile.read(path) }
        }
    }

    @Test func placesAndKindsAreRefused() throws {
        let keys = try Keys()
        refused("none.join is not there") { try JoinFile.read(keys.path("none.join")) }
        refused("is not there") { try JoinFile.read("") }
        refused("keys is no regular file") { try JoinFile.read(keys.path) }
        mkfifo(keys.path("pipe"), 0o600)
        refused("pipe is no regular file") { try JoinFile.read(keys.path("pipe")) }
        refused("/dev/null is no regular file") { try JoinFile.read("/dev/null") }
        symlink("missing", keys.path("nowhere"))
        refused("nowhere is a link to what is not there") { try JoinFile.read(keys.path("nowhere")) }
        symlink("\(keys.path)/worker.join", "\(keys.temporary.path)/in")
        // In its directory, by way of a directory below.
        #expect(try JoinFile.read("\(keys.temporary.path)/in").name == "worker")
        mkdir("\(keys.temporary.path)/other", 0o700)
        symlink("../keys/worker.join", "\(keys.temporary.path)/other/out")
        refused("worker.join, out of its directory") { try JoinFile.read("\(keys.temporary.path)/other/out") }
        // Blanks that JSON allows.
        let path = keys.path("worker.join")
        let sound = readFile(path)
        writeFile(path, sound + [UInt8](repeating: 32, count: 65536 - sound.count))
        #expect(try JoinFile.read(path).name == "worker")
        writeFile(path, sound + [UInt8](repeating: 32, count: 65537 - sound.count))
        refused("is larger than 65536 bytes") { try JoinFile.read(path) }
    }

    /// Of each bit that gives it to group or others; 0640 of root's is the group's, which `FileReaderTests` has.
    @Test func othersMayNotReadOrWrite() throws {
        let keys = try Keys()
        let path = keys.path("worker.join")
        for bits in [0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o660, 0o666] as [mode_t] {
            chmod(path, bits)
            refused("has mode 0\(String(bits, radix: 8))") { try JoinFile.read(path) }
        }
        chmod(path, 0o400)
        #expect(try JoinFile.read(path).name == "worker")
        for bits in [0o720, 0o702, 0o777] as [mode_t] {
            chmod(keys.path, bits)
            refused("keys has mode 0\(String(bits, radix: 8)): others could replace") { try JoinFile.read(path) }
            refused("others could replace") { try keys.directory.allowed() }
            refused("others could replace") { try keys.directory.add(role: .worker, name: "w") }
        }
        chmod(keys.path, 0o1777)
        #expect(try JoinFile.read(path).name == "worker")
        chmod(keys.path, 0o755)
        #expect(try JoinFile.read(path).name == "worker")
    }

    @Test(.enabled(if: geteuid() == 0)) func filesOfOtherUsersAreRefused() throws {
        let keys = try Keys()
        let path = keys.path("worker.join")
        chown(path, 4242, 4242)
        refused("belongs to user 4242 and is read by user 0") { try JoinFile.read(path) }
        chown(path, 0, 0)
        chown(keys.path, 4242, 4242)
        refused("keys belongs to user 4242") { try JoinFile.read(path) }
        refused("keys belongs to user 4242") { try keys.directory.revoke(name: "worker") }
    }

    /// `worker.join` -> `..data/worker.join`, `..data` -> `..2026_11_27`, which is how Kubernetes shows a secret.
    @Test func aMountedSecretIsRead() throws {
        let keys = try Keys()
        let mount = "\(keys.temporary.path)/secret"
        mkdir(mount, 0o700)
        chmod(mount, 0o1777)
        mkdir("\(mount)/..2026_11_27", 0o755)
        let file = "\(mount)/..2026_11_27/worker.join"
        rename(keys.path("worker.join"), file)
        symlink("..2026_11_27", "\(mount)/..data")
        symlink("..data/worker.join", "\(mount)/worker.join")
        #expect(try JoinFile.read("\(mount)/worker.join").name == "worker")
        chmod(file, 0o644)
        refused("set defaultMode: 0400") { try JoinFile.read("\(mount)/worker.join") }
        guard geteuid() == 0 else { return }
        chmod(file, 0o440)
        #expect(try JoinFile.read("\(mount)/worker.join").name == "worker", "of a group of this process")
        chown(file, 0, 4242)
        refused("has mode 0440") { try JoinFile.read("\(mount)/worker.join") }
    }
}
