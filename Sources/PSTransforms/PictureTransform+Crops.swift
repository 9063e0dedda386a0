// Several crops of one picture: it is resampled to squares of bytes, and each square to its crops.

import PSImages
import PSSamples

extension PictureTransform {
    /// The part of a picture that all squares together read, and that must be decoded for them.
    package static func region(of squares: [CropSquare]) -> PixelRectangle {
        let parts = squares.map { region(of: $0.plan) }
        let row = parts.map(\.row).min() ?? 0
        let column = parts.map(\.column).min() ?? 0
        return PixelRectangle(
            row: row, column: column, rows: (parts.map { $0.row + $0.rows }.max() ?? 0) - row,
            columns: (parts.map { $0.column + $0.columns }.max() ?? 0) - column)
    }

    /// Writes the crops of all squares one after the other, each as `write(_:plan:to:)` would.
    ///
    /// - Parameter picture: exactly the squares' region of the picture.
    package func write(_ picture: Picture, squares: [CropSquare], to output: UnsafeMutablePointer<Float>) {
        let region = PictureTransform.region(of: squares)
        precondition(
            picture.rows == region.rows && picture.columns == region.columns,
            "a picture that is not the squares' region")
        var next = output
        for square in squares {
            var part = PictureTransform.region(of: square.plan)
            part.row -= region.row
            part.column -= region.column
            let bytes = resample(picture.part(part), plan: square.plan)
            for crop in square.crops {
                write(bytes.part(PictureTransform.region(of: crop)), plan: crop, to: next)
                next += crop.size * crop.size * Picture.channels
            }
        }
    }

    /// The plan's window of the resampled picture, in bytes.
    ///
    /// - Parameter picture: exactly the plan's region of the picture.
    private func resample(_ picture: Picture, plan: SamplePlan) -> Picture {
        precondition(plan.resampling == .pillow && plan.byteOperations.isEmpty && plan.down == 0 && plan.right == 0)
        let stride = plan.size * Picture.channels
        let pixels = picture.pixels.withUnsafeBufferPointer { pixels in
            let source = PixelRows(
                pixels: pixels.baseAddress!, rows: picture.rows, columns: picture.columns, lastRow: &lastRow)
            // Each row is written with one byte more, which the next one's takes the place of.
            return [UInt8](unsafeUninitializedCapacity: plan.size * stride + 1) { output, count in
                filter(source, PictureTransform.region(of: plan), plan) { row, write in
                    write(output.baseAddress! + row * stride)
                }
                count = plan.size * stride
            }
        }
        return Picture(rows: plan.size, columns: plan.size, pixels: pixels)
    }
}
