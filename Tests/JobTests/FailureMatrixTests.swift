// What dies, stands still or is cut off, at every phase of a step: real processes on a network that the tests break. Each
// fault is followed by further steps, is said in one line, and changes no bit of the weights.

import Foundation
import PSJob
import PSMessages
import PSParameters
import PSProtocol
import PSRun
import Testing

/// A job of three servers and two workers that is disturbed again and again, and then compared with a calm one.
private final class DisturbedJob: @unchecked Sendable {
    // Sendable: what the network's threads touch is behind the lock.

    let network: FaultyNetwork
    let daemons: Daemons
    private let jobs: SmallJobs
    private let run: String
    private let hasReplicas: Bool
    private let lock = NSLock()
    private var pids: [Victim: pid_t] = [:]
    private var commits = 0
    private var lastCommit: Step?
    private var armed: (fault: Fault, isDue: Bool)?
    /// What the coordinators before this one said.
    private var formerWords = ""

    static let servers = 3
    static let workers = 2
    private static let settings = [
        "cluster.workers=2", "train.ticketsPerStep=4", "train.batch=64", "checkpoint.everySteps=4", "checkpoint.keep=2",
    ]

    struct Victim: Hashable {
        let role: Role
        let rank: Int
        static let coordinator = Victim(role: .coordinator, rank: 0)
        var name: String { role == .coordinator ? role.name : "\(role.name) \(rank)" }
    }

    struct Fault: CustomStringConvertible {
        enum Kind { case killedBefore, killedAfter, stopped }
        /// The message that it happens at.
        let word: String
        let victim: Victim
        let kind: Kind
        var description: String { "\(victim.name) \(kind) at \(word)" }
    }

    init?(_ jobs: SmallJobs, _ run: String, replicas: Bool) throws {
        let sides =
            (0..<DisturbedJob.servers).map(Daemons.side(ofServer:))
            + (0..<DisturbedJob.workers).map(Daemons.side(ofWorker:))
        guard let network = try FaultyNetwork(jobs, sides: sides, listeners: 1 + DisturbedJob.servers) else {
            return nil
        }
        (self.network, self.jobs, self.run, hasReplicas) = (network, jobs, run, replicas)
        daemons = try Daemons(
            jobs, run, steps: SmallJobs.endless,
            set: DisturbedJob.settings + [
                "cluster.servers=\(DisturbedJob.servers)", "server.replicas=\(replicas ? 1 : 0)",
            ],
            over: network)
        network.onEachMessage { [unowned self] in passes($0) }
        for rank in 0..<DisturbedJob.servers { try daemons.addServer(rank: rank) }
        for _ in 0..<DisturbedJob.workers { try daemons.addWorker() }
        learnPids()
        waitForCommits(2, "it begins")
        waitUntilWhole("the beginning")
    }

    private func learnPids() {
        var found = [Victim.coordinator: pid_t(daemons.coordinator.pid)]
        for (rank, process) in daemons.servers.enumerated() {
            found[Victim(role: .server, rank: rank)] = pid_t(process.pid)
        }
        for (rank, process) in daemons.workers.enumerated() {
            found[Victim(role: .worker, rank: rank)] = pid_t(process.pid)
        }
        lock.withLock { pids = found }
    }

    // MARK: The network's view

    private func passes(_ message: FaultyNetwork.Passing) -> FaultyNetwork.Verdict {
        lock.withLock {
            if case .commit(let commit) = message.envelope.message, commit.step != lastCommit {
                lastCommit = commit.step
                commits += 1
            }
            guard let armed, armed.isDue, message.word == armed.fault.word else { return .passes }
            let fault = armed.fault
            let (from, to) = ends(message)
            let isOfRole = from.role == fault.victim.role || to.role == fault.victim.role
            guard !isOfRole || from == fault.victim || to == fault.victim, let pid = pids[fault.victim] else {
                return .passes
            }
            self.armed = (fault, false)
            switch fault.kind {
            case .stopped: kill(pid, SIGSTOP)
            case .killedBefore:
                kill(pid, SIGKILL)
                if from == fault.victim { return .isLost }
            case .killedAfter:
                Thread.detachNewThread {
                    usleep(2000)
                    kill(pid, SIGKILL)
                }
            }
            return .passes
        }
    }

