// The one error of this module: a ZeroMQ call that failed, said so that a person can act.

import CZeroMQ

package struct TransportError: Error, CustomStringConvertible {
    /// What was attempted, with the endpoint where there is one.
    package let attempt: String
    package let code: Int32
    /// What was found, where no call failed.
    private let reason: String?

    package init(_ attempt: String, code: Int32 = zmq_errno()) {
        self.attempt = attempt
        self.code = code
        reason = nil
    }

    package init(_ attempt: String, reason: String) {
        self.attempt = attempt
        self.reason = reason
        code = 0
    }

    package var isAddressInUse: Bool { code == EADDRINUSE }

    package var description: String {
        if let reason { return "cannot \(attempt): \(reason)" }
        let reason = String(cString: zmq_strerror(code))
        let advice =
            switch code {
            case EADDRINUSE: ": another process listens there; stop it or choose another port"
            case EADDRNOTAVAIL, ENODEV: ": this machine has no such address; use one of its own, or 127.0.0.1"
            case EINVAL: ": expected tcp://HOST:PORT or ipc:///PATH"
            case EACCES: ": this user may not use that port; choose one above 1023"
            case EMFILE: ": too many open files; raise the limit with ulimit -n"
            default: ""
            }
        return "cannot \(attempt): \(reason)\(advice)"
    }
}
