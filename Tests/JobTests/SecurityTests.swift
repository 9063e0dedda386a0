// Who is heard by a running job: keys of every role, keys that are none, and strangers who know all names.

import Foundation
import PSFiles
import PSJob
import PSKeys
import PSMessages
import PSNode
import PSParameters
import PSProofs
import PSProtocol
import PSRun
import PSTransport
import Testing

/// A job by hand over TCP, its processes started one by one.
private final class JobByHand {
    let jobs = SmallJobs()
    let endpoint = "tcp://127.0.0.1:\(Int.random(in: 20_000..<32_000))"
    private(set) var processes: [Running] = []
    var coordinator: Running { processes[0] }

    init(steps: Int, security: String, keys: String? = nil, servers: Int = 1) throws {
        let set =
            SmallJobs.settings + [
                "train.steps=\(steps)", "cluster.security=\(security)", "cluster.servers=\(servers)",
                "checkpoint.everySteps=50",
            ]
        let settings = try jobs.psctl(arguments: ["train", "--print-config"] + set.flatMap { ["--set", $0] }).output
        try Data(settings.utf8).write(to: URL(filePath: jobs.path("job.yaml")))
        if let keys {
            #expect(try jobs.psctl("keys", "create", "--keys", keys, "--coordinator", endpoint).code == 0)
        }
        try start("ps-coordinator", "--config", "job.yaml", "--run-dir", "run", "--bind", endpoint)
    }

    @discardableResult
    func start(_ program: String, _ arguments: String...) throws -> Running {
        let process = try Running(program, arguments, in: jobs.scratch.path)
        processes.append(process)
        return process
    }

    var step: UInt64 { jobs.steps("run").last ?? 0 }

    func waitForSteps(_ count: UInt64, _ what: Comment = "the job goes on") {
        let start = step
        eventually(what) { self.step >= start + count }
    }

    deinit { for process in processes where process.isRunning { process.send(SIGKILL) } }
}

