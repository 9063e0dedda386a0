// The tickets of the open step: who has which, and which are counted.

import PSMessages
import PSParameters

/// A step is `ticketsPerStep` tickets. A ticket is open, granted to one worker, or counted.
struct Ledger: Sendable {
    enum Ticket: Sendable, Hashable {
        case open
        case granted(Attempt, worker: Incarnation)
        case counted(Contribution)
    }

    private(set) var step: UInt64
    private(set) var tickets: [Ticket]

    init(step: UInt64, ticketsPerStep: Int) {
        self.step = step
        tickets = Array(repeating: .open, count: ticketsPerStep)
    }

    private var first: UInt64 { step * UInt64(tickets.count) }

    var isComplete: Bool {
        tickets.allSatisfy { if case .counted = $0 { true } else { false } }
    }

    /// The lowest open ticket.
    var nextOpen: UInt64? { tickets.firstIndex(of: .open).map { first + UInt64($0) } }

    func grant(of worker: Incarnation) -> Attempt? {
        for case .granted(let attempt, worker) in tickets { return attempt }
        return nil
    }

    mutating func grant(_ attempt: Attempt, to worker: Incarnation) {
        tickets[Int(attempt.ticket - first)] = .granted(attempt, worker: worker)
    }

    /// The worker is gone: what it was granted is open again.
    mutating func revoke(_ worker: Incarnation) {
        for (place, ticket) in tickets.enumerated() {
            if case .granted(_, worker) = ticket { tickets[place] = .open }
        }
    }

    enum Outcome { case counted, known, stale }

    mutating func count(_ contribution: Contribution) -> Outcome {
        guard contribution.attempt.ticket >= first, contribution.attempt.ticket - first < UInt64(tickets.count) else {
            return .stale
        }
        let place = Int(contribution.attempt.ticket - first)
        switch tickets[place] {
        case .granted(contribution.attempt, _):
            tickets[place] = .counted(contribution)
            return .counted
        case .counted(let known): return known.attempt == contribution.attempt ? .known : .stale
        default: return .stale
        }
    }

    /// Counted contributions in ticket order.
    var contributions: [Contribution] {
        tickets.compactMap { if case .counted(let contribution) = $0 { contribution } else { nil } }
    }
}
