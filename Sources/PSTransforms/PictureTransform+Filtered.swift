// Pillow's filter to bytes, mirror, move, Pillow's operations on bytes, mean and deviation.

import CPixels
import PSImages
import PSSamples

extension PictureTransform {
    /// ImageNet's mean and deviation for values in 0...1, as torchvision gives them.
    package static let imageNetMean: [Float] = [0.485, 0.456, 0.406]
    package static let imageNetDeviation: [Float] = [0.229, 0.224, 0.225]

    /// With these for mean and deviation a byte v becomes (v/255 - 0.5) * 2, to the bit: dividing by 0.5 is exact.
    private static let halves: [Float] = [0.5, 0.5, 0.5]

    func writeFiltered(
        _ source: PixelRows, _ region: PixelRectangle, _ plan: SamplePlan, _ output: UnsafeMutablePointer<Float>
    ) {
        let stride = plan.size * Picture.channels
        let (mean, deviation) =
            switch plan.scaling {
            case .imageNet: (PictureTransform.imageNetMean, PictureTransform.imageNetDeviation)
            case .symmetric: (PictureTransform.halves, PictureTransform.halves)
            }
        func normalise(_ bytes: UnsafePointer<UInt8>, _ values: UnsafeMutablePointer<Float>, _ pixels: Int) {
            ps_bytes_to_normalised(values, bytes, mean, deviation, pixels)
        }
        var operations = plan.byteOperations
        // A move is what the operation of that name does.
        if plan.down != 0 { operations.insert(.moveRows(plan.down), at: 0) }
        if plan.right != 0 { operations.insert(.moveColumns(plan.right), at: 0) }
        if operations.isEmpty {
            let row = bytes.room(stride + 1)
            filter(source, region, plan) { index, write in
                write(row)
                normalise(row, output + index * stride, plan.size)
            }
        } else {
            var picture = bytes.room(plan.size * stride + 1)
            var other = otherBytes.room(plan.size * stride + 1)
            filter(source, region, plan) { index, write in write(picture + index * stride) }
            for operation in operations {
                ByteOperations.apply(operation, &picture, &other, size: plan.size)
            }
            normalise(picture, output, plan.size * plan.size)
        }
    }

    /// Calls `body` for every row of the result with what writes that row, `size` x 3 bytes and one more.
    func filter(
        _ source: PixelRows, _ region: PixelRectangle, _ plan: SamplePlan,
        _ body: (_ row: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Void) -> Void
    ) {
        let size = plan.size
        let crop = plan.crop
        let window = (
            rows: plan.windowRow..<plan.windowRow + size, columns: plan.windowColumn..<plan.windowColumn + size
        )
        rows.fill(
            length: crop.rows, count: plan.resampledRows, window: window.rows, origin: region.row - crop.row,
            available: source.rows)
        columns.fill(
            length: crop.columns, count: plan.resampledColumns, window: window.columns,
            origin: region.column - crop.column, available: source.columns)
        if plan.mirrored { columns.reverse() }
        if PictureTransform.rowsFirst(plan) {
            let row = between.room(source.stride + 1)
            row[source.stride] = 0
            for index in 0..<size {
                filterRows(source.pixels, stride: source.stride, index, row)
                body(index) { place in filterColumns(row, place) }
            }
        } else {
            let stride = size * Picture.channels
            let memory = between.room(source.rows * stride + 1)
            for row in 0..<source.rows { filterColumns(source[row], memory + row * stride) }
            for row in 0..<size {
                body(row) { place in
                    filterRows(UnsafePointer(memory), stride: stride, row, place)
                }
            }
        }
    }

    /// Which side is resampled first makes a byte's difference. Pillow 13 takes the rows first where they shrink by more
    /// than twice what the columns do; before, Pillow always took the columns first.
    private static func rowsFirst(_ plan: SamplePlan) -> Bool {
        let fewer = (rows: plan.crop.rows - plan.resampledRows, columns: plan.crop.columns - plan.resampledColumns)
        return fewer.rows > 0 && fewer.rows > 2 * fewer.columns
    }

    private func filterColumns(_ row: UnsafePointer<UInt8>, _ output: UnsafeMutablePointer<UInt8>) {
        ps_filter_columns(output, row, columns.first, columns.weight, columns.taps, columns.first.count)
    }

    private func filterRows(
        _ pixels: UnsafePointer<UInt8>, stride: Int, _ row: Int, _ output: UnsafeMutablePointer<UInt8>
    ) {
        rows.weight.withUnsafeBufferPointer { weights in
            ps_filter_rows(
                output, pixels + Int(rows.first[row]) * stride, stride, weights.baseAddress! + row * rows.taps,
                rows.taps, stride)
        }
    }
}
