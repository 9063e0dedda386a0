// How a job's progress looks: a bar that is redrawn on a terminal, a line now and then elsewhere.

import Foundation
import PSNode
import PSParameters
import PSProtocol
import PSReport

package final class Progress {
    private let isTerminal: Bool
    private let lineMilliseconds: Int
    private var lastLine: MonotonicTime?
    private var shownVersion: Version?
    private var lastState: JobStatus.State?
    private var barIsShown = false

    /// Writes to standard error, which is free in every mode.
    /// - Parameter lineInterval: seconds between two lines where there is no terminal.
    package init(lineInterval: TimeInterval = 10) {
        isTerminal = Terminal.redraws(STDERR_FILENO)
        lineMilliseconds = Int(lineInterval * 1000)
    }

    /// A line for a person; the bar gives way to it.
    package func say(_ text: String) {
        clearBar()
        StandardStreams.write(text + "\n", to: STDERR_FILENO)
    }

    package func show(_ status: JobStatus) {
        if isTerminal {
            put("\r\u{1B}[2K" + Progress.bar(status, columns: Progress.columns))
            barIsShown = true
            return
        }
        let now = MonotonicTime.now
        let isDue = lastLine.map { now.since($0) >= lineMilliseconds } ?? true && status.version != shownVersion
        guard isDue || status.state != lastState else { return }
        lastLine = now
        shownVersion = status.version
        lastState = status.state
        put(Progress.line(status) + "\n")
    }

    package func finish() { clearBar() }

    private func clearBar() {
        if barIsShown { put("\r\u{1B}[2K") }
        barIsShown = false
    }

    private func put(_ text: String) { StandardStreams.draw(text, to: STDERR_FILENO) }

    private static var columns: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    package static func line(_ status: JobStatus) -> String {
        switch status.state {
        case .running: "step \(status.version)/\(status.lastVersion)  \(figures(status))"
        default: "\(status.state.rawValue)  step \(status.version)/\(status.lastVersion)"
        }
    }

    package static func bar(_ status: JobStatus, columns: Int) -> String {
        guard status.state == .running else { return line(status) }
        let head = "step \(status.version)/\(status.lastVersion) "
        let tail = "  " + figures(status)
        let width = min(40, columns - head.count - tail.count - 1)
        guard width >= 5 else { return String((head + tail).prefix(max(0, columns - 1))) }
        let (done, all) = (min(status.version, status.lastVersion).number, status.lastVersion.number)
        let full = all == 0 ? width : Int(UInt64(width) * done / all)
        return head + String(repeating: "█", count: full) + String(repeating: "░", count: width - full) + tail
    }

    private static func figures(_ status: JobStatus) -> String {
        var parts: [String] = []
        // Nothing was committed yet, or not for long.
        if status.imagesPerSecond > 0 {
            parts.append(
                "\(Report.decimal(status.imagesPerSecond, places: status.imagesPerSecond < 10 ? 2 : 0)) images/s")
        }
        if let loss = status.loss { parts.append("loss \(Report.decimal(loss, places: 3))") }
        if let rate = status.learningRate { parts.append("lr \(String(format: "%.4g", rate))") }
        if let evaluation = status.evaluation?.text { parts.append(evaluation) }
        if let left = timeLeft(status) { parts.append("\(left) left") }
        return parts.joined(separator: "  ")
    }

    /// From the images per second of late, as 1:05 or 2:03:04.
    static func timeLeft(_ status: JobStatus) -> String? {
        let left = status.lastVersion.commits(since: status.version)
        guard status.imagesPerSecond > 0, left > 0, status.imagesPerStep > 0 else { return nil }
        let seconds = Double(left) * Double(status.imagesPerStep) / status.imagesPerSecond
        // A job told to go on for ever has no end to name.
        return seconds < 1e9 ? duration(seconds) : nil
    }

    package static func duration(_ seconds: Double) -> String {
        let all = Int(seconds.rounded())
        let (hours, minutes, rest) = (all / 3600, all / 60 % 60, all % 60)
        return hours > 0
            ? String(format: "%d:%02d:%02d", hours, minutes, rest) : String(format: "%d:%02d", minutes, rest)
    }
}

extension EvaluationReport {
    /// The figures for people: "top-1 71.2%, top-5 93.4%, loss 0.812".
    package var figures: String {
        guard let top1, let top5 else { return "nothing could be measured" }
        return "top-1 \(Report.percent(top1)), top-5 \(Report.percent(top5))"
            + (loss.map { ", loss \(Report.decimal($0, places: 3))" } ?? "")
    }
}

extension JobStatus.Evaluation {
    /// For the line of progress: "top-1 71.2% (best 72.0%)", and how far the next one is.
    var text: String? {
        var parts: [String] = []
        if let top1 = last?.top1 {
            var text = "top-1 \(Report.percent(top1))"
            if let best, let most = best.top1, best.version != last?.version {
                text += " (best \(Report.percent(most)))"
            }
            parts.append(text)
        }
        if let running { parts.append("evaluating \(running.done)/\(running.parts)") }
        return parts.isEmpty ? nil : parts.joined(separator: "  ")
    }
}
