// Bilinear interpolation to floats, mirror, move, TensorFlow's colour operations, values in [-1, 1].

import CPixels
import PSImages
import PSSamples

extension PictureTransform {
    /// What a black byte becomes.
    private static let black: Float = -1

    func writeInterpolated(_ source: PixelRows, _ plan: SamplePlan, _ output: UnsafeMutablePointer<Float>) {
        let covered = fillTables(source, plan)
        let stride = plan.size * Picture.channels
        if covered.rows.count < plan.size || covered.columns.count < plan.size {
            output.update(repeating: PictureTransform.black, count: plan.size * stride)
        }
        guard !covered.rows.isEmpty && !covered.columns.isEmpty else { return }
        let first = output + covered.rows.lowerBound * stride + covered.columns.lowerBound * Picture.channels
        if plan.colourOperations.isEmpty {
            let divisor: Float = plan.resampling == .tensorFlow ? 1 : 255
            withInterpolatedRows(source, plan) { row, upper, lower, weight in
                ps_bilinear_symmetric(
                    first + row * stride, upper, lower, weight, divisor, covered.columns.count * Picture.channels)
            }
        } else {
            precondition(
                plan.resampling == .tensorFlow && covered.rows.count == plan.size
                    && covered.columns.count == plan.size, "colour operations on a picture that has a frame")
            writeColoured(source, plan, output)
        }
    }

    /// Fills the tables with the rows and columns that are not black, and says where these lie in the output.
    private func fillTables(_ source: PixelRows, _ plan: SamplePlan) -> (rows: Range<Int>, columns: Range<Int>) {
        func fill(_ table: inout BilinearTable, length: Int, moved: Int, mirrored: Bool) -> Range<Int> {
            var begin = 0
            switch plan.resampling {
            case .tensorFlow: table.tensorFlow(length: length, count: plan.size)
            case .halfPixel: table.halfPixel(length: length, count: plan.size)
            case .frame:
                table.identity(length: length)
                begin = (plan.size - length) / 2
            case .pillow: preconditionFailure("Pillow's filter is not interpolation")
            }
            if mirrored {
                table.reverse()
                begin = plan.size - begin - table.count
            }
            begin += moved
            let seen = (begin..<begin + table.count).clamped(to: 0..<plan.size)
            // Moved out of sight, a picture is no part of its output.
            guard !seen.isEmpty else { return seen }
            table.keep(seen.lowerBound - begin..<seen.upperBound - begin)
            return seen
        }
        let rows = fill(&verticalBilinear, length: source.rows, moved: plan.down, mirrored: false)
        let columns = fill(&bilinear, length: source.columns, moved: plan.right, mirrored: plan.mirrored)
        return (rows, columns)
    }

    /// Calls `body` for every row of the table with the two rows it is mixed from, interpolated along their columns:
    /// the order of TensorFlow's kernel, columns within rows.
    private func withInterpolatedRows(
        _ source: PixelRows, _ plan: SamplePlan,
        _ body: (
            _ row: Int, _ upper: UnsafePointer<Float>, _ lower: UnsafePointer<Float>, _ weight: Float
        ) -> Void
    ) {
        // TensorFlow converts bytes before it interpolates, with a factor that is rounded.
        let unit: Float = plan.resampling == .tensorFlow ? 1 / 255 : 1
        let width = bilinear.count
        let room = width * Picture.channels + 1
        let memory = floatRows.room(2 * room + 2 * plan.size * Picture.channels)
        // Two rows are kept: a picture that grows asks for the same ones again.
        var kept = (even: -1, odd: -1)
        func interpolated(_ row: Int) -> UnsafePointer<Float> {
            let slot = row & 1
            let place = memory + slot * room
            if (slot == 0 ? kept.even : kept.odd) != row {
                ps_bilinear_row(place, source[row], bilinear.first, bilinear.second, bilinear.weight, unit, width)
                if slot == 0 { kept.even = row } else { kept.odd = row }
            }
            return UnsafePointer(place)
        }
        for row in 0..<verticalBilinear.count {
            let upper = interpolated(Int(verticalBilinear.first[row]))
            let lower = interpolated(Int(verticalBilinear.second[row]))
            body(row, upper, lower, verticalBilinear.weight[row])
        }
    }

    /// Two passes: what comes before the contrast, whose mean needs every pixel, and what comes after.
    private func writeColoured(_ source: PixelRows, _ plan: SamplePlan, _ output: UnsafeMutablePointer<Float>) {
        let size = plan.size
        let stride = size * Picture.channels
        let operations = plan.colourOperations
        let pivot = operations.firstIndex { if case .contrast = $0 { true } else { false } }
        let early = operations[..<(pivot ?? operations.count)]
        let columnSums = sums.room(stride)
        columnSums.update(repeating: 0, count: stride)
        // Between the passes the output's memory holds each row as three planes.
        withInterpolatedRows(source, plan) { row, upper, lower, weight in
            let planes = output + row * stride
            ps_bilinear_planes(planes, upper, lower, weight, size)
            for operation in early { PictureTransform.apply(operation, planes, size) }
            if pivot != nil { ps_add_to_sums(columnSums, planes, size) }
        }
        var late = operations[operations.count...]
        var contrast: (means: [Float], factor: Float)?
        if let pivot, case .contrast(let factor) = operations[pivot] {
            let means = (0..<Picture.channels).map { channel in
                let sum = (0..<size).reduce(0) { $0 + columnSums[channel * size + $1] }
                return Float(sum / Double(size * size))
            }
            contrast = (means, factor)
            late = operations[(pivot + 1)...]
        }
        let planes = floatRows.room(stride)
        for row in 0..<size {
            planes.update(from: output + row * stride, count: stride)
            if let contrast { ps_contrast(planes, contrast.means, contrast.factor, size) }
            for operation in late { PictureTransform.apply(operation, planes, size) }
            ps_planes_to_symmetric(output + row * stride, planes, size)
        }
    }

    private static func apply(_ operation: ColourOperation, _ planes: UnsafeMutablePointer<Float>, _ pixels: Int) {
        switch operation {
        case .brightness(let amount): ps_brightness(planes, amount, pixels)
        case .saturation(let factor):
            precondition(factor >= 0)
            ps_saturation(planes, factor, pixels)
        case .hue(let turns):
            precondition(abs(turns) <= 0.5)
            ps_hue(planes, turns, pixels)
        case .contrast: preconditionFailure("a second contrast in one plan")
        }
    }
}
