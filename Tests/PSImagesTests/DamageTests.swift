// Bytes that are no sound picture: each is refused with what is wrong with it, and nothing large is asked for first.

import PSImages
import PSParameters
import PSSamples
import Testing

@Test func everyCutOfEveryPictureIsAnError() {
    for reference in ReferencePicture.all {
        let bytes = reference.bytes
        let end = reference.name == "own-tail" ? bytes.count - 8 : bytes.count
        for count in stride(from: 0, to: end - 20, by: 41).map(\.self) + (end - 20..<end) {
            let cut = Array(bytes.prefix(count))
            let error = complaint(cut)
            #expect(error != nil, "\(reference.name) at \(count)")
            // Whatever the part, even the first pixel.
            let first = PixelRectangle(row: 0, column: 0, rows: 1, columns: 1)
            #expect(complaint(cut, region: first) != nil, "\(reference.name) at \(count)")
            if count > 300, case .jpeg = try? PictureDecoder().probe(cut).format {
                #expect(error == .cutOff(format: .jpeg, byteCount: count), "\(reference.name) at \(count)")
            }
        }
    }
}

@Test func errorsSayWhatToDo() {
    #expect("\(complaint([])!)" == "is empty: copy it anew")
    let jpeg = ReferencePicture.named("own-420-restart").bytes
    #expect(
        "\(complaint(Array(jpeg.prefix(644)))!)"
            == "is cut off: 644 bytes of a JPEG whose data go on; copy it anew")
    let small = DecodeSettings(maxPixels: 959)
    #expect(
        "\(complaint(jpeg, small)!)"
            == "has 24 rows of 40 pixels, 960 in all, where at most 959 are allowed: make it smaller, or allow more")
    #expect(complaint(jpeg, DecodeSettings(maxPixels: 960)) == nil)
    #expect(
        "\(complaint([1, 2, 3, 250])!)"
            == "is no picture of a known kind: it begins with the bytes 01 02 03 fa; "
            + "JPEG, PNG, WebP, PPM and PGM are read")
}

@Test func otherKindsAreNamed() {
    func file(_ start: String) -> [UInt8] { Array(start.utf8) + [UInt8](repeating: 0, count: 40) }
    let page = "<!DOCTYPE html><html><body>Not found</body></html>"
    for (bytes, kind) in [
        (file("GIF89a"), "a GIF"), (file("BM1234\0\0\0\0"), "a BMP"), (file("II*\0"), "a TIFF or a camera's raw file"),
        (file("MM\0*"), "a TIFF or a camera's raw file"), (file("\0\0\0 ftypheic"), "a HEIC"),
        (file("\0\0\0 ftypavif"), "an AVIF"), (file("\0\0\0 ftypisom"), "a film"), (file("8BPS"), "a Photoshop file"),
        (file("P4 1 1\n"), "a PBM, PAM or PFM"), (file("%PDF-1.4"), "a PDF"), (Array(page.utf8), "a page of HTML"),
        (Array("<svg xmlns='http://www.w3.org/2000/svg'/>".utf8), "an SVG"),
        (Array("version https://git-lfs.github.com/spec/v1\n".utf8), "a Git LFS pointer instead of the file"),
        (Array("The quick brown fox jumps over it.\n".utf8), "text"),
        (file("PK\u{3}\u{4}"), "compressed data or an archive"),
        (file("RIFF1234WAVE"), "a sound or a film"), ([0xFF, 0x0A] + file(""), "a JPEG XL"),
    ] {
        #expect(complaint(bytes) == .notRead(kind: kind))
    }
    #expect("\(complaint(file("GIF89a"))!)" == "is a GIF, which is not read: convert it to PNG")
}

// MARK: More than the bytes can hold

@Test func sizesThatTheBytesCannotHoldAreRefused() {
    // A JPEG of a kilobyte that announces 60 000 x 60 000 pixels, and 12 000 x 12 000, which would be allowed.
    let jpeg = ReferencePicture.named("progressive-420-17x33").bytes
    let frame = jpeg.indices.first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC2 }!
    func sized(_ side: Int) -> [UInt8] {
        var bytes = jpeg
        for at in [frame + 5, frame + 7] { (bytes[at], bytes[at + 1]) = (UInt8(side >> 8), UInt8(side & 255)) }
        return bytes
    }
    #expect(complaint(sized(12000)) == .cutOff(format: .jpeg, byteCount: jpeg.count))
    #expect(complaint(sized(60000)) != nil)

    let png = ReferencePicture.named("png-rgb8").bytes
    for side in [12000, 0x7FFF_FFFF] {
        var bytes = png
        for index in 0..<4 {
            bytes[16 + index] = UInt8(side >> (24 - 8 * index) & 255)
            bytes[20 + index] = bytes[16 + index]
        }
        #expect(complaint(resealed(bytes)) == .damaged(format: .png, problem: "its data are too few for its size"))
    }
    #expect(
        complaint(Array("P6 2147483647 2147483647 65535\nabc".utf8)) == .cutOff(format: .portableAnymap, byteCount: 34))
    #expect(complaint(Array("P5 99999999999999999999 1 255\n".utf8)) != nil)
}

