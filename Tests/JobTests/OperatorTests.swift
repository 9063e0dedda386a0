// What whoever runs a job does to it: stops, signals to one process or to all, second presses, requeueing at once, machines
// of another kind, processes that stand still, file systems that lack calls.

import Foundation
import PSFiles
import PSJob
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct StopTests {
    private let jobs = SmallJobs()

    /// A running job past some step.
    private func running(_ set: String...) throws -> Running {
        let job = try jobs.begin("run", steps: SmallJobs.endless, set: set)
        jobs.waitForStep(5, of: "run")
        return job
    }

    private func goesOn(after stopped: RunSummary, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let end = Int(stopped.steps) + 2
        try expectUndisturbed(jobs.resume("run", steps: end).summary(), sourceLocation: sourceLocation)
        #expect(jobs.steps("run") == Array(1...UInt64(end)), sourceLocation: sourceLocation)
    }

    /// A stop that was promised holds, whatever dies before it is done.
    @Test(arguments: ["saving", "farewell"]) func anAcknowledgedStopHolds(moment: String) throws {
        let job = try running()
        // One who stands still keeps the servers from saving, a worker the coordinator from leaving.
        let still = try job.pid(of: moment == "saving" ? "server" : "worker")
        kill(still, SIGSTOP)
        let coordinator = try job.pid(of: "coordinator")
        let asked = try jobs.psctl("stop", "--run-dir", "run")
        #expect(
            asked.code == 0 && asked.output.contains("saves its last step and stops"), "\(asked.output)\(asked.errors)")
        if moment == "farewell" {
            eventually("it has told everybody") { (try? jobs.status("run").state) == .stopped }
        } else {
            usleep(300_000)
        }
        kill(coordinator, SIGKILL)
        try job.waitForWords("the coordinator (pid \(coordinator))")
        kill(still, SIGCONT)
        let stopped = try job.summary(code: 75)
        #expect(jobs.steps("run").last == stopped.steps)
        try goesOn(after: stopped)
    }

    @Test(arguments: [(SIGTERM, 75), (SIGINT, 130)] as [(Int32, Int32)])
    func aSignalToEveryProcessSavesTheLastStep(signal: Int32, code: Int32) throws {
        let job = try running()
        let all = [pid_t(job.pid)] + job.children.map(\.pid)
        #expect(all.count == 5)
        let before = try #require(jobs.steps("run").last)
        for pid in all { kill(pid, signal) }
        let stopped = try job.summary(code: code)
        #expect(stopped.steps >= before)
        #expect(try jobs.checkpoints("run").contains("step-\(stopped.steps)"))
        #expect(jobs.steps("run").last == stopped.steps)
        try goesOn(after: stopped)
    }

    /// A signal to the coordinator alone is the job's end: nobody is started again for it.
    @Test func aSignalToTheCoordinatorEndsTheJob() throws {
        let job = try running("cluster.workers=2")
        // It keeps the coordinator from leaving at once.
        let still = try job.pid(of: "worker", rank: 1)
        kill(still, SIGSTOP)
        kill(try job.pid(of: "coordinator"), SIGTERM)
        usleep(1_500_000)
        kill(still, SIGCONT)
        let stopped = try job.summary(code: 75)
        try goesOn(after: stopped)
        for name in ["server-0", "server-1", "worker-0"] {
            let log = try String(contentsOfFile: jobs.path("run/logs/\(name).log"), encoding: .utf8)
            // Once for the job, once for the one that went on.
            #expect(log.split(separator: "\n").count { $0.contains(" is up") } == 2, "\(log)")
        }
    }

    /// Nobody works on for hours without knowing that nothing is kept.
    @Test func aRunThatIsRemovedIsMissed() throws {
        let job = try running()
        try FileManager.default.removeItem(atPath: jobs.path("run"))
        try job.waitForWords("the run directory cannot be written")
        usleep(1_500_000)
        #expect(try job.errorsSoFar().components(separatedBy: "cannot be written").count == 2, "once")
        try job.crash()
    }

    @Test func oneWishThatArrivesTwiceIsOne() throws {
        let job = try running()
        job.send(SIGTERM)
        usleep(60_000)
        job.send(SIGTERM)
        let stopped = try job.summary(code: 75)
        #expect(jobs.steps("run").last == stopped.steps)
        try goesOn(after: stopped)
    }

    @Test func aSecondPressEndsAtOnceAndTheNextStartWaits() throws {
        // Nothing can be saved while the disk stands still.
        let still = jobs.path("still")
        guard
            let library = try jobs.library(
                """
                int fsync(int file) {
                    while (access("\(still)", F_OK) == 0) usleep(20000);
                    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(file);
                }
                """)
        else { return }
        let job = try jobs.begin("run", steps: SmallJobs.endless, environment: ["LD_PRELOAD": library])
        jobs.waitForStep(5, of: "run")
        _ = FileManager.default.createFile(atPath: still, contents: nil)
        job.send(SIGTERM)
        usleep(500_000)
        let pressed = SuspendingClock.now
        job.send(SIGTERM)
        #expect(try job.finish(within: 5).code == 128 + SIGTERM)
        #expect(SuspendingClock.now - pressed < .seconds(1))
        let next = try jobs.resume("run", steps: SmallJobs.endless)
        try next.waitForWords("which is ending: waiting for it")
        let last = try #require(jobs.steps("run").last)
        try FileManager.default.removeItem(atPath: still)
        try next.waitForWords("training")
        jobs.waitForStep(last + 2, of: "run")
        #expect(jobs.steps("run", "metrics-void.jsonl") == [], "what the former one saved is the last step")
        next.send(SIGTERM)
        try goesOn(after: next.summary(code: 75))
    }

    @Test func aKilledJobRequeuedAtOnceGoesOn() throws {
        let job = try running()
        let before = try #require(jobs.steps("run").last)
        job.send(SIGKILL)
        let next = try jobs.resume("run", steps: Int(before) + 60)
        let finished = try next.finish()
        #expect(finished.code == 0, "\(finished.errors)")
        let summary = try finished.json(RunSummary.self)
        #expect(summary.steps == before + 60)
        #expect(jobs.steps("run") == Array(1...summary.steps))
        try expectUndisturbed(summary)
        _ = try? job.finish()
    }

    /// "stop && train --resume": the former one may still save its last step, or be between its last word and its end.
    @Test func stoppedAndResumedAtOnce() throws {
        var job = try running()
        for _ in 0..<4 {
            let step = try #require(jobs.steps("run").last)
            #expect(try jobs.psctl("stop", "--run-dir", "run").code == 0)
            let next = try jobs.resume("run", steps: SmallJobs.endless)
            let stopped = try job.summary(code: 75)
            #expect(stopped.steps >= step && stopped.exitCode == 75)
            try next.waitForWords("training")
            jobs.waitForStep(stopped.steps + 2, of: "run")
            job = next
        }
        job.send(SIGTERM)
        try goesOn(after: job.summary(code: 75))
    }

    /// A process that is started anew while the coordinator stands still finds a peer that says nothing, not one that
    /// wants keys.
    @Test(.enabled(if: hasTimeForLongTests)) func whoComesWhileTheCoordinatorStandsStillWaits() throws {
        let job = try running()
        let coordinator = try job.pid(of: "coordinator")
        kill(coordinator, SIGSTOP)
        kill(try job.pid(of: "worker"), SIGKILL)
        usleep(20_000_000)
        kill(coordinator, SIGCONT)
        let last = try #require(jobs.steps("run").last)
        jobs.waitForStep(last + 5, of: "run")
        job.send(SIGTERM)
        let stopped = try job.finish()
        #expect(stopped.code == 75)
        #expect(!stopped.errors.contains("keys"), "\(stopped.errors)")
    }

    @Test func ofTwoAtOnceOneIsRefused() throws {
        let job = try running()
        let second = try jobs.resume("run").finish(within: 10)
        #expect(second.code == 1)
        #expect(second.errors.contains("in use"), "\(second.errors)")
        job.send(SIGTERM)
        let stopped = try job.summary(code: 75)
        // In the same moment.
        let both = try [jobs.resume("run", steps: SmallJobs.endless), jobs.resume("run", steps: SmallJobs.endless)]
        eventually("one gives way") { both.contains { !$0.isRunning } }
        let refused = try #require(both.first { !$0.isRunning })
        let other = try #require(both.first { $0 !== refused })
        let words = try refused.finish()
        #expect(words.code == 1 && words.errors.contains("in use"), "\(words.errors)")
        jobs.waitForStep(stopped.steps + 2, of: "run")
        other.send(SIGTERM)
        try goesOn(after: other.summary(code: 75))
    }
}

