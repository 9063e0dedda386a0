// The bytes of a journal's records, which are read by every later release.

import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import PSRun
import Testing

@Suite struct RecordCodingTests {
    private static let attempt = Attempt(ticket: 300, number: 3 << 40 | 7)

    private static var contribution: Contribution {
        var contribution = Contribution(attempt: attempt, loss: 2.5, correct: 1, samples: 4, norm: 0.5)
        contribution.seconds = 1.25
        contribution.replaced = [9, 1]
        return contribution
    }

    private static let records: [StepRecord] = [
        .granted(attempt, worker: .max), .counted(contribution, worker: 11),
        .closed(4, attempts: [attempt, Attempt(ticket: 301, number: 5)]), .closed(0, attempts: []),
        .committed(Commit(step: 4, scale: 0.5, learningRate: 0.045, averageDecay: 0.9, skip: false), norm: .infinity),
        .committed(Commit(step: 0, scale: 0, learningRate: 0, averageDecay: 0, skip: true), norm: nil),
    ]

    @Test(arguments: records)
    func recordsOfAStepSurviveTheirEncoding(record: StepRecord) throws {
        #expect(JournalRecord.decode(JournalRecord.step(record).encoded()) == [.step(record)])
    }

    /// A loss may be no number; then nothing equals it.
    @Test func aLossThatIsNoNumberStaysNone() throws {
        var contribution = Self.contribution
        contribution.loss = .nan
        let bytes = JournalRecord.step(.counted(contribution, worker: 1)).encoded()
        guard case .step(.counted(let read, worker: 1))? = JournalRecord.decode(bytes)?.first else {
            throw StorageError.damaged(path: "", problem: "\(bytes)")
        }
        #expect(read.loss.isNaN && read.attempt == contribution.attempt)
    }

    /// As `protoc --decode=ps.StepRecord Proto/journal.proto` reads them.
    @Test func theBytesAreThese() {
        func bytes(_ record: StepRecord) -> [UInt8] { JournalRecord.step(record).encoded() }
        #expect(
            bytes(.granted(Attempt(ticket: 300, number: 5), worker: 11))
                == [0x0A, 14, 0x08, 0xAC, 0x02, 0x10, 5, 0x19, 11, 0, 0, 0, 0, 0, 0, 0])
        #expect(
            bytes(.closed(4, attempts: [Attempt(ticket: 8, number: 3)]))
                == [0x1A, 8, 0x08, 4, 0x12, 1, 8, 0x1A, 1, 3])
    }

    @Test func whatIsNoRecordIsNone() {
        let sound = JournalRecord.step(Self.records[1]).encoded()
        for bytes in [[], [0x7B], Array(sound.dropLast()), sound + [0], [0xFF, 1], Array(#"{"tea":{}}"#.utf8)] {
            #expect(JournalRecord.decode(bytes) == nil, "\(bytes)")
        }
    }

    /// Earlier releases wrote these in JSON, and a contribution with the close as well.
    @Test func recordsOfEarlierReleasesAreRead() {
        let contribution = Contribution(
            attempt: Attempt(ticket: 8, number: 3), loss: 2.5, correct: 1, samples: 4, norm: 1)
        let json = #"{"attempt":{"number":3,"ticket":8},"correct":1,"loss":2.5,"norm":1,"samples":4}"#
        #expect(
            JournalRecord.decode(Array(#"{"counted":{"_0":\#(json)}}"#.utf8))
                == [.step(.counted(contribution, worker: 0))])
        #expect(
            JournalRecord.decode(Array(#"{"close":{"contributions":[\#(json)],"step":4}}"#.utf8))
                == [
                    .step(.counted(contribution, worker: 0)), .step(.closed(4, attempts: [contribution.attempt])),
                ])
        let commit = Commit(step: .init(.max), scale: 1, learningRate: 2, averageDecay: 0.5, skip: false)
        #expect(
            JournalRecord.decode(
                Array(
                    (#"{"commit":{"_0":{"averageDecay":0.5,"learningRate":2,"scale":1,"skip":false,"#
                        + #""step":18446744073709551615},"norm":3}}"#).utf8))
                == [.step(.committed(commit, norm: 3))])
        #expect(
            JournalRecord.decode(
                Array(
                    (#"{"commit":{"_0":{"averageDecay":0.5,"learningRate":2,"scale":1,"skip":false,"#
                        + #""step":18446744073709551615}}}"#).utf8))
                == [.step(.committed(commit, norm: nil))])
    }
}
