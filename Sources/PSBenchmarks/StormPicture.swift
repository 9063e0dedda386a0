// A storm as a picture: the steps over time beside those of a calm job, the kills on the curve, the workers alive below.

import PSMessages
import PSParameters
import PSReport

struct StormPicture {
    let history: StormHistory
    let calm: StormHistory
    let title: String
    /// Lines of text.
    let figures: [String]

    private static let colours: [Role: String] = [.worker: "#e0892e", .server: "#d1242f", .coordinator: "#8250df"]
    private static let storm = "#3b7dd8"
    private static let quiet = "#8a8f98"
    private static let width = 1000.0
    private static let margin = 16.0
    private static let left = 70.0
    private static let plotHeight = 340.0
    private static let aliveHeight = 70.0

    var svg: String {
        let top = 60 + 16 * Double(figures.count) + 40
        let bottom = top + StormPicture.plotHeight
        let height = bottom + 60 + StormPicture.aliveHeight + 40
        let longest = max(history.duration, calm.duration)
        let steps = Double((history.moments.last?.version ?? 0).commits(since: history.first))
        let right = StormPicture.width - StormPicture.margin
        let across = (right - StormPicture.left) / max(longest, 1e-9)
        let up = StormPicture.plotHeight / max(steps, 1)
        func x(_ time: Double) -> Double { StormPicture.left + time * across }
        func y(_ version: Version) -> Double { bottom - Double(version.commits(since: history.first)) * up }
        var parts = [SVG.text(title, x: StormPicture.margin, y: 28, size: 18, weight: "600")]
        parts += figures.enumerated().map {
            SVG.text($1, x: StormPicture.margin, y: 50 + 16 * Double($0), style: "quiet")
        }
        parts += legend(y: top - 24)
        let seconds = SVG.interval(longest)
        for time in stride(from: 0, through: longest, by: seconds) {
            parts.append(SVG.line(x1: x(time), y1: top, x2: x(time), y2: bottom))
            parts.append(
                SVG.text(
                    "\(Report.decimal(time, places: seconds < 1 ? 1 : 0)) s", x: x(time), y: bottom + 16,
                    anchor: "middle",
                    style: "quiet"))
        }
        let step = SVG.interval(steps)
        for value in stride(from: 0, through: steps, by: step) {
            parts.append(SVG.line(x1: StormPicture.left, y1: bottom - value * up, x2: right, y2: bottom - value * up))
            parts.append(
                SVG.text(
                    "\(Int(value))", x: StormPicture.left - 8, y: bottom - value * up + 4, anchor: "end", style: "quiet"
                ))
        }
        parts.append(SVG.text("steps", x: StormPicture.margin, y: top - 6, style: "quiet"))
        let common = max(history.first, calm.first)
        let shift = calm.seconds(from: calm.first, to: common) - history.seconds(from: history.first, to: common)
        parts.append(
            SVG.curve(
                calm.moments.filter { $0.version >= common }.map { (x(max(0, $0.time - shift)), y($0.version)) },
                colour: StormPicture.quiet, isDashed: true))
        parts.append(SVG.curve(history.moments.map { (x($0.time), y($0.version)) }, colour: StormPicture.storm))
        for kill in history.kills {
            let version = history.moments.last { $0.time <= kill.time }?.version ?? history.first
            let isWorker = kill.role == .worker
            parts.append(
                SVG.circle(
                    x: x(kill.time), y: y(version), radius: isWorker ? 2.2 : 4,
                    colour: StormPicture.colours[kill.role]!,
                    tip: "a \(kill.role.name) is killed after \(Report.decimal(kill.time, places: 1)) s"))
        }
        parts += alive(top: bottom + 60, x)
        return SVG.page(width: StormPicture.width, height: height, title: title, parts)
    }

    private func legend(y: Double) -> [String] {
        var parts: [String] = []
        var left = StormPicture.left
        func entry(_ text: String, _ colour: String) {
            parts.append(SVG.rectangle(x: left, y: y - 10, width: 12, height: 12, colour: colour))
            parts.append(SVG.text(text, x: left + 17, y: y))
            left += 32 + 6.4 * Double(text.count)
        }
        entry("steps committed", StormPicture.storm)
        entry("the calm job", StormPicture.quiet)
        for role in [Role.worker, .server, .coordinator] where history.kills.contains(where: { $0.role == role }) {
            entry("\(role.name) killed", StormPicture.colours[role]!)
        }
        return parts
    }

    private func alive(top: Double, _ x: (Double) -> Double) -> [String] {
        let most = max(1, history.moments.map(\.alive).max() ?? 1)
        let bottom = top + StormPicture.aliveHeight
        func y(_ count: Int) -> Double { bottom - StormPicture.aliveHeight * Double(count) / Double(most) }
        return [
            SVG.text("workers alive", x: StormPicture.margin, y: top - 10, style: "quiet"),
            SVG.text("\(most)", x: StormPicture.left - 8, y: top + 4, anchor: "end", style: "quiet"),
            SVG.text("0", x: StormPicture.left - 8, y: bottom + 4, anchor: "end", style: "quiet"),
            SVG.line(x1: StormPicture.left, y1: bottom, x2: StormPicture.width - StormPicture.margin, y2: bottom),
            SVG.curve(history.moments.map { (x($0.time), y($0.alive)) }, colour: StormPicture.colours[.worker]!),
        ]
    }
}
