// The history that counts: after going back to an older checkpoint, after beginning with another run's, after kills; as
// checkpoints, metrics, status, summary and journal tell it.

import Foundation
import PSFiles
import PSJob
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct HistoryTests {
    private let jobs = SmallJobs()

    private func exportedStep(_ run: String) throws -> Int? {
        let export = try jobs.psctl("export", "--run-dir", run, "--out", jobs.path("w"), "--json")
        #expect(export.code == 0, "\(export.errors)")
        return try export.json()["step"] as? Int
    }

    /// Each step once, in order, and what was void elsewhere.
    private func expectMetrics(_ run: String, to last: UInt64, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(jobs.steps(run) == Array(1...last), sourceLocation: sourceLocation)
    }

    @Test func afterGoingBackTheNewHistoryCounts() throws {
        try jobs.train("run", checkpoints: [3, 5, 6])
        // At another rate, so that a loss tells which history it is of.
        let losses = jobs.metrics("run").map(\.loss)
        let job = try jobs.resume(
            "run", steps: SmallJobs.endless, from: jobs.path("run/checkpoints/step-3"),
            set: [
                "learningRate.base=0.02", "checkpoint.everySteps=1", "checkpoint.keep=2", "train.batch=8",
                "cluster.workers=1",
            ])
        _ = try job.pid(of: "server")
        eventually("step 4 is taken anew") { jobs.steps("run", "metrics-void.jsonl") == [4, 5, 6] }
        jobs.waitForStep(9, of: "run")
        job.send(SIGTERM)
        let stopped = try job.summary(code: 75)
        #expect(try exportedStep("run") == Int(stopped.steps))
        expectMetrics("run", to: stopped.steps)
        let now = jobs.metrics("run").map(\.loss)
        #expect(now[..<4] == losses[..<4], "what was before is as it was")
        // The rate counts from step 4 on: its weights give the next loss.
        #expect(now[4] != losses[4])
        // The void ones were passed, and the newest are kept.
        let kept = try jobs.checkpoints("run")
        #expect(kept.count == 2 && kept.contains("step-\(stopped.steps)"), "\(kept)")
    }

    @Test func voidCheckpointsStayAndAreNotMeant() throws {
        try jobs.train("run", checkpoints: [3, 5, 6])
        let job = try jobs.resume(
            "run", steps: 5, from: jobs.path("run/checkpoints/step-3"),
            set: ["checkpoint.everySteps=1000", "checkpoint.keep=2", "cluster.workers=1"])
        let summary = try job.summary()
        try expectUndisturbed(summary)
        // 5 was written anew; 6 is void and stays; of the history that counts the base and the newest.
        #expect(try jobs.checkpoints("run") == ["step-3", "step-5", "step-6"])
        #expect(try exportedStep("run") == 5)
        let refused = try jobs.psctl("export", "--run-dir", "run", "--step", "6", "--out", jobs.path("w"))
        #expect(refused.code == 1 && refused.errors.contains("only of: 3, 5"), "\(refused.errors)")
        #expect(jobs.steps("run") == Array(1...5))
        // A person may still mean it.
        #expect(try jobs.resume("run", steps: 7, from: jobs.path("run/checkpoints/step-6")).summary().steps == 7)
        #expect(try exportedStep("run") == 7)
    }

    /// Its job is the run's, so the run goes back to it as to one of its own.
    @Test func aCheckpointThatWasKeptAside() throws {
        try jobs.train("run", checkpoints: [3])
        try jobs.copy("run/checkpoints/step-3", "aside")
        _ = try jobs.resume("run", steps: 6).summary()
        let summary = try jobs.resume("run", steps: 5, from: jobs.path("aside")).summary()
        try expectUndisturbed(summary)
        #expect(summary.steps == 5 && jobs.steps("run") == Array(1...5))
        #expect(try exportedStep("run") == 5)
        // One of another job is not.
        try jobs.train("other", steps: 3)
        let refused = try jobs.resume("run", steps: 9, from: jobs.path("other/checkpoints/step-3")).finish()
        #expect(refused.code == 1 && refused.errors.contains("is not of it"), "\(refused.errors)")
    }

    /// The base is kept as long as nothing newer is there, and a lost server's memory comes from it.
    @Test func aLostServerBeginsWithTheBase() throws {
        try jobs.train("run", checkpoints: [3, 5, 6])
        let job = try jobs.resume(
            "run", steps: SmallJobs.endless, from: jobs.path("run/checkpoints/step-3"),
            set: ["checkpoint.everySteps=0", "checkpoint.keep=2"])
        eventually("the former steps are void") { jobs.steps("run", "metrics-void.jsonl") == [4, 5, 6] }
        jobs.waitForStep(8, of: "run")
        func loads() -> Int {
            let log = (try? String(contentsOfFile: jobs.path("run/logs/server-0.log"), encoding: .utf8)) ?? ""
            return log.components(separatedBy: "loading").count
        }
        let before = loads()
        kill(try job.pid(of: "server"), SIGKILL)
        eventually("the servers load anew") { loads() > before }
        #expect(try jobs.loadedStep("run") == "3")
        jobs.waitForStep(5, of: "run")
        #expect(try jobs.psctl("stop", "--run-dir", "run").code == 0)
        let stopped = try job.summary(code: 75)
        expectMetrics("run", to: stopped.steps)
        try expectUndisturbed(stopped)
    }

    @Test func aRunThatBeginsWithAnothersCheckpoint() throws {
        try jobs.train("first", steps: 4)
        let job = try jobs.resume("second", steps: SmallJobs.endless, from: "first/checkpoints/step-4")
        eventually("it has started") { (try? jobs.status("second")) != nil && !job.children.isEmpty }
        // At once: what it began with is in the journal by then.
        kill(try job.pid(of: "coordinator"), SIGKILL)
        eventually("it has a checkpoint of its own") { (try? jobs.checkpoints("second").contains("step-4")) ?? false }
        jobs.waitForStep(6, of: "second")
        #expect(jobs.steps("second").first == 5)
        try FileManager.default.removeItem(atPath: jobs.path("first"))
        kill(try job.pid(of: "server", rank: 1), SIGKILL)
        try job.waitForWords("server 1")
        usleep(300_000)
        jobs.waitForStep(8, of: "second")
        job.send(SIGTERM)
        let stopped = try job.summary(code: 75)
        try #require(stopped.steps >= 5)
        try expectUndisturbed(stopped)
        #expect(jobs.steps("second") == Array(5...stopped.steps))
        try expectUndisturbed(jobs.resume("second", steps: Int(stopped.steps) + 1).summary())
    }

    /// A coordinator that is started anew writes another proof of its directory; who outlives it takes that.
    @Test func aCoordinatorAndAServerDieTogether() throws {
        let job = try jobs.begin("run", steps: SmallJobs.endless)
        jobs.waitForStep(5, of: "run")
        for pid in try [job.pid(of: "coordinator"), job.pid(of: "server", rank: 1)] { kill(pid, SIGKILL) }
        try job.waitForWords("it is started again")
        eventually("the former steps are void") { !jobs.steps("run", "metrics-void.jsonl").isEmpty }
        // A status of the steps that are void may still be there.
        eventually("it is at step 3 again") {
            (try? jobs.status("run")).map { $0.generation == 2 && $0.version >= 3 } ?? false
        }
        #expect(try !job.errorsSoFar().contains("cannot load"))
        job.send(SIGTERM)
        try expectUndisturbed(job.summary(code: 75))
    }

    @Test func eachStepOnceWhateverDies() throws {
        let job = try jobs.begin(
            "run", steps: SmallJobs.endless, set: ["checkpoint.everySteps=7", "cluster.workers=2"])
        jobs.waitForStep(10, of: "run")
        kill(try job.pid(of: "server", rank: 1), SIGKILL)
        try job.waitForWords("server 1 (pid")
        usleep(500_000)
        jobs.waitForStep(20, of: "run")
        kill(try job.pid(of: "coordinator"), SIGKILL)
        try job.waitForWords("the coordinator (pid")
        usleep(500_000)
        jobs.waitForStep(30, of: "run")
        job.send(SIGTERM)
        let stopped = try job.summary(code: 75)
        #expect(stopped.restarts == 2)
        expectMetrics("run", to: stopped.steps)
        let void = jobs.steps("run", "metrics-void.jsonl")
        #expect(void == void.sorted() && Set(void).count == void.count, "one rollback, each line once: \(void)")
        #expect(stopped.finalLoss == jobs.metrics("run").last?.loss)

        var status = try jobs.status("run")
        #expect(status.loss == stopped.finalLoss && status.version.number == stopped.steps)
        let resumed = try jobs.resume("run", steps: Int(stopped.steps) + 3).summary()
        expectMetrics("run", to: resumed.steps)
        status = try jobs.status("run")
        #expect(status.loss == jobs.metrics("run").last?.loss && status.loss == resumed.finalLoss)
        #expect(status.version.number == resumed.steps && status.state == .finished)
        try expectUndisturbed(resumed)
        // Nothing to do: what was is still shown.
        let again = try jobs.resume("run").summary()
        #expect(again.finalLoss == resumed.finalLoss && again.stateSHA256 == resumed.stateSHA256)
        expectMetrics("run", to: resumed.steps)
    }

    /// After each checkpoint the journal begins anew, and a crash at any moment finds the one or the other.
    @Test func theJournalStaysSmall() throws {
        var last: UInt64 = 0
        for attempt in 1...3 {
            let job =
                try attempt == 1
                ? jobs.begin("run", steps: SmallJobs.endless, set: ["checkpoint.everySteps=1", "cluster.servers=1"])
                : jobs.resume("run")
            jobs.waitForStep(last + 15, of: "run")
            try job.crash()
            last = try #require(jobs.steps("run").last)
            let size = try FileManager.default.attributesOfItem(atPath: jobs.path("run/journal"))[.size] as? Int
            #expect(try #require(size) < 8192)
        }
        let end = Int(last) + 2
        try expectUndisturbed(jobs.resume("run", steps: end).summary())
        expectMetrics("run", to: UInt64(end))
        #expect(try !jobs.checkpoints("run").contains { $0.contains("part") })
        #expect(!FileManager.default.fileExists(atPath: jobs.path("run/journal.new")))
    }
}
