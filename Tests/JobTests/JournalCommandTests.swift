// `psctl journal`: what it says of jobs that were disturbed, and of journals that somebody changed.

import Foundation
import PSAudit
import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct JournalCommandTests {
    private let jobs = SmallJobs()
    /// 200 images in steps of 16.
    private static let threeEpochs = 38

    private func verify(_ run: String, code: Int32 = 0, sourceLocation: SourceLocation = #_sourceLocation) throws
        -> RunAudit
    {
        let finished = try jobs.psctl("journal", "verify", run, "--json")
        #expect(finished.code == code, "\(finished.output)\(finished.errors)", sourceLocation: sourceLocation)
        return try finished.json(RunAudit.self)
    }

    /// Writes another record in the place of the first that is to be changed. - Returns: the name of its journal.
    private func alter(_ run: String, _ change: (JournalRecord?) -> JournalRecord?) throws -> String {
        for part in try JournalPart.all(of: RunDirectory(jobs.path(run))) {
            var records = try part.read().records
            for (index, record) in records.enumerated() {
                guard let other = change(JournalRecord.decode(record)?.first) else { continue }
                records[index] = other.encoded()
                let path = jobs.path("\(run)/\(part.name)")
                try FileManager.default.removeItem(atPath: path)
                let journal = try JournalFile.open(path).journal
                for record in records { try journal.append(record, sync: false) }
                return part.name
            }
        }
        throw CocoaError(.fileReadUnknown)
    }

    /// Three epochs, in which everybody dies, and somebody comes and goes.
    @Test func aDisturbedJobHoldsTogether() throws {
        let job = try jobs.begin(
            "run", steps: Self.threeEpochs,
            set: ["train.epochs=3", "cluster.workers=2", "checkpoint.everySteps=10", "train.ticketsPerStep=2"])
        jobs.waitForStep(3, of: "run")
        kill(try job.pid(of: "worker"), SIGKILL)
        kill(try job.pid(of: "server", rank: 1), SIGKILL)
        eventually("it goes back") { !jobs.steps("run", "metrics-void.jsonl").isEmpty }
        kill(try job.pid(of: "coordinator"), SIGKILL)
        try expectUndisturbed(job.summary())
        let audit = try verify("run")
        #expect(audit.problems == [])
        #expect(audit.starts == 2 && audit.rollbacks >= 1)
        #expect(audit.steps.committed == UInt64(Self.threeEpochs) && audit.steps.from == 0)
        #expect(audit.steps.computedAgain > 0 && audit.steps.computedOtherwise == 0)
        let tickets = audit.tickets
        #expect(tickets.committed == 2 * Self.threeEpochs && tickets.voided > 0 && tickets.outstanding == 0)
        #expect(tickets.granted == tickets.committed + tickets.voided + tickets.passedOver)
        let samples = try #require(audit.samples)
        #expect(samples.wholeEpochs == 3 && samples.ofLastEpoch == 16 * Self.threeEpochs - 600)

        // What came to another norm the first time, before the job went back, is an alarm.
        try jobs.copy("run", "altered")
        let altered = try alter("altered") { record in
            guard case .step(.committed(let commit, let norm?))? = record else { return nil }
            return .step(.committed(commit, norm: norm * 2))
        }
        #expect(try verify("altered", code: 1).problems.contains { $0.text.contains("computed again, has the norm") })
        #expect(altered.hasPrefix("journals/"))

        let text = try jobs.psctl("journal", "verify")
        #expect(text.output.contains("3 epochs of 200 samples, each used once"), "\(text.output)")
        #expect(text.output.contains("nothing contradicts itself"), "\(text.output)")
        // A line each, oldest first.
        let shown = try jobs.psctl("journal", "show", "run").output.split(separator: "\n")
        #expect(shown.count >= audit.records)
        #expect(shown[0].contains("journals/000001 1: the job ") && shown[0].contains("begins, seed 1"), "\(shown[0])")
        #expect(shown.contains { $0.contains("ticket 0 goes to worker ") && $0.contains("(pid ") })
        #expect(shown.contains { $0.contains("generation 2: servers load the checkpoint of step 0") })
        let lines = try jobs.psctl("journal", "show", "run", "--json").json([JournalListing.Line].self)
        #expect(lines.count == shown.count)
        #expect(lines.filter { $0.kind == "committed" }.compactMap(\.norm).count >= Self.threeEpochs)
    }

    /// Somebody, or a disk, changes what a journal says.
    @Test func changedJournalsAreFound() throws {
        try jobs.train("run", steps: 12, set: ["checkpoint.everySteps=5", "train.ticketsPerStep=2"])
        #expect(try verify("run").problems == [])
        func problem(_ change: ([[UInt8]]) throws -> [[UInt8]], of name: String = "journals/000002") throws -> String {
            defer { try? FileManager.default.removeItem(atPath: jobs.path("copy")) }
            try jobs.copy("run", "copy")
            let path = jobs.path("copy/\(name)")
            let records = try JournalFile.read(path).records
            try FileManager.default.removeItem(atPath: path)
            let journal = try JournalFile.open(path).journal
            for record in try change(records) { try journal.append(record, sync: false) }
            return try verify("copy", code: 1).problems.map(\.text).joined(separator: "\n")
        }
        func place(_ records: [[UInt8]], _ isIt: (StepRecord) -> Bool) throws -> Int {
            try #require(
                records.firstIndex { record in
                    if case .step(let step)? = JournalRecord.decode(record)?.first { isIt(step) } else { false }
                })
        }
        func doubled(_ isIt: @escaping (StepRecord) -> Bool) throws -> String {
            try problem { records in
                let index = try place(records, isIt)
                return Array(records[...index] + records[index...])
            }
        }
        #expect(try doubled { if case .granted = $0 { true } else { false } }.contains("is there twice"))
        #expect(try doubled { if case .counted = $0 { true } else { false } }.contains("twice"))
        #expect(try doubled { if case .closed = $0 { true } else { false } }.contains("closes step"))
        #expect(try doubled { if case .committed = $0 { true } else { false } }.contains("is there twice"))
        // One is missing in the middle.
        let missing = try problem { records in
            var records = records
            records.remove(at: try place(records) { if case .counted = $0 { true } else { false } })
            return records
        }
        #expect(missing.contains("which was not counted"), "\(missing)")
        // The end of one of them.
        let cut = try problem { Array($0.dropLast(3)) }
        #expect(cut.contains("another history than the journals before it"), "\(cut)")
        // Another ticket than the one that was computed.
        let other = try problem { records in
            var records = records
            let index = try place(records) { if case .closed = $0 { true } else { false } }
            guard case .step(.closed(let step, var attempts))? = JournalRecord.decode(records[index])?.first else {
                return records
            }
            attempts[1].ticket = attempts[0].ticket
            records[index] = JournalRecord.step(.closed(step, attempts: attempts)).encoded()
            return records
        }
        #expect(other.contains("other tickets than its own"), "\(other)")

        // A journal that is gone, and one whose bytes were turned.
        try jobs.copy("run", "gone")
        try FileManager.default.removeItem(atPath: jobs.path("gone/journals/000002"))
        #expect(try verify("gone", code: 1).problems[0].text.contains("begins journal 3, after journal 1"))
        try jobs.copy("run", "turned")
        let path = jobs.path("turned/journals/000002")
        var bytes = try Data(contentsOf: URL(filePath: path))
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: URL(filePath: path))
        let turned = try jobs.psctl("journal", "verify", "turned")
        #expect(turned.code == 1)
        #expect(
            turned.output.contains("PROBLEM") || turned.errors.contains("is damaged"),
            "\(turned.output)\(turned.errors)")
        let torn = jobs.path("run/journal")
        let whole = try Data(contentsOf: URL(filePath: torn))
        try (whole + [1, 2, 3]).write(to: URL(filePath: torn))
        #expect(try verify("run", code: 1).problems[0].text.contains("3 bytes that are no record"))
    }

    /// Of the journal at hand nothing follows that could show it, but others wrote what they knew.
    @Test func anEndThatIsMissingIsFound() throws {
        let job = try jobs.begin("run", steps: SmallJobs.endless)
        jobs.waitForStep(20, of: "run")
        eventually("its status says so") {
            (try? JobStatus.read(from: RunDirectory(jobs.path("run"))))?.version ?? 0 > 10
        }
        try job.crash()
        #expect(try verify("run").tickets.committed > 20)
        let path = jobs.path("run/journal")
        let records = try JournalFile.read(path).records
        try FileManager.default.removeItem(atPath: path)
        let journal = try JournalFile.open(path).journal
        for record in records.prefix(8) { try journal.append(record, sync: false) }
        #expect(try verify("run", code: 1).problems.map(\.text).joined().contains("their end is missing"))
    }

    @Test func whatIsNoRunIsSaid() throws {
        let none = try jobs.psctl("journal", "verify", "nowhere")
        #expect(none.code == 1 && none.output.isEmpty && none.errors.contains("nowhere"), "\(none.errors)")
        #expect(none.errors.split(separator: "\n").count == 1)
    }

    /// The figure, of a hundred thousand tickets.
    @Test(.enabled(if: hasTimeForLongTests)) func howLongAnAuditTakes() throws {
        try jobs.train("run", steps: 1, set: ["train.ticketsPerStep=10"])
        let path = jobs.path("run/journal")
        try? FileManager.default.removeItem(atPath: jobs.path("run/journals"))
        var replay = try Journal.read(RunDirectory(jobs.path("run")))
        (replay.version, replay.part) = (0, 1)
        try FileManager.default.removeItem(atPath: path)
        let journal = try JournalFile.open(path).journal
        func add(_ record: JournalRecord) throws { try journal.append(record.encoded(), sync: false) }
        try add(.state(replay))
        let steps = 10_000
        for step in (0..<UInt64(steps)).map(Step.init) {
            let attempts = StepShape(ticketsPerStep: 10).tickets(of: step).map {
                Attempt(ticket: $0, number: 2 << 40 + $0.number + 1)
            }
            for attempt in attempts {
                try add(.step(.granted(attempt, worker: 7)))
                try add(
                    .step(
                        .counted(
                            Contribution(attempt: attempt, loss: 1, correct: 1, samples: 8, norm: 1), worker: 7)))
            }
            try add(.step(.closed(step, attempts: attempts)))
            try add(
                .step(
                    .committed(
                        Commit(step: step, scale: 1, learningRate: 1, averageDecay: 0.5, skip: false), norm: 2)))
        }
        try? FileManager.default.removeItem(atPath: jobs.path("run/status.json"))
        let audit = try verify("run")
        #expect(audit.tickets.committed == 10 * steps)
        print("an audit of \(audit.tickets.granted) tickets takes \(audit.seconds) s")
    }
}
