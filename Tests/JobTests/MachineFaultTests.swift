// A machine that fails under a job: its disk is slow, full or refuses to make files durable, its clock jumps. One line
// says so, nothing is lost, and the weights are those of a job that nobody disturbs.

import Foundation
import PSJob
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct MachineFaultTests {
    private static let jobs = SmallJobs()
    private var jobs: SmallJobs { Self.jobs }
    private static let settings = ["checkpoint.everySteps=3", "cluster.servers=2"]

    /// Calls on files that fail while a file of this name is there.
    private func faultyDisk(_ sign: String) throws -> [String: String]? {
        let isBroken =
            "fstat(file, &status) == 0 && S_ISREG(status.st_mode) && file > 2 && access(\"\(sign)\", F_OK) == 0"
        let library = try jobs.library(
            """
            int fsync(int file) {
                struct stat status;
                if (\(isBroken)) { errno = EIO; return -1; }
                return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(file);
            }
            int fdatasync(int file) {
                struct stat status;
                if (\(isBroken)) { errno = EIO; return -1; }
                return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(file);
            }
            """, named: "disk")
        return library.map { ["LD_PRELOAD": $0] }
    }

    private func fullDisk(_ sign: String) throws -> [String: String]? {
        let isFull =
            "fstat(file, &status) == 0 && S_ISREG(status.st_mode) && file > 2 && access(\"\(sign)\", F_OK) == 0"
        let library = try jobs.library(
            """
            ssize_t write(int file, const void *bytes, size_t count) {
                struct stat status;
                if (\(isFull)) { errno = ENOSPC; return -1; }
                return ((ssize_t (*)(int, const void *, size_t)) dlsym(RTLD_NEXT, "write"))(file, bytes, count);
            }
            """, named: "full")
        return library.map { ["LD_PRELOAD": $0] }
    }

    private func mark(_ path: String) { _ = FileManager.default.createFile(atPath: path, contents: nil) }

    private func expectCalm(_ run: String, _ summary: RunSummary, sourceLocation: SourceLocation = #_sourceLocation)
        throws
    {
        let calm = try jobs.train("\(run)-calm", steps: Int(summary.steps), set: ["cluster.servers=1"])
        #expect(summary.weightsSHA256 == calm.weightsSHA256, sourceLocation: sourceLocation)
        #expect(summary.stateSHA256 == calm.stateSHA256, sourceLocation: sourceLocation)
    }

    /// What a journal was not able to make durable is not known to be there, and a disk that is full stays so: the job
    /// ends, and the next start goes on.
    @Test(arguments: ["sync", "full"])
    func aDiskThatEndsTheJob(fault: String) throws {
        let run = "ends-\(fault)"
        let sign = jobs.path("\(run)-broken")
        guard let environment = fault == "sync" ? try faultyDisk(sign) : try fullDisk(sign) else { return }
        let daemons = try Daemons(
            jobs, run, steps: SmallJobs.endless, set: Self.settings, environment: fault == "sync" ? environment : [:])
        for _ in 0..<2 { try daemons.addServer(environment: fault == "full" ? environment : [:]) }
        try daemons.addWorker()
        jobs.waitForStep(4, of: run)
        mark(sign)
        let ended = try daemons.coordinator.finish(within: 20)
        #expect(ended.code == 1)
        let line = try #require(ended.errors.split(separator: "\n").last)
        let words =
            fault == "sync"
            ? [jobs.path("\(run)/journal"), "Input/output error"]
            : ["server ", jobs.path("\(run)/checkpoints/step-"), "No space left on device", "free some space there"]
        for word in words { #expect(line.contains(word), "\(ended.errors)") }
        let last = try #require(jobs.steps(run).last)
        try FileManager.default.removeItem(atPath: sign)
        try daemons.restartAll()
        jobs.waitForStep(last + 4, of: run)
        #expect(try jobs.psctl("stop", "--run-dir", run).code == 0)
        try expectCalm(run, daemons.finish(code: 75))
    }

    /// A server that cannot save for a while tries again; the steps go on meanwhile.
    @Test func aCheckpointThatCannotBeMadeDurableForAWhile() throws {
        let run = "shard"
        let sign = jobs.path("\(run)-broken")
        guard let environment = try faultyDisk(sign) else { return }
        let daemons = try Daemons(jobs, run, steps: SmallJobs.endless, set: Self.settings)
        for _ in 0..<2 { try daemons.addServer(environment: environment) }
        try daemons.addWorker()
        jobs.waitForStep(4, of: run)
        mark(sign)
        try daemons.coordinator.waitForWords("it is tried again for 30 s")
        let failed = try #require(jobs.steps(run).last)
        jobs.waitForStep(failed + 3, of: run)
        try FileManager.default.removeItem(atPath: sign)
        let saved = try jobs.psctl("checkpoint", "--run-dir", run)
        #expect(saved.code == 0, "\(saved.errors)")
        #expect(try jobs.psctl("stop", "--run-dir", run).code == 0)
        let said = try daemons.coordinator.errorsSoFar()
        for word in ["server ", "Input/output error"] { #expect(said.contains(word), "\(said)") }
        try expectCalm(run, daemons.finish(code: 75))
    }

    @Test func aSlowDisk() throws {
        guard
            let library = try jobs.library(
                """
                int fsync(int file) {
                    usleep(100000);
                    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(file);
                }
                """, named: "slow")
        else { return }
        let job = try jobs.begin("slow", steps: 6, set: Self.settings, environment: ["LD_PRELOAD": library])
        try expectCalm("slow", job.summary())
    }

    /// The time of day goes a day forward and back every few looks: no deadline and no duration is measured by it.
    @Test func aClockThatJumps() throws {
        guard
            let library = try jobs.library(
                """
                #include <sys/time.h>
                #include <time.h>
                static int looks;
                static long jump(void) { return (__atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) / 7 % 3 - 1) * 86400L; }
                int clock_gettime(clockid_t clock, struct timespec *time) {
                    int code = ((int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime"))(clock, time);
                    if (clock == CLOCK_REALTIME) time->tv_sec += jump();
                    return code;
                }
                int gettimeofday(struct timeval *time, void *zone) {
                    int code = ((int (*)(struct timeval *, void *)) dlsym(RTLD_NEXT, "gettimeofday"))(time, zone);
                    time->tv_sec += jump();
                    return code;
                }
                time_t time(time_t *place) {
                    time_t now = ((time_t (*)(time_t *)) dlsym(RTLD_NEXT, "time"))(NULL) + jump();
                    if (place) *place = now;
                    return now;
                }
                """, named: "clock")
        else { return }
        let began = SuspendingClock.now
        let job = try jobs.begin("clock", steps: 40, set: Self.settings, environment: ["LD_PRELOAD": library])
        let summary = try job.summary()
        let elapsed = (SuspendingClock.now - began).seconds
        #expect((0...elapsed).contains(summary.seconds), "\(summary.seconds) s of \(elapsed)")
        for step in jobs.metrics("clock") { #expect((0...elapsed).contains(step.elapsedSeconds ?? -1), "\(step)") }
        try expectCalm("clock", summary)
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
