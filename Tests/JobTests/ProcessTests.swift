// Jobs as people run them: real daemons, real sockets, real kills. The same bits come out of all of them.

import Foundation
import PSCoordinator
import PSJob
import PSParameters
import PSProtocol
import PSRun
import Testing

/// Twelve steps of three tickets of the default network on Fashion-MNIST.
private let settings = [
    "train.steps=12", "train.ticketsPerStep=3", "train.batch=16", "eval.atEnd=false",
    "optimizer.averageDecay=0.9", "checkpoint.everySteps=4",
]

private func train(
    _ run: String, workers: Int = 2, servers: Int = 2, seed: Int = 7, set: [String] = [], _ more: String...
) throws -> Running {
    let all = settings + ["cluster.workers=\(workers)", "cluster.servers=\(servers)", "seed=\(seed)"] + set
    return try Running("psctl", ["train", "--json", "--run-dir", run] + all.flatMap { ["--set", $0] } + more)
}

private func summary(_ finished: Finished, code: Int32 = 0) throws -> RunSummary {
    #expect(finished.code == code, "\(finished.errors)")
    return try finished.json(RunSummary.self)
}

/// The status of a run, checked against the kernel: who is said to be up runs, who is said to be down does not.
private func status(_ run: String) throws -> JobStatus {
    let status = try psctl("status", "--json", "--run-dir", run).json(JobStatus.self)
    for process in status.processes {
        let exists = FileManager.default.fileExists(atPath: "/proc/\(process.pid)")
        if process.state == .up { #expect(exists, "\(process) is not there") }
        if process.state == .down { #expect(!exists || !Processes.isAlive(process.pid)) }
        guard process.state == .up,
            let command = try? String(contentsOfFile: "/proc/\(process.pid)/comm", encoding: .utf8)
        else { continue }
        #expect("ps-\(process.role)".hasPrefix(command.trimmingCharacters(in: .whitespacesAndNewlines)))
    }
    return status
}

/// Waits for a step, then gives a process of the run.
private func pid(_ role: String, of run: String, at version: Version) throws -> pid_t {
    var found: Int?
    eventually("no \(role) is up at step \(version)") {
        guard let now = try? status(run), now.state == .running, now.version >= version else { return false }
        found = now.processes.first { $0.role == role && $0.state == .up }?.pid
        return found != nil
    }
    return pid_t(try #require(found))
}

@Suite(.serialized)
struct ProcessTests {
    /// What one worker and one server, started by hand, come to.
    static let calm: Result<RunSummary, any Error> = Result {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let config = scratch.file("job.yaml")
        let assignments = settings + ["cluster.workers=1", "cluster.servers=1", "seed=7"]
        let printed = try Running("psctl", ["train", "--print-config"] + assignments.flatMap { ["--set", $0] }).finish()
        try printed.output.write(toFile: config, atomically: true, encoding: .utf8)
        let coordinator = try Running(
            "ps-coordinator", ["--config", config, "--run-dir", run, "--bind", "tcp://127.0.0.1:*"])
        var endpoint = ""
        eventually("the coordinator listens") {
            guard let data = FileManager.default.contents(atPath: "\(run)/endpoints.json"),
                let endpoints = try? JSONDecoder().decode(Endpoints.self, from: data)
            else { return false }
            endpoint = endpoints.coordinator
            return true
        }
        let others = try [
            Running("ps-server", ["--coordinator", endpoint]), Running("ps-worker", ["--coordinator", endpoint]),
        ]
        let ended = try coordinator.finish()
        #expect(ended.code == 0, "\(ended.errors)")
        for other in others { #expect(try other.finish(within: 10).code == 0) }
        return try JSONDecoder().decode(RunSummary.self, from: Data(contentsOf: URL(filePath: "\(run)/summary.json")))
    }

    private func expectCalm(_ summary: RunSummary, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let calm = try ProcessTests.calm.get()
        #expect(summary.weightsSHA256 == calm.weightsSHA256, sourceLocation: sourceLocation)
        #expect(summary.stateSHA256 == calm.stateSHA256, sourceLocation: sourceLocation)
        #expect(summary.steps == 12, sourceLocation: sourceLocation)
    }

    @Test func daemonsStartedByHand() throws {
        let calm = try ProcessTests.calm.get()
        #expect(calm.steps == 12)
        #expect(calm.samples == 576)
        #expect(calm.ticketsByWorker == ["0": 36])
    }

    @Test func threeWorkersAndTwoServersGiveTheSameBits() throws {
        let scratch = try Scratch()
        let result = try summary(train(scratch.file("run"), workers: 3).finish())
        try expectCalm(result)
        #expect(result.ticketsByWorker.count == 3)
        #expect(result.ticketsByWorker.values.reduce(0, +) == 36)
    }

    @Test func threadsDoNotChangeTheBits() throws {
        let scratch = try Scratch()
        try expectCalm(summary(train(scratch.file("run"), servers: 3, set: ["cluster.threads=2"]).finish()))
    }

    @Test func anotherSeedGivesOtherWeights() throws {
        let scratch = try Scratch()
        let other = try summary(train(scratch.file("run"), seed: 8).finish())
        #expect(try other.weightsSHA256 != ProcessTests.calm.get().weightsSHA256)
    }

    @Test func stoppedAfterStepSixAndResumedWithMoreServers() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let first = try train(run)
        _ = try pid("worker", of: run, at: 1)
        let stop = try psctl("stop", "--run-dir", run, "--after-step", "6")
        #expect(stop.code == 0, "\(stop.errors)")
        #expect(try summary(first.finish(), code: 75).steps == 6)
        #expect(try status(run).state == .stopped)
        try expectCalm(summary(train(run, workers: 1, servers: 3, "--resume", "last").finish()))
    }

    @Test(arguments: ["worker", "server", "coordinator"])
    func aKilledProcessChangesNoBit(role: String) throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let job = try train(run)
        kill(try pid(role, of: run, at: 2), SIGKILL)
        let result = try summary(job.finish(within: 90))
        try expectCalm(result)
        #expect(result.restarts == 1)
    }

    @Test(arguments: [(SIGTERM, 75), (SIGINT, 130)] as [(Int32, Int32)])
    func aSignalSavesAndStops(signal: Int32, code: Int32) throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let job = try train(run)
        // Asking for the status takes longer than some of the job's steps.
        eventually("no step is committed") {
            FileManager.default.contents(atPath: "\(run)/metrics.jsonl")?.isEmpty == false
        }
        kill(pid_t(job.pid), signal)
        let stopped = try summary(job.finish(within: 15), code: code)
        #expect(stopped.steps >= 1)
        try expectCalm(summary(train(run, "--resume", "last").finish()))
    }

    @Test func aCoordinatorThatStandsStillIsLostNotGone() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let job = try train(run)
        let coordinator = try pid("coordinator", of: run, at: 1)
        kill(coordinator, SIGSTOP)
        let asked = SuspendingClock.now
        let still = try status(run)
        #expect(SuspendingClock.now - asked < .seconds(2), "an answer takes about a second")
        #expect(still.state == .recovering)
        #expect(still.processes.first { $0.pid == Int(coordinator) }?.state == .lost)
        kill(coordinator, SIGCONT)
        try expectCalm(summary(job.finish()))
    }

    @Test func aSignalDuringTheStartStops() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let job = try train(run)
        eventually("no supervisor") { FileManager.default.fileExists(atPath: "\(run)/supervisor.json") }
        kill(pid_t(job.pid), SIGTERM)
        let stopped = try summary(job.finish(within: 15), code: 75)
        #expect(stopped.steps == 0)
        #expect(stopped.restarts == 0)
        try expectCalm(summary(train(run, "--resume", "last").finish()))
    }

    @Test func childrenOfAKilledSupervisorSaveAndLeave() throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let job = try train(run)
        _ = try pid("server", of: run, at: 1)
        let before = try status(run)
        kill(pid_t(job.pid), SIGKILL)
        eventually(within: 10, "children are still there") {
            before.processes.allSatisfy { !Processes.isAlive($0.pid) }
        }
        let after = try status(run)
        #expect(after.state == .stopped)
        #expect(after.checkpoint == after.version)
        try expectCalm(summary(train(run, "--resume", "last").finish()))
        _ = try? job.finish()
    }
}
