// Servers with replicas as people run them: real daemons, killed and stopped, by hand and under `psctl train`. The weights
// are those of a job that nobody disturbs and that has no replicas.

import Foundation
import PSJob
import PSParameters
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct ReplicaJobTests {
    private static let jobs = SmallJobs()
    private var jobs: SmallJobs { Self.jobs }
    private static let steps = 60
    /// A job of the same settings that nobody disturbs, without replicas.
    private static let calm: Result<RunSummary, any Error> = Result {
        try jobs.train("calm", steps: steps, set: ["cluster.servers=1", "train.ticketsPerStep=4"])
    }

    private static func settings(_ more: [String] = []) -> [String] {
        ["cluster.servers=3", "server.replicas=1", "train.ticketsPerStep=4", "checkpoint.everySteps=0"] + more
    }

    private func expectCalm(_ summary: RunSummary, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let calm = try Self.calm.get()
        #expect(summary.weightsSHA256 == calm.weightsSHA256, sourceLocation: sourceLocation)
        #expect(summary.stateSHA256 == calm.stateSHA256, sourceLocation: sourceLocation)
    }

    private func replicas(_ run: String) throws -> JobStatus.Replicas? { try jobs.status(run).replicas }

    /// All replicas are in step, and each server answers for its own part.
    private func waitUntilWhole(_ run: String) throws {
        eventually("the replicas of \(run) are in step") {
            guard let replicas = try? replicas(run) else { return false }
            return replicas.inStep == replicas.wanted && replicas.standingIn == 0
        }
    }

    private func pid(_ role: String, _ rank: Int, of run: String) throws -> pid_t {
        let process = try jobs.status(run).processes.first { $0.role == role && $0.rank == rank && $0.state == .up }
        return pid_t(try #require(process).pid)
    }

    private func log(_ run: String) throws -> String {
        try String(contentsOfFile: jobs.path("\(run)/logs/coordinator-0.log"), encoding: .utf8)
    }

    /// Nobody starts it again: the one after it goes on with its part to the end, checkpoints included.
    @Test func aServerThatIsGoneForGoodIsStoodInFor() throws {
        let daemons = try Daemons(jobs, "gone", steps: Self.steps, set: Self.settings())
        for rank in 0..<3 { try daemons.addServer(rank: rank) }
        try daemons.addWorker()
        jobs.waitForStep(3, of: "gone")
        try waitUntilWhole("gone")
        kill(pid_t(daemons.servers[1].pid), SIGKILL)
        let killed = daemons.servers[1].pid
        _ = try daemons.servers[1].finish()
        try eventually("another server answers for its part") { try replicas("gone")?.standingIn == 1 }
        try expectCalm(daemons.finish(dead: [killed]))
    }

    /// It stands still, is fenced, wakes up, follows the others and gets its part back.
    @Test func aServerThatStandsStillIsFencedAndComesBack() throws {
        let daemons = try Daemons(jobs, "still", steps: SmallJobs.endless, set: Self.settings())
        for rank in 0..<3 { try daemons.addServer(rank: rank) }
        try daemons.addWorker()
        jobs.waitForStep(3, of: "still")
        try waitUntilWhole("still")
        kill(pid_t(daemons.servers[0].pid), SIGSTOP)
        try eventually("the one after it answers") { try replicas("still")?.standingIn == 1 }
        let step = try #require(jobs.steps("still").last)
        jobs.waitForStep(step + 5, of: "still")
        kill(pid_t(daemons.servers[0].pid), SIGCONT)
        try waitUntilWhole("still")
        #expect(try jobs.psctl("stop", "--run-dir", "still").code == 0)
        #expect(try daemons.coordinator.finish().code == 75)
        let text = try daemons.servers[0].finish().errors
        #expect(text.contains("going on from memory"), "\(text)")
        let summary = try RunSummary.read(from: RunDirectory(jobs.path("still")))
        let calm = try jobs.train(
            "still-calm", steps: Int(summary.steps), set: ["cluster.servers=1", "train.ticketsPerStep=4"])
        #expect(summary.weightsSHA256 == calm.weightsSHA256)
    }

    /// Under `psctl train`, over Unix sockets and over TCP with keys: it is started again and catches up, or a spare one does.
    @Test(arguments: [
        [], ["cluster.transport=tcp", "cluster.security=required"], ["cluster.spares=1"], ["cluster.servers=2"],
    ])
    func aServerThatIsStartedAgainGetsItsPartBack(set: [String]) throws {
        let run = "back-\(set.first ?? "plain")"
        let job = try jobs.begin(run, steps: SmallJobs.endless, set: Self.settings(set))
        jobs.waitForStep(3, of: run)
        try waitUntilWhole(run)
        kill(try pid("server", 1, of: run), SIGKILL)
        try eventually("it is noticed") { try jobs.status(run).generation > 1 }
        try waitUntilWhole(run)
        kill(try pid("server", 0, of: run), SIGKILL)
        try eventually("the other one is noticed") { try jobs.status(run).generation > 3 }
        try waitUntilWhole(run)
        #expect(try jobs.psctl("stop", "--run-dir", run).code == 0)
        let finished = try job.finish()
        #expect(finished.code == 75, "\(finished.errors)")
        let summary = try finished.json(RunSummary.self)
        #expect(!(try log(run)).contains("goes back to its last checkpoint"))
        let calm = try jobs.train(
            "\(run)-calm", steps: Int(summary.steps), set: ["cluster.servers=1", "train.ticketsPerStep=4"])
        #expect(summary.weightsSHA256 == calm.weightsSHA256)
        #expect(summary.stateSHA256 == calm.stateSHA256)
    }

    /// Servers that live keep their places when the coordinator is started again, though others wait for one.
    @Test func aSpareTakesNoPlaceFromWhoLives() throws {
        let job = try jobs.begin(
            "kept", steps: SmallJobs.endless, set: Self.settings(["cluster.spares=2", "cluster.servers=2"]))
        jobs.waitForStep(3, of: "kept")
        try eventually("the spares are there") { try replicas("kept")?.spares == 2 }
        for _ in 0..<4 {
            let before = try #require(jobs.steps("kept").last)
            kill(try job.pid(of: "coordinator"), SIGKILL)
            try job.waitForWords("the coordinator (pid ")
            jobs.waitForStep(before + 3, of: "kept")
        }
        #expect(try jobs.status("kept").generation == 1, "all went on from memory, with the same servers")
        job.send(SIGTERM)
        let summary = try job.summary(code: 75)
        let calm = try jobs.train(
            "kept-calm", steps: Int(summary.steps), set: ["cluster.servers=1", "train.ticketsPerStep=4"])
        #expect(summary.stateSHA256 == calm.stateSHA256)
    }

    /// Each server that is started for a rank has it, also on resume: the spare comes after them.
    @Test func aSpareDoesNotComeFirst() throws {
        let set = Self.settings(["cluster.spares=1"])
        _ = try jobs.begin("spare", steps: 4, set: set).summary()
        for end in [8, 12, 16] {
            let resumed = try jobs.resume("spare", steps: end).finish()
            #expect(resumed.code == 0, "\(resumed.errors)")
            for rank in 0..<3 {
                let log = try String(contentsOfFile: jobs.path("spare/logs/server-\(rank).log"), encoding: .utf8)
                #expect(!log.contains("this one waits"), "\(log)")
            }
        }
    }

    /// Both servers that have a part are gone: the job goes back to its checkpoint, says so, and comes to the same weights.
    @Test func withoutAnyHolderTheJobGoesBack() throws {
        let job = try jobs.begin(
            "both", steps: Self.steps, set: Self.settings(["cluster.servers=2", "checkpoint.everySteps=10"]))
        jobs.waitForStep(13, of: "both")
        let both = try [pid("server", 0, of: "both"), pid("server", 1, of: "both")]
        for process in both { kill(process, SIGKILL) }
        let finished = try job.finish()
        #expect(finished.code == 0, "\(finished.errors)")
        #expect(finished.errors.contains("both servers that had the part of server"), "\(finished.errors)")
        try expectCalm(finished.json(RunSummary.self))
    }

    /// Its host is gone: it is started at another address, and found by the files of the run.
    @Test func aCoordinatorThatMovesIsFollowed() throws {
        let daemons = try Daemons(jobs, "moved", steps: Self.steps, set: Self.settings())
        for _ in 0..<3 { try daemons.addServer() }
        try daemons.addWorker()
        jobs.waitForStep(3, of: "moved")
        kill(pid_t(daemons.coordinator.pid), SIGKILL)
        _ = try daemons.coordinator.finish()
        try daemons.startCoordinator(at: "tcp://127.0.0.2:*")
        try expectCalm(daemons.finish())
        #expect(daemons.words.contains("is at tcp://127.0.0.2:"), "\(daemons.words)")
    }

    /// Another job's coordinator listens where it was before it is started again.
    @Test func aCoordinatorWhosePortAnotherJobHasIsFollowed() throws {
        let daemons = try Daemons(jobs, "displaced", steps: Self.steps, set: Self.settings())
        for _ in 0..<3 { try daemons.addServer() }
        try daemons.addWorker()
        jobs.waitForStep(3, of: "displaced")
        let former = try JSONDecoder().decode(
            Endpoints.self, from: Data(contentsOf: URL(filePath: jobs.path("displaced/endpoints.json"))))
        kill(pid_t(daemons.coordinator.pid), SIGKILL)
        _ = try daemons.coordinator.finish()
        let other = try Daemons(jobs, "displacing", steps: 1, set: Self.settings(), at: former.coordinator)
        defer { kill(pid_t(other.coordinator.pid), SIGKILL) }
        try other.coordinator.waitForWords("coordinator is up")
        usleep(1_000_000)
        try daemons.startCoordinator(at: "tcp://127.0.0.2:*")
        try expectCalm(daemons.finish())
        #expect(daemons.words.contains("is at tcp://127.0.0.2:"), "\(daemons.words)")
    }

    /// Fewer workers than are wanted are a state and no error.
    @Test func aJobWaitsForItsWorkers() throws {
        let daemons = try Daemons(
            jobs, "few", steps: Self.steps, set: Self.settings(["cluster.workers=2", "cluster.minWorkers=2"]))
        for _ in 0..<3 { try daemons.addServer() }
        func activity() -> String? {
            try? jobs.status("few").processes.first { $0.role == "coordinator" }?.activity
        }
        eventually("none is there") { activity() == "waiting for workers: 0 of 2 are up" }
        try daemons.addWorker()
        eventually("one is there") { activity() == "waiting for workers: 1 of 2 are up" }
        #expect(jobs.steps("few").isEmpty)
        try daemons.addWorker(rank: 0)
        try expectCalm(daemons.finish())
        #expect(daemons.words.contains("rank 0 is that of another worker: this is worker 1"), "\(daemons.words)")
    }

    @Test(arguments: [
        (["server.replicas=1", "cluster.servers=1"], "server.replicas needs a second server to hold them"),
        (["cluster.spares=1"], "cluster.spares catches up from a replica; set server.replicas to 1"),
        (["cluster.minWorkers=3"], "cluster.minWorkers is 3, but cluster.workers is 1"),
        (["server.replicas=2"], "--set: server.replicas is '2', allowed is from 0 to 1"),
    ])
    func whatDoesNotGoTogetherIsSaid(set: [String], line: String) throws {
        let refused = try jobs.begin("never", steps: 1, set: set).finish()
        #expect(refused.code == 64)
        #expect(refused.errors.contains(line), "\(refused.errors)")
        #expect(refused.errors.split(separator: "\n").count == 1)
    }

    /// A run whose job is over.
    private func over(_ set: [String]) throws -> String {
        let name = "over-\(set[0])"
        try jobs.train(name, steps: 1, set: set)
        return jobs.path(name)
    }

    @Test func aRunThatIsNotThereIsWaitedForUntilItIsStopped() throws {
        let server = try Running("ps-server", ["--coordinator", "run:\(jobs.path("nowhere"))"])
        try eventually("it says so") { try server.errorsSoFar().contains("waiting for a coordinator of the run") }
        kill(pid_t(server.pid), SIGTERM)
        #expect(try server.finish(within: 10).code == 75)
        // Of a job that is over nobody answers.
        let local = try Running("ps-server", ["--coordinator", "run:\(try over(["cluster.transport=ipc"]))"]).finish()
        #expect(local.code == 1 && local.errors.contains("the job perhaps over"), "\(local.errors)")
        let late = try Running("ps-server", ["--coordinator", "run:\(try over(["cluster.transport=tcp"]))"])
        try eventually("it says so") { try late.errorsSoFar().contains("no word from the coordinator for 5 s") }
        kill(pid_t(late.pid), SIGTERM)
        #expect(try late.finish(within: 3).code == 75)
        for place in ["run:", "runs/last"] {
            let wrong = try Running("ps-server", ["--coordinator", place]).finish()
            #expect(wrong.code == 64)
            #expect(wrong.errors.contains("run:DIRECTORY"), "\(wrong.errors)")
        }
    }
}

/// What scripts/storm shows, in small steps: whatever is killed, every step is committed and no bit is another.
@Suite(.serialized, .enabled(if: hasTimeForLongTests))
struct StormTests {
    @Test(arguments: [["--every", "5.5"], ["--every", "1"], ["--every", "1", "--others", "30"]])
    func aStormChangesNoBit(options: [String]) throws {
        let storm = try Running("psctl", ["bench", "storm", "--kills", "200", "--tickets", "16"] + options)
        let finished = try storm.finish(within: 1500)
        #expect(finished.code == 0, "\(finished.output)\(finished.errors)")
        #expect(finished.output.contains("all committed"), "\(finished.output)")
        #expect(finished.output.contains("bit for bit"), "\(finished.output)")
        print(finished.output)
    }
}
