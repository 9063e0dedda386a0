// Where a job is: steps, versions of the weights, tickets and their places, each a type of its own, and the arithmetic
// between them, which is nowhere else.
//
// Numbers come from peers, so nothing here traps on one: what would be greater than the largest number stays there, or
// wraps where it says so. No job gets that far.

/// One integer with a meaning. Coded as the bare number, and written so for people.
package protocol Position: Sendable, Hashable, Comparable, Codable, ExpressibleByIntegerLiteral,
    CustomStringConvertible
where IntegerLiteralType == Number.IntegerLiteralType {
    associatedtype Number: FixedWidthInteger & Codable & Sendable
    var number: Number { get }
    init(_ number: Number)
}

extension Position {
    package init(integerLiteral value: Number.IntegerLiteralType) { self.init(Number(integerLiteral: value)) }

    package init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(Number.self))
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }

    package static func < (a: Self, b: Self) -> Bool { a.number < b.number }

    package var description: String { "\(number)" }
}

/// A step of the job, by its index from 0. Step s turns version s of the weights into version s + 1.
package struct Step: Position {
    package let number: UInt64
    package init(_ number: UInt64) { self.number = number }

    /// The version whose weights the step's gradient is of.
    package var before: Version { Version(number) }

    /// The version that the step's commit makes. Never below `before`: the largest number stays as it is.
    package var after: Version { Version(number == .max ? .max : number + 1) }
}

/// A set of weights, by the number of commits behind it: 0 for the initial values.
///
/// For people "step N" of a checkpoint or a status is this number: N steps are committed.
package struct Version: Position {
    package let number: UInt64
    package init(_ number: UInt64) { self.number = number }

    /// The step that starts from these weights.
    package var nextStep: Step { Step(number) }

    /// Commits from `earlier` to this version; 0 when it is not earlier.
    package func commits(since earlier: Version) -> UInt64 { number > earlier.number ? number - earlier.number : 0 }
}

/// A ticket, by its number in the job.
package struct Ticket: Position {
    package let number: UInt64
    package init(_ number: UInt64) { self.number = number }
}

/// A ticket's position within its step, from 0: contributions are added in this order.
package struct Place: Position {
    package let number: Int
    package init(_ number: Int) { self.number = number }
}

/// How steps are made of tickets: each of as many, numbered on from step to step.
package struct StepShape: Sendable, Hashable {
    package let ticketsPerStep: Int

    package init(ticketsPerStep: Int) {
        precondition(ticketsPerStep > 0, "a step has at least one ticket")
        self.ticketsPerStep = ticketsPerStep
    }

    package func step(of ticket: Ticket) -> Step { Step(ticket.number / UInt64(ticketsPerStep)) }

    package func place(of ticket: Ticket) -> Place { Place(Int(ticket.number % UInt64(ticketsPerStep))) }

    /// The ticket at a place of a step. Wraps where the ticket's number would be too large.
    package func ticket(_ step: Step, _ place: Place) -> Ticket {
        precondition((0..<ticketsPerStep).contains(place.number), "a step has no place \(place)")
        return Ticket(step.number &* UInt64(ticketsPerStep) &+ UInt64(place.number))
    }

    package func firstTicket(of step: Step) -> Ticket { ticket(step, 0) }

    /// The tickets of a step by place.
    package func tickets(of step: Step) -> some RandomAccessCollection<Ticket> {
        (0..<ticketsPerStep).lazy.map { ticket(step, Place($0)) }
    }

    /// Whether the step is complete with this place.
    package func isLast(_ place: Place) -> Bool { place.number == ticketsPerStep - 1 }
}
