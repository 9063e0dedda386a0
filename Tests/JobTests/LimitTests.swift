// What the system allows a process: memory of control groups, threads, open files.

import Foundation
import PSJob
import PSNode
import PSReport
import Testing

@Suite struct ControlGroupTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        try write("proc/meminfo", "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 4194304 kB\n")
    }

    private func write(_ path: String, _ text: String) throws {
        let file = scratch.file(path)
        try FileManager.default.createDirectory(
            atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try text.write(toFile: file, atomically: false, encoding: .utf8)
    }

    private var available: Int? { Machine.availableMemory(root: scratch.path) }
    private let mebibyte = 1 << 20

    @Test func withoutALimitItIsTheMachines() throws {
        #expect(available == 4 << 30)
        try write("sys/fs/cgroup/memory.max", "max\n")
        try write("sys/fs/cgroup/memory.current", "1000\n")
        // What version 1 says of no limit.
        try write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        try write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n")
        #expect(available == 4 << 30)
        try FileManager.default.removeItem(atPath: scratch.file("proc/meminfo"))
        #expect(available == nil)
    }

    @Test func aContainersRootHasTheLimit() throws {
        for path in ["/", "/docker/0123", "/../../elsewhere"] {
            try write("proc/self/cgroup", "0::\(path)\n")
            try write("sys/fs/cgroup/memory.max", "\(1024 * mebibyte)\n")
            try write("sys/fs/cgroup/memory.current", "\(100 * mebibyte)\n")
            #expect(available == 924 * mebibyte, "\(path)")
        }
        // What files were read goes when memory is asked for.
        try write("sys/fs/cgroup/memory.stat", "anon 5\ninactive_file \(60 * mebibyte)\nactive_file 7\n")
        #expect(available == 984 * mebibyte)
        try write("sys/fs/cgroup/memory.current", "\(2000 * mebibyte)\n")
        #expect(available == 0)
    }

    /// The own group has none, its parent the least, its grandparent more.
    @Test func theTightestOfAllGroupsAroundHolds() throws {
        let groups = ["a", "a/b", "a/b/c"]
        try write("proc/self/cgroup", "1:cpu:/x\n0::/a/b/c\n")
        for (group, limit) in zip(groups, ["\(3000 * mebibyte)", "\(1000 * mebibyte)", "max"]) {
            try write("sys/fs/cgroup/\(group)/memory.max", limit)
            try write("sys/fs/cgroup/\(group)/memory.current", "\(10 * mebibyte)")
        }
        #expect(available == 990 * mebibyte)
        // Less is left of the wider limit.
        try write("sys/fs/cgroup/a/memory.current", "\(2990 * mebibyte)")
        #expect(available == 10 * mebibyte)
    }

    @Test func version1HasItsOwnFiles() throws {
        try write("proc/self/cgroup", "11:devices:/x\n7:cpu,memory:/slurm/job\n0::/y\n")
        try write("sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "\(500 * mebibyte)")
        try write("sys/fs/cgroup/memory/slurm/memory.usage_in_bytes", "\(100 * mebibyte)")
        #expect(available == 400 * mebibyte)
        try write("sys/fs/cgroup/memory/slurm/memory.stat", "inactive_file 1\ntotal_inactive_file \(mebibyte)\n")
        #expect(available == 401 * mebibyte)
        try write("sys/fs/cgroup/memory/slurm/job/memory.limit_in_bytes", "\(200 * mebibyte)")
        try write("sys/fs/cgroup/memory/slurm/job/memory.usage_in_bytes", "\(50 * mebibyte)")
        #expect(available == 150 * mebibyte)
        // In a container the path is the host's; its own group is the mount.
        try write("proc/self/cgroup", "7:memory:/docker/0123\n")
        #expect(available == 4 << 30)
        try write("sys/fs/cgroup/memory/memory.limit_in_bytes", "\(20 * mebibyte)")
        try write("sys/fs/cgroup/memory/memory.usage_in_bytes", "0")
        #expect(available == 20 * mebibyte)
    }
}

@Suite struct ProcessLimitTests {
    private static let programs = [
        "psctl status --run-dir /none", "psctl train --run-dir /proc/none/run", "psctl bench exchange",
        "ps-server --coordinator tcp://127.0.0.1:9", "ps-worker --coordinator tcp://127.0.0.1:9",
    ]

    private func run(_ command: String, under limit: String, as user: String = "") throws -> Finished {
        let program = Running.directory.appending(path: command).path
        return try Running(shell: "\(user) bash -c \"\(limit) && exec \(program)\"").finish(within: 15)
    }

    @Test(arguments: programs, [4, 12, 30]) func fewFilesAreNamed(command: String, files: Int) throws {
        let finished = try run(command, under: "ulimit -n \(files)")
        #expect(finished.code == 1, "\(finished.errors)")
        #expect(finished.errors.contains("open files are needed, the limit is \(files): raise it with ulimit -n"))
        #expect(finished.errors.split(separator: "\n").count == 1, "\(finished.errors)")
    }

    /// A limit that a user may raise is raised.
    @Test func aSoftLimitIsRaised() throws {
        let finished = try run("psctl status --run-dir /none", under: "ulimit -Sn 20")
        #expect(finished.errors.contains("/none is no run directory"))
    }

    /// The limit holds for no user with all rights: another one tries it.
    @Test(.enabled(if: getuid() == 0), arguments: programs, [1, 2, 3])
    func fewThreadsAreNamed(command: String, threads: Int) throws {
        // One of its own each time: the limit counts all processes of a user, those of the other cases too.
        let id = Int.random(in: 100_000..<2_000_000)
        let user = "setpriv --reuid=\(id) --regid=\(id) --clear-groups env -i"
        let program = Running.directory.appending(path: command.split(separator: " ")[0].description).path
        guard try Running(shell: "\(user) test -x \(program)").finish().code == 0 else { return }
        let finished = try run(command, under: "ulimit -u \(threads)", as: user)
        #expect(finished.code == 1, "\(finished.errors)")
        #expect(finished.errors.contains("threads are needed, only \(threads) can be started"), "\(finished.errors)")
        #expect(finished.errors.contains("ulimit -u"))
        #expect(finished.errors.split(separator: "\n").count == 1, "\(finished.errors)")
    }

    /// However many processors there are: OpenBLAS starts no threads when it is loaded.
    @Test func aWorkerHasTheThreadsItSays() throws {
        let worker = try Running(
            "ps-worker", ["--coordinator", "tcp://127.0.0.1:9"], environment: ["OPENBLAS_NUM_THREADS": "8"])
        defer {
            kill(pid_t(worker.pid), SIGKILL)
            _ = try? worker.finish()
        }
        func threads() -> Int? {
            try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(worker.pid)/task").count
        }
        eventually(within: 10, "the worker is up") { threads() ?? 0 >= ProcessLimits.workerThreads }
        usleep(300_000)
        #expect(threads() == ProcessLimits.workerThreads)
    }
}