    private func ends(_ message: FaultyNetwork.Passing) -> (from: Victim, to: Victim) {
        let side = message.path.side
        let caller = side >= 20 ? Victim(role: .worker, rank: side - 20) : Victim(role: .server, rank: side - 10)
        let listener =
            message.path.listener == 0 ? Victim.coordinator : Victim(role: .server, rank: message.path.listener - 1)
        return message.way == .toListener ? (caller, listener) : (listener, caller)
    }

    // MARK: What must come after

    func waitForCommits(_ count: Int, within seconds: Double = 40, _ what: String) {
        let before = lock.withLock { commits }
        wait(seconds, "\(what): \(count) more steps") { lock.withLock { commits } >= before + count }
    }

    /// Each server answers for its own part, and each replica is in step.
    func waitUntilWhole(_ what: String) {
        wait(40, "\(what): everybody is back") {
            guard let status = try? jobs.status(run) else { return false }
            let up = status.processes.count { $0.state == .up && $0.role != "coordinator" }
            guard up == DisturbedJob.servers + DisturbedJob.workers else { return false }
            return status.replicas.map { $0.inStep == $0.wanted && $0.standingIn == 0 } ?? true
        }
    }

    private func wait(_ seconds: Double, _ what: String, _ condition: () -> Bool) {
        let deadline = SuspendingClock.now + .seconds(seconds)
        while !condition() {
            if SuspendingClock.now > deadline {
                Issue.record("not so: \(what); \(describe())")
                return
            }
            usleep(20_000)
        }
    }

    private func describe() -> String {
        let status = (try? jobs.psctl("status", "--run-dir", run))?.output ?? "no status"
        return status + ((try? said()) ?? "").split(separator: "\n").suffix(12).joined(separator: "\n")
    }

    /// What all coordinators said so far.
    func said() throws -> String { formerWords + (try daemons.coordinator.errorsSoFar()) }

    // MARK: Faults

    /// Words that are said only when somebody comes or comes back.
    private static let ofComing: Set<String> = ["hello", "welcome", "reset", "ready"]

    func disturb(_ fault: Fault) throws {
        let wordsBefore = try said().count
        lock.withLock { armed = (fault, true) }
        if DisturbedJob.ofComing.contains(fault.word) {
            // Somebody comes: the victim itself, where it is its own coming.
            let isItsOwn = ["hello", "welcome"].contains(fault.word) && fault.victim != .coordinator
            let first = isItsOwn ? fault.victim : Victim(role: .server, rank: 2)
            kill(try #require(lock.withLock { pids[first] }), SIGKILL)
            try startAgain(first)
        }
        wait(40, "\(fault): it comes to that") { lock.withLock { !armed!.isDue } }
        switch fault.kind {
        case .stopped:
            let seconds =
                switch fault.victim.role {
                case .server: 5.5
                case .worker: 2.5
                case .coordinator: 2.0
                }
            usleep(UInt32(seconds * 1e6))
            daemons.process(fault.victim.role, fault.victim.rank).send(SIGCONT)
        case .killedBefore, .killedAfter: try startAgain(fault.victim)
        }
        waitForCommits(2, "\(fault)")
        waitUntilWhole("\(fault)")
        print("MATRIX \(fault):\n" + (try said().dropFirst(wordsBefore)))
    }

    private func startAgain(_ victim: Victim) throws {
        let process = daemons.process(victim.role, victim.rank)
        eventually("\(victim.name) is gone") { !process.isRunning }
        switch victim.role {
        case .coordinator:
            formerWords += try process.errorsSoFar()
            try daemons.startCoordinator()
        case .server: try daemons.restartServer(victim.rank)
        case .worker: try daemons.restartWorker(victim.rank)
        }
        learnPids()
    }

    /// Holds back what goes these ways between two processes for so long; the job goes on meanwhile.
    func cut(_ path: FaultyNetwork.Path, _ ways: [FaultyNetwork.Way], seconds: Double, _ what: String) throws {
        let wordsBefore = try said().count
        network.cut(path, ways)
        // What was on its way may still complete a step.
        usleep(500_000)
        waitForCommits(2, within: seconds, "\(what), cut \(ways)")
        usleep(4_000_000)
        waitForCommits(1, within: seconds, "\(what), still cut \(ways)")
        network.mend()
        waitForCommits(2, "\(what), mended")
        waitUntilWhole("\(what), mended")
        print("MATRIX \(what) \(ways):\n" + (try said().dropFirst(wordsBefore)))
    }

    /// Ends the job, and compares it with one that nobody disturbed.
    func finish() throws {
        #expect(try jobs.psctl("stop", "--run-dir", run).code == 0)
        let summary = try daemons.finish(code: 75)
        network.end()
        let calm = try jobs.begin(
            "\(run)-calm", steps: Int(summary.steps),
            set: DisturbedJob.settings + ["cluster.servers=1", "checkpoint.everySteps=0"]
        ).summary(within: 900)
        #expect(summary.weightsSHA256 == calm.weightsSHA256)
        #expect(summary.stateSHA256 == calm.stateSHA256)
        print("MATRIX \(run): \(summary.steps) steps")
    }
}

@Suite(.serialized)
struct FailureMatrixTests {
    private static let jobs = SmallJobs()
    private typealias Victim = DisturbedJob.Victim
    private typealias Fault = DisturbedJob.Fault

