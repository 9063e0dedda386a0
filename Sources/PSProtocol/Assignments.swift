// Pieces of work, given out in order: who has which, since when, and what is done.

import PSMessages
import PSParameters

/// Each piece is open, granted to one or several workers, or done. Any copy of a piece gives the same bits, so the first
/// that is done counts.
struct Assignments<Attempt: Hashable & Sendable, Outcome: Sendable>: Sendable {
    struct Grant: Sendable {
        let attempt: Attempt
        let worker: Incarnation
        let since: MonotonicTime
        /// Its worker may be gone.
        var isDoubted = false
    }

    private enum Standing: Sendable {
        case open
        case granted([Grant])
        case done(Attempt, Outcome)
    }

    /// By place.
    private var standings: [Standing]

    init(count: Int) { standings = Array(repeating: .open, count: count) }

    var count: Int { standings.count }

    /// Those that are done, in order.
    var outcomes: [Outcome] { standings.compactMap { if case .done(_, let outcome) = $0 { outcome } else { nil } } }

    var isComplete: Bool { standings.allSatisfy { if case .done = $0 { true } else { false } } }

    var isUntouched: Bool { standings.allSatisfy { if case .open = $0 { true } else { false } } }

    /// The lowest place that nobody has.
    var nextOpen: Int? { standings.firstIndex { if case .open = $0 { true } else { false } } }

    /// The lowest place that others than `worker` have had since before `time`, with the grant that is overdue.
    func overdue(since time: MonotonicTime, for worker: Incarnation) -> (place: Int, grant: Grant)? {
        for (place, standing) in standings.enumerated() {
            guard case .granted(let grants) = standing, !grants.contains(where: { $0.worker == worker }) else {
                continue
            }
            // Whoever had it last and is not doubted has its own time.
            let last = grants.last { !$0.isDoubted } ?? grants[grants.count - 1]
            if last.isDoubted || last.since <= time { return (place, last) }
        }
        return nil
    }

    func grant(of worker: Incarnation) -> Attempt? {
        for case .granted(let grants) in standings {
            if let grant = grants.last(where: { $0.worker == worker }) { return grant.attempt }
        }
        return nil
    }

    /// Gives a place out, besides whoever has it. - Returns: whether somebody has.
    @discardableResult
    mutating func grant(_ attempt: Attempt, _ place: Int, to worker: Incarnation, at now: MonotonicTime) -> Bool {
        let former: [Grant] = if case .granted(let grants) = standings[place] { grants } else { [] }
        standings[place] = .granted(former + [Grant(attempt: attempt, worker: worker, since: now)])
        return !former.isEmpty
    }

    /// It was done before this process began.
    mutating func restore(_ attempt: Attempt, _ place: Int, _ outcome: Outcome) {
        if standings.indices.contains(place) { standings[place] = .done(attempt, outcome) }
    }

    mutating func doubt(_ worker: Incarnation) { mark(worker, isDoubted: true) }

    mutating func trust(_ worker: Incarnation) { mark(worker, isDoubted: false) }

    private mutating func mark(_ worker: Incarnation, isDoubted: Bool) {
        for (place, standing) in standings.enumerated() {
            guard case .granted(var grants) = standing, grants.contains(where: { $0.worker == worker }) else {
                continue
            }
            for index in grants.indices where grants[index].worker == worker { grants[index].isDoubted = isDoubted }
            standings[place] = .granted(grants)
        }
    }

    /// The worker is gone, or all of them when none is named. - Returns: what only they had; it is open again.
    @discardableResult
    mutating func revoke(_ worker: Incarnation? = nil) -> [Int] {
        var opened: [Int] = []
        for (place, standing) in standings.enumerated() {
            guard case .granted(let grants) = standing else { continue }
            let left = grants.filter { worker != nil && $0.worker != worker }
            standings[place] = left.isEmpty ? .open : .granted(left)
            if left.isEmpty { opened.append(place) }
        }
        return opened
    }

    enum Count: Sendable {
        /// - isFirst: nobody who still has it had it before.
        /// - copies: how many others have it as well.
        case counted(Grant, isFirst: Bool, copies: Int)
        case known
        case stale
    }

    mutating func finish(_ attempt: Attempt, _ place: Int, _ outcome: Outcome) -> Count {
        guard standings.indices.contains(place) else { return .stale }
        switch standings[place] {
        case .granted(let grants):
            guard let index = grants.firstIndex(where: { $0.attempt == attempt }) else { return .stale }
            standings[place] = .done(attempt, outcome)
            let copies = grants.count { $0.worker != grants[index].worker }
            return .counted(grants[index], isFirst: index == 0, copies: copies)
        case .done(attempt, _): return .known
        default: return .stale
        }
    }
}
