// Steps, versions, tickets and places: the numbers they share, and that none of them is too large to be asked about.

import Foundation
import PSParameters
import Testing

@Test(arguments: [1, 2, 3, 7])
func stepsAreMadeOfTickets(ticketsPerStep: Int) {
    let shape = StepShape(ticketsPerStep: ticketsPerStep)
    var next: UInt64 = 0
    for step in (0..<UInt64(5)).map(Step.init) {
        #expect(shape.firstTicket(of: step) == Ticket(next))
        let tickets = shape.tickets(of: step)
        #expect(tickets.count == ticketsPerStep)
        for (index, ticket) in tickets.enumerated() {
            #expect(ticket == Ticket(next), "one after the other, from step to step")
            #expect(shape.step(of: ticket) == step)
            #expect(shape.place(of: ticket) == Place(index))
            #expect(shape.ticket(step, Place(index)) == ticket)
            #expect(shape.isLast(Place(index)) == (index + 1 == ticketsPerStep))
            next += 1
        }
    }
}

@Test func aStepLeadsFromOneVersionToTheNext() {
    let step: Step = 4
    #expect(step.before == 4)
    #expect(step.after == 5)
    #expect(step.before.nextStep == step)
    #expect(step.after.commits(since: step.before) == 1)
    #expect(step.before.commits(since: step.after) == 0)
}

@Test func theLargestNumbersDoNotTrap() {
    let largest = Step(.max)
    #expect(largest.after == largest.before)
    let shape = StepShape(ticketsPerStep: 3)
    #expect(shape.step(of: Ticket(.max)) == Step(.max / 3))
    #expect(shape.place(of: Ticket(.max)) == Place(Int(UInt64.max % 3)))
    #expect(shape.tickets(of: largest).map { shape.place(of: $0).number }.allSatisfy { (0..<3).contains($0) })
}

@Test func positionsAreCodedAsBareNumbers() throws {
    struct All: Codable, Equatable {
        var step: Step = 1
        var version = Version(.max)
        var ticket: Ticket = 3
        var place: Place? = 4
    }
    let text = #"{"place":4,"step":1,"ticket":3,"version":18446744073709551615}"#
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    #expect(String(decoding: try encoder.encode(All()), as: UTF8.self) == text)
    #expect(try JSONDecoder().decode(All.self, from: Data(text.utf8)) == All())
    #expect("step \(Step(7)), version \(Version(8))" == "step 7, version 8")
    #expect(throws: DecodingError.self) { try JSONDecoder().decode([Place].self, from: Data("[1.5]".utf8)) }
}
