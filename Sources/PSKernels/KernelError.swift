// What the system can refuse the engine.

package enum KernelError: Error, Equatable {
    /// `pthread_create` gave `code` after `started` of `wanted` threads.
    case threadsRefused(wanted: Int, started: Int, code: Int32)
}
