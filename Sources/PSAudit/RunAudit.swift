// `psctl journal verify`: all of a run's journals held against themselves, against its other files, and against the samples
// that its tickets name.

import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSFiles
import PSParameters
import PSProtocol
import PSReport
import PSRun
import PSSamples

package struct RunAudit: Sendable, Codable {
    /// How many journals there are, and records in them.
    package var journals = 0
    package var records = 0
    /// Starts of the coordinator, rollbacks and hand-overs that the records tell of.
    package var starts = 0
    package var rollbacks = 0
    package var handovers = 0
    package var tickets = JournalAudit.Tickets()
    package var steps = JournalAudit.Steps()
    /// Nil where the run's list of samples is gone.
    package var samples: SampleUse?
    /// What contradicts itself; empty: nothing.
    package var problems: [JournalAudit.Problem] = []
    package var seconds = 0.0

    /// Reads the journals of a run, which may be at work, and changes nothing.
    package init(_ run: RunDirectory) throws {
        let began = ContinuousClock.now
        // Before the journal, which is ahead of it then.
        let status = try? JobStatus.read(from: run)
        guard try run.hasJob() else {
            throw StorageError.damaged(path: run.path, problem: "is no run: it has no journal")
        }
        let configuration = try JobConfiguration(
            yaml: String(decoding: run.read(run.configuration), as: UTF8.self), path: run.configuration)
        var audit = JournalAudit(ticketsPerStep: configuration.train.ticketsPerStep)
        let parts = try JournalPart.all(of: run)
        for part in parts {
            let contents = try part.read()
            for (index, payload) in contents.records.enumerated() {
                audit.take(payload, at: RecordPlace(journal: part.name, record: index + 1), isFirst: index == 0)
            }
            if contents.cutByteCount > 0 {
                audit.blame(
                    "\(part.name) ends with \(contents.cutByteCount) bytes that are no record: it was cut short, by a crash "
                        + "or by hand")
            }
        }
        audit.end()
        RunAudit.compare(&audit, run, status)
        journals = parts.count
        records = audit.records
        (starts, rollbacks, handovers) = (audit.starts, audit.rollbacks, audit.handovers)
        (tickets, steps) = (audit.tickets, audit.steps)
        samples = try RunAudit.samples(audit, run, configuration)
        problems = audit.problems + (samples?.problems.map { JournalAudit.Problem(place: nil, text: $0) } ?? [])
        seconds = (ContinuousClock.now - began) / .seconds(1)
    }

    /// What others wrote of the job that the journals do not know: their end is missing.
    private static func compare(_ audit: inout JournalAudit, _ run: RunDirectory, _ status: JobStatus?) {
        let replay = audit.replay
        if let status, status.generation == replay.generation, status.version > replay.version {
            audit.blame(
                "the journals end at step \(replay.version), while the last status is of step \(status.version): their end "
                    + "is missing")
        }
        for entry in (try? run.checkpoints.list()) ?? [] where UInt64(entry.step) > replay.version.number {
            guard let manifest = try? Manifest.read(from: entry.path, in: run.files),
                manifest.job == String(replay.job, radix: 16), manifest.generation >= Int(replay.generation)
            else { continue }
            audit.blame(
                "the journals end at step \(replay.version), while step \(entry.step) was saved: their end is missing")
        }
    }

    private static func samples(
        _ audit: JournalAudit, _ run: RunDirectory, _ configuration: JobConfiguration
    ) throws -> SampleUse? {
        guard run.files.exists(run.samples) else { return nil }
        let perStep = UInt64(configuration.train.ticketsPerStep)
        let stream = SampleStream(
            seed: configuration.seed, sampleCount: try SampleList.open(run.samples).count,
            batch: configuration.train.batch)
        return SampleUse(of: audit.steps.from * perStep..<audit.steps.committed * perStep, stream: stream)
    }
}

extension RunAudit {
    /// For people.
    package func text(of run: String) -> String {
        var lines = [
            "\(run): \(Report.count(journals, "journal")), \(Report.count(records, "record")), "
                + "\(Report.count(starts, "start")) of the coordinator, \(Report.count(rollbacks, "rollback")), "
                + Report.count(handovers, "hand-over"),
            "tickets: \(Report.grouped(tickets.granted)) granted, \(Report.grouped(tickets.grantedAgain)) of them to a second "
                + "worker; \(Report.grouped(tickets.committed)) committed, \(Report.grouped(tickets.voided)) void, "
                + "\(Report.grouped(tickets.passedOver)) passed over for another worker's, "
                + "\(Report.grouped(tickets.outstanding)) outstanding",
            "steps: \(Report.grouped(Int(clamping: steps.committed))) committed"
                + (steps.from > 0 ? ", those before step \(steps.from) by journals that are gone" : "")
                + (steps.computedAgain > 0
                    ? "; \(Report.grouped(steps.computedAgain)) computed again, and compared" : "")
                + (steps.computedOtherwise > 0
                    ? "; \(Report.grouped(steps.computedOtherwise)) computed again with other settings" : ""),
        ]
        if let samples {
            lines.append(
                "samples: \(Report.count(samples.wholeEpochs, "epoch")) of \(Report.count(samples.samples, "sample")), each used "
                    + "once"
                    + (samples.ofLastEpoch > 0
                        ? "; of one more \(Report.count(samples.ofLastEpoch, "sample")), each once" : ""))
        } else {
            lines.append("samples: the run's list of them is gone")
        }
        for problem in problems.prefix(20) {
            let place = problem.place.map { "\($0.journal), record \($0.record): " } ?? ""
            lines.append("PROBLEM: \(place)\(problem.text)")
        }
        if problems.count > 20 {
            lines.append("and \(Report.count(problems.count - 20, "problem")) more; --json has all")
        }
        lines.append(
            problems.isEmpty
                ? "nothing contradicts itself (\(Report.decimal(seconds, places: 2)) s)"
                : Report.count(problems.count, "problem"))
        return lines.joined(separator: "\n") + "\n"
    }
}
