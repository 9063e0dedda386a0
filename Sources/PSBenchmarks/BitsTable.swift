// `psctl bench bits`: the same small job with other numbers of workers, servers and replicas, workers that leave and come
// meanwhile, and other numbers again from the middle on. All must come to the same weights, bit for bit.

import Foundation
import Glibc
import PSConfiguration
import PSJob
import PSMessages
import PSParameters
import PSProtocol
import PSReport
import PSRun

package struct BitsTable: Encodable, Sendable {
    package struct Counts: Encodable, Sendable, Hashable {
        package let workers: Int
        package let servers: Int
        package let replicas: Int

        var text: String { "\(workers) x \(servers)\(replicas > 0 ? ", replicas" : "")" }
    }

    package struct Row: Encodable, Sendable {
        /// To the middle, and from there on.
        package let first: Counts
        package let second: Counts
        /// Workers that were told to leave, each followed by one that joined.
        package let leaves: Int
        package let weights: String
    }

    package let steps: Int
    package let rows: [Row]
    package var verified: Bool { Set(rows.map(\.weights)).count == 1 }

    /// - Parameter programs: the directory of the daemons' programs.
    package init(
        _ configuration: JobConfiguration, workers: [Int], servers: [Int], programs: String,
        note: @escaping (String) -> Void
    ) throws {
        steps = configuration.train.steps ?? 0
        let counts = workers.flatMap { workers in
            servers.flatMap { servers in
                (0...(servers > 1 ? 1 : 0)).map { Counts(workers: workers, servers: servers, replicas: $0) }
            }
        }
        rows = try counts.indices.map { index in
            let (first, second) = (counts[index], counts[(index + counts.count / 2) % counts.count])
            note("\(first.text), then \(second.text)")
            return try BitsTable.row(configuration, first, second, programs: programs)
        }
    }

    private static func row(
        _ configuration: JobConfiguration, _ first: Counts, _ second: Counts, programs: String
    ) throws -> Row {
        let run = RunDirectory(NSTemporaryDirectory() + "/psctl-bits-\(UUID().uuidString)")
        try run.create()
        defer { try? FileManager.default.removeItem(atPath: run.path) }
        let middle = Version(UInt64(configuration.train.steps ?? 0) / 2)
        var leaves = 0
        for (part, counts) in [first, second].enumerated() {
            var configuration = configuration
            configuration.cluster.workers = counts.workers
            configuration.cluster.servers = counts.servers
            configuration.server.replicas = counts.replicas
            let supervisor = Supervisor(
                run: run, configuration: configuration, programs: programs, resume: part == 0 ? nil : .last,
                note: { _ in })
            var isAsked = part == 1
            var next = Version(part == 0 ? 10 : middle.number + 10)
            let summary = try supervisor.supervise { status in
                if !isAsked, (try? RunningJob(run: run).request(.stop(after: middle))) != nil { isAsked = true }
                guard status.version >= next else { return }
                next = Version(next.number + 10)
                let workers = status.processes.filter { $0.role == Role.worker.name && $0.state == .up }
                guard let leaver = workers.randomElement(), kill(pid_t(leaver.pid), SIGTERM) == 0 else { return }
                leaves += 1
            }
            guard summary.exitCode == (part == 0 ? ExitStatus.preempted : 0) else {
                throw JobError.jobFailed("stopped by a signal")
            }
        }
        return Row(
            first: first, second: second, leaves: leaves,
            weights: try RunSummary.read(from: run).weightsSHA256 ?? "none")
    }

    package var text: String {
        let lines = rows.map { [$0.first.text, $0.second.text, "\($0.leaves)", String($0.weights.prefix(16))] }
        return Report.table(
            [["workers x servers", "resumed with", "left and came", "weights (sha256)"]] + lines)
            + (verified
                ? "\n\(Report.count(rows.count, "job")) of \(steps) steps: one hash, \(rows.first?.weights ?? "")\n"
                : "\nDIFFERENT WEIGHTS\n")
    }
}