@Suite(.serialized)
struct TroubleTests {
    private let jobs = SmallJobs()

    /// OpenBLAS chooses its kernels by processor; here it is told which.
    @Test func aWorkerOfAnotherKindIsRefusedAtOnce() throws {
        let nehalem = ["OPENBLAS_CORETYPE": "Nehalem"]
        _ = try jobs.begin("run", steps: 2, environment: nehalem).summary()
        let kernels = try Journal.read(RunDirectory(jobs.path("run"))).kernels
        guard kernels?.core == "Nehalem" else { return }  // an OpenBLAS without that core
        let start = SuspendingClock.now
        let refused = try jobs.resume("run", steps: 4).finish(within: 30)
        #expect(refused.code == 1)
        #expect(refused.errors.contains("OPENBLAS_CORETYPE"), "\(refused.errors)")
        #expect(!refused.errors.contains("started again"), "\(refused.errors)")
        #expect(refused.errors.split(separator: "\n").count { $0.contains("error: ") } == 1, "\(refused.errors)")
        #expect(SuspendingClock.now - start < .seconds(15))
        let resumed = try jobs.resume("run", steps: 4, environment: nehalem).summary()
        #expect(resumed.steps == 4)
    }

    @Test func whatNoWorkerCouldComputeIsRefusedBeforeThereIsARun() throws {
        let refused = try jobs.begin("run", steps: 4, set: ["train.batch=1", "model.auxiliary=true"]).finish(within: 15)
        #expect(refused.code == 1)
        #expect(refused.errors.contains("single value"), "\(refused.errors)")
        #expect(refused.errors.split(separator: "\n").count == 1, "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("run")))
    }

