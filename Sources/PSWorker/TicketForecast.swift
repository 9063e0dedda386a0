// Which ticket a worker will be granted next, as far as it can tell.

import PSParameters

/// Tickets are granted in order to whoever is free, so that a worker's own are about as far apart as there are workers.
struct TicketForecast {
    private static let memory = 8

    /// The last tickets, oldest first.
    private var tickets: [Ticket] = []

    /// Takes note of a ticket and says which one to expect after it; nil where nothing can be expected.
    mutating func next(after ticket: Ticket) -> Ticket? {
        // Backwards: the job went back, or another job began.
        if let last = tickets.last, ticket <= last { tickets = [] }
        tickets = tickets.suffix(TicketForecast.memory - 1) + [ticket]
        let distance = (ticket.number - tickets[0].number) / UInt64(max(tickets.count - 1, 1))
        let (next, overflow) = ticket.number.addingReportingOverflow(max(distance, 1))
        return overflow ? nil : Ticket(next)
    }
}
