// How far a long count is, for people: redrawn on a terminal, a line now and then elsewhere, nothing if it is soon over.

import Foundation
import PSNode
import PSReport
import Synchronization

/// May be told from any thread.
package final class CountProgress: Sendable {
    private struct Shown {
        var last: ContinuousClock.Instant
        var isDrawn = false
    }

    private let isTerminal = Terminal.redraws(STDERR_FILENO)
    private let shown = Mutex(Shown(last: .now))

    package init() {}

    /// - Parameter what: such as "train: read".
    package func count(_ what: String, done: Int, of all: Int) {
        shown.withLock { shown in
            // The first word comes after this time as well.
            let pause: Duration = isTerminal ? (shown.isDrawn ? .milliseconds(200) : .seconds(1)) : .seconds(10)
            guard ContinuousClock.now - shown.last >= pause else { return }
            shown.last = .now
            let share = all > 0 ? " (\(done * 100 / all)%)" : ""
            let line = "\(what) \(Report.grouped(done)) of \(Report.grouped(all))\(share)"
            StandardStreams.draw(isTerminal ? "\r\u{1B}[2K" + line : line + "\n", to: STDERR_FILENO)
            shown.isDrawn = isTerminal
        }
    }

    /// What was drawn is taken away.
    package func finish() {
        shown.withLock { shown in
            if shown.isDrawn { StandardStreams.draw("\r\u{1B}[2K", to: STDERR_FILENO) }
            shown.isDrawn = false
        }
    }
}
