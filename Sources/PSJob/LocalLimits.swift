// What a job's processes need of one user's limits, known before the first is started.

import PSConfiguration
import PSNode

package enum LocalLimits {
    /// Throws `ProcessLimits.Exceeded` where this user cannot have all processes of the job at once.
    package static func check(_ configuration: JobConfiguration) throws(ProcessLimits.Exceeded) {
        let cluster = configuration.cluster
        // A worker's own thread is one of its compute threads.
        let worker = ProcessLimits.workerThreads + cluster.threads - 1
        let threads =
            ProcessLimits.clientThreads + ProcessLimits.coordinatorThreads
            + (cluster.servers + cluster.spares) * ProcessLimits.serverThreads + cluster.workers * worker
        // The children inherit the limit of open files; each is connected to all others at most.
        try ProcessLimits.check(ProcessLimits.need(threads: threads, peers: cluster.servers + cluster.workers))
    }
}
