// `psctl keys`, as processes: what it prints, its exit codes, its files under any umask, on a full disk, and at once.

import Foundation
import PSKeys
import Testing

@Suite struct KeysTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private func keys(_ arguments: String...) throws -> Finished {
        try Running("psctl", ["keys"] + arguments, in: scratch.path).finish()
    }

    private func shell(_ command: String) throws -> Finished {
        try Running(
            shell: "set -o pipefail; psctl() { command '\(Running.directory.path)/psctl' \"$@\"; }; \(command)",
            in: scratch.path
        ).finish()
    }

    private func files(_ directory: String = "keys") throws -> [String: Data] {
        let path = scratch.file(directory)
        return try Dictionary(
            uniqueKeysWithValues: FileManager.default.contentsOfDirectory(atPath: path).map {
                ($0, try Data(contentsOf: URL(filePath: "\(path)/\($0)")))
            })
    }

    /// Every secret that lies in the directory.
    private func secrets() throws -> [String] {
        try files().keys.filter { $0.hasSuffix(".join") }.map {
            try JoinFile.read(scratch.file("keys/\($0)")).keys.secretKey
        }
    }

    /// What a command prints, checked to end as said and to hold no secret, neither of before nor of after it.
    private func output(_ arguments: [String], code: Int32 = 0) throws -> String {
        let before = try? secrets()
        let finished = try Running("psctl", ["keys"] + arguments, in: scratch.path).finish()
        #expect(finished.code == code, "\(arguments): \(finished.errors)")
        let text = finished.output + finished.errors
        for secret in try (before ?? []) + secrets() { #expect(!text.contains(secret), "\(arguments)") }
        if code == 0 { #expect(finished.errors.isEmpty, "\(finished.errors)") }
        return text
    }

    @Test func fromTheFirstKeyToTheLast() throws {
        let place = ["--keys", "keys"]
        let made = try output(["create", "--coordinator", "tcp://host:7000"] + place)
        #expect(made.hasPrefix("keys: a new directory of keys; keep it to yourself\nNAME "))
        #expect(made.hasSuffix("next: give keys/worker.join to the machine and start: ps-worker --join worker.join\n"))
        let added = try output(["add", "server", "s1"] + place)
        let directory = KeyDirectory(scratch.file("keys"))
        let key = try #require(directory.keys.first { $0.name == "s1" })
        #expect(
            added == """
                keys/s1.join: a key for the server s1, \(key.fingerprint)
                next: give keys/s1.join to the machine and start: ps-server --join s1.join

                """)
        let listed = try output(["list"] + place)
        #expect(listed.split(separator: "\n").count == 7 && listed.contains("  server  \(key.fingerprint)\n"))
        let json = try JSONSerialization.jsonObject(with: Data(output(["list", "--json"] + place).utf8))
        let entries = try #require(json as? [[String: String]])
        #expect(entries.map { $0["name"] } == ["coordinator", "operator", "s1", "server", "viewer", "worker"])
        #expect(
            entries[2]
                == ["name": "s1", "role": "server", "fingerprint": key.fingerprint, "key": key.publicKey])
        let rotated = try output(["rotate", "s1"] + place)
        let new = try #require(directory.keys.first { $0.name == "s1" })
        #expect(new != key && rotated.hasPrefix("keys/s1.join: a new key for the server s1, \(new.fingerprint)\n"))
        try FileManager.default.removeItem(atPath: scratch.file("keys/viewer.join"))
        let other = try output(["rotate", "coordinator"] + place)
        #expect(other.contains("rotate them too: viewer\n") && other.contains("next: start the coordinator again"))
        #expect(try output(["revoke", "s1"] + place).contains("s1 is out of the list"))
        #expect(try !files().keys.contains("s1.join"))
    }

    @Test func aRunsKeysAreInIt() throws {
        #expect(try keys("create", "--run-dir", "runs/new").code == 0)
        #expect(try files("runs/new/keys").count == 7)
        let added = try keys("add", "operator", "alice", "--run-dir", "runs/new/")
        #expect(
            added.output.hasSuffix(
                "next: give runs/new/keys/alice.join to the person, who then runs: psctl status --join alice.join "
                    + "--coordinator tcp://HOST:PORT\n"), "\(added.output)")
    }

    /// A mistake, its exit code, and how its one line goes on. Nothing changes.
    @Test func mistakesAreNamedAndChangeNothing() throws {
        #expect(try keys("create", "--keys", "keys").code == 0)
        let before = try files()
        let long = String(repeating: "n", count: 65)
        for (arguments, code, words) in [
            (
                ["create", "--keys", "other", "--coordinator", "tcp://0.0.0.0:7000"], 64,
                "others cannot reach it there"
            ),
            (["list"], 64, "say where the keys are: --keys DIR, or --run-dir RUN"),
            (["list", "--keys", "keys", "--run-dir", "."], 64, "--keys and --run-dir are both given"),
            (["list", "--keys", ""], 64, "--keys is empty"),
            (["list", "--run-dir", ""], 64, "--run-dir is empty"),
            (["add", "boss", "b", "--keys", "keys"], 64, "The value 'boss' is invalid for '<role>'"),
            (["add", "coordinator", "b", "--keys", "keys"], 64, "The value 'coordinator' is invalid for '<role>'"),
            (["add", "worker", "../b", "--keys", "keys"], 64, "\"../b\" is no name for a key"),
            (["add", "worker", long, "--keys", "keys"], 64, "is no name for a key"),
            (["add", "worker", "allowed", "--keys", "keys"], 64, "the name 'allowed' is reserved"),
            (["revoke", "coordinator", "--keys", "keys"], 64, "the coordinator's key cannot be revoked"),
            (["rotate", ".x", "--keys", "keys"], 64, "is no name for a key"),
            (["create", "--keys", "other", "--coordinator", "host"], 64, "expected tcp://HOST:PORT"),
            (["create", "--keys", "other", "--coordinator", "tcp://*:7000"], 64, "name host and port"),
            (["create", "--keys", "keys"], 1, "keys is there already"),
            (["add", "worker", "viewer", "--keys", "keys"], 1, "has a key named viewer"),
            (["revoke", "nobody", "--keys", "keys"], 1, "has no key named nobody"),
            (["rotate", "nobody", "--keys", "keys"], 1, "has no key named nobody"),
            (["list", "--keys", "none"], 1, "none/coordinator.join is not there"),
            (["add", "worker", "w", "--keys", "none"], 1, "none is not there"),
        ] as [([String], Int32, String)] {
            let text = try output(arguments, code: code)
            #expect(text.hasPrefix("psctl: error: ") && text.contains(words), "\(text)")
            #expect(text.split(separator: "\n").count == 1, "\(text)")
        }
        #expect(try files() == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["keys"])
    }

    @Test(arguments: ["0", "077", "0777"]) func modesAreThoseOfSecretsUnderAnyUmask(umask: String) throws {
        let made = try shell(
            "umask \(umask); psctl keys create --keys keys && psctl keys add worker w --keys keys "
                + "&& psctl keys rotate server --keys keys && psctl keys rotate coordinator --keys keys "
                + "&& stat -c %a keys keys/* | sort | uniq -c | xargs")
        #expect(made.code == 0, "\(made.errors)")
        #expect(made.output.hasSuffix("8 600 1 700\n"), "\(made.output)")
    }

    /// A disk that takes nothing more, or only the first of two files: `ulimit -f` counts 1024 bytes.
    @Test(arguments: [0, 1]) func aFullDiskChangesNothing(limit: Int) throws {
        #expect(try keys("create", "--keys", "keys").code == 0)
        for name in ["a", "b", "c", "d", "f", "g", "h", "i"] {
            #expect(try keys("add", "worker", name, "--keys", "keys").code == 0)
        }
        let before = try files()
        #expect(try #require(before["allowed.json"]).count > 1024 && #require(before["a.join"]).count < 1024)
        for command in [
            "add worker e --keys keys", "rotate a --keys keys", "revoke a --keys keys", "create --keys other",
        ] + (limit == 0 ? ["rotate coordinator --keys keys"] : []) {
            // Through a pipe, which has no such limit.
            let finished = try shell("(ulimit -f \(limit); psctl keys \(command) 2>&1) | cat")
            let expected = command.hasPrefix("create") && limit == 1 ? 0 : 1
            #expect(finished.code == expected, "\(command): \(finished.output)")
            if expected == 1 {
                #expect(finished.output.hasPrefix("psctl: error: cannot write "), "\(finished.output)")
                #expect(!finished.output.contains(".tmp") && finished.output.contains("ulimit -f"))
            }
        }
        #expect(try files() == before)
        #expect(FileManager.default.fileExists(atPath: scratch.file("other")) == (limit == 1))
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).count == (limit == 1 ? 2 : 1))
    }

    @Test func commandsAtOnceLoseNothing() throws {
        #expect(try keys("create", "--keys", "keys").code == 0)
        let commands = try (0..<12).map {
            try Running("psctl", ["keys", "add", "worker", "w\($0)", "--keys", "keys"], in: scratch.path)
        }
        for command in commands {
            let finished = try command.finish()
            #expect(finished.code == 0, "\(finished.errors)")
        }
        let names = try KeyDirectory(scratch.file("keys")).allowed().map(\.name)
        #expect(names.count == 16 && Set(names).isSuperset(of: (0..<12).map { "w\($0)" }))
        // Of two that make the directory, one does.
        let makers = try (0..<4).map { _ in
            try Running("psctl", ["keys", "create", "--keys", "other"], in: scratch.path)
        }
        #expect(try makers.map { try $0.finish().code }.sorted() == [0, 1, 1, 1])
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted() == ["keys", "other"])
    }
}
