// metrics.jsonl: a line for each step of the history that counts, each step once.

import PSFiles
import PSParameters
import PSProtocol

/// Appends the reports of steps to a run's metrics. Used by one thread at a time.
///
/// When the history goes back, the lines of the steps that are void move to `metrics-void.jsonl`, which is only for people.
package final class Metrics: @unchecked Sendable {
    // Sendable: handed to the thread that writes after opening.

    private let run: RunDirectory
    private var file: (any WritableFile)?
    /// Why the file that was there moved aside.
    package private(set) var unread: StorageError?
    /// Bytes of the file that are whole lines.
    private var end = 0
    /// Of the file's lines, in order: the step, where the line begins, and the samples it says were replaced.
    private var lines: [(step: Version, start: Int, replaced: [UInt64])] = []

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
            lines.append((line.step, end, line.replacedSamples ?? []))
            end = newline + 1
        }
    }

    private struct Line: Decodable {
        let step: Version
        let replacedSamples: [UInt64]?

        enum CodingKeys: String, CodingKey {
            case step
            case replacedSamples = "replaced_samples"
        }
    }

    /// Samples of the history that counts that could not be read, ascending.
    package var replacedSamples: [UInt64] { Set(lines.lazy.flatMap(\.replaced)).sorted() }

    /// The report of a step, if its line is there.
    package func report(of step: Version) -> StepReport? {
        guard let index = lines.lastIndex(where: { $0.step == step }),
            let bytes = try? run.files.read(run.metrics, atMost: .max)
        else { return nil }
        let end = index + 1 < lines.count ? lines[index + 1].start : end
        guard end <= bytes.count else { return nil }
        return try? JSON.decode(StepReport.self, from: bytes[lines[index].start..<end])
    }

    /// Appends a step's line, unless it is there: a coordinator that was started anew may decide a step again.
    package func append(_ report: StepReport) throws(StorageError) {
        if let last = lines.last, last.step >= report.version { return }
        let line = JSON.line(report)
        if file == nil { file = try run.files.create(run.metrics, keeping: end) }
        do throws(StorageError) {
            try file!.write(line)
        } catch {
            // Half a line may be there: the next one is written over it.
            file = nil
            throw error
        }
        lines.append((report.version, end, report.replacedSamples ?? []))
        end += line.count
    }

    /// Makes the lines durable; nothing depends on them before the journal forgets the steps.
    /// - Returns: the step of the last one.
    package func synchronize() throws(StorageError) -> Version {
        // Lines of an earlier start as well.
        if file == nil { file = try run.files.create(run.metrics, keeping: end) }
        try file!.synchronize()
        return lines.last?.step ?? 0
    }

    /// The history goes back to `version`: lines of later steps move away.
    package func rollBack(to version: Version) throws(StorageError) {
        guard let first = lines.firstIndex(where: { $0.step > version }) else { return }
        let bytes = try run.files.read(run.metrics, atMost: .max)
        // Whoever cut the file has what it held; it goes on where it ends now.
        let start = min(lines[first].start, bytes.count)
        var kept = 0
        if case .file(let size)? = try run.files.entry(run.voidMetrics) { kept = size }
        let void = bytes[start..<max(start, min(end, bytes.count))]
        try run.files.create(run.voidMetrics, keeping: kept).write(Array(void))
        try run.replace(run.metrics, with: Array(bytes[..<start]))
        file = nil
        end = start
        lines.removeSubrange(first...)
    }

    /// Brings the file to where the journal is: lines of steps that do not count move away, those are written that
    /// another coordinator decided and did not come to write.
    /// - Returns: the report of the last commit, if it is known.
    package func takeUp(_ replay: Replay, stepsPerEpoch: Double) -> StepReport? {
        try? rollBack(to: replay.version)
        for committed in replay.committed where !committed.contributions.isEmpty {
            try? append(StepReport(committed, stepsPerEpoch: stepsPerEpoch))
        }
        return report(of: replay.version)
    }
}
