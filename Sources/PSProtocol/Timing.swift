// The deadlines of the protocol, in milliseconds, in one place.

package struct Timing: Sendable, Hashable {
    /// Between two heartbeats, both ways.
    package var heartbeat = 500
    /// Between two attempts at a request that is not answered.
    package var retry = 1000
    /// Without any sign of life from a worker its tickets are granted anew; a server is reported silent.
    package var lost = 8000
    /// A bulk transfer without any progress for this long is asked for again, then after twice as long, and so on.
    package var bulkRetry = 5000
    /// A member whose connection is closed, and which does not come back by another for so long, has ended.
    package var gone = 2000
    /// A holder of a replica that has not taken a sum for so long is done without.
    package var follower = 2000
    /// With replicas: a server whose connection is closed for so long, or that is silent for so long, is answered for by
    /// the one that has its replica.
    package var serverGone = 250
    package var serverSilent = 4000
    /// With replicas: how long a coordinator that is started anew waits for a server that another one can stand in for.
    package var gathering = 3000
    /// A server that leaves so many questions of a worker's unanswered, `retry` apart, is out of its reach: the worker
    /// says so and takes no ticket.
    package var unanswered = 5
    /// A worker is out of reach of a server that others reach: after so long its tickets go to them.
    package var cutOff = 2000
    /// A member whose last so many heartbeats were followed by no word of the coordinator's says that it hears nothing.
    package var unheard = 4
    /// Without any sign of life from the coordinator a process gives up, resumable. A path that is broken for a minute is
    /// no reason to.
    package var orphan = 120_000
    /// And so long before people are told.
    package var silence = 5000
    /// How long a checkpoint that cannot be read or written is tried again before the job ends, its history untouched.
    package var unavailable = 30_000
    /// Between two attempts to write one.
    package var saveRetry = 2000
    /// How long a leaving coordinator waits for the others to say that they leave.
    package var farewell = 3000

    /// How long a server that was asked to stop waits for the coordinator to end the job in order.
    package var stopGrace = 8000

    /// A piece of work that takes this many times the median is given to an idle worker as well, but not sooner than
    /// `earliestCopy`; before any was done, after `firstCopy`.
    package var copyAfterMedians = 2
    package var earliestCopy = 1000
    package var firstCopy = 60_000

    package init() {}

    /// A worker that is never done with a ticket must not hold up the job, but nothing is computed twice before that is
    /// all but certain.
    package mutating func withoutSpeculation() { (copyAfterMedians, earliestCopy) = (20, 60_000) }

    func deadline(_ median: Int?) -> Int { median.map { max(earliestCopy, copyAfterMedians * $0) } ?? firstCopy }
}

/// How a process ends.
package struct ExitStatus: Sendable, Hashable {
    package var code: Int
    /// Said on the way out; empty when all is well.
    package var text: String

    package init(code: Int, text: String) {
        self.code = code
        self.text = text
    }

    package static let failed = 1
    /// Refused, for a reason that another try does not change (sysexits' EX_USAGE).
    package static let refused = 64
    /// Stopped before the end, can be resumed.
    package static let preempted = 75
    package static let interrupted = 130
}
