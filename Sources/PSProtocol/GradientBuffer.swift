// The open step on a server: which contributions to its slices are here, how far they are added up, what is to be asked for
// again, and what the finished sums come to.
//
// Contributions are added in ticket order whatever order they arrive in. The next one in order is always taken; others
// wait in memory while there is room, else their sender is asked again later. Of several copies of a ticket the first that
// came counts, slice by slice: all have the same bits.

import PSMessages
import PSParameters

/// Values that came with a message. The node holds their frame under this number from `ServerState.Effect.keep` on until
/// they are folded or dropped.
package struct HeldValues: Sendable, Hashable {
    package let number: UInt64
    package let byteCount: Int

    package init(number: UInt64, byteCount: Int) {
        self.number = number
        self.byteCount = byteCount
    }
}

struct GradientBuffer: Sendable {
    /// One contribution to one slice.
    struct Push: Sendable, Hashable {
        let attempt: Attempt
        let place: Place
        let slice: Int
        let worker: Incarnation
    }

    /// One slice's part of the step.
    private struct Column: Sendable {
        let byteCount: Int
        /// Contributions added.
        var folded = 0
        /// Held but not added yet, the one that is being added included.
        var waiting: [Place: HeldValues] = [:]
        /// Whose contribution was taken.
        var origins: [Place: Incarnation] = [:]
        /// Contributions that came when there was no room.
        var declined: [Place: Push] = [:]
        var isFolding = false
        var squaredNorm = 0.0
        var isFinite = true

        /// The place of the next contribution to add; one past the last when all are added.
        var next: Place { Place(folded) }
    }

    let step: Step
    private let ticketsPerStep: Int
    /// Bytes that may wait besides those that are next.
    private let capacity: Int
    private var columns: [Int: Column]
    private var waitingBytes = 0
    /// Slices taken so far.
    private var taken: [Place: Int] = [:]
    /// Tickets that came twice with other values.
    private var alarmed: Set<Ticket> = []
    /// For the step after this one: those who made them are asked again when it opens.
    private var early: [Push] = []

    /// - Parameter byteCounts: by slice, of those that the server holds.
    init(_ step: Step, ticketsPerStep: Int, capacity: Int, byteCounts: [Int: Int]) {
        self.step = step
        self.ticketsPerStep = ticketsPerStep
        self.capacity = capacity
        columns = byteCounts.mapValues { Column(byteCount: $0) }
    }

    /// The buffer of the next step; what came early for it counts as declined.
    func next() -> GradientBuffer {
        var next = GradientBuffer(
            step.after.nextStep, ticketsPerStep: ticketsPerStep, capacity: capacity,
            byteCounts: columns.mapValues(\.byteCount))
        for push in early { next.columns[push.slice]?.declined[push.place] = push }
        return next
    }

    // MARK: Arrivals

    func byteCount(of slice: Int) -> Int? { columns[slice]?.byteCount }

    mutating func keepForNext(_ push: Push) {
        early.removeAll { $0.slice == push.slice && $0.place == push.place }
        early.append(push)
    }

    enum Taken: Sendable, Hashable {
        case taken
        /// It came before, from this worker; its values, unless they are added already.
        case known(first: Incarnation, waiting: HeldValues?)
        /// There is no room before those that come before it.
        case declined
    }

    mutating func take(_ push: Push, _ values: HeldValues) -> Taken {
        guard var column = columns[push.slice] else { return .declined }
        if let first = column.origins[push.place] {
            return .known(first: first, waiting: column.waiting[push.place])
        }
        guard push.place == column.next || waitingBytes + column.byteCount <= capacity else {
            columns[push.slice]!.declined[push.place] = push
            return .declined
        }
        column.waiting[push.place] = values
        column.origins[push.place] = push.worker
        column.declined[push.place] = nil
        columns[push.slice] = column
        waitingBytes += column.byteCount
        taken[push.place, default: 0] += 1
        return .taken
    }

    /// What waits to be added.
    var held: [HeldValues] { columns.values.flatMap(\.waiting.values) }

    /// Whether every slice of the ticket is here.
    func holds(_ place: Place) -> Bool { taken[place] == columns.count }

    /// - Returns: whether that is news.
    mutating func alarm(_ ticket: Ticket) -> Bool { alarmed.insert(ticket).inserted }

    func isAlarmed(_ ticket: Ticket) -> Bool { alarmed.contains(ticket) }

    // MARK: Adding up

    /// What is to be added to a slice now.
    mutating func beginFold(_ slice: Int) -> (place: Place, values: HeldValues, isLast: Bool)? {
        guard let column = columns[slice], !column.isFolding, let values = column.waiting[column.next] else {
            return nil
        }
        columns[slice]!.isFolding = true
        return (column.next, values, column.folded + 1 == ticketsPerStep)
    }

    /// What was begun is added. - Parameter squaredNorm: of the whole sum, after the last.
    mutating func endFold(_ slice: Int, squaredNorm: Double, isFinite: Bool) {
        guard var column = columns[slice], column.isFolding else { return }
        column.waiting[column.next] = nil
        column.folded += 1
        column.isFolding = false
        waitingBytes -= column.byteCount
        if column.folded == ticketsPerStep {
            column.squaredNorm = squaredNorm
            column.isFinite = isFinite
        }
        columns[slice] = column
    }

    /// There may be room: the declined contribution that is next in order, and those that fit besides, are to be sent
    /// again.
    mutating func takeDeclined(_ slice: Int) -> [Push] {
        guard let column = columns[slice] else { return [] }
        var room = capacity - waitingBytes
        var again: [Push] = []
        for (place, push) in column.declined.sorted(by: { $0.key < $1.key }) {
            guard place == column.next || room >= column.byteCount else { break }
            room -= column.byteCount
            columns[slice]!.declined[place] = nil
            again.append(push)
        }
        return again
    }

    /// Whether a slice has every contribution.
    func isFinished(_ slice: Int) -> Bool { columns[slice]?.folded == ticketsPerStep }

    /// Every slice has every contribution.
    var isFull: Bool { columns.values.allSatisfy { $0.folded == ticketsPerStep } }

    /// Of the sums, once the buffer is full.
    var prepared: Prepared? {
        guard isFull else { return nil }
        return Prepared(
            step: step, isFinite: columns.values.allSatisfy(\.isFinite),
            norms: columns.sorted { $0.key < $1.key }.map {
                Prepared.Norm(slice: $0.key, squared: $0.value.squaredNorm)
            })
    }
}