    /// In the order of a step, and of a start.
    private static let words = [
        "hello", "welcome", "reset", "ready", "want", "grant", "pull", "publish", "push", "took", "contribution",
        "counted", "prepare", "prepared", "commit", "applied", "snapshot", "saved",
    ]
    private static let ofReplicas = ["follow", "replica"]
    private static let victims = [
        Victim.coordinator, Victim(role: .server, rank: 1), Victim(role: .worker, rank: 0),
    ]

    /// Some of the matrix, in seconds.
    @Test func aFewOfAllFailures() throws {
        guard let job = try DisturbedJob(FailureMatrixTests.jobs, "few", replicas: true) else { return }
        for (word, victim, kind) in [
            ("prepare", 0, Fault.Kind.killedAfter), ("push", 1, .killedBefore), ("contribution", 2, .killedBefore),
            ("replica", 1, .killedAfter), ("commit", 0, .killedBefore),
        ] {
            try job.disturb(Fault(word: word, victim: FailureMatrixTests.victims[victim], kind: kind))
        }
        try job.finish()
    }

    @Test(.enabled(if: hasTimeForLongTests), arguments: [true, false])
    func everyFailureAtEveryPhase(replicas: Bool) throws {
        guard let job = try DisturbedJob(FailureMatrixTests.jobs, "all-\(replicas)", replicas: replicas) else { return }
        for word in FailureMatrixTests.words + (replicas ? FailureMatrixTests.ofReplicas : []) {
            for victim in FailureMatrixTests.victims {
                for kind in [Fault.Kind.killedBefore, .killedAfter, .stopped] {
                    try job.disturb(Fault(word: word, victim: victim, kind: kind))
                }
            }
        }
        try job.finish()
    }

    /// Between any two, one way, the other and both.
    @Test(.enabled(if: hasTimeForLongTests))
    func everyPathIsCut() throws {
        guard let job = try DisturbedJob(FailureMatrixTests.jobs, "cut", replicas: true) else { return }
        let (server, worker) = (Daemons.side(ofServer:), Daemons.side(ofWorker:))
        let paths = [
            (worker(0), 0, "worker 0 and the coordinator"), (server(1), 0, "server 1 and the coordinator"),
            (worker(0), Daemons.listener(ofServer: 1), "worker 0 and server 1"),
            (server(2), Daemons.listener(ofServer: 1), "server 2 and server 1"),
        ]
        for (side, listener, name) in paths {
            for ways in [[FaultyNetwork.Way.toListener, .toCaller], [.toListener], [.toCaller]] {
                try job.cut(FaultyNetwork.Path(side: side, listener: listener), ways, seconds: 30, name)
            }
        }
        try job.finish()
    }
}
