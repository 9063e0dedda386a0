// What decoding gives and transforms read: a picture of three bytes a pixel.

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
}
