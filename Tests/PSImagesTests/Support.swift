// What the tests of this target share: the committed pictures, pictures by formula, checksums.

import Foundation
import PSImages
import PSParameters
import PSSamples

/// One line of Fixtures/pictures.json; pictures.py says what its fields are.
struct ReferencePicture: Decodable, Sendable {
    let name: String
    let note: String
    let rows: Int
    let columns: Int
    let plain: UInt32
    let white: UInt32?
    let black: UInt32?
    let turned: UInt32?
    let file: Data

    var bytes: [UInt8] { [UInt8](file) }

    static let all: [ReferencePicture] = {
        let url = Bundle.module.url(forResource: "pictures", withExtension: "json", subdirectory: "Fixtures")!
        return try! JSONDecoder().decode([ReferencePicture].self, from: Data(contentsOf: url))
    }()

    static func named(_ name: String) -> ReferencePicture { all.first { $0.name == name }! }
}

let hasTimeForLongTests = ProcessInfo.processInfo.environment["PS_LONG_TESTS"] == "1"

/// As the reference's `plain` and `turned`, and as its `white`, `black`.
func ignoringAlpha(turned: Bool = false) -> DecodeSettings {
    DecodeSettings(exifOrientation: turned, background: .ignoringAlpha)
}

func over(_ level: UInt8) -> DecodeSettings {
    DecodeSettings(exifOrientation: false, background: .colour(red: level, green: level, blue: level))
}

private let checksumTable: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { rest, _ in rest & 1 == 0 ? rest >> 1 : rest >> 1 ^ 0xEDB8_8320 }
}

/// CRC-32 as zip's.
func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~bytes.reduce(~UInt32(0)) { $0 >> 8 ^ checksumTable[Int(($0 ^ UInt32($1)) & 255)] }
}

/// A picture with slopes, hard edges and some noise.
func drawnPicture(rows: Int, columns: Int, seed: UInt64 = 1) -> Picture {
    let random = CounterRandom(seed: seed, name: "picture")
    let disc = (row: random.integer(0, below: rows), column: random.integer(1, below: columns))
    var pixels: [UInt8] = []
    pixels.reserveCapacity(rows * columns * 3)
    for row in 0..<rows {
        for column in 0..<columns {
            let (y, x) = (row - disc.row, column - disc.column)
            let isInside = y * y + x * x < 144
            for channel in 0..<3 {
                let slope: Int = (3 * row * (channel + 1) + 5 * column * (3 - channel)) % 256
                let place: Int = (row * columns + column) * 3 + channel
                let noise: Int = random.integer(UInt64(place + 2), below: 24)
                pixels.append(UInt8(isInside ? channel * 100 + noise : min(255, slope + noise)))
            }
        }
    }
    return Picture(rows: rows, columns: columns, pixels: pixels)
}

extension Picture {
    func cut(_ part: PixelRectangle) -> Picture {
        var kept: [UInt8] = []
        for row in part.row..<part.row + part.rows {
            let first = (row * columns + part.column) * 3
            kept += pixels[first..<first + part.columns * 3]
        }
        return Picture(rows: part.rows, columns: part.columns, pixels: kept)
    }
}

/// A part of a picture, every third time a small one.
func randomRegion(rows: Int, columns: Int, _ random: CounterRandom, _ draw: UInt64) -> PixelRectangle {
    let isSmall = draw % 3 == 0
    let height = 1 + random.integer(4 * draw, below: isSmall ? min(rows, 9) : rows)
    let width = 1 + random.integer(4 * draw + 1, below: isSmall ? min(columns, 9) : columns)
    return PixelRectangle(
        row: random.integer(4 * draw + 2, below: rows - height + 1),
        column: random.integer(4 * draw + 3, below: columns - width + 1), rows: height, columns: width)
}

/// What decoding complains of, or nil.
func complaint(
    _ bytes: [UInt8], region: PixelRectangle? = nil, _ settings: DecodeSettings = DecodeSettings(),
    _ decoder: PictureDecoder = PictureDecoder()
) -> ImageError? {
    do throws(ImageError) {
        _ = try decoder.decode(bytes, region: region, settings)
        return nil
    } catch {
        return error
    }
}

/// EXIF data, from their TIFF header on, with one entry: the orientation.
func exifBlock(_ orientation: UInt8) -> [UInt8] {
    Array("MM\0*".utf8) + [0, 0, 0, 8, 0, 1] + [1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0] + [0, 0, 0, 0]
}

/// A JPEG with a segment after its first two bytes.
func inserted(_ jpeg: [UInt8], marker: UInt8, _ content: [UInt8]) -> [UInt8] {
    let length = content.count + 2
    return Array(jpeg.prefix(2)) + [0xFF, marker, UInt8(length >> 8), UInt8(length & 255)] + content + jpeg.dropFirst(2)
}

func withOrientation(_ jpeg: [UInt8], _ orientation: UInt8) -> [UInt8] {
    inserted(jpeg, marker: 0xE1, Array("Exif\0\0".utf8) + exifBlock(orientation))
}

/// Where two pictures differ first and by how much at most; nil if they are equal. (Pictures in a failed expectation
/// would be printed whole.)
func difference(_ one: Picture, _ other: Picture) -> String? {
    guard one.rows == other.rows && one.columns == other.columns else {
        return "\(one.rows) x \(one.columns) and \(other.rows) x \(other.columns)"
    }
    let places = one.pixels.indices.filter { one.pixels[$0] != other.pixels[$0] }
    guard let first = places.first else { return nil }
    let most = places.map { abs(Int(one.pixels[$0]) - Int(other.pixels[$0])) }.max()!
    let pixel = first / Picture.channels
    return "\(places.count) bytes, first at row \(pixel / one.columns), column \(pixel % one.columns), by \(most)"
}

// MARK: Chunks of a PNG

func chunk(_ type: String, _ content: [UInt8]) -> [UInt8] {
    let checked = Array(type.utf8) + content
    return bigEndian(content.count) + checked + bigEndian(Int(checksum(checked)))
}

func bigEndian(_ number: Int) -> [UInt8] {
    [UInt8(number >> 24 & 255), UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)]
}

/// A PNG with the right checksums, as far as its chunks can be followed.
func resealed(_ png: [UInt8]) -> [UInt8] {
    var bytes = png
    var at = 8
    while at + 12 <= bytes.count {
        let length = bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
        guard length <= bytes.count - at - 12 else { break }
        let end = at + 8 + length
        bytes.replaceSubrange(end..<end + 4, with: bigEndian(Int(checksum(bytes[at + 4..<end]))))
        at = end + 4
    }
    return bytes
}
