// `psctl journal show`: each record of a run's journals in a line.

import PSFiles
import PSMessages
import PSParameters
import PSProtocol
import PSReport
import PSRun

package struct JournalListing: Sendable {
    /// A record as people and programs read it.
    package struct Line: Sendable, Codable {
        package var place: RecordPlace
        /// "granted", "counted", "closed", "committed", "rollback", and so on.
        package var kind: String
        package var text: String
        package var step: UInt64?
        package var ticket: UInt64?
        /// Term of the coordinator that granted it, and its number in that.
        package var attempt: String?
        package var worker: String?
        package var loss: Double?
        package var norm: Double?
    }

    private var workers: [Incarnation: String] = [:]

    package init() {}

    /// Shows each record of a run's journals, oldest first.
    package static func show(_ run: RunDirectory, _ body: (Line) throws -> Void) throws {
        guard try run.hasJob() else {
            throw StorageError.damaged(path: run.path, problem: "is no run: it has no journal")
        }
        var listing = JournalListing()
        for part in try JournalPart.all(of: run) {
            for (index, payload) in try part.read().records.enumerated() {
                let place = RecordPlace(journal: part.name, record: index + 1)
                guard let records = JournalRecord.decode(payload) else {
                    throw StorageError.damaged(
                        path: "\(run.path)/\(part.name)",
                        problem: "record \(index + 1) is sound but not of this release")
                }
                for record in records { try body(listing.line(record, at: place)) }
            }
        }
    }

    private mutating func line(_ record: JournalRecord, at place: RecordPlace) -> Line {
        func line(_ kind: String, _ text: String, step: UInt64? = nil) -> Line {
            Line(place: place, kind: kind, text: text, step: step)
        }
        switch record {
        case .header(let job, let seed, _, _):
            return line("header", "the job \(String(job, radix: 16)) begins, seed \(seed)")
        case .recipe: return line("recipe", "the settings that stay as they are")
        case .settings(let settings): return line("settings", "\(Report.count(settings.count, "setting"))")
        case .plan(let identity): return line("plan", "the engine's plan is \(String(identity, radix: 16))")
        case .data(let digest): return line("data", "the training samples are \(digest.prefix(16))")
        case .testData(let digest): return line("test_data", "the test images are \(digest.prefix(16))")
        case .term(let term, let endpoint):
            return line("term", "coordinator \(term) starts" + (endpoint.isEmpty ? "" : " at \(endpoint)"))
        case .kernels(let core, _): return line("kernels", "the job's kernels are those of \(core)")
        case .rollback(let generation, let base):
            let from = base.map { "the checkpoint of step \($0.version)" } ?? "the beginning"
            return line(
                "rollback", "generation \(generation): servers load \(from)", step: base?.version.number ?? 0)
        case .handover(let generation, let version, let holders):
            let names = holders.map(String.init).joined(separator: ", ")
            return line(
                "handover", "generation \(generation): servers \(names) answer for the parts, from step \(version) on",
                step: version.number)
        case .step(let step): return self.line(step, at: place)
        case .worker(let worker, let name):
            workers[worker] = name
            return line("worker", "\(name) joins")
        case .checkpoint(let reference, _):
            return line("checkpoint", "step \(reference.version) is saved", step: reference.version.number)
        case .evaluated(let report):
            return line(
                "evaluated", "step \(report.version): top-1 \(report.top1.map { Report.percent($0) } ?? "not known")",
                step: report.version.number)
        case .stopAfter(let version):
            return line("stop_after", "a person wants a stop after step \(version)", step: version.number)
        case .resumed: return line("resumed", "a person wants the job to go on")
        case .finished(let version, let code):
            return line("finished", "the end is decided, exit code \(code)", step: version.number)
        case .ended: return line("ended", "everybody was told of the end")
        case .state(let replay):
            return line(
                "state", "journal \(replay.part) begins at step \(replay.version), generation \(replay.generation)",
                step: replay.version.number)
        }
    }

    private func line(_ record: StepRecord, at place: RecordPlace) -> Line {
        switch record {
        case .granted(let attempt, let worker):
            var line = Line(place: place, kind: "granted", text: "ticket \(attempt.ticket) goes to \(name(worker))")
            (line.ticket, line.attempt) = (attempt.ticket.number, AttemptName(attempt.number).description)
            line.worker = name(worker)
            return line
        case .counted(let contribution, let worker):
            let attempt = contribution.attempt
            var line = Line(
                place: place, kind: "counted",
                text: "ticket \(attempt.ticket) counts, by \(name(worker)), loss "
                    + "\(Report.decimal(contribution.loss, places: 4)), \(contribution.correct) of \(contribution.samples) right"
            )
            (line.ticket, line.attempt) = (attempt.ticket.number, AttemptName(attempt.number).description)
            line.worker = name(worker)
            line.loss = contribution.loss
            return line
        case .closed(let step, let attempts):
            let tickets = attempts.map { "\($0.ticket)" }.joined(separator: ", ")
            return Line(place: place, kind: "closed", text: "step \(step) is tickets \(tickets)", step: step.number)
        case .committed(let commit, let norm):
            let figures =
                commit.skip
                ? "its gradient is not finite"
                : "norm \(norm.map { Report.decimal($0, places: 4) } ?? "not known"), scale \(commit.scale), rate "
                    + "\(commit.learningRate)"
            var line = Line(
                place: place, kind: "committed", text: "step \(commit.step) is committed: \(figures)",
                step: commit.step.number)
            line.norm = norm
            return line
        }
    }

    private func name(_ worker: Incarnation) -> String {
        workers[worker] ?? (worker == 0 ? "a worker" : "worker \(String(worker, radix: 16))")
    }
}