@Test func aScanAfterTheOtherIsRefused() {
    let jpeg = ReferencePicture.named("progressive-gray-17x33").bytes
    func places(_ marker: UInt8) -> [Int] {
        jpeg.indices.dropLast().filter { jpeg[$0] == 0xFF && jpeg[$0 + 1] == marker }
    }
    // The second scan gives its coefficients whole (its tenth byte says how much is left for later scans), so it may
    // come again without contradiction.
    let begin = places(0xDA)[1]
    let end = places(0xC4).first { $0 > begin }!
    var scan = Array(jpeg[begin..<end])
    scan[9] = 0
    func repeated(_ times: Int) -> [UInt8] {
        jpeg[..<begin] + (0..<times).flatMap { _ in scan } + [0xFF, 0xD9]
    }
    #expect(complaint(repeated(400)) == nil)
    #expect(
        complaint(repeated(600)) == .damaged(format: .jpeg, problem: "it has more scans than any sound file"))
}

@Test func wrongDataInTheMiddleAreRefused() throws {
    // Of a JPEG: its end, and a restart marker that no interval announces.
    let jpeg = try drawnPicture(rows: 64, columns: 64).jpeg(quality: 90)
    for replacement in [[0xFF, 0xD9], [0xFF, 0xD3]] as [[UInt8]] {
        var bytes = jpeg
        bytes.replaceSubrange(jpeg.count / 2..<jpeg.count / 2 + 2, with: replacement)
        guard case .damaged(.jpeg, _) = complaint(bytes) else {
            Issue.record("accepted \(replacement)")
            continue
        }
    }
    // Of a PNG: a bit of the data, which its checksum shows; the last of them too.
    let png = try drawnPicture(rows: 64, columns: 64).png()
    for place in [png.count / 2, png.count - 20] {
        var bytes = png
        bytes[place] ^= 1
        guard case .damaged(.png, _) = complaint(bytes) else {
            Issue.record("accepted at \(place)")
            continue
        }
    }
}

@Test func bytesBetweenAndAfterAreAccepted() throws {
    let jpeg = try drawnPicture(rows: 30, columns: 40).jpeg(quality: 90)
    let sound = try PictureDecoder().decode(jpeg)
    let scan = jpeg.indices.first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDA }!
    let between = jpeg[..<scan] + [1, 2, 3] + jpeg[scan...]
    let ahead = jpeg.dropLast(2) + [0, 0, 0] + jpeg.suffix(2)
    for bytes in [Array(between), Array(ahead), jpeg + [0xFF, 0xD8, 7], jpeg + jpeg] {
        #expect(difference(try PictureDecoder().decode(bytes), sound) == nil)
    }
    let png = try drawnPicture(rows: 30, columns: 40).png()
    #expect(difference(try PictureDecoder().decode(png + [1, 2, 3]), drawnPicture(rows: 30, columns: 40)) == nil)
}

@Test func kindsThatTheLibrariesDoNotKnowAreNamed() {
    let jpeg = ReferencePicture.named("444-17x33").bytes
    let frame = jpeg.indices.first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 }!
    // Lossless; hierarchical; twelve bits.
    for (place, value) in [(frame + 1, 0xC3), (frame + 1, 0xC5), (frame + 4, 12)] as [(Int, UInt8)] {
        var bytes = jpeg
        bytes[place] = value
        guard case .unsupported(.jpeg, _) = complaint(bytes) else {
            Issue.record("\(value): \(String(describing: complaint(bytes)))")
            continue
        }
    }
    // An animation: the flag of the extended header.
    let webp: [UInt8] =
        Array("RIFF".utf8) + [22, 0, 0, 0] + Array("WEBPVP8X".utf8) + [10, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    #expect(complaint(webp) == .unsupported(format: .webp, feature: "an animation"))
}
