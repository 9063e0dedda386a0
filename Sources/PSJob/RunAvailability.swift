// Somebody else in a run directory: at work, which is refused, or on the way out, which is waited for.

import Foundation
import PSFiles
import PSMessages
import PSNode
import PSParameters
import PSProtocol
import PSRun

package struct RunAvailability {
    private let run: RunDirectory
    private let say: (String) -> Void
    /// Seconds.
    private let patience: TimeInterval

    /// - Parameter say: told what is waited for, once.
    package init(_ run: RunDirectory, patience: TimeInterval = 120, say: @escaping (String) -> Void) {
        self.run = run
        self.patience = patience
        self.say = say
    }

    /// Returns when nobody holds the directory.
    ///
    /// A job whose starter is gone, or that is ending, saves its last step and goes: a scheduler that starts the next one
    /// at once should not find the door shut. Nothing in the directory changes.
    /// - Throws: `StorageError.inUse`.
    package func wait() throws {
        let deadline = MonotonicTime.now.later(Int(patience * 1000))
        var isSaid = false
        var looksInVain = 0
        while let holder = try holder() {
            // The moment between its last word and its end looks like neither.
            looksInVain = isOnItsWayOut ? 0 : looksInVain + 1
            guard looksInVain < 5, MonotonicTime.now < deadline else {
                throw StorageError.inUse(path: run.path, process: holder)
            }
            if looksInVain == 0, !isSaid {
                say("\(run.path) is still held by \(holder), which is ending: waiting for it")
                isSaid = true
            }
            usleep(100_000)
        }
    }

    /// Who holds the directory; nil: nobody.
    private func holder() throws -> String? {
        do throws(StorageError) {
            try RunLock.check(run)
        } catch .inUse(_, let process) {
            return process
        }
        return nil
    }

    private var isOnItsWayOut: Bool {
        if let supervision = Supervision.read(from: run), let coordinator = supervision.coordinator,
            Processes.isAlive(coordinator, program: "ps-coordinator"),
            !Processes.isAlive(supervision.pid, program: "psctl")
        {
            return true
        }
        if let status = try? CoordinatorClient.find(run)?.status(milliseconds: 500) {
            let stopsNow = status.stopAfter.map { status.version.nextStep.after >= $0 } ?? false
            return status.ending != nil || stopsNow
        }
        // It has told everybody and answers no more. The words of a former coordinator say nothing of who is there now.
        guard let status = try? JobStatus.read(from: run), status.ending != nil else { return false }
        return status.processes.first { $0.role == Role.coordinator.name }.map { coordinator in
            coordinator.host != ProcessInfo.processInfo.hostName
                || Processes.isAlive(coordinator.pid, program: "ps-coordinator")
        } ?? true
    }
}
