// What every form of data set gives: labelled pictures by number, encoded or as pixels.

/// A picture as pixels: `rows` x `columns` of `channels` bytes (1: grey, 3: RGB), row-major.
package struct RawPixels: Sendable, Hashable {
    package let rows: Int
    package let columns: Int
    package let channels: Int
    package let bytes: [UInt8]

    package init(rows: Int, columns: Int, channels: Int, bytes: [UInt8]) {
        precondition(rows > 0 && columns > 0 && (channels == 1 || channels == 3))
        precondition(bytes.count == rows * columns * channels)
        self.rows = rows
        self.columns = columns
        self.channels = channels
        self.bytes = bytes
    }
}

package enum SampleContent: Sendable, Hashable {
    /// The bytes of a picture file; nothing is known of what they hold.
    case encoded([UInt8])
    case pixels(RawPixels)
}

/// Labelled pictures by number, 0..<count. May be used from many threads at once; nothing grows with its use.
package protocol SampleSource: Sendable {
    var count: Int { get }
    /// Names of the classes, by label.
    var classNames: [String] { get }
    /// The label, within `classNames`.
    func label(of sample: Int) throws(DatasetError) -> Int
    /// The sample's name in its set, such as "n01440764/n01440764_10026.JPEG".
    func name(of sample: Int) throws(DatasetError) -> String
    /// The size of what `read` gives.
    func byteCount(of sample: Int) throws(DatasetError) -> Int
    func read(_ sample: Int) throws(DatasetError) -> SampleContent
}
