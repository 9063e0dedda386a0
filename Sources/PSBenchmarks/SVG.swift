// Elements of a picture as SVG: self-contained, for documents in light and dark.

import Foundation
import PSReport

enum SVG {
    /// - Parameter parts: elements, in the order in which they are painted.
    static func page(width: Double, height: Double, title: String, _ parts: [String]) -> String {
        let head = """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(number(width)) \(number(height))" \
            font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="11">
            <title>\(escaped(title))</title>
            <style>
            .page { fill: #ffffff } text { fill: #1f2328 } .quiet { fill: #59636e } .line { stroke: #d1d9e0 }
            @media (prefers-color-scheme: dark) {
            .page { fill: #0d1117 } text { fill: #f0f6fc } .quiet { fill: #9198a1 } .line { stroke: #3d444d }
            }
            </style>
            <rect class="page" width="\(number(width))" height="\(number(height))"/>
            """
        return ([head] + parts).joined(separator: "\n") + "\n</svg>\n"
    }

    /// - Parameter tip: shown where a pointer rests on it.
    static func rectangle(
        x: Double, y: Double, width: Double, height: Double, colour: String, tip: String? = nil
    ) -> String {
        let place =
            "x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" height=\"\(number(height))\" "
            + "fill=\"\(colour)\""
        return tip.map { "<rect \(place)><title>\(escaped($0))</title></rect>" } ?? "<rect \(place)/>"
    }

    static func circle(x: Double, y: Double, radius: Double, colour: String, tip: String) -> String {
        "<circle cx=\"\(number(x))\" cy=\"\(number(y))\" r=\"\(number(radius))\" fill=\"\(colour)\">"
            + "<title>\(escaped(tip))</title></circle>"
    }

    /// A line of a grid or axis.
    static func line(x1: Double, y1: Double, x2: Double, y2: Double) -> String {
        "<line class=\"line\" x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\"/>"
    }

    /// A curve through points.
    static func curve(_ points: [(x: Double, y: Double)], colour: String, isDashed: Bool = false) -> String {
        let list = points.map { "\(number($0.x)),\(number($0.y))" }.joined(separator: " ")
        let dash = isDashed ? " stroke-dasharray=\"5 4\"" : ""
        return "<polyline points=\"\(list)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.6\"\(dash)/>"
    }

    static func text(
        _ content: String, x: Double, y: Double, size: Int? = nil, weight: String? = nil, anchor: String? = nil,
        style: String? = nil
    ) -> String {
        var attributes = "x=\"\(number(x))\" y=\"\(number(y))\""
        if let size { attributes += " font-size=\"\(size)\"" }
        if let weight { attributes += " font-weight=\"\(weight)\"" }
        if let anchor { attributes += " text-anchor=\"\(anchor)\"" }
        if let style { attributes += " class=\"\(style)\"" }
        return "<text \(attributes)>\(escaped(content))</text>"
    }

    /// A step between lines of 1, 2 or 5 times a power of ten that gives about eight lines.
    static func interval(_ longest: Double) -> Double {
        guard longest > 0 else { return 1 }
        let rough = longest / 8
        let power = pow(10, floor(log10(rough)))
        return [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough }!
    }

    private static func number(_ value: Double) -> String {
        value == value.rounded() ? "\(Int(value))" : Report.decimal(value, places: 2)
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}
