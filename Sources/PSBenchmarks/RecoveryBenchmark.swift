// `psctl bench recovery`: how long a job stands still when one of its processes is killed.
//
// A real job runs on this machine; its processes are killed, one at a time and whenever it has gone on for some steps. When
// it goes on again is read from the coordinator's log, which has milliseconds. At the end the job is run once more without
// kills, and must come to the same weights.

import Foundation
import Glibc
import PSConfiguration
import PSFiles
import PSJob
import PSMessages
import PSParameters
import PSProtocol
import PSReport
import PSRun

package struct RecoveryBenchmark: Encodable, Sendable {
    /// What the kills of one role cost, in milliseconds from the signal on.
    package struct Row: Encodable, Sendable {
        package let role: String
        package let kills: Int
        /// Until what: of a worker, its ticket is another's; of a server, all servers stand at one version again; of the
        /// coordinator, the one started in its place grants a ticket.
        package let until: String
        /// Kills after which there was something to go on with; a worker may have had no ticket.
        package let measured: Int
        package let p50: Int?
        package let p99: Int?
        package let slowest: Int?

        package init(_ role: Role, kills: Int, milliseconds: [Int]) {
            let sorted = milliseconds.sorted()
            func quantile(_ share: Double) -> Int? {
                sorted.isEmpty ? nil : sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]
            }
            self.role = role.name
            self.kills = kills
            until =
                switch role {
                case .worker: "its ticket is granted again"
                case .server: "all servers stand at one step again"
                case .coordinator: "the next one grants"
                }
            measured = sorted.count
            (p50, p99, slowest) = (quantile(0.5), quantile(0.99), sorted.last)
        }
    }

    package let workers: Int
    package let servers: Int
    package let replicas: Int
    package let rows: [Row]
    /// Steps of the job.
    package let steps: UInt64
    /// Whether the job without kills came to the same weights.
    package let verified: Bool

    /// - Parameters:
    ///   - kills: of each role.
    ///   - programs: the directory of the daemons' programs.
    package init(
        _ configuration: JobConfiguration, roles: [Role], kills: Int, programs: String,
        note: @escaping (String) -> Void
    ) throws {
        try LocalLimits.check(configuration)
        workers = configuration.cluster.workers
        servers = configuration.cluster.servers
        replicas = configuration.server.replicas
        let watch = KillWatch(roles: roles, kills: kills, processes: 1 + workers + servers, note: note)
        let killed = try BenchmarkRun.run(configuration, programs: programs) { run, status in
            watch.look(at: status, run)
            return watch.isDone ? status.version.nextStep.after : nil
        }
        rows = roles.map { Row($0, kills: kills, milliseconds: watch.milliseconds[$0] ?? []) }
        steps = killed.step
        note("once more without kills, for its weights: \(steps) steps")
        let calm = try BenchmarkRun.run(configuration, programs: programs) { _, _ in
            Version(killed.step)
        }
        verified = calm.step == killed.step && calm.weights == killed.weights
    }

    package var text: String {
        func milliseconds(_ value: Int?) -> String { value.map { "\($0) ms" } ?? "-" }
        let rows = rows.map {
            [
                $0.role, "\($0.kills)", "\($0.measured)", $0.until, milliseconds($0.p50), milliseconds($0.p99),
                milliseconds($0.slowest),
            ]
        }
        return
            "\(Report.count(workers, "worker")), \(Report.count(servers, "server")), \(replicas == 0 ? "no replicas" : "replicas"); \(steps) steps\n\n"
            + Report.table([["killed", "kills", "measured", "until", "p50", "p99", "slowest"]] + rows)
            + (verified ? "\nweights are those of the job without kills, bit for bit\n" : "\nWRONG WEIGHTS\n")
    }
}

/// Kills one process after another, and measures.
private final class KillWatch {
    private struct Kill {
        let role: Role
        let pid: Int
        let at: Date
    }

    private(set) var milliseconds: [Role: [Int]] = [:]
    private var left: [Role]
    private let processes: Int
    private let note: (String) -> Void
    private static let times = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    private var calmSince: Version?
    private var kill: Kill?
    /// The version at the last kill.
    private var reached: Version = 0
    private var turn = 0

    /// - Parameter processes: how many the job has.
    init(roles: [Role], kills: Int, processes: Int, note: @escaping (String) -> Void) {
        left = (0..<kills).flatMap { _ in roles }
        self.processes = processes
        self.note = note
    }

    var isDone: Bool { left.isEmpty && kill == nil }

    func look(at status: JobStatus, _ run: RunDirectory) {
        if let kill {
            if let time = recovery(from: kill, run) {
                milliseconds[kill.role, default: []].append(Int((time.timeIntervalSince(kill.at) * 1000).rounded()))
            } else if -kill.at.timeIntervalSinceNow < (kill.role == .worker ? 3 : 60) {
                return
            }
            self.kill = nil
            calmSince = nil
        }
        let areUp = status.processes.count { $0.state == .up } == processes
        let isWhole = status.replicas.map { $0.inStep == $0.wanted && $0.standingIn == 0 } ?? true
        guard status.state == .running, areUp, isWhole else {
            calmSince = nil
            return
        }
        guard let since = calmSince else {
            calmSince = status.version
            return
        }
        // Past where it was before the last kill: a job that never gets on is started again ever more slowly.
        guard let role = left.first, status.version.number >= since.number + 3, status.version > reached else { return }
        let candidates = status.processes.filter { $0.role == role.name }
        turn += 1
        let victim = candidates[turn % candidates.count]
        left.removeFirst()
        if left.count % 25 == 0 { note("\(Report.count(left.count, "kill")) to go, step \(status.version)") }
        reached = status.version
        kill = Kill(role: role, pid: victim.pid, at: Date())
        Glibc.kill(pid_t(victim.pid), SIGKILL)
    }

    /// When the job went on, as the coordinator's log says it.
    private func recovery(from kill: Kill, _ run: RunDirectory) -> Date? {
        guard let log = try? String(contentsOfFile: "\(run.logs)/coordinator-0.log", encoding: .utf8) else {
            return nil
        }
        for line in log.split(separator: "\n").reversed() {
            guard let time = line.split(separator: " ").first.flatMap({ (try? KillWatch.times.parse(String($0))) })
            else { continue }
            if time < kill.at { return nil }
            let isIt =
                switch kill.role {
                case .worker:
                    line.contains("(pid \(kill.pid) on ")
                        && (line.contains("has no connection: ") || line.contains("is gone: its ticket"))
                case .server: line.contains("the servers stand at step")
                case .coordinator: line.contains("the first ticket, ")
                }
            if isIt { return time }
        }
        return nil
    }
}
