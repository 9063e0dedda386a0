// How other threads hand events to the thread that owns the sockets.

import Foundation
import Glibc

/// A pipe whose reading end becomes readable when somebody rings.
package final class Bell: Sendable {
    package let descriptor: Int32
    private let writing: Int32

    package init() {
        var ends: [Int32] = [0, 0]
        // Without descriptors nothing of this process can work; the limit is far above what a node uses.
        precondition(pipe(&ends) == 0, "cannot create a pipe: errno \(errno)")
        for end in ends {
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        (descriptor, writing) = (ends[0], ends[1])
    }

    /// Safe in signal handlers.
    package func ring() {
        var byte: UInt8 = 1
        // A full pipe already says what this byte would.
        _ = write(writing, &byte, 1)
    }

    package func silence() {
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(descriptor, &bytes, bytes.count) > 0 {}
    }

    deinit {
        close(descriptor)
        close(writing)
    }
}

/// A bounded queue from any thread to the owner of the sockets.
package final class Mailbox<Event: Sendable>: @unchecked Sendable {
    // Sendable: `events` is only touched under `condition`.

    package let bell = Bell()
    private let capacity: Int
    private let condition = NSCondition()
    private var events: [Event] = []

    package init(capacity: Int = 4096) { self.capacity = capacity }

    /// Waits while the mailbox is full; never called by the thread that empties it.
    package func post(_ event: Event) {
        condition.lock()
        while events.count >= capacity { condition.wait() }
        events.append(event)
        condition.unlock()
        bell.ring()
    }

    /// Everything posted so far.
    package func takeAll() -> [Event] {
        bell.silence()
        condition.lock()
        defer { condition.unlock() }
        let taken = events
        events = []
        condition.broadcast()
        return taken
    }
}

/// A thread that runs jobs in the order they come, so that the socket thread never computes and never waits for a
/// disk. How many jobs can wait is bounded by who hands them over: a node holds finitely many slices and frames.
package final class SerialThread: WorkQueue, @unchecked Sendable {
    // Sendable: `jobs` is only touched under `condition`.

    private let condition = NSCondition()
    private var jobs: [(@Sendable () -> Void)?] = []
    private var next = 0

    package init(name: String) {
        let thread = Thread { [self] in
            while true { takeNext()() }
        }
        thread.name = name
        thread.stackSize = 8 << 20
        thread.start()
    }

    package func run(_ job: @escaping @Sendable () -> Void) {
        condition.lock()
        jobs.append(job)
        condition.signal()
        condition.unlock()
    }

    /// Waits until everything handed over so far is done.
    package func finish() {
        let done = DispatchSemaphore(value: 0)
        run { done.signal() }
        done.wait()
    }

    private func takeNext() -> @Sendable () -> Void {
        condition.lock()
        defer { condition.unlock() }
        while next == jobs.count { condition.wait() }
        // Taken out, so that what the job refers to is let go when it is done.
        let job = jobs[next]!
        jobs[next] = nil
        next += 1
        if next == jobs.count {
            jobs.removeAll(keepingCapacity: true)
            next = 0
        }
        return job
    }
}
