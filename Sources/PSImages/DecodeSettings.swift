// How pictures are decoded, and what is known of one before it is.

/// How pictures are decoded.
package struct DecodeSettings: Sendable, Hashable {
    /// What is under a picture's transparent parts.
    package enum Background: Sendable, Hashable {
        /// This colour: each value is round((value * alpha + colour * (255 - alpha)) / 255).
        case colour(red: UInt8, green: UInt8, blue: UInt8)
        /// Alpha is dropped and the colours are taken as they are stored, as Pillow's `convert("RGB")` does.
        case ignoringAlpha

        package static let white = Background.colour(red: 255, green: 255, blue: 255)
    }

    /// In which resolution a JPEG is decoded; other formats are decoded in theirs.
    package enum Resolution: Sendable, Hashable {
        /// Its own: equal to Pillow bit for bit.
        case exact
        /// A half, a quarter or an eighth, the smallest at which the region still has at least `rows` x `columns`
        /// pixels; its own if the half is too small. The inverse transform itself gives the smaller picture.
        case scaled(rows: Int, columns: Int)
    }

    /// Whether a picture is turned as its EXIF data say, as Pillow's `ImageOps.exif_transpose` does.
    package var exifOrientation = true
    package var background = Background.white
    /// Larger pictures are refused. The default is Pillow's.
    package var maxPixels = 178_956_970
    package var resolution = Resolution.exact

    package init(
        exifOrientation: Bool = true, background: Background = .white, maxPixels: Int = 178_956_970,
        resolution: Resolution = .exact
    ) {
        self.exifOrientation = exifOrientation
        self.background = background
        self.maxPixels = maxPixels
        self.resolution = resolution
    }
}

/// What a picture's header says.
package struct PictureInfo: Sendable, Hashable {
    package let format: ImageFormat
    /// The size as decoding gives it: after turning, if the settings want it.
    package let rows: Int
    package let columns: Int
    /// What the EXIF data say, whether the settings want it or not.
    package let orientation: Orientation
    package let isGrey: Bool
    package let hasAlpha: Bool
    /// Of a sample as it is stored, or of an entry's number in a palette.
    package let bits: Int
    /// A JPEG in scans of growing detail, an interlaced PNG.
    package let isProgressive: Bool
}
