// Everything that can be wrong with a picture's bytes.

import PSSamples

/// What is wrong with a picture and what to do about it; the caller puts the name of the file before it.
package enum ImageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Not one byte.
    case empty
    /// No known kind of picture begins with these bytes (the first few of them).
    case unknown(beginning: [UInt8])
    /// A known kind that is not read.
    case notRead(kind: String)
    /// The bytes end before the picture does.
    case cutOff(format: ImageFormat, byteCount: Int)
    /// The bytes are not what the format says they should be.
    case damaged(format: ImageFormat, problem: String)
    /// A sound file that uses a part of its format which is not read.
    case unsupported(format: ImageFormat, feature: String)
    /// More pixels than the settings allow.
    case tooLarge(rows: Int, columns: Int, maxPixels: Int)
    /// A region that is not inside the picture.
    case outside(region: PixelRectangle, rows: Int, columns: Int)
    /// The system gave no memory for decoding.
    case noMemory(format: ImageFormat)

    package var description: String {
        switch self {
        case .empty:
            "is empty: copy it anew"
        case .unknown(let beginning):
            "is no picture of a known kind: it begins with the bytes \(ImageError.shown(beginning)); "
                + "JPEG, PNG, WebP, PPM and PGM are read"
        case .notRead(let kind):
            "is \(kind), which is not read: convert it to PNG"
        case .cutOff(let format, let byteCount):
            "is cut off: \(byteCount) bytes of a \(format) whose data go on; copy it anew"
        case .damaged(let format, let problem):
            "is a damaged \(format): \(problem); copy it anew"
        case .unsupported(let format, let feature):
            "is a \(format) of a kind that is not read (\(feature)): convert it to PNG"
        case .tooLarge(let rows, let columns, let maxPixels):
            "has \(rows) rows of \(columns) pixels, \(rows * columns) in all, where at most \(maxPixels) are allowed: "
                + "make it smaller, or allow more"
        case .outside(let region, let rows, let columns):
            "has \(rows) rows of \(columns) pixels, in which rows \(region.row) to \(ImageError.last(region.row, region.rows)), "
                + "columns \(region.column) to \(ImageError.last(region.column, region.columns)) do not lie; "
                + "was the file changed since it was measured?"
        case .noMemory(let format):
            "is a \(format) for which the system has no memory left: allow fewer pixels, or stop something else"
        }
    }

    private static func shown(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    }

    private static func last(_ first: Int, _ count: Int) -> Int { first &+ count &- 1 }
}
