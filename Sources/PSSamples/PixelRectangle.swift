// A part of a picture, in whole pixels.

/// Rows `row..<row + rows` and columns `column..<column + columns` of a picture.
package struct PixelRectangle: Sendable, Hashable, Codable {
    package var row: Int
    package var column: Int
    package var rows: Int
    package var columns: Int

    package init(row: Int, column: Int, rows: Int, columns: Int) {
        self.row = row
        self.column = column
        self.rows = rows
        self.columns = columns
    }
}
