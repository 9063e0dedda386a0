// An evaluation as one page of HTML: figures, curve, classes, confusions, calibration and the worst mistakes. It loads
// nothing from anywhere.

import Foundation
import PSConfiguration
import PSDataTools
import PSDatasets
import PSImages
import PSReport

/// The page of one evaluation.
package struct EvaluationPage {
    /// One evaluation of a run, for the curve.
    package struct Point: Sendable, Hashable {
        package let step: Int
        package let top1: Double
        package init(step: Int, top1: Double) {
            self.step = step
            self.top1 = top1
        }
    }

    /// A matrix of more classes could not be read.
    private static let mostMatrixClasses = 60
    private static let thumbnails = 24
    private static let thumbnailSize = 128

    private let evaluation: Evaluation
    private let title: String
    private let curve: [Point]
    /// Of the first mistakes, as PNG.
    private let pictures: [[UInt8]]

    /// - Parameters:
    ///   - title: the run, or the weight file.
    ///   - curve: the run's evaluations by step; those that are fewer than two are not drawn.
    ///   - data: the images that were measured, for the pictures of mistakes.
    package init(
        _ evaluation: Evaluation, title: String, curve: [Point], data: any SampleSource, settings: DataSettings
    ) throws {
        self.evaluation = evaluation
        self.title = title
        self.curve = curve
        let samples = evaluation.mistakes.prefix(EvaluationPage.thumbnails).map(\.sample)
        pictures = try ContactSheet.thumbnails(
            of: data, samples: samples, settings: settings, size: EvaluationPage.thumbnailSize
        ).map { try $0.png() }
    }

    package var html: String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>\(escaped(title))</title>
        <style>\(style)</style>
        </head>
        <body>
        <h1>\(escaped(title))</h1>
        <p>\(escaped(evaluation.subject)), measured on \(Report.count(evaluation.images, "image"))\(details)</p>
        \(cards)\(curveSection)\(classSection)\(confusionSection)\(calibrationSection)\(mistakeSection)\(excludedSection)
        </body>
        </html>

        """
    }

    /// How it was measured, where that is not as usual.
    private var details: String {
        evaluation.crops > 1 ? ", \(evaluation.crops) crops of each, their softmaxes averaged" : ""
    }

    // MARK: Sections

    private var cards: String {
        var figures = [
            ("top-1", percent(evaluation.top1)), ("top-5", percent(evaluation.top5)),
            ("top-1 error", percent(evaluation.top1Error)), ("top-5 error", percent(evaluation.top5Error)),
        ]
        if let loss = evaluation.loss { figures.append(("loss", Report.decimal(loss, places: 3))) }
        figures.append(("calibration error", percent(evaluation.calibration.expectedError)))
        figures.append(("images", Report.grouped(evaluation.images)))
        if evaluation.excluded > 0 { figures.append(("could not be read", Report.grouped(evaluation.excluded))) }
        if evaluation.leftOut > 0 { figures.append(("left out as listed", Report.grouped(evaluation.leftOut))) }
        let cards = figures.map { "<div class=\"card\"><b>\($0.1)</b><span>\($0.0)</span></div>" }
        return "<div class=\"cards\">\(cards.joined())</div>\n"
    }

    private var curveSection: String {
        guard curve.count > 1, let first = curve.first?.step, let last = curve.last?.step, last > first else {
            return ""
        }
        let best = curve.max { ($0.top1, $1.step) < ($1.top1, $0.step) }!
        let most = max(0.05, curve.map(\.top1).max()!)
        // The next fifth, or of a low curve the next twenty-fifth: quarters of it are round.
        let top = most > 0.1 ? (most * 5).rounded(.up) / 5 : (most * 25).rounded(.up) / 25
        func x(_ step: Int) -> Double { 50 + 630 * Double(step - first) / Double(last - first) }
        func y(_ share: Double) -> Double { 190 - 170 * share / top }
        let line = curve.map { "\(number(x($0.step))),\(number(y($0.top1)))" }.joined(separator: " ")
        let dots = curve.map {
            "<circle cx=\"\(number(x($0.step)))\" cy=\"\(number(y($0.top1)))\" r=\"\($0 == best ? 5 : 2.5)\">"
                + "<title>step \($0.step): \(percent($0.top1))</title></circle>"
        }
        let grid = (0...4).map { index -> String in
            let share = top * Double(index) / 4
            return "<line x1=\"50\" x2=\"680\" y1=\"\(number(y(share)))\" y2=\"\(number(y(share)))\" class=\"grid\"/>"
                + "<text x=\"44\" y=\"\(number(y(share) + 4))\" class=\"end\">\(Report.decimal(100 * share, places: top < 0.1 ? 1 : 0))%</text>"
        }
        return """
            <h2>Top-1 while training</h2>
            <svg viewBox="0 0 700 220" role="img" aria-label="top-1 by step">\(grid.joined())\
            <polyline points="\(line)" class="line"/>\(dots.joined())\
            <text x="50" y="212">step \(first)</text><text x="680" y="212" class="end">step \(last)</text></svg>
            <p>best: \(percent(best.top1)) at step \(best.step)</p>

            """
    }

    private var classSection: String {
        let rows = evaluation.worstClasses.map { row in
            "<tr><td>\(escaped(row.name))</td><td>\(row.images)</td><td>\(bar(row.recall))</td><td>\(bar(row.precision))</td></tr>\n"
        }
        return """
            <h2>Classes, the worst first</h2>
            <div class="scroll"><table><thead><tr><th>class</th><th>images</th><th>recall</th><th>precision</th></tr></thead>
            <tbody>
            \(rows.joined())</tbody></table></div>

            """
    }

    private var confusionSection: String {
        let names = evaluation.classes
        let worst = evaluation.worstConfusions.prefix(20).map {
            "<tr><td>\(escaped(names[$0.label].name))</td><td>\(escaped(names[$0.predicted].name))</td><td>\($0.images)</td></tr>\n"
        }
        let list =
            worst.isEmpty
            ? "<p>No image was taken for another class.</p>\n"
            : """
            <table><thead><tr><th>class</th><th>was named</th><th>images</th></tr></thead>
            <tbody>
            \(worst.joined())</tbody></table>

            """
        return "<h2>Confusions</h2>\n\(matrix)\(list)"
    }

    /// A row for each class, a column for each class it was named as.
    private var matrix: String {
        let shown = evaluation.classes.filter { $0.images > 0 || $0.precision != nil }
        guard shown.count <= EvaluationPage.mostMatrixClasses else {
            return "<p>A matrix of \(shown.count) classes would not fit; psctl evaluate --json has all of it.</p>\n"
        }
        let counts = Dictionary(
            uniqueKeysWithValues: evaluation.confusion.map { ([$0.label, $0.predicted], $0.images) })
        let head = shown.map { "<th class=\"turned\"><span>\(escaped($0.name))</span></th>" }
        let rows = shown.map { row -> String in
            let cells = shown.map { column -> String in
                guard let count = counts[[row.label, column.label]] else { return "<td></td>" }
                let share = Double(count) / Double(max(row.images, 1))
                let kind = row.label == column.label ? "right" : "wrong"
                let title = "\(row.name) named \(column.name): \(count) of \(row.images)"
                return "<td class=\"\(kind)\" style=\"--share:\(Report.decimal(share, places: 3))\" "
                    + "title=\"\(escaped(title))\">\(count)</td>"
            }
            return "<tr><th>\(escaped(row.name))</th>\(cells.joined())</tr>\n"
        }
        return """
            <div class="scroll"><table class="matrix"><caption>rows: what an image is; columns: what it was named</caption>
            <thead><tr><th></th>\(head.joined())</tr></thead>
            <tbody>
            \(rows.joined())</tbody></table></div>

            """
    }

    private var calibrationSection: String {
        let bins = evaluation.calibration.bins
        let width = 300.0 / Double(bins.count)
        let bars = bins.enumerated().compactMap { index, bin -> String? in
            guard let accuracy = bin.accuracy, let confidence = bin.confidence else { return nil }
            let title =
                "\(bin.images) images named with \(percent(bin.from)) to \(percent(bin.to)): sure by \(percent(confidence)) on "
                + "average, right in \(percent(accuracy))"
            return "<rect x=\"\(number(40 + Double(index) * width + 1))\" y=\"\(number(310 - 300 * accuracy))\" "
                + "width=\"\(number(width - 2))\" height=\"\(number(300 * accuracy))\" class=\"bar\">"
                + "<title>\(title)</title></rect>"
        }
        return """
            <h2>Calibration</h2>
            <p>Of images that were named with a probability of 80%, 80% should be right. Bars above the line: the network is
            too modest; below: too sure. The distance is \(percent(evaluation.calibration.expectedError)) on average.</p>
            <svg viewBox="0 0 360 340" class="square" role="img" aria-label="share that was right by probability">\
            <rect x="40" y="10" width="300" height="300" class="frame"/>\(bars.joined())\
            <line x1="40" y1="310" x2="340" y2="10" class="diagonal"/>\
            <text x="40" y="330">0%</text><text x="340" y="330" class="end">probability 100%</text>\
            <text x="34" y="20" class="end">100%</text><text x="34" y="310" class="end">0%</text></svg>

            """
    }

    private var mistakeSection: String {
        if evaluation.mistakes.isEmpty { return "<h2>Mistakes</h2>\n<p>None.</p>\n" }
        let figures = zip(evaluation.mistakes, pictures).map { mistake, png in
            let (is_, named) = (evaluation.classes[mistake.label].name, evaluation.classes[mistake.predicted].name)
            return """
                <figure><img alt="\(escaped(mistake.file))" title="\(escaped(mistake.file))" \
                width="\(EvaluationPage.thumbnailSize)" height="\(EvaluationPage.thumbnailSize)" \
                src="data:image/png;base64,\(Data(png).base64EncodedString())">\
                <figcaption><b>\(escaped(is_))</b> named <b>\(escaped(named))</b> \(percent(mistake.probability))</figcaption></figure>

                """
        }
        return """
            <h2>The mistakes it was surest of</h2>
            <div class="mistakes">
            \(figures.joined())</div>

            """
    }

    private var excludedSection: String {
        var text = ""
        if evaluation.excluded > 0 {
            let names = evaluation.unreadable.map { "<li>\(escaped($0))</li>" }.joined()
            text += "<h2>\(Report.count(evaluation.excluded, "image")) could not be read</h2>\n<ul>\(names)</ul>\n"
        }
        return text + evaluation.remarks.map { "<p>\(escaped($0))</p>\n" }.joined()
    }

    // MARK: Pieces

    private func percent(_ share: Double) -> String { Report.percent(share) }

    private func number(_ value: Double) -> String { Report.decimal(value, places: 1) }

    private func bar(_ share: Double?) -> String {
        guard let share else { return "-" }
        return "<span class=\"meter\" style=\"--share:\(Report.decimal(share, places: 3))\">\(percent(share))</span>"
    }

    /// Names of files and classes are anybody's.
    private func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case _ where scalar.value < 0x20 || 0x7F...0x9F ~= scalar.value: result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private let style = """

        :root { color-scheme: light dark; --ink: #1c2430; --soft: #667085; --paper: #fff; --line: #d0d5dd; --good: 34, 139, 84; --bad: 200, 60, 50; --accent: #2b6cb0; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --paper: #14181f; --line: #344054; --accent: #6aa9e9; } }
        body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 960px; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.4rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
        .cards { display: flex; flex-wrap: wrap; gap: .8rem; } .card { border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem; }
        .card b { display: block; font-size: 1.35rem; } .card span { color: var(--soft); }
        .scroll { overflow: auto; max-height: 34rem; margin-bottom: 1rem; }
        table { border-collapse: collapse; } td, th { padding: .15rem .6rem; text-align: right; border-bottom: 1px solid var(--line); font-weight: normal; }
        td:first-child, th:first-child { text-align: left; } thead th { color: var(--soft); }
        caption { text-align: left; color: var(--soft); }
        .meter { display: inline-block; min-width: 7.5rem; padding: 0 .4rem; background: linear-gradient(to right, rgba(var(--good), .35) calc(var(--share) * 100%), transparent 0); }
        .matrix td, .matrix th { padding: .1rem .35rem; text-align: center; } .matrix tbody th { text-align: left; white-space: nowrap; }
        .turned { vertical-align: bottom; } .turned span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; max-height: 9rem; overflow: hidden; }
        .right { background: rgba(var(--good), calc(.1 + var(--share) * .6)); } .wrong { background: rgba(var(--bad), calc(.1 + var(--share) * .7)); }
        svg { max-width: 100%; height: auto; display: block; } svg.square { max-width: 360px; } svg text { font-size: 12px; fill: var(--soft); } svg .end { text-anchor: end; }
        .grid, .frame { stroke: var(--line); fill: none; } .line { fill: none; stroke: var(--accent); stroke-width: 2; } circle { fill: var(--accent); }
        .bar { fill: var(--accent); opacity: .75; } .diagonal { stroke: var(--ink); stroke-dasharray: 4; }
        .mistakes { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; width: 136px; overflow-wrap: anywhere; } figcaption { font-size: .82rem; } img { border-radius: 4px; background: #808080; }

        """
}
