// What people get wrong: one clear error, the right exit code, nothing lost, nothing that hangs.

import Foundation
import PSCoordinator
import PSJob
import PSMessages
import PSNode
import PSProtocol
import PSRun
import PSTransport
import Testing

@Suite(.serialized)
struct BadInputTests {
    private func expectError(
        _ finished: Finished, code: Int32, _ parts: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(finished.code == code, "\(finished.errors)", sourceLocation: sourceLocation)
        let errors = finished.errors.split(separator: "\n").filter { $0.contains("error: ") }
        #expect(errors.count == 1, "\(finished.errors)", sourceLocation: sourceLocation)
        for part in parts {
            #expect(finished.errors.contains(part), "\(finished.errors)", sourceLocation: sourceLocation)
        }
        #expect(finished.output.isEmpty, sourceLocation: sourceLocation)
    }

    @Test func aMisspeltSettingIsNamedWithItsLine() throws {
        let scratch = try Scratch()
        try "seed: 1\ntrain:\n  stepz: 3\n".write(toFile: scratch.file("j.yaml"), atomically: true, encoding: .utf8)
        expectError(
            try psctl("train", "--config", scratch.file("j.yaml"), "--run-dir", scratch.file("r")), code: 64,
            "j.yaml:3", "train.stepz", "train.steps")
        expectError(
            try psctl("train", "--set", "train.batch=many", "--run-dir", scratch.file("r")), code: 64, "train.batch",
            "many")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("r")))
    }

    @Test func unknownArgumentsAreUsage() throws {
        #expect(try psctl("train", "--no-such-flag").code == 64)
        #expect(try psctl("nonsense").code == 64)
        #expect(try Running("ps-server", ["--coordinator", "localhost"]).finish().code == 64)
        #expect(try Running("ps-worker", []).finish().code == 64)
        let scratch = try Scratch()
        try "seeed: 1\n".write(toFile: scratch.file("j.yaml"), atomically: true, encoding: .utf8)
        expectError(
            try Running("ps-coordinator", ["--config", scratch.file("j.yaml"), "--run-dir", scratch.file("r")])
                .finish(),
            code: 64, "j.yaml:1", "seed")
    }

    @Test func aModelInputBelowTheStemsMinimum() throws {
        let scratch = try Scratch()
        expectError(
            try psctl(
                "train", "--set", "model.stem=299", "--set", "model.imageSize=32", "--run-dir", scratch.file("r")),
            code: 64, "32", "75")
    }

    @Test func missingAndTruncatedData() throws {
        let scratch = try Scratch()
        expectError(
            try psctl("train", "--set", "data.path=\(scratch.file("none"))", "--run-dir", scratch.file("r")), code: 1,
            scratch.file("none"), "dataset-fashion-mnist")
        let data = scratch.file("data")
        try FileManager.default.copyItem(atPath: "/usr/share/datasets/fashion-mnist", toPath: data)
        let images = "\(data)/train-images-idx3-ubyte.gz"
        let whole = try Data(contentsOf: URL(filePath: images))
        try FileManager.default.removeItem(atPath: images)
        try whole.prefix(whole.count / 2).write(to: URL(filePath: images))
        expectError(
            try psctl("train", "--set", "data.path=\(data)", "--run-dir", scratch.file("r")), code: 1,
            "train-images-idx3-ubyte.gz")
    }

    @Test func labelsBeyondTheModelsClasses() throws {
        let scratch = try Scratch()
        expectError(
            try psctl("train", "--set", "model.classes=5", "--run-dir", scratch.file("r")), code: 64, "model.classes",
            "10")
    }

    @Test func aRunDirectoryThatHoldsSomething() throws {
        let scratch = try Scratch()
        try "x".write(toFile: scratch.file("x"), atomically: true, encoding: .utf8)
        expectError(try psctl("train", "--run-dir", scratch.path), code: 1, scratch.path, "--resume")
        expectError(try psctl("train", "--run-dir", scratch.file("new"), "--resume", "last"), code: 1, "new")
    }

    @Test func aTakenPortAndADirectoryInUse() throws {
        let scratch = try Scratch()
        let config = scratch.file("j.yaml")
        try psctl("train", "--print-config").output.write(toFile: config, atomically: true, encoding: .utf8)
        let first = try Running(
            "ps-coordinator", ["--config", config, "--run-dir", scratch.file("a"), "--bind", "tcp://127.0.0.1:*"])
        defer { kill(pid_t(first.pid), SIGKILL) }
        let endpoints = try endpoints(of: scratch.file("a"))
        let endpoint = endpoints.coordinator
        expectError(
            try Running("ps-coordinator", ["--config", config, "--run-dir", scratch.file("b"), "--bind", endpoint])
                .finish(),
            code: 1, endpoint, "another process listens there")
        expectError(
            try Running("ps-coordinator", ["--config", config, "--run-dir", scratch.file("a")]).finish(), code: 1,
            "in use by pid \(first.pid)")
        // A question meant for another process, that had this port before, gets no answer.
        #expect(try CoordinatorClient(endpoints).status(milliseconds: 2000) != nil)
        var former = endpoints
        former.incarnation ^= 1
        #expect(try CoordinatorClient(former).status(milliseconds: 500) == nil)
    }

    private func endpoints(of run: String) throws -> Endpoints {
        var found: Endpoints?
        eventually("no coordinator in \(run)") {
            guard let data = FileManager.default.contents(atPath: "\(run)/endpoints.json") else { return false }
            found = try? JSONDecoder().decode(Endpoints.self, from: data)
            return found != nil
        }
        return try #require(found)
    }

    /// Noise, another version and lies about lengths get a refusal each; the job they are sent to goes on, and ends as
    /// ever. It has more steps than any machine makes meanwhile, and is stopped when all has been sent.
    @Test func hostileFramesDoNotDisturbAJob() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let sets = [
            "train.steps=1000000", "train.batch=8", "model.width=0.1", "eval.atEnd=false", "checkpoint.everySteps=10",
            "cluster.transport=tcp",
        ]
        let job = try Running("psctl", ["train", "--json", "--run-dir", run] + sets.flatMap { ["--set", $0] })
        let coordinator = try endpoints(of: run).coordinator
        var server = ""
        eventually("a server is up") {
            guard let log = try? String(contentsOfFile: "\(run)/logs/server-0.log", encoding: .utf8),
                let start = log.range(of: "endpoint=")
            else { return false }
            server = String(log[start.upperBound...].prefix { !$0.isWhitespace })
            return true
        }
        let context = try TransportContext()
        let noise: [[[UInt8]]] = [
            [[]], [[1, 2, 3]], [Array(repeating: 0xFF, count: 4000)], [[0x08, 2], [1, 2, 3, 4]],
            [[1], [2], [3]], [Array(repeating: 0, count: 1 << 20)],
            // A push whose declared length overflows whatever it is added to.
            [[0x08, 2, 0x92, 6] + Array(repeating: 0xFF, count: 9) + [1], [1, 2, 3, 4]],
        ]
        for endpoint in [coordinator, server] {
            let socket = try context.client(largestMessage: 1 << 20)
            try socket.connect(endpoint)
            for _ in 0..<5 {
                for frames in noise { _ = try socket.send(frames.map { Frame($0) }) }
                usleep(200_000)
                while let arrival = try socket.arrival() {
                    #expect(try arrival.frames[0].withBytes { try Envelope.decode($0) }.job == 0)
                }
            }
            socket.close(lingerMilliseconds: 0)
        }
        // Another release is told so, and nothing of the job.
        let other = try context.client(largestMessage: 1 << 20)
        try other.connect(coordinator)
        _ = try other.send([Frame([0x08, 99])])
        var arrival: Socket.Arrival?
        eventually("it is answered") {
            arrival = try? other.arrival()
            return arrival != nil
        }
        let answer = try #require(arrival).frames[0].withBytes { try Envelope.decode($0) }
        #expect(answer.job == 0 && answer.term == 0 && answer.generation == 0 && answer.source == 0)
        var reason: Refusal.Reason?
        if case .refusal(let refusal) = answer.message { reason = refusal.reason }
        #expect(reason == .protocolVersion)
        other.close(lingerMilliseconds: 0)
        // Bytes that are not even ZeroMQ's.
        try Running.raw(endpoint: coordinator, bytes: Array("GET / HTTP/1.1\r\n\r\n".utf8))
        let client = try CoordinatorClient(endpoints(of: run))
        let before = try #require(try client.status(milliseconds: 5000)).version.number
        eventually("the job goes on") {
            (try? client.status(milliseconds: 500)).map { $0.version.number > before } ?? false
        }
        #expect(try psctl("stop", "--run-dir", run).code == 0)
        let finished = try job.finish()
        #expect(finished.code == 75, "\(finished.errors)")
        #expect(try finished.json(RunSummary.self).steps > before)
    }

    /// A disk that fills while a checkpoint is written: the job fails with the reason, the former checkpoint is whole.
    @Test func aDiskThatFills() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let sets = ["train.steps=8", "train.batch=8", "model.width=0.1", "eval.atEnd=false"]
        let first = try Running("psctl", ["train", "--json", "--run-dir", run] + sets.flatMap { ["--set", $0] })
            .finish()
        #expect(first.code == 0, "\(first.errors)")
        // A limit on the size of files stands in for the full disk: the same failing write, without root.
        let more = sets.filter { !$0.hasPrefix("train.steps") } + ["train.steps=12"]
        let command =
            "ulimit -f 300; exec \(Running.directory.path)/psctl train --json --run-dir \(run) --resume last "
            + more.map { "--set \($0)" }.joined(separator: " ")
        let full = try Running(shell: command).finish()
        #expect(full.code == 1)
        #expect(full.errors.contains("cannot"), "\(full.errors)")
        let evaluation = try psctl("evaluate", "--run-dir", run, "--json")
        #expect(evaluation.code == 0, "\(evaluation.errors)")
        #expect(evaluation.output.contains("\"step\" : 8"))
        // With room again the job goes on from there.
        let again = try Running(
            "psctl", ["train", "--json", "--run-dir", run, "--resume", "last"] + more.flatMap { ["--set", $0] }
        ).finish()
        #expect(again.code == 0, "\(again.errors)")
        #expect(try again.json(RunSummary.self).steps == 12)
        let checkpoints = try FileManager.default.contentsOfDirectory(atPath: "\(run)/checkpoints")
        #expect(checkpoints.contains("step-12"))
        #expect(!checkpoints.contains { $0.contains(".part-") }, "what the failed attempt left is gone: \(checkpoints)")
    }
}