    /// In the place of a file that is written: it is named, and nobody waits for its reader.
    @Test func aPipeIsNoFile() throws {
        try jobs.train("run", steps: 2)
        for file in ["logs/worker-0.log", "config.yaml", "plan.json", "metrics.jsonl", "journal"] {
            let path = jobs.path("run/\(file)")
            let aside = jobs.path("aside")
            try FileManager.default.moveItem(atPath: path, toPath: aside)
            #expect(mkfifo(path, 0o644) == 0)
            let refused = try jobs.resume("run", steps: 4).finish(within: 30)
            let log = file == "metrics.jsonl" ? jobs.path("run/logs/coordinator-0.log") : nil
            // The metrics are for people: a job goes on without them and says so.
            #expect(refused.code == (log == nil ? 1 : 0), "\(file): \(refused.errors)")
            let said = try log.map { try String(contentsOfFile: $0, encoding: .utf8) } ?? refused.errors
            #expect(said.contains(file), "\(file): \(said)")
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.moveItem(atPath: aside, toPath: path)
        }
    }

    @Test func aLimitOfFileSizesIsAnError() throws {
        let settings = (SmallJobs.settings + ["train.steps=4"]).map { "--set \($0)" }.joined(separator: " ")
        let limited = try Running(
            shell: "ulimit -f 64; exec psctl train --run-dir \(jobs.path("run")) \(settings)", in: jobs.path(""),
            environment: ["PATH": Running.directory.path + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "")]
        ).finish(within: 40)
        #expect(limited.code == 1)
        let errors = limited.errors.split(separator: "\n").filter { $0.contains("error: ") }
        #expect(errors.count == 1 && errors.allSatisfy { $0.contains("ulimit -f") }, "\(limited.errors)")
        #expect(!limited.errors.contains("signal 25"), "\(limited.errors)")
    }

    /// As the kernel does when memory is short.
    @Test func aWorkerThatIsKilledAgainAndAgain() throws {
        let job = try jobs.begin(
            "run", steps: SmallJobs.endless, set: ["cluster.maxRestarts=1", "train.ticketsPerStep=5000"])
        for _ in 0..<2 {
            let worker = try job.pid(of: "worker")
            kill(worker, SIGKILL)
            eventually("it is gone") { !Processes.isAlive(Int(worker)) || !job.isRunning }
        }
        let finished = try job.finish(within: 30)
        #expect(finished.code == 1)
        let error = finished.errors.split(separator: "\n").last { $0.contains("error: ") } ?? ""
        #expect(
            error.contains("signal 9") && error.contains("memory") && error.contains("train.batch"),
            "\(finished.errors)")
        // The same words afterwards, not those of the signal that ended the coordinator.
        let run = RunDirectory(jobs.path("run"))
        let status = try #require(try JobStatus.read(from: run))
        #expect(status.text.contains("It was started again 1 time without progress"), "\(status.text)")
        #expect(status.state == .failed && status.processes.allSatisfy { $0.state == .down })
        let summary = try RunSummary.read(from: run)
        #expect((summary.restarts, summary.exitCode) == (1, 1))
    }

    @Test(.enabled(if: hasTimeForLongTests)) func whoStandsStillIsNamed() throws {
        let job = try jobs.begin("run", steps: SmallJobs.endless, set: ["cluster.workers=2"])
        jobs.waitForStep(3, of: "run")
        for (role, rank) in [("server", 1), ("worker", 0)] {
            let pid = try job.pid(of: role, rank: rank)
            kill(pid, SIGSTOP)
            let host = ProcessInfo.processInfo.hostName
            try job.waitForWords("\(role) \(rank) (pid \(pid) on \(host)) is silent", within: 12)
            kill(pid, SIGCONT)
            try job.waitForWords("\(role) \(rank) is heard again", within: 5)
        }
        let now = try #require(jobs.steps("run").last)
        jobs.waitForStep(now + 5, of: "run")
        job.send(SIGTERM)
        try expectUndisturbed(job.summary(code: 75))
    }

    @Test(.enabled(if: hasTimeForLongTests)) func aCoordinatorThatStandsStillIsNamed() throws {
        let job = try jobs.begin("run", steps: SmallJobs.endless)
        jobs.waitForStep(3, of: "run")
        let pid = try job.pid(of: "coordinator")
        kill(pid, SIGSTOP)
        try job.waitForWords("the coordinator (pid \(pid)) has not answered", within: 12)
        kill(pid, SIGCONT)
        try job.waitForWords("the coordinator answers again", within: 5)
        job.send(SIGTERM)
        try expectUndisturbed(job.summary(code: 75))
    }

    /// Lustre without flock; CIFS and some FUSE file systems without fsync of a directory.
    @Test func aFileSystemThatLacksCalls() throws {
        guard
            let library = try jobs.library(
                """
                int flock(int file, int operation) { errno = ENOSYS; return -1; }
                int fsync(int file) {
                    struct stat status;
                    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode)) { errno = EINVAL; return -1; }
                    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(file);
                }
                """)
        else { return }
        let lacking = ["LD_PRELOAD": library]
        for (steps, start) in [(4, "begin"), (6, "resume")] {
            let job =
                try start == "begin"
                ? jobs.begin("run", steps: steps, set: ["checkpoint.everySteps=1"], environment: lacking)
                : jobs.resume("run", steps: steps, environment: lacking)
            let finished = try job.finish()
            #expect(finished.code == 0, "\(finished.errors)")
            for word in ["file locks", "directories cannot be synchronized"] {
                #expect(finished.errors.components(separatedBy: word).count == 2, "\(word) once: \(finished.errors)")
            }
            try expectUndisturbed(finished.json(RunSummary.self))
        }
        // A second job is still seen where it is on this host.
        let job = try jobs.resume("run", steps: SmallJobs.endless, environment: lacking)
        jobs.waitForStep(8, of: "run")
        let second = try jobs.start(["train", "--run-dir", "run", "--resume", "last"], environment: lacking).finish()
        #expect(second.code == 1 && second.errors.contains("in use"), "\(second.errors)")
        job.send(SIGTERM)
        try expectUndisturbed(job.summary(code: 75))
    }
}
