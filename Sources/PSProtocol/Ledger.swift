// The tickets of the open step: who has which, and which are counted.

import PSMessages
import PSParameters

struct Ledger: Sendable {
    let step: Step
    private let shape: StepShape
    private var assignments: Assignments<Attempt, Contribution>

    init(step: Step, shape: StepShape) {
        self.step = step
        self.shape = shape
        assignments = Assignments(count: shape.ticketsPerStep)
    }

    var isComplete: Bool { assignments.isComplete }

    /// The lowest open ticket.
    var nextOpen: Ticket? { assignments.nextOpen.map { shape.ticket(step, Place($0)) } }

    /// The lowest ticket that others than `worker` have had since before `time`, and who had it last.
    func overdue(
        since time: MonotonicTime, for worker: Incarnation
    ) -> (ticket: Ticket, holder: Incarnation, since: MonotonicTime)? {
        assignments.overdue(since: time, for: worker).map {
            (shape.ticket(step, Place($0.place)), $0.grant.worker, $0.grant.since)
        }
    }

    func grant(of worker: Incarnation) -> Attempt? { assignments.grant(of: worker) }

    mutating func grant(_ attempt: Attempt, to worker: Incarnation, at now: MonotonicTime) {
        assignments.grant(attempt, shape.place(of: attempt.ticket).number, to: worker, at: now)
    }

    mutating func revoke(_ worker: Incarnation) { assignments.revoke(worker) }

    mutating func count(_ contribution: Contribution) -> Assignments<Attempt, Contribution>.Count {
        let attempt = contribution.attempt
        guard shape.step(of: attempt.ticket) == step else { return .stale }
        return assignments.finish(attempt, shape.place(of: attempt.ticket).number, contribution)
    }

    /// Counted contributions in ticket order.
    var contributions: [Contribution] { assignments.outcomes }
}

/// How long a piece of work takes as a rule, by those that were done last.
struct Durations: Sendable {
    private var last: [Int] = []
    private var next = 0

    /// In milliseconds.
    mutating func add(_ milliseconds: Int) {
        if last.count < 31 {
            last.append(milliseconds)
        } else {
            last[next] = milliseconds
            next = (next + 1) % last.count
        }
    }

    var median: Int? { last.isEmpty ? nil : last.sorted()[last.count / 2] }
}
