// A network's graph as papers draw it: blocks below each other, their branches side by side.

import PSModel
import PSReport

/// Draws a network's table as a self-contained SVG for light and dark pages.
package struct ModelPicture {
    /// A row's place: column and line within its block.
    private struct Place {
        var column: Double
        var line: Int
    }

    /// Where a row's box lies on the page, and in which block.
    private struct Centre {
        let x: Double
        let top: Double
        let block: Int
        let line: Int
        let blockLeft: Double

        var bottom: Double { top + boxHeight }
    }

    private let rows: [TableRow]
    private let title: String
    private let subtitle: String
    /// Consecutive rows of one block, in the order of the table; heads beside the trunk come where they begin.
    private let blocks: [[Int]]
    private let auxiliaryBlocks: Set<String>

    private static let boxWidth = 150.0
    private static let boxHeight = 34.0
    private static let gapX = 14.0
    private static let gapY = 18.0
    private static let margin = 24.0

    package init(_ description: ModelDescription) {
        let table = description.table
        rows = table
        title = description.network.title
        subtitle =
            "\(description.settings.imageSize) x \(description.settings.imageSize), "
            + "\(Report.grouped(description.parametersWithoutAuxiliary)) parameters, "
            + "\(Report.grouped(description.macs)) multiply-accumulates"
            + (description.heads.count > 1 ? ", auxiliary heads left out" : "")
        auxiliaryBlocks = Set(description.network.auxiliaryHeads)
        var blocks: [[Int]] = []
        for index in table.indices {
            if let last = blocks.last, table[last[0]].group == table[index].group {
                blocks[blocks.count - 1].append(index)
            } else {
                blocks.append([index])
            }
        }
        self.blocks = blocks
    }

    package var svg: String {
        let layouts = blocks.map(layout)
        let widest = layouts.map(\.columns).max() ?? 1
        let hasSide = blocks.contains { isAuxiliary($0) }
        // Room for the title at least.
        let trunk = max(widest * (Self.boxWidth + Self.gapX), 620)
        let sideLeft = Self.margin + trunk + 40
        var centres: [Int: Centre] = [:]
        var frames: [String] = []
        var boxes: [String] = []
        var y = 84.0
        var sideY = y
        for (index, (block, layout)) in zip(blocks, layouts).enumerated() {
            let isSide = isAuxiliary(block)
            let height = Double(layout.lines) * (Self.boxHeight + Self.gapY)
            // A head beside the trunk begins below what it reads.
            let read = isSide ? rows[block[0]].inputs.first.flatMap { centres[$0] } : nil
            let top = isSide ? max(sideY, (read?.bottom ?? y) + Self.gapY) : y
            let width = layout.columns * (Self.boxWidth + Self.gapX)
            let left = isSide ? sideLeft : Self.margin + (trunk - width) / 2
            if block.count > 1 {
                frames.append(frame(rows[block[0]].group, x: left - 6, y: top - 13, width: width, height: height + 4))
            }
            for row in block {
                let place = layout.places[row]!
                let x = left + place.column * (Self.boxWidth + Self.gapX)
                let boxTop = top + Double(place.line) * (Self.boxHeight + Self.gapY)
                centres[row] = Centre(
                    x: x + Self.boxWidth / 2, top: boxTop, block: index, line: place.line, blockLeft: left - 12)
                boxes.append(box(rows[row], x: x, y: boxTop))
            }
            if isSide { sideY = top + height + Self.gapY } else { y = top + height + (block.count > 1 ? Self.gapY : 0) }
        }
        var arrows: [String] = []
        for (index, row) in rows.enumerated() {
            for input in row.inputs { arrows.append(arrow(centres[input]!, centres[index]!)) }
        }
        let width = Self.margin * 2 + trunk + (hasSide ? Self.boxWidth + 60 : 0)
        let height = max(y, sideY) + Self.margin
        return ([head(width: width, height: height)] + frames + arrows + boxes + ["</svg>\n"]).joined(separator: "\n")
    }

    private func isAuxiliary(_ block: [Int]) -> Bool { auxiliaryBlocks.contains(rows[block[0]].block) }

    // MARK: layout

    /// Lines by the longest way from the block's inputs; a row stands below its first input unless another does already.
    private func layout(_ block: [Int]) -> (places: [Int: Place], columns: Double, lines: Int) {
        let inside = Set(block)
        var places: [Int: Place] = [:]
        var columns = 0
        var continued: Set<Int> = []
        for row in block {
            let inputs = rows[row].inputs.filter(inside.contains)
            let line = (inputs.map { places[$0]!.line }.max() ?? -1) + 1
            let column: Double
            if inputs.count > 1 {
                // What joins branches stands in the middle of them.
                column = inputs.reduce(0) { $0 + places[$1]!.column } / Double(inputs.count)
            } else if let input = inputs.first, continued.insert(input).inserted {
                column = places[input]!.column
            } else {
                column = Double(columns)
                columns += 1
            }
            places[row] = Place(column: column, line: line)
        }
        return (places, Double(max(columns, 1)), (places.values.map(\.line).max() ?? 0) + 1)
    }

    // MARK: shapes

    private func head(width: Double, height: Double) -> String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(number(width)) \(number(height))" width="\(number(width))" \
        height="\(number(height))" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="10.5">
        <title>\(escaped(title))</title>
        <style>
        .page { fill: #ffffff } text { fill: #1f2328 } .quiet { fill: #59636e } .frame { fill: #f6f8fa; stroke: #d1d9e0 }
        .convolution { fill: #dbe9fb; stroke: #3b7dd8 } .pool { fill: #fdebd9; stroke: #e0892e }
        .join { fill: #e3f4e7; stroke: #3fa45b } .other { fill: #f3e3f7; stroke: #b05fc4 }
        .arrow { stroke: #59636e; fill: none } .tip { fill: #59636e }
        @media (prefers-color-scheme: dark) {
        .page { fill: #0d1117 } text { fill: #f0f6fc } .quiet { fill: #9198a1 } .frame { fill: #151b23; stroke: #3d444d }
        .convolution { fill: #12294a } .pool { fill: #45290c } .join { fill: #12351c } .other { fill: #35173d }
        .arrow { stroke: #9198a1 } .tip { fill: #9198a1 }
        }
        </style>
        <defs><marker id="tip" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">\
        <path class="tip" d="M0 0L6 3L0 6z"/></marker></defs>
        <rect class="page" width="\(number(width))" height="\(number(height))"/>
        <text x="\(number(Self.margin))" y="30" font-size="18" font-weight="600">\(escaped(title))</text>
        <text class="quiet" x="\(number(Self.margin))" y="50" font-size="12">\(escaped(subtitle))</text>
        """
    }

    private func frame(_ name: String, x: Double, y: Double, width: Double, height: Double) -> String {
        """
        <rect class="frame" x="\(number(x))" y="\(number(y))" width="\(number(width))" height="\(number(height))" rx="6"/>
        <text class="quiet" x="\(number(x + width - 6))" y="\(number(y + 9))" text-anchor="end" font-size="9">\
        \(escaped(name))</text>
        """
    }

    private func box(_ row: TableRow, x: Double, y: Double) -> String {
        let style =
            switch row.kind {
            case let kind where kind.contains("convolution") || kind == "dense": "convolution"
            case let kind where kind.contains("pool"): "pool"
            case let kind where kind == "concat" || kind.hasPrefix("sum"): "join"
            default: "other"
            }
        let shape = "\(row.output.height) x \(row.output.width) x \(row.output.channels)"
        let centre = number(x + Self.boxWidth / 2)
        return """
            <g><title>\(escaped(row.name))</title><rect class="\(style)" x="\(number(x))" y="\(number(y))" \
            width="\(number(Self.boxWidth))" height="\(number(Self.boxHeight))" rx="4"/>
            <text x="\(centre)" y="\(number(y + 14))" text-anchor="middle">\(escaped(row.kind))</text>
            <text class="quiet" x="\(centre)" y="\(number(y + 27))" text-anchor="middle" font-size="9.5">\(shape)</text></g>
            """
    }

    /// A line between two boxes that passes behind no other.
    private func arrow(_ from: Centre, _ to: Centre) -> String {
        let middle = to.top + Self.boxHeight / 2
        func curve(_ first: (Double, Double), _ second: (Double, Double), _ end: (Double, Double)) -> String {
            "C" + [first, second, end].map { "\(number($0.0)) \(number($0.1))" }.joined(separator: " ")
        }
        func line(_ x: Double, _ y: Double) -> String { "L\(number(x)) \(number(y))" }
        var path = "M\(number(from.x)) \(number(from.bottom))"
        if isAuxiliary(blocks[to.block]), from.block != to.block {
            // Out of the side, where nothing stands, and down into the head.
            let y = from.top + Self.boxHeight / 2
            path = "M\(number(from.x + Self.boxWidth / 2)) \(number(y))" + line(to.x - 12, y)
            path += curve((to.x, y), (to.x, y), (to.x, y + 12)) + line(to.x, to.top)
        } else if to.line == (from.block == to.block ? from.line + 1 : 0) {
            let y = (from.bottom + to.top) / 2
            path += curve((from.x, y), (to.x, y), (to.x, to.top))
        } else if from.block == to.block, abs(from.x - to.x) >= 1 {
            // A branch shorter than others: down its own column.
            let y = to.top - Self.gapY / 2
            path += line(from.x, to.top - Self.gapY) + curve((from.x, y), (to.x, y), (to.x, to.top))
        } else {
            // A shortcut goes round what it leaves out.
            let (side, edge) = (to.blockLeft, to.x - Self.boxWidth / 2)
            path += curve((from.x, from.bottom + 10), (side, from.bottom + 2), (side, from.bottom + 40))
            path += line(side, to.top - 30) + curve((side, middle), (edge - 30, middle), (edge, middle))
        }
        return "<path class=\"arrow\" marker-end=\"url(#tip)\" d=\"\(path)\"/>"
    }

    private func number(_ value: Double) -> String { Report.decimal(value, places: 1) }

    private func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}

extension TableRow {
    /// The block it is drawn in: what stands before the last part of the name that numbers or names a branch.
    fileprivate var group: String {
        let parts = name.split(separator: ".")
        // "features.4.branch0.1" and "repeat_1.3.conv2d": the module's number belongs to the block.
        if parts.count > 1, Int(parts[1]) != nil { return parts.prefix(2).joined(separator: ".") }
        return block
    }
}