@Suite(.serialized) struct SecurityTests {
    @Test func keysLetInWhomTheyAreFor() throws {
        let job = try JobByHand(steps: SmallJobs.endless, security: "required", keys: "run/keys")
        let jobs = job.jobs
        try job.start("ps-server", "--join", "run/keys/server.join")
        try job.start("ps-worker", "--join", "run/keys/worker.join")
        eventually("the job runs") { job.step >= 3 }

        // A viewer looks and does no more, from the key file alone.
        let seen = try jobs.psctl("status", "--json", "--join", "run/keys/viewer.join").json(JobStatus.self)
        #expect(seen.state == .running && seen.security == "required")
        for command in ["stop", "checkpoint"] {
            let asked = try jobs.psctl(command, "--join", "run/keys/viewer.join")
            #expect(asked.code == 1 && asked.errors.contains("a viewer's key may look only"), "\(asked.errors)")
        }
        let wrongRole = try jobs.psctl("status", "--join", "run/keys/worker.join")
        #expect(wrongRole.code != 0 && wrongRole.errors.contains("the key of the role worker"), "\(wrongRole.errors)")
        // The owner's commands find the operator's key in the run.
        #expect(try jobs.status("run").state == .running)
        #expect(try jobs.psctl("checkpoint", "--run-dir", "run").code == 0)

        // Keys of another job, and none.
        #expect(try jobs.psctl("keys", "create", "--keys", "others", "--coordinator", job.endpoint).code == 0)
        let stranger = try jobs.psctl("status", "--join", "others/viewer.join")
        #expect(stranger.code == 1 && stranger.errors.contains("of another job"), "\(stranger.errors)")
        let other = try job.start("ps-worker", "--join", "others/worker.join").finish(within: 40)
        #expect(other.code == 64 && other.errors.contains("of another job"), "\(other.errors)")
        let without = try job.start("ps-server", "--coordinator", job.endpoint).finish(within: 40)
        #expect(without.code == 64 && without.errors.contains("--join FILE"), "\(without.errors)")
        // A worker's key with the right coordinator, but not on the list.
        var forged = try JoinFile.read(jobs.path("run/keys/worker.join"))
        forged.keys = try KeyPair.make()
        let link = Link(
            try TransportContext().client(largestMessage: 1 << 20, keys: forged.clientKeys))
        try link.socket.connect(job.endpoint)
        eventually("it is refused") {
            _ = try? link.sweep()
            return link.isRefused
        }
        eventually("it is named in the log") {
            (try? job.coordinator.errorsSoFar())?.contains(
                fingerprint(forged.keys.publicKey)) ?? false
        }

        // The coordinator's own key stays while it runs.
        let files = try FileManager.default.contentsOfDirectory(atPath: jobs.path("run/keys")).sorted()
        let before = files.map { FileManager.default.contents(atPath: jobs.path("run/keys/\($0)")) }
        let rotated = try jobs.psctl("keys", "rotate", "coordinator", "--run-dir", "run")
        #expect(rotated.code == 1 && rotated.errors.contains("stop it first"), "\(rotated.errors)")
        #expect(files.map { FileManager.default.contents(atPath: jobs.path("run/keys/\($0)")) } == before)

        // One more while the job runs, and gone again.
        let added = try jobs.psctl("keys", "add", "worker", "gpu7", "--run-dir", "run")
        #expect(added.code == 0, "\(added.errors)")
        // Strangers who knock all the time do not keep the list from being looked at.
        let knocks = Thread { [endpoint = job.endpoint, keys = forged.clientKeys] in
            for _ in 0..<100 {
                guard let context = try? TransportContext(),
                    let socket = try? context.client(largestMessage: 1 << 20, keys: keys)
                else { return }
                try? socket.connect(endpoint)
                usleep(20_000)
                socket.close(lingerMilliseconds: 0)
            }
        }
        knocks.start()
        let joined = try job.start("ps-worker", "--join", "run/keys/gpu7.join")
        eventually("it computes") {
            (try? jobs.status("run"))?.processes.contains { $0.pid == joined.pid && $0.tickets > 0 } ?? false
        }
        #expect(try jobs.psctl("keys", "revoke", "gpu7", "--run-dir", "run").code == 0)
        let revoked = try joined.finish(within: 30)
        let words = revoked.errors.split(separator: "\n").filter { $0.contains("was revoked") }
        #expect(revoked.code == 64 && words.count == 2, "\(revoked.errors)")
        #expect(words[0].contains("ends unless it is let in within 20 s"), "\(revoked.errors)")
        job.waitForSteps(5)
        let status = try jobs.status("run")
        #expect(status.generation == 1, "nothing was rolled back")
        // Who is turned away comes back less and less often: ZeroMQ alone would knock a dozen times a second.
        #expect((1...200).contains(status.turnedAway?.handshakes ?? 0), "\(String(describing: status.turnedAway))")
        let log = try job.coordinator.errorsSoFar()
        #expect(log.contains("(pid \(joined.pid) on ") && log.contains(" has joined"), "\(log)")
        #expect(try jobs.psctl("stop", "--join", "run/keys/operator.join").code == 0)
        #expect(try job.coordinator.finish(within: 30).code == 75)
    }

    @Test func keysAreAskedForWhereOthersReach() throws {
        let jobs = SmallJobs()
        let settings = try jobs.psctl(
            arguments: ["train", "--print-config"] + SmallJobs.settings.flatMap { ["--set", $0] }
        ).output
        try Data(settings.utf8).write(to: URL(filePath: jobs.path("job.yaml")))
        func start(_ arguments: String...) throws -> Finished {
            try Running(
                "ps-coordinator", ["--config", "job.yaml", "--run-dir", "run"] + arguments, in: jobs.scratch.path
            ).finish(within: 20)
        }
        let open = try start("--bind", "tcp://*:*")
        #expect(open.code == 64 && open.errors.contains("psctl keys create"), "\(open.errors)")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("run")))
        let local = try start("--bind", "ipc", "--keys", "keys")
        #expect(local.code == 64 && local.errors.contains("leave --keys away"), "\(local.errors)")
        let missing = try start("--bind", "tcp://127.0.0.1:*", "--keys", "keys")
        #expect(missing.code == 64 && missing.errors.contains("keys"), "\(missing.errors)")
        #expect(try jobs.psctl("keys", "create", "--keys", "keys").code == 0)
        chmod(jobs.path("keys/coordinator.join"), 0o644)
        let readable = try start("--bind", "tcp://127.0.0.1:*", "--keys", "keys")
        #expect(readable.code == 64 && readable.errors.contains("chmod 600"), "\(readable.errors)")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("run")))
    }

