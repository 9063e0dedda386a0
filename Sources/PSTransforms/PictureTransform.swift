// From a decoded picture to a network's input, as a plan says.

import CPixels
import PSImages
import PSSamples

/// Carries plans out. Keeps its memory from picture to picture: one for each thread that transforms.
///
/// The same picture and plan give the same bits on every machine.
package final class PictureTransform {
    var bilinear = BilinearTable()
    var verticalBilinear = BilinearTable()
    var columns = TriangleTable()
    var rows = TriangleTable()
    /// The last row of a picture with room behind it: the loops read four bytes for a pixel of three.
    var lastRow = Scratch<UInt8>()
    var floatRows = Scratch<Float>()
    var sums = Scratch<Double>()
    var between = Scratch<UInt8>()
    var bytes = Scratch<UInt8>()
    var otherBytes = Scratch<UInt8>()
    var batchImage = Scratch<Float>()

    package init() {}

    /// The part of a picture that a plan reads, and that must be decoded for it.
    package static func region(of plan: SamplePlan) -> PixelRectangle {
        guard plan.resampling == .pillow else { return plan.crop }
        let crop = plan.crop
        let rows = TriangleTable.support(
            length: crop.rows, count: plan.resampledRows, window: plan.windowRow..<plan.windowRow + plan.size)
        let columns = TriangleTable.support(
            length: crop.columns, count: plan.resampledColumns,
            window: plan.windowColumn..<plan.windowColumn + plan.size)
        return PixelRectangle(
            row: crop.row + rows.lowerBound, column: crop.column + columns.lowerBound, rows: rows.count,
            columns: columns.count)
    }

    /// Writes a network's input, `plan.size` x `plan.size` x 3.
    ///
    /// - Parameter picture: exactly the plan's region of the picture.
    package func write(_ picture: Picture, plan: SamplePlan, to output: UnsafeMutablePointer<Float>) {
        picture.pixels.withUnsafeBufferPointer { pixels in
            write(pixels, rows: picture.rows, columns: picture.columns, plan: plan, to: output)
        }
    }

    /// The same from memory of the caller: `rows` x `columns` x 3 bytes.
    package func write(
        _ pixels: UnsafeBufferPointer<UInt8>, rows: Int, columns: Int, plan: SamplePlan,
        to output: UnsafeMutablePointer<Float>
    ) {
        let region = PictureTransform.region(of: plan)
        precondition(
            rows == region.rows && columns == region.columns && rows > 0 && columns > 0
                && pixels.count >= rows * columns * Picture.channels, "a picture that is not the plan's region")
        let source = PixelRows(pixels: pixels.baseAddress!, rows: rows, columns: columns, lastRow: &lastRow)
        if plan.resampling == .pillow {
            precondition(plan.colourOperations.isEmpty)
            writeFiltered(source, region, plan, output)
        } else {
            precondition(plan.byteOperations.isEmpty && plan.scaling == .symmetric)
            writeInterpolated(source, plan, output)
        }
        if let erased = plan.erased {
            for row in erased.row..<erased.row + erased.rows {
                let begin = output + (row * plan.size + erased.column) * Picture.channels
                begin.update(repeating: 0, count: erased.columns * Picture.channels)
            }
        }
    }
}

/// The rows of a picture, each with at least one readable byte behind it.
struct PixelRows {
    let pixels: UnsafePointer<UInt8>
    let rows: Int
    let columns: Int
    private let last: UnsafePointer<UInt8>

    var stride: Int { columns * Picture.channels }

    init(pixels: UnsafePointer<UInt8>, rows: Int, columns: Int, lastRow: inout Scratch<UInt8>) {
        self.pixels = pixels
        self.rows = rows
        self.columns = columns
        let stride = columns * Picture.channels
        let copy = lastRow.room(stride + 1)
        copy.update(from: pixels + (rows - 1) * stride, count: stride)
        copy[stride] = 0
        last = UnsafePointer(copy)
    }

    subscript(row: Int) -> UnsafePointer<UInt8> { row == rows - 1 ? last : pixels + row * stride }
}
