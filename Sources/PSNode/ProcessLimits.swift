// Whether the system lets this process have the threads and files it will need, found out before anything depends on
// it: ZeroMQ ends the process where it cannot start its threads, and Foundation goes on without.

import Glibc

package enum ProcessLimits {
    /// What a kind of process needs.
    package struct Need: Sendable, Hashable {
        /// Threads at once, the main one and child processes' included.
        package var threads: Int
        package var descriptors: Int

        package init(threads: Int, descriptors: Int) {
            self.threads = threads
            self.descriptors = descriptors
        }
    }

    /// Main, journal, disk, two of ZeroMQ's.
    package static let coordinatorThreads = 5
    /// Main, compute, disk, two of ZeroMQ's.
    package static let serverThreads = 5
    /// Main, compute, disk, two of ZeroMQ's.
    package static let workerThreads = 5
    /// Main and two of ZeroMQ's, with those of one that is just being closed.
    package static let clientThreads = 5
    /// Streams, bells, a context's and a few sockets' descriptors, files being written.
    private static let baseDescriptors = 40

    /// - Parameter peers: processes it will be connected to.
    package static func need(threads: Int, peers: Int = 0) -> Need {
        // A connection, and the bell of a socket of its own.
        Need(threads: threads, descriptors: baseDescriptors + 2 * peers)
    }

    /// A limit that is too low, said so that a person can act.
    package struct Exceeded: Error, Sendable, Hashable, CustomStringConvertible {
        package let description: String
    }

    /// Throws where the process cannot have that much. The limit of open files is raised as far as this user may.
    package static func check(_ need: Need) throws(Exceeded) {
        try checkDescriptors(need.descriptors)
        try checkThreads(need.threads)
    }

    private static func checkDescriptors(_ needed: Int) throws(Exceeded) {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < rlim_t(needed)
        else { return }
        if limit.rlim_max >= rlim_t(needed) {
            limit.rlim_cur = rlim_t(needed)
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 { return }
        }
        throw Exceeded(
            description: "\(needed) open files are needed, the limit is \(limit.rlim_max): raise it with ulimit -n")
    }

    /// More are not tried: the machine's other users want some, too.
    private static let mostHeld = 4096

    /// Holds as many threads as are needed for a moment.
    private static func checkThreads(_ needed: Int) throws(Exceeded) {
        let (held, code) = hold(min(needed, mostHeld) - 1)
        guard code != 0 else { return }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(__RLIMIT_NPROC.rawValue), &limit)
        let words = limit.rlim_cur == rlim_t.max ? "" : ", the limit for all of this user's is \(limit.rlim_cur)"
        throw Exceeded(
            description: "\(needed) processes and threads are needed, only \(held + 1) can be started"
                + " (\(String(cString: strerror(code)))\(words)): raise it with ulimit -u, or the pids.max of a container"
        )
    }

    /// - Returns: how many threads could be held at once, and the errno of the one that could not, or 0.
    private static func hold(_ wanted: Int) -> (held: Int, code: Int32) {
        let gate = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        pthread_mutex_init(gate, nil)
        defer {
            pthread_mutex_destroy(gate)
            gate.deallocate()
        }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        // They only wait: the smallest stacks will do.
        pthread_attr_setstacksize(&attributes, 128 << 10)
        var threads: [pthread_t] = []
        var code: Int32 = 0
        pthread_mutex_lock(gate)
        while threads.count < wanted, code == 0 {
            var thread = pthread_t()
            code = pthread_create(
                &thread, &attributes,
                { gate in
                    let gate = gate!.assumingMemoryBound(to: pthread_mutex_t.self)
                    pthread_mutex_lock(gate)
                    pthread_mutex_unlock(gate)
                    return nil
                }, gate)
            if code == 0 { threads.append(thread) }
        }
        pthread_mutex_unlock(gate)
        for thread in threads { pthread_join(thread, nil) }
        return (threads.count, code)
    }
}
