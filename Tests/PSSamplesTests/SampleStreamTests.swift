// The sample stream: every sample once an epoch, the same ones for the same ticket.

import PSParameters
import PSSamples
import Testing

@Test(arguments: [(10, 10), (10, 3), (7, 4), (5, 13), (1, 3), (100, 32)])
func everySampleOnceAnEpoch(sampleCount: Int, batch: Int) {
    let stream = SampleStream(seed: 7, sampleCount: sampleCount, batch: batch)
    let epochs = 6
    let tickets = (0..<UInt64((epochs * sampleCount + batch - 1) / batch)).map(Ticket.init)
    let samples = tickets.flatMap { stream.samples(of: $0) }
    for epoch in 0..<epochs {
        #expect(samples[epoch * sampleCount..<(epoch + 1) * sampleCount].sorted() == Array(0..<sampleCount))
    }
    if sampleCount > 9 {
        #expect(samples[..<sampleCount] != samples[sampleCount..<2 * sampleCount])
        #expect(
            samples[..<sampleCount]
                != SampleStream(seed: 8, sampleCount: sampleCount, batch: sampleCount)
                .samples(of: 0)[...])
    }
    // Asked in any order, by anyone, the answer is the same.
    let another = SampleStream(seed: 7, sampleCount: sampleCount, batch: batch)
    for ticket in tickets.reversed() {
        let start = Int(ticket.number) * batch
        #expect(another.samples(of: ticket) == Array(samples[start..<start + batch]))
    }
    #expect(stream.samples(of: Ticket(.max)).count == batch)
}

/// Over many epochs every sample comes first about equally often.
@Test func permutationsAreUniform() {
    let stream = SampleStream(seed: 3, sampleCount: 5, batch: 5)
    var first = [Int](repeating: 0, count: 5)
    for epoch in 0..<5000 { first[stream.samples(of: Ticket(UInt64(epoch)))[0]] += 1 }
    // 1000 each, deviation 28.
    #expect(first.allSatisfy { abs($0 - 1000) < 120 })
}
