// A job's status that can be believed: the coordinator's word, or its last one, held against this machine's processes.

import Foundation
import PSCheckpoint
import PSCoordinator
import PSFiles
import PSMessages
import PSProtocol
import PSRun

package enum LocalStatus {
    /// The status of a run within a second, whether its coordinator runs or not.
    ///
    /// A process of this host that the kernel does not know is never `up`, whatever was reported.
    package static func read(_ run: RunDirectory) throws -> JobStatus {
        var status: JobStatus
        if let answered = try CoordinatorClient.find(run)?.status(milliseconds: 700) {
            status = answered
        } else {
            status = try lastWritten(run)
            if [.finished, .failed, .stopped].contains(status.state) {
                // Its last word stands.
            } else if Endpoints.read(from: run)?.isAnotherUsers ?? false {
                status.text = "as the coordinator wrote it last: only the user who runs the job can ask it"
            } else {
                withoutCoordinator(&status, run)
            }
        }
        for index in status.processes.indices where isAlive(status.processes[index]) == false {
            status.processes[index].state = .down
            status.processes[index].activity = ""
        }
        return status
    }

    /// What the last words of a coordinator that does not answer are worth.
    private static func withoutCoordinator(_ status: inout JobStatus, _ run: RunDirectory) {
        status.imagesPerSecond = 0
        status.state = .recovering
        guard let index = status.processes.firstIndex(where: { $0.role == Role.coordinator.name }) else { return }
        let coordinator = status.processes[index]
        if Endpoints.read(from: run)?.areCopied(in: run, host: ProcessInfo.processInfo.hostName) ?? false {
            for index in status.processes.indices { status.processes[index].state = .down }
            status.state = .stopped
            status.text =
                "a copy of a run that went on elsewhere; go on with: psctl train --run-dir \(run.path) --resume last"
            return
        }
        // One on another host may run: this host cannot know.
        if isAlive(coordinator) ?? true {
            status.processes[index].state = .lost
            status.text = "the coordinator, pid \(coordinator.pid) on \(coordinator.host), does not answer"
            return
        }
        status.processes[index].state = .down
        if let supervision = Supervision.read(from: run), Processes.isAlive(supervision.pid, program: "psctl") {
            status.text = "the coordinator has ended; it is being started again"
        } else if Supervision.read(from: run) == nil {
            status.state = .failed
            status.text =
                "the coordinator is gone; start it again as it was started, and the others go on, who wait for it two minutes"
        } else {
            status.state = .failed
            status.text = "the coordinator is gone; go on with: psctl train --run-dir \(run.path) --resume last"
        }
    }

    private static func lastWritten(_ run: RunDirectory) throws -> JobStatus {
        guard let status = try JobStatus.read(from: run) else { throw JobError.notStarted(runDirectory: run.path) }
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
