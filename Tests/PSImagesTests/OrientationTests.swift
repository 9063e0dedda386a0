// EXIF and XMP: every place an orientation may be in, and what is in the way of trusting them.

import PSImages
import PSParameters
import PSSamples
import Testing

private func orientation(_ bytes: [UInt8]) throws -> Int {
    try PictureDecoder().probe(bytes).orientation.rawValue
}

private let jpeg = try! drawnPicture(rows: 9, columns: 14).jpeg(quality: 80)

private func jpeg(exif: [UInt8]) -> [UInt8] { inserted(jpeg, marker: 0xE1, Array("Exif\0\0".utf8) + exif) }

@Test func orientationsOfEveryFormat() throws {
    let png = try drawnPicture(rows: 9, columns: 14).png()
    for value in UInt8(1)...8 {
        #expect(try orientation(withOrientation(jpeg, value)) == Int(value))
        #expect(try orientation(png[..<33] + chunk("eXIf", exifBlock(value)) + png[33...]) == Int(value))
        // Pillow reads one after the data too.
        #expect(try orientation(png.dropLast(12) + chunk("eXIf", exifBlock(value)) + png.suffix(12)) == Int(value))
    }
    let info = try PictureDecoder().probe(withOrientation(jpeg, 6))
    #expect(info.rows == 14 && info.columns == 9)
    let stored = try PictureDecoder().probe(withOrientation(jpeg, 6), DecodeSettings(exifOrientation: false))
    #expect(stored.rows == 9 && stored.columns == 14 && stored.orientation == .turnedRight)
}

@Test func turningIsDoneByHand() throws {
    // A picture of two rows and three columns, whose red values are 1...6.
    let pixels: [UInt8] = (1...6).flatMap { [UInt8($0), 0, 0] as [UInt8] }
    let png = try Picture(rows: 2, columns: 3, pixels: pixels).png()
    let shown: [[UInt8]] = [
        [1, 2, 3, 4, 5, 6], [3, 2, 1, 6, 5, 4], [6, 5, 4, 3, 2, 1], [4, 5, 6, 1, 2, 3], [1, 4, 2, 5, 3, 6],
        [4, 1, 5, 2, 6, 3], [6, 3, 5, 2, 4, 1], [3, 6, 2, 5, 1, 4],
    ]
    for value in 1...8 {
        let bytes = png[..<33] + chunk("eXIf", exifBlock(UInt8(value))) + png[33...]
        let picture = try PictureDecoder().decode(Array(bytes))
        #expect(stride(from: 0, to: 18, by: 3).map { picture.pixels[$0] } == shown[value - 1])
        #expect(picture.rows == (value < 5 ? 2 : 3))
    }
}

@Test func wrongExifIsNoOrientation() throws {
    let sound = exifBlock(6)
    #expect(try orientation(jpeg(exif: sound)) == 6)
    // Values that mean nothing.
    for value: UInt8 in [0, 9, 255] { #expect(try orientation(jpeg(exif: exifBlock(value))) == 1) }
    // Every byte of it changed, every length: never a trap.
    for place in sound.indices {
        for value in [0, 1, 0x7F, 0x80, 0xFF] as [UInt8] {
            var exif = sound
            exif[place] = value
            _ = try orientation(jpeg(exif: exif))
        }
        _ = try orientation(jpeg(exif: Array(sound.prefix(place))))
    }
    // Types of whole numbers: bytes (1) are text to Pillow.
    for (type, value) in [
        (1, [6, 0, 0, 0]), (3, [0, 6, 0, 0]), (4, [0, 0, 0, 6]), (6, [6, 0, 0, 0]), (8, [0, 6, 0, 0]),
        (9, [0, 0, 0, 6]), (7, [0, 0, 0, 6]), (5, [0, 0, 0, 6]),
    ] as [(UInt8, [UInt8])] {
        var exif = sound
        exif[13] = type
        exif.replaceSubrange(18..<22, with: value)
        #expect(try orientation(jpeg(exif: exif)) == ([3, 4, 6, 8, 9].contains(type) ? 6 : 1), "type \(type)")
    }
    for count: UInt8 in [1, 2, 3] {
        var exif = sound
        exif[17] = count
        // Three do not fit into the entry: what is there is where they are.
        #expect(try orientation(jpeg(exif: exif)) == (count < 3 ? 6 : 1))
    }
    // A directory that lies outside, one that goes on behind the end, a value of another type.
    for (place, value) in [(4, 0xFF), (7, 0xF0), (8, 0xFF), (13, 2), (13, 0xFF), (17, 0)] as [(Int, UInt8)] {
        var exif = sound
        exif[place] = value
        #expect(try orientation(jpeg(exif: exif)) == (place == 8 ? 6 : 1), "\(place)")
    }
}

@Test func exifBeforeXMP() throws {
    func xmp(_ text: String) -> [UInt8] { Array("http://ns.adobe.com/xap/1.0/\0<x \(text)</x>".utf8) }
    let attribute = xmp("tiff:Orientation=\"3\"/>")
    let element = xmp("><tiff:Orientation>8</tiff:Orientation>")
    #expect(try orientation(inserted(jpeg, marker: 0xE1, attribute)) == 3)
    #expect(try orientation(inserted(jpeg, marker: 0xE1, element)) == 8)
    #expect(try orientation(withOrientation(inserted(jpeg, marker: 0xE1, attribute), 6)) == 6)
    // A value that means nothing is one all the same.
    #expect(try orientation(withOrientation(inserted(jpeg, marker: 0xE1, attribute), 0)) == 1)
    for text in ["tiff:Orientation", "tiff:Orientation=\"", "tiff:Orientation=3", "tiff:Orientation>x"] {
        #expect(try orientation(inserted(jpeg, marker: 0xE1, xmp(text))) == 1)
    }
}
