// A job's status that can be believed: the coordinator's word, or its last one, held against this machine's processes.

import Foundation
import PSCheckpoint
import PSCoordinator
import PSProtocol

package enum LocalStatus {
    /// The status of a run within a second, whether its coordinator runs or not.
    ///
    /// A process of this host that the kernel does not know is never `up`, whatever was reported.
    package static func read(_ run: RunDirectory) throws -> JobStatus {
        var status: JobStatus
        if let answered = try CoordinatorClient(run: run)?.status(milliseconds: 700) {
            status = answered
        } else {
            status = try lastWritten(run)
            if ![.finished, .failed, .stopped].contains(status.state) {
                for index in status.processes.indices where status.processes[index].role == "coordinator" {
                    status.processes[index].state = isAlive(status.processes[index]) == true ? .lost : .down
                }
                status.imagesPerSecond = 0
                let isSupervised = Supervision.read(run).map { Processes.isAlive($0.pid, program: "psctl") } ?? false
                status.state = isSupervised ? .recovering : .failed
                status.text =
                    isSupervised
                    ? "the coordinator does not answer; it is started again when it has ended"
                    : "the coordinator is gone; go on with: psctl train --run-dir \(run.path) --resume last"
            }
        }
        for index in status.processes.indices where isAlive(status.processes[index]) == false {
            status.processes[index].state = .down
            status.processes[index].activity = ""
        }
        return status
    }

    private static func lastWritten(_ run: RunDirectory) throws -> JobStatus {
        guard let bytes = try? run.read(run.status) else { throw JobError.notStarted(runDirectory: run.path) }
        guard let status = try? JSONDecoder().decode(JobStatus.self, from: Data(bytes)) else {
            throw CheckpointError.damaged(path: run.status, problem: "is not a status of this release")
        }
        return status
    }

    /// Nil for a process of another host.
    private static func isAlive(_ process: JobStatus.Process) -> Bool? {
        process.host == ProcessInfo.processInfo.hostName
            ? Processes.isAlive(process.pid, program: "ps-\(process.role)") : nil
    }
}

package enum Processes {
    /// Whether the kernel runs a process with this number; one that has ended but was not reaped does not run.
    /// - Parameter program: its name; a number may have passed to another program since.
    package static func isAlive(_ pid: Int, program: String? = nil) -> Bool {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
            // The state follows the command's name, which is in parentheses and may hold anything.
            let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")")
        else { return false }
        // The kernel keeps the name's first 15 bytes.
        if let program, text[text.index(after: open)..<close] != program.prefix(15) { return false }
        let state = text[text.index(after: close)...].drop { $0 == " " }.first
        return state != "Z" && state != "X"
    }
}

/// `supervisor.json`: who looks after the local processes of a run.
struct Supervision: Codable {
    var pid: Int

    private static func path(_ run: RunDirectory) -> String { "\(run.path)/supervisor.json" }

    static func read(_ run: RunDirectory) -> Supervision? {
        guard let bytes = try? run.read(path(run)) else { return nil }
        return try? JSONDecoder().decode(Supervision.self, from: Data(bytes))
    }

    func write(_ run: RunDirectory) throws(CheckpointError) {
        try run.replaceQuickly(Supervision.path(run), with: jsonBytes(self))
    }
}
