// What decoding gives and transforms read: a picture of three bytes a pixel.

import PSSamples

/// A decoded picture: `rows` x `columns` x 3 bytes, red, green, blue, row-major.
package struct Picture: Sendable, Hashable {
    package static let channels = 3

    package let rows: Int
    package let columns: Int
    package let pixels: [UInt8]

    package init(rows: Int, columns: Int, pixels: [UInt8]) {
        precondition(rows > 0 && columns > 0 && pixels.count == rows * columns * Picture.channels)
        self.rows = rows
        self.columns = columns
        self.pixels = pixels
    }
    /// The pixels of a part of it.
    package func part(_ region: PixelRectangle) -> Picture {
        if region == PixelRectangle(row: 0, column: 0, rows: rows, columns: columns) { return self }
        var part: [UInt8] = []
        part.reserveCapacity(region.rows * region.columns * Picture.channels)
        for row in region.row..<region.row + region.rows {
            let first = (row * columns + region.column) * Picture.channels
            part += pixels[first..<first + region.columns * Picture.channels]
        }
        return Picture(rows: region.rows, columns: region.columns, pixels: part)
    }
}
