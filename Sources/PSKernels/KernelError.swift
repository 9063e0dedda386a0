// What the system can refuse the engine.

import Glibc

package enum KernelError: Error, Equatable, CustomStringConvertible {
    /// `pthread_create` gave `code` after `started` of `wanted` threads.
    case threadsRefused(wanted: Int, started: Int, code: Int32)

    package var description: String {
        switch self {
        case .threadsRefused(let wanted, let started, let code):
            "the system refused \(wanted) compute threads after \(started) (\(String(cString: strerror(code)))); "
                + "ask for fewer (cluster.threads, --threads), or raise ulimit -u"
        }
    }
}