    /// Others may look at a run that is open to them; its secret, by which a job is commanded, stays its owner's.
    @Test func whatOthersMayRead() throws {
        let jobs = SmallJobs()
        let open = try jobs.begin("run", steps: 2, environment: ["PS_UMASK": "022"]).finish()
        #expect(open.code == 0, "\(open.errors)")
        func mode(_ file: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: jobs.path("run/\(file)"))[.posixPermissions] as? Int
        }
        #expect(try mode("status.json") == 0o644)
        #expect(try mode("secret") == 0o600)
        let wrong = try jobs.begin("other", steps: 2, environment: ["PS_UMASK": "rw"]).finish()
        #expect(wrong.code == 64 && wrong.errors.contains("PS_UMASK=rw"), "\(wrong.errors)")
        let nobody = try Running("ps-server", ["--coordinator", "tcp://127.0.0.1:1", "--take-over"]).finish()
        #expect(nobody.code == 64 && nobody.errors.contains("--take-over needs --rank"), "\(nobody.errors)")
    }

    /// Everything a stranger can say who knows every name of the job, to a coordinator and a server without keys.
    @Test func strangersChangeNothing() throws {
        let calm = SmallJobs()
        let expected = try calm.train("run", steps: 150, set: ["cluster.servers=1"])
        let job = try JobByHand(steps: 150, security: "auto")
        try job.start("ps-server", "--coordinator", job.endpoint)
        try job.start("ps-worker", "--coordinator", job.endpoint)
        eventually("the job runs") { job.step >= 3 }
        let run = RunDirectory(job.jobs.path("run"))
        let coordinator = try #require(Endpoints.read(from: run)).incarnation
        let number = try Journal.read(run).job
        let log = try job.processes[1].errorsSoFar()
        let server = String(try #require(log.components(separatedBy: "endpoint=").last).prefix { !$0.isWhitespace })

        let context = try TransportContext()
        var links: [Link] = []
        for endpoint in [job.endpoint, server] {
            for _ in 0..<3 {
                let link = Link(try context.client(largestMessage: 32 << 20))
                try link.socket.connect(endpoint)
                links.append(link)
            }
        }
        let attempt = Attempt(ticket: 500, number: 1)
        let noise = SharedBuffer(byteCount: 4000)
        let messages: [Message] = [
            .hello(Hello(role: .worker, host: "x", pid: 1, rank: 0)), .want, .leave(text: ""), .heartbeat(Heartbeat()),
            .contribution(Contribution(attempt: attempt, loss: .nan, correct: 1, samples: 8, norm: 1)),
            .ready(version: 3), .applied(step: 4), .prepared(Prepared(step: 4, isFinite: false, norms: [])),
            .failed(version: 0, text: "\u{1B}[31mno", what: .saveFailed), .statusRequest, .control(.stop(after: 0)),
            .pull(version: 5, slices: [0, 1]), .reset(Reset(version: 0, base: nil, rank: 0, servers: 1)),
            .finish(exitCode: 0, text: ""),
            .welcome(
                Welcome(rank: 0, configuration: "", runDirectory: "/tmp", nonce: "", layoutDigest: 1, plan: "")),
        ]
        while job.coordinator.isRunning {
            for link in links {
                for message in messages {
                    let term = UInt64.random(in: 0...9)
                    let envelope = Envelope(
                        job: number, generation: 1, term: term, source: UInt64.random(in: 1...4),
                        // The coordinator's own name is told to nobody.
                        destination: coordinator ^ 1, message: message)
                    _ = try link.send(envelope)
                }
                let push = Envelope(
                    job: number, generation: 1, source: 7, destination: 9,
                    message: .push(attempt, SliceHeader(index: 0, version: Version(job.step))))
                _ = try link.send(push, to: nil, values: Payload(buffer: noise, range: 0..<4000))
                while let event = try link.next() {
                    guard case .message(let received) = event, case .success(let answer) = received.envelope else {
                        continue
                    }
                    #expect(answer.job == 0 && answer.source == 0 && answer.term == 0, "\(answer)")
                }
            }
            usleep(20_000)
        }
        let ended = try job.coordinator.finish(within: 20)
        #expect(ended.code == 0, "\(ended.errors)")
        let summary = try RunSummary.read(from: run)
        #expect(summary.stateSHA256 == expected.stateSHA256)
        let status = try #require(try JobStatus.read(from: run))
        #expect(status.generation == 1)
        #expect((status.turnedAway?.messages ?? 0) > 100, "\(String(describing: status.turnedAway))")
    }
}
