// What peers may send, at the machines in the middle of a job: nothing traps, everything they say is a message, and
// every kind of message gets as far as they are.

import Foundation
import PSMessages
import Testing

private let environment = ProcessInfo.processInfo.environment

/// `PS_FUZZ_INPUTS` sets how many, `PS_LONG_TESTS` makes it minutes; the default takes seconds. Where a trap ended the run,
/// `PS_FUZZ_CORPUS` names a directory to which each input is written before it is fed, and one of every kind.
private let wanted =
    environment["PS_FUZZ_INPUTS"].flatMap(UInt64.init) ?? (environment["PS_LONG_TESTS"] == "1" ? 5_000_000 : 100_000)

private func feed(_ input: Input, _ door: Door, _ machines: inout Machines) -> Message? {
    let envelope = input.head.withUnsafeBytes { head in
        try? Envelope.decode(head, payloadCount: input.payloadBytes)
    }
    guard let envelope else { return nil }
    machines.deliver(envelope, payloadBytes: input.payloadBytes, at: door)
    return envelope.message
}

/// Inputs that once trapped, cost too much or were believed, and one of every kind, by which their names begin. The names
/// end in the bytes of the second frame. They are of protocol versions 5 to 8 and are replayed as of the one at hand; where its
/// fields are others, `PS_FUZZ_CORPUS` writes them anew.
@Test func theCorpus() throws {
    let directory = try #require(Bundle.module.url(forResource: "Corpus", withExtension: nil))
    let files = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
    #expect(files.count > allKinds.count)
    var machines = Machines()
    for file in files.sorted(by: { $0.path < $1.path }) {
        let name = file.deletingPathExtension().lastPathComponent
        let payload = try #require(name.split(separator: "-").last.flatMap { Int($0) })
        var head = Array(try Data(contentsOf: file))
        if head.starts(with: [1 << 3]), (5...8).contains(head[1]) { head[1] = UInt8(protocolVersion) }
        let input = Input(head: head, payloadBytes: payload)
        let isKind = allKinds.contains(String(name.split(separator: "-")[0]))
        for door in Door.allCases {
            let message = feed(input, door, &machines)
            #expect((message != nil) == isKind, "\(name)")
        }
    }
    for door in Door.allCases { #expect(Set(machines.arrivals[door, default: [:]].keys) == allKinds) }
}

@Test func whatPeersMaySend() throws {
    let corpus = environment["PS_FUZZ_CORPUS"]
    var inputs = Inputs(seed: 7)
    var machines = Machines()
    var kept: Set<String> = []
    var refused = 0
    for number in 0..<wanted {
        let door = inputs.pick(Door.allCases)
        let input = inputs.next(for: door, machines)
        if let corpus { try Data(input.head).write(to: URL(filePath: "\(corpus)/last-\(input.payloadBytes).bin")) }
        if let message = feed(input, door, &machines) {
            let kind = Mirror(reflecting: message).children.first?.label ?? "\(message)"
            if let corpus, kept.insert(kind).inserted {
                try Data(input.head).write(to: URL(filePath: "\(corpus)/\(kind)-\(input.payloadBytes).bin"))
            }
        } else {
            refused += 1
        }
        if inputs.happens(oneIn: 20) { machines.pass(inputs.pick([10, 600, 1100, 9000])) }
        if inputs.happens(oneIn: 10) { machines.work() }
        // Strangers who say hello are counted as workers; now and then all begin without them.
        if number % 1000 == 999 { machines.startAnew() }
    }
    for door in Door.allCases {
        let missing = allKinds.subtracting(machines.arrivals[door, default: [:]].keys)
        #expect(missing.isEmpty, "never reached \(door)")
    }
    // Neither are all refused, nor none; and the machines get on meanwhile.
    #expect(refused > wanted / 10 && refused < wanted * 9 / 10)
    #expect(machines.exits > 0)
    #expect(machines.commits > 0)
    #expect(machines.checkpoints > 0)
    #expect(machines.updates > 0)
    #expect(machines.replicaUpdates > 0)
    #expect(machines.ticketsDone > 0)
}
