// One job at a time in a run directory.

import Glibc

/// Holds a run directory for one process until the object is released or the process ends.
package final class RunDirectoryLock: Sendable {
    private let descriptor: Descriptor

    /// Creates the directory if needed and locks it, or throws `inUse` with the holder's pid.
    package init(runDirectory: String) throws(CheckpointError) {
        try FileSystem.createDirectory(runDirectory)
        let path = "\(runDirectory)/lock"
        descriptor = try Descriptor("open", path, flags: O_RDWR | O_CREAT)
        let number = descriptor.number
        do throws(CheckpointError) {
            try systemCall("lock", path) { flock(number, LOCK_EX | LOCK_NB) }
        } catch .system(_, _, EWOULDBLOCK) {
            let text = String(decoding: (try? FileSystem.read(path)) ?? [], as: UTF8.self)
            let pid = Int32(text.prefix { !$0.isNewline })
            throw .inUse(path: runDirectory, process: pid.map { "pid \($0)" } ?? "another process")
        }
        // Only for the message above: the lock is the kernel's and goes with the process.
        let pid = Array("\(getpid())\n".utf8)
        try systemCall("write", path) { ftruncate(number, 0) }
        try systemCall("write", path) { pwrite(number, pid, pid.count, 0) }
    }
}
