// The layers of a step as a picture: one bar a layer, its passes side by side, for documents in light and dark.

import Foundation
import PSReport

/// Draws a `LayerReport` as a self-contained SVG.
package struct LayerPicture {
    private let report: LayerReport
    private let title: String
    private let speed: String

    private static let colours = [
        "weights": "#8a8f98", "forward": "#3b7dd8", "data gradient": "#e0892e", "weight gradient": "#3fa45b",
        "norm": "#b05fc4",
    ]
    private static let width = 1000.0
    private static let rowHeight = 15.0
    private static let nameWidth = 190.0
    private static let labelWidth = 230.0
    private static let margin = 16.0

    /// - Parameters:
    ///   - title: what was measured.
    ///   - speed: how fast it was.
    package init(report: LayerReport, title: String, speed: String) {
        self.report = report
        self.title = title
        self.speed = speed
    }

    package var svg: String {
        let layers = report.layers
        let top = 136.0
        let height = top + Double(layers.count) * LayerPicture.rowHeight + 2 * LayerPicture.margin
        var parts = [
            SVG.text(title, x: LayerPicture.margin, y: 28, size: 18, weight: "600"),
            SVG.text(speed, x: LayerPicture.margin, y: 48, size: 13),
            SVG.text(report.efficiency, x: LayerPicture.margin, y: 66, style: "quiet"),
        ]
        parts += legend(y: 92)
        let left = LayerPicture.margin + LayerPicture.nameWidth
        let right = LayerPicture.width - LayerPicture.margin - LayerPicture.labelWidth
        let longest = layers.map(\.milliseconds).max() ?? 0
        let (interval, end) = LayerPicture.axis(longest)
        let scale = (right - left) / end
        parts += axis(interval: interval, end: end, left: left, scale: scale, top: top, bottom: height - 16)
        for (index, layer) in layers.enumerated() {
            parts += bar(layer, y: top + Double(index) * LayerPicture.rowHeight, left: left, scale: scale)
        }
        return SVG.page(width: LayerPicture.width, height: height, title: title, parts)
    }

    /// The passes' colours and what each takes of the step.
    private func legend(y: Double) -> [String] {
        let column = (LayerPicture.width - 2 * LayerPicture.margin) / 6
        var entries = report.passes.map {
            (name: $0.name, colour: LayerPicture.colours[$0.name], milliseconds: $0.milliseconds, share: $0.share)
        }
        entries.append(
            ("outside the layers", nil, report.otherMilliseconds, report.otherMilliseconds / report.stepMilliseconds))
        return entries.enumerated().flatMap { index, entry -> [String] in
            let x = LayerPicture.margin + Double(index) * column
            let figures =
                "\(Report.decimal(entry.milliseconds, places: 0)) ms, "
                + "\(Report.decimal(100 * entry.share, places: 1))%"
            let square = entry.colour.map { [SVG.rectangle(x: x, y: y - 10, width: 12, height: 12, colour: $0)] } ?? []
            let indent = square.isEmpty ? 0.0 : 17
            return square
                + [
                    SVG.text(entry.name, x: x + indent, y: y),
                    SVG.text(figures, x: x + indent, y: y + 14, style: "quiet"),
                ]
        }
    }

    /// Where lines are drawn, and the axis' end.
    package static func axis(_ longest: Double) -> (interval: Double, end: Double) {
        (SVG.interval(longest), longest > 0 ? longest : 1)
    }

    private func axis(
        interval: Double, end: Double, left: Double, scale: Double, top: Double, bottom: Double
    ) -> [String] {
        stride(from: 0, through: end, by: interval).flatMap { value -> [String] in
            let x = left + value * scale
            let unit = value == 0 ? " ms" : ""
            let label = value == value.rounded() ? "\(Int(value))" : "\(Report.decimal(value, places: 2))"
            return [
                SVG.line(x1: x, y1: top - 4, x2: x, y2: bottom),
                SVG.text(label + unit, x: x, y: top - 9, anchor: "middle", style: "quiet"),
            ]
        }
    }

    private func bar(_ layer: LayerReport.Layer, y: Double, left: Double, scale: Double) -> [String] {
        let base = y + 11
        var parts = [SVG.text(layer.label, x: left - 6, y: base, anchor: "end")]
        var x = left
        for pass in report.passes.map(\.name) {
            for row in layer.rows where row.pass == pass {
                let width = row.milliseconds * scale
                let speed = row.gigaflops.map { ", \(Report.decimal($0, places: 0)) GF/s" } ?? ""
                let tip =
                    "\(layer.name), \(pass), \(row.algorithm): \(Report.decimal(row.milliseconds, places: 2)) ms"
                    + speed
                parts.append(
                    SVG.rectangle(
                        x: x, y: y + 2, width: width, height: LayerPicture.rowHeight - 3,
                        colour: LayerPicture.colours[pass] ?? "#888888", tip: tip))
                x += width
            }
        }
        let speed = layer.gigaflops.map { " · \(Report.decimal($0, places: 0)) GF/s" } ?? ""
        let label = "\(Report.decimal(layer.milliseconds, places: 1)) ms · \(layer.algorithm)" + speed
        parts.append(SVG.text(label, x: x + 6, y: base, style: "quiet"))
        return parts
    }
}
