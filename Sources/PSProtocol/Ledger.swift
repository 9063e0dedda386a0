// The tickets of the open step: who has which, and which are counted.

import PSMessages
import PSParameters

/// A ticket is open, granted to one worker, or counted.
struct Ledger: Sendable {
    enum Standing: Sendable, Hashable {
        case open
        case granted(Attempt, worker: Incarnation)
        case counted(Contribution)
    }

    let step: Step
    private let shape: StepShape
    /// By place.
    private var standings: [Standing]

    init(step: Step, shape: StepShape) {
        self.step = step
        self.shape = shape
        standings = Array(repeating: .open, count: shape.ticketsPerStep)
    }

    var isComplete: Bool {
        standings.allSatisfy { if case .counted = $0 { true } else { false } }
    }

    /// The lowest open ticket.
    var nextOpen: Ticket? { standings.firstIndex(of: .open).map { shape.ticket(step, Place($0)) } }

    func grant(of worker: Incarnation) -> Attempt? {
        for case .granted(let attempt, worker) in standings { return attempt }
        return nil
    }

    mutating func grant(_ attempt: Attempt, to worker: Incarnation) {
        standings[shape.place(of: attempt.ticket).number] = .granted(attempt, worker: worker)
    }

    /// The worker is gone: what it was granted is open again.
    mutating func revoke(_ worker: Incarnation) {
        for (place, standing) in standings.enumerated() {
            if case .granted(_, worker) = standing { standings[place] = .open }
        }
    }

    enum Outcome { case counted, known, stale }

    mutating func count(_ contribution: Contribution) -> Outcome {
        let attempt = contribution.attempt
        guard shape.step(of: attempt.ticket) == step else { return .stale }
        let place = shape.place(of: attempt.ticket).number
        switch standings[place] {
        case .granted(attempt, _):
            standings[place] = .counted(contribution)
            return .counted
        case .counted(let known): return known.attempt == attempt ? .known : .stale
        default: return .stale
        }
    }

    /// Counted contributions in ticket order.
    var contributions: [Contribution] {
        standings.compactMap { if case .counted(let contribution) = $0 { contribution } else { nil } }
    }
}
