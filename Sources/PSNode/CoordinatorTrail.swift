// Where a coordinator listens that may be started again elsewhere: its run's files say it, and are read again while this
// process is not known to it.

import Foundation
import Logging
import PSParameters
import PSTransport

/// Reads where the coordinator of a run listens.
package struct Whereabouts: Sendable {
    /// The run's directory, as it was named.
    package let directory: String
    /// Nil: nothing can be read there now.
    fileprivate let read: @Sendable () -> String?

    package init(directory: String, read: @escaping @Sendable () -> String?) {
        self.directory = directory
        self.read = read
    }

    /// As the option --coordinator names it.
    package static let scheme = "run:"

    /// Waits until the files say it, on a thread that may block.
    /// - Returns: nil when it was asked to stop, or nothing came for so long.
    package func wait(milliseconds: Int, logger: Logger) -> String? {
        Signals.install()
        let start = MonotonicTime.now
        var isSaid = false
        while Signals.received == nil, MonotonicTime.now.since(start) < milliseconds {
            if let endpoint = read() { return endpoint }
            if !isSaid, MonotonicTime.now.since(start) > 1000 {
                isSaid = true
                logger.warning("waiting for a coordinator of the run \(directory)")
            }
            usleep(100_000)
        }
        return nil
    }
}

/// Follows a coordinator to where it is started again.
package final class CoordinatorTrail {
    private let whereabouts: Whereabouts?
    private let logger: Logger
    private var endpoint: String
    /// What a look at the files found. They may be on a disk that stands still: nobody waits for it.
    private let found = Mailbox<String?>()
    private var isLooking = false
    private var nextLook = MonotonicTime(milliseconds: 0)
    /// Since when the coordinator does not know this process: another may answer where it was.
    private var unknownSince: MonotonicTime?

    package init(_ whereabouts: Whereabouts?, endpoint: String, logger: Logger) {
        self.whereabouts = whereabouts
        self.endpoint = endpoint
        self.logger = logger
    }

    /// Without a connection, or a coordinator that knows this process, the files are read twice a second.
    package func follow(_ link: Link, hasJoined: Bool, at now: MonotonicTime) throws(TransportError) {
        guard let whereabouts else { return }
        unknownSince = hasJoined ? nil : unknownSince ?? now
        let isLost = link.millisecondsDown >= 300 || unknownSince.map { now.since($0) >= 1000 } ?? false
        for answer in found.takeAll() {
            isLooking = false
            guard let place = answer, place != endpoint, isLost, Addresses.mistake(in: place) == nil
            else {
                continue
            }
            logger.warning("the coordinator of \(whereabouts.directory) is at \(place) now, not at \(endpoint)")
            endpoint = place
            link.leave()
            try Addresses.connect(link.socket, to: place)
        }
        guard isLost, !isLooking, now >= nextLook else { return }
        isLooking = true
        nextLook = now.later(500)
        Thread { [found] in found.post(whereabouts.read()) }.start()
    }
}
