// One job at a time in a run directory.

import Foundation
import Glibc
import PSFiles

/// Holds a run directory for one process until the object is released or the process ends.
package final class RunLock: Sendable {
    private let descriptor: Descriptor
    private let path: String

    /// Locks a run directory that exists, or throws `inUse` with the holder's pid.
    package init(_ run: RunDirectory) throws(StorageError) {
        path = run.lock
        descriptor = try Descriptor("open", path, flags: O_RDWR | O_CREAT | O_NOFOLLOW)
        // Who only looks whether it is free holds it for a moment.
        for _ in 0..<10 {
            if try RunLock.lock(descriptor, run) { return }
            usleep(30_000)
        }
        throw RunLock.inUse(run)
    }

    /// Writes who holds the directory, for the messages of others: the lock is the kernel's and goes with the process.
    package func sign() throws(StorageError) {
        try checkPlace()
        let text = Array("\(getpid())\n\(ProcessInfo.processInfo.hostName)\n".utf8)
        try systemCall("write", path) { ftruncate(descriptor.number, 0) }
        try systemCall("write", path) { pwrite(descriptor.number, text, text.count, 0) }
    }

    /// Throws if the directory was moved away since it was locked: the job would begin anew where it was, unlocked.
    private func checkPlace() throws(StorageError) {
        var (held, found) = (stat(), stat())
        let number = descriptor.number
        try systemCall("look at", path) { fstat(number, &held) }
        try systemCall("find", path) { stat(path, &found) }
        guard held.st_ino == found.st_ino else {
            throw .system(operation: "find the lock of this process at", path: path, code: ESTALE)
        }
    }

    /// Throws `inUse` if somebody holds the directory; changes nothing in it.
    package static func check(_ run: RunDirectory) throws(StorageError) {
        guard try run.files.entry(run.lock) != nil else { return }
        // NFS wants a descriptor that could write.
        let isWritable = access(run.lock, W_OK) == 0
        let descriptor = try Descriptor("open", run.lock, flags: isWritable ? O_RDWR : O_RDONLY)
        if try !lock(descriptor, run) { throw inUse(run) }
    }

    /// The process that holds or last held the directory.
    private static func holder(of run: RunDirectory) -> (pid: Int32, host: String)? {
        let lines = String(decoding: (try? run.read(run.lock)) ?? [], as: UTF8.self).split(separator: "\n")
        guard let first = lines.first, let pid = Int32(first) else { return nil }
        return (pid, lines.count > 1 ? String(lines[1]) : "")
    }

    private static func inUse(_ run: RunDirectory) -> StorageError {
        .inUse(path: run.path, process: holder(of: run).map { "pid \($0.pid)" } ?? "another process")
    }

    /// - Returns: whether the lock was to be had.
    private static func lock(_ descriptor: borrowing Descriptor, _ run: RunDirectory) throws(StorageError) -> Bool {
        let number = descriptor.number
        var isLocked = false
        do throws(StorageError) {
            try Shortcomings.tolerate(.noLocks, at: run.path) { () throws(StorageError) in
                try systemCall("lock", run.lock) { flock(number, LOCK_EX | LOCK_NB) }
                isLocked = true
            }
        } catch .system(_, _, EWOULDBLOCK) {
            return false
        }
        if isLocked { return true }
        // Without the kernel's help at least a process of this host is seen.
        guard let holder = holder(of: run), holder.host == ProcessInfo.processInfo.hostName, holder.pid != getpid()
        else {
            return true
        }
        let name = (try? String(contentsOfFile: "/proc/\(holder.pid)/comm", encoding: .utf8)) ?? ""
        return !name.hasPrefix("ps-coordinator")
    }
}
