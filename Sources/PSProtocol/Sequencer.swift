// The open step: who wants a ticket, who has which, which are counted, and whether the step is full.

import PSMessages
import PSParameters

/// Gives out a step's tickets, lowest first, to the workers that wanted one first.
///
/// A ticket may be computed by several workers at once: every copy gives the same bits, and the first that is counted is
/// the step's. So nothing is lost when a worker that was given up comes back.
struct Sequencer: Sendable {
    private let shape: StepShape
    private let timing: Timing
    private(set) var step: Step
    private var tickets: Assignments<Attempt, Contribution>
    private var times = Durations()
    /// Of tickets whose worker was lost.
    private var formerHolders: [Int: String] = [:]
    /// Workers that want something to do, first come first.
    private(set) var idle: [Incarnation] = []

    init(_ step: Step, shape: StepShape, timing: Timing) {
        self.step = step
        self.shape = shape
        self.timing = timing
        tickets = Assignments(count: shape.ticketsPerStep)
    }

    /// Goes to another step: what was granted of the former one is void.
    mutating func open(_ step: Step) {
        self.step = step
        tickets = Assignments(count: shape.ticketsPerStep)
        formerHolders = [:]
    }

    /// Contributions that a former coordinator counted, of this step.
    mutating func restore(_ contributions: [Contribution]) {
        for contribution in contributions where shape.step(of: contribution.attempt.ticket) == step {
            let place = shape.place(of: contribution.attempt.ticket).number
            tickets.restore(contribution.attempt, place, contribution)
        }
    }

    // MARK: Workers

    /// A worker has nothing to do.
    mutating func wants(_ worker: Incarnation) { if !idle.contains(worker) { idle.append(worker) } }

    /// Those that are to have something now; who gets nothing wants again.
    mutating func takeIdle() -> [Incarnation] {
        defer { idle = [] }
        return idle
    }

    /// It is gone: its tickets are open again, as far as nobody else has them, and it wants nothing.
    ///
    /// - Parameter name: for people.
    mutating func lost(_ worker: Incarnation, name: String) {
        for place in tickets.revoke(worker) { formerHolders[place] = name }
        noLongerWants(worker)
    }

    mutating func noLongerWants(_ worker: Incarnation) { idle.removeAll { $0 == worker } }

    /// What it has is open again; it goes on wanting.
    mutating func revoke(_ worker: Incarnation) { tickets.revoke(worker) }

    /// It may be gone: what only it has is given to whoever wants something next.
    mutating func doubt(_ worker: Incarnation) { tickets.doubt(worker) }

    /// It is there after all.
    mutating func trust(_ worker: Incarnation) { tickets.trust(worker) }

    // MARK: Tickets

    /// What a worker may have next.
    struct Offer: Sendable, Hashable {
        let ticket: Ticket
        /// Who had it and was lost.
        var formerHolder: String?
        /// Who has it as well, and since when, and may never be done.
        var copyOf: Copy?

        struct Copy: Sendable, Hashable {
            let holder: Incarnation
            let since: MonotonicTime
            /// Its holder seems to be gone; else it is late.
            let isDoubted: Bool
        }
    }

    /// The lowest ticket that is open, or that others have had for too long: servers may have no room for higher ones
    /// before it.
    func offer(to worker: Incarnation, at now: MonotonicTime) -> Offer? {
        let late = overdue(for: worker, at: now)
        let open = tickets.nextOpen.map { shape.ticket(step, Place($0)) }
        if let late, open.map({ late.ticket < $0 }) ?? true { return late }
        return open.map { Offer(ticket: $0, formerHolder: formerHolders[shape.place(of: $0).number]) }
    }

    /// The lowest ticket that is late with others than this worker.
    func overdue(for worker: Incarnation, at now: MonotonicTime) -> Offer? {
        let deadline = now.later(-timing.deadline(times.median))
        return tickets.overdue(since: deadline, for: worker).map { place, grant in
            Offer(
                ticket: shape.ticket(step, Place(place)),
                copyOf: Offer.Copy(holder: grant.worker, since: grant.since, isDoubted: grant.isDoubted))
        }
    }

    /// Whether there is a ticket that nobody has.
    var hasOpen: Bool { tickets.nextOpen != nil }

    /// Whether nobody has begun with the step.
    var isUntouched: Bool { tickets.isUntouched }

    /// What it has.
    func grant(of worker: Incarnation) -> Attempt? { tickets.grant(of: worker) }

    /// - Returns: whether somebody else has it as well.
    mutating func grant(_ attempt: Attempt, to worker: Incarnation, at now: MonotonicTime) -> Bool {
        let place = shape.place(of: attempt.ticket).number
        formerHolders[place] = nil
        return tickets.grant(attempt, place, to: worker, at: now)
    }

    enum Count: Sendable, Hashable {
        /// - isInVain: it was given to others as well, needlessly: who had it first is done first.
        case counted(isInVain: Bool)
        case known
        case stale
    }

    mutating func count(_ contribution: Contribution, at now: MonotonicTime) -> Count {
        let attempt = contribution.attempt
        guard shape.step(of: attempt.ticket) == step else { return .stale }
        switch tickets.finish(attempt, shape.place(of: attempt.ticket).number, contribution) {
        case .counted(let grant, let isFirst, let copies):
            times.add(now.since(grant.since))
            return .counted(isInVain: isFirst && copies > 0)
        case .known: return .known
        case .stale: return .stale
        }
    }

    /// All contributions in ticket order, once each ticket is counted.
    var full: [Contribution]? { tickets.isComplete ? tickets.outcomes : nil }
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
