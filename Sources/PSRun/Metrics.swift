// metrics.jsonl: a line for each step of the history that counts, each step once, and one for each evaluation.

import PSFiles
import PSParameters
import PSProtocol

/// Appends the reports of steps and evaluations to a run's metrics. Used by one thread at a time.
///
/// Steps come in their order; an evaluation comes when it is done, behind later steps.
/// When the history goes back, the lines of the steps that are void move to `metrics-void.jsonl`, which is only for people.
package final class Metrics: @unchecked Sendable {
    // Sendable: handed to the thread that writes after opening.

    private let run: RunDirectory
    private var file: (any WritableFile)?
    /// Why the file that was there moved aside.
    package private(set) var unread: StorageError?
    /// Bytes of the file that are whole lines.
    private var end = 0
    private var lines: [Place] = []
    /// What could not be written yet: the run's directory is away for a moment, say. It is written before what comes next.
    private var pending: [(line: [UInt8], place: Place)] = []

    /// One of the file's lines.
    private struct Place {
        var step: Version
        var isEvaluation: Bool
        var bytes: Range<Int>
        /// The samples it says were replaced.
        var replaced: [UInt64] = []
    }

    /// Reads what is there. A file that cannot be read moves aside and another is begun: it is for people, nothing
    /// depends on it.
    package init(_ run: RunDirectory) {
        self.run = run
        guard run.files.exists(run.metrics) else { return }
        let bytes: [UInt8]
        do throws(StorageError) {
            bytes = try run.files.read(run.metrics, atMost: .max)
        } catch {
            unread = error
            try? run.files.rename(run.metrics, to: run.unreadableMetrics)
            return
        }
        // What a crash cut short or left out is written over.
        while let newline = bytes[end...].firstIndex(of: UInt8(ascii: "\n")),
            let line = try? JSON.decode(Line.self, from: bytes[end..<newline])
        {
            lines.append(
                Place(
                    step: line.step, isEvaluation: line.evaluatedImages != nil, bytes: end..<newline + 1,
                    replaced: line.replacedSamples ?? []))
            end = newline + 1
        }
    }

    private struct Line: Decodable {
        let step: Version
        let replacedSamples: [UInt64]?
        let evaluatedImages: Int?

        enum CodingKeys: String, CodingKey {
            case step
            case evaluatedImages = "eval_images"
            case replacedSamples = "replaced_samples"
        }
    }

    /// Samples of the history that counts that could not be read, ascending.
    package var replacedSamples: [UInt64] { Set(lines.lazy.flatMap(\.replaced)).sorted() }

    /// The report of a step, if its line is there.
    package func report(of step: Version) -> StepReport? {
        guard let place = lines.last(where: { $0.step == step && !$0.isEvaluation }),
            let bytes = try? run.files.read(run.metrics, atMost: .max), place.bytes.upperBound <= bytes.count
        else { return nil }
        return try? JSON.decode(StepReport.self, from: bytes[place.bytes])
    }

    /// Appends a step's line, unless it is there: a coordinator that was started anew may decide a step again.
    package func append(_ report: StepReport) throws(StorageError) {
        if let last = lastStep, last >= report.version { return }
        try write(
            JSON.line(report),
            Place(step: report.version, isEvaluation: false, bytes: 0..<0, replaced: report.replacedSamples ?? []))
    }

    /// Appends an evaluation's line, unless it is there.
    package func append(_ report: EvaluationReport) throws(StorageError) {
        let known = lines + pending.map(\.place)
        if known.contains(where: { $0.isEvaluation && $0.step == report.version }) { return }
        try write(
            JSON.line(EvaluationLine(report)), Place(step: report.version, isEvaluation: true, bytes: 0..<0))
    }

    private var lastStep: Version? {
        (pending.last { !$0.place.isEvaluation }?.place ?? lines.last { !$0.isEvaluation })?.step
    }

    private func write(_ line: [UInt8], _ place: Place) throws(StorageError) {
        pending.append((line, place))
        try writePending()
    }

    private func writePending() throws(StorageError) {
        while let (line, place) = pending.first {
            try writeNow(line, place)
            pending.removeFirst()
        }
    }

    private func writeNow(_ line: [UInt8], _ place: Place) throws(StorageError) {
        if file == nil { file = try run.files.create(run.metrics, keeping: end) }
        do throws(StorageError) {
            try file!.write(line)
        } catch {
            // Half a line may be there: the next one is written over it.
            file = nil
            throw error
        }
        var place = place
        place.bytes = end..<end + line.count
        lines.append(place)
        end += line.count
    }

    /// Makes the lines durable; nothing depends on them before the journal forgets the steps.
    /// - Returns: the step of the last one.
    package func synchronize() throws(StorageError) -> Version {
        try writePending()
        // Lines of an earlier start as well.
        if file == nil { file = try run.files.create(run.metrics, keeping: end) }
        try file!.synchronize()
        return lastStep ?? 0
    }

    /// The history goes back to `version`: lines of later steps move away.
    package func rollBack(to version: Version) throws(StorageError) {
        pending.removeAll { $0.place.step > version }
        guard lines.contains(where: { $0.step > version }) else { return }
        let bytes = try run.files.read(run.metrics, atMost: .max)
        var kept: [UInt8] = []
        var void: [UInt8] = []
        var places: [Place] = []
        for place in lines {
            // Whoever cut the file has what it held.
            let line = bytes[min(place.bytes.lowerBound, bytes.count)..<min(place.bytes.upperBound, bytes.count)]
            if place.step > version {
                void += line
            } else if line.count == place.bytes.count {
                var place = place
                place.bytes = kept.count..<kept.count + line.count
                places.append(place)
                kept += line
            }
        }
        var former = 0
        if case .file(let size)? = try run.files.entry(run.voidMetrics) { former = size }
        try run.files.create(run.voidMetrics, keeping: former).write(void)
        try run.replace(run.metrics, with: kept)
        file = nil
        end = kept.count
        lines = places
    }

    /// Brings the file to where the journal is: lines of steps that do not count move away, those are written that
    /// another coordinator decided and did not come to write.
    /// - Returns: the report of the last commit, if it is known.
    package func takeUp(_ replay: Replay, stepsPerEpoch: Double) -> StepReport? {
        try? rollBack(to: replay.version)
        for committed in replay.committed where !committed.contributions.isEmpty {
            try? append(StepReport(committed, stepsPerEpoch: stepsPerEpoch))
        }
        for report in replay.evaluations { try? append(report) }
        return report(of: replay.version)
    }
}

/// What metrics.jsonl says of an evaluation, so that its keys are not those of a step.
private struct EvaluationLine: Encodable {
    let report: EvaluationReport

    init(_ report: EvaluationReport) { self.report = report }

    enum CodingKeys: String, CodingKey {
        case step, epoch
        case top1 = "eval_top1"
        case top5 = "eval_top5"
        case loss = "eval_loss"
        case images = "eval_images"
        case excluded = "eval_excluded"
        case seconds = "eval_seconds"
    }

    func encode(to encoder: any Encoder) throws {
        var line = encoder.container(keyedBy: CodingKeys.self)
        try line.encode(report.version, forKey: .step)
        try line.encode(report.epoch, forKey: .epoch)
        try line.encode(report.top1, forKey: .top1)
        try line.encode(report.top5, forKey: .top5)
        try line.encode(report.loss, forKey: .loss)
        try line.encode(report.images, forKey: .images)
        try line.encode(report.excluded, forKey: .excluded)
        try line.encode(report.seconds, forKey: .seconds)
    }
}
