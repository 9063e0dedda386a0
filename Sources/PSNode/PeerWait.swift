// A process that is started before its coordinator's name is known, or before there is a way to it, waits.

import Foundation
import Glibc
import Logging
import PSParameters

package enum PeerWait {
    package enum End: Sendable, Hashable {
        case reachable
        case stopped
        /// Who started this process is gone.
        case parentGone
        /// The time passed; the text says what is missing.
        case missing(String)
    }

    /// Returns when `endpoint` can be reached as far as this machine knows, or with why not.
    ///
    /// - Parameters:
    ///   - lifeline: a pipe's reading end whose end means that the starter is gone, if there is one.
    ///   - milliseconds: how long to wait.
    ///   - problem: what is missing, or nil; a parameter for tests.
    package static func wait(
        for endpoint: String, lifeline: Int32?, milliseconds: Int, logger: Logger,
        problem: @escaping @Sendable (String) -> String? = Addresses.problem(reaching:)
    ) -> End {
        Signals.install()
        // A resolver may take its time, and nothing can interrupt it: it is asked on a thread of its own.
        let answers = Mailbox<String?>()
        func ask() { Thread { answers.post(problem(endpoint)) }.start() }
        var (missing, isSaid) = ("no answer yet to who that is", false)
        func say() {
            if !isSaid { logger.warning("waiting for a way to the coordinator \(endpoint): \(missing)") }
            isSaid = true
        }
        let start = MonotonicTime.now
        var nextAsk: MonotonicTime?
        ask()
        while case let passed = MonotonicTime.now.since(start), passed < milliseconds {
            var wakers = [Signals.bell.descriptor, answers.bell.descriptor, lifeline ?? -1].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            poll(&wakers, nfds_t(wakers.count), Int32(min(milliseconds - passed, 500)))
            if Signals.received != nil { return .stopped }
            if let lifeline, wakers[2].revents != 0 {
                var byte: UInt8 = 0
                if read(lifeline, &byte, 1) == 0 { return .parentGone }
            }
            for answer in answers.takeAll() {
                guard let answer else { return .reachable }
                missing = answer
                say()
                nextAsk = MonotonicTime(milliseconds: MonotonicTime.now.milliseconds + 500)
            }
            if passed > 1000 { say() }
            if let time = nextAsk, MonotonicTime.now >= time {
                nextAsk = nil
                ask()
            }
        }
        return .missing(missing)
    }
}

extension Daemon {
    /// Waits until the coordinator can be reached as far as this machine knows.
    /// - Returns: nil, or how the process ends instead.
    package static func awaitCoordinator(
        _ endpoint: String, lifeline: Bool, milliseconds: Int, logger: Logger
    ) -> (code: Int, text: String)? {
        switch PeerWait.wait(
            for: endpoint, lifeline: lifeline ? STDIN_FILENO : nil, milliseconds: milliseconds, logger: logger)
        {
        case .reachable: nil
        case .stopped: (resumable, "stopped by a signal")
        case .parentGone: (resumable, "the process that started this one is gone")
        case .missing(let text):
            (
                1,
                "there was no way to the coordinator \(endpoint) for \(milliseconds / 1000) s: \(text); check "
                    + "--coordinator, the name service and the network"
            )
        }
    }
}
