// What every data set gives: labelled images by number.

/// One decoded image: `rows` x `columns` pixels of `channels` bytes (1: grey, 3: RGB), row-major.
package struct PixelImage: Sendable {
    package let rows: Int
    package let columns: Int
    package let channels: Int
    package let pixels: ArraySlice<UInt8>

    package init(rows: Int, columns: Int, channels: Int, pixels: ArraySlice<UInt8>) {
        precondition(rows > 0 && columns > 0 && (channels == 1 || channels == 3))
        precondition(pixels.count == rows * columns * channels)
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.pixels = pixels
    }
}

/// A set of labelled images; images may differ in size, and reading one may fail.
package protocol ImageSource: Sendable {
    var count: Int { get }
    /// Names of the classes, by label.
    var classNames: [String] { get }
    /// The label, within `classNames`, of sample 0..<count.
    func label(of sample: Int) -> Int
    func image(of sample: Int) throws(DataError) -> PixelImage
}
