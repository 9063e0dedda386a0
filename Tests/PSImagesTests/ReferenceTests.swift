// Every committed picture, whole, against what Pillow or TensorFlow makes of it.

import PSImages
import PSSamples
import Testing

@Test(arguments: ReferencePicture.all.indices) func decodesAsTheReference(_ index: Int) throws {
    let reference = ReferencePicture.all[index]
    let decoder = PictureDecoder()
    let plain = try decoder.decode(reference.bytes, ignoringAlpha())
    #expect(plain.rows == reference.rows && plain.columns == reference.columns, "\(reference.name)")
    #expect(checksum(plain.pixels) == reference.plain, "\(reference.name): \(reference.note)")
    if let white = reference.white {
        #expect(checksum(try decoder.decode(reference.bytes, over(255)).pixels) == white, "\(reference.name)")
    } else {
        #expect(difference(try decoder.decode(reference.bytes, over(255)), plain) == nil, "\(reference.name)")
    }
    if let black = reference.black {
        #expect(checksum(try decoder.decode(reference.bytes, over(0)).pixels) == black, "\(reference.name)")
    }
    let turned = try decoder.decode(reference.bytes, ignoringAlpha(turned: true))
    #expect(checksum(turned.pixels) == reference.turned ?? reference.plain, "\(reference.name)")
}

@Test(arguments: ReferencePicture.all.indices) func probesWhatDecodingGives(_ index: Int) throws {
    let reference = ReferencePicture.all[index]
    let decoder = PictureDecoder()
    for isTurned in [false, true] {
        let settings = DecodeSettings(exifOrientation: isTurned)
        let info = try decoder.probe(reference.bytes, settings)
        let picture = try decoder.decode(reference.bytes, settings)
        #expect(info.rows == picture.rows && info.columns == picture.columns, "\(reference.name)")
        let name = reference.name
        #expect(info.isGrey == (name.contains("gray") || name.contains("png-la")), "\(name)")
        #expect(info.hasAlpha == (reference.white != nil), "\(name)")
        #expect(info.isProgressive == (name.contains("progressive") || name.contains("adam7")), "\(name)")
        #expect(info.bits == (name.contains("16") && name.contains("png") ? 16 : bits(name)), "\(name)")
        #expect(info.orientation.rawValue == orientation(name), "\(name)")
        #expect(
            info.format == (name.hasPrefix("png") ? .png : name.hasPrefix("webp") ? .webp : .jpeg), "\(name)")
    }
}

private func bits(_ name: String) -> Int {
    [1, 2, 4].first { name.hasPrefix("png-gray\($0)") || name.hasPrefix("png-palette\($0)") } ?? 8
}

private func orientation(_ name: String) -> Int {
    guard name.contains("exif") else { return 1 }
    return Int(String(name.last!))!
}

@Test func oneDecoderReadsOnePictureAfterTheOther() throws {
    // Whatever was decoded or refused before leaves nothing behind.
    let decoder = PictureDecoder()
    for reference in ReferencePicture.all + ReferencePicture.all.reversed() {
        _ = try? decoder.decode(Array(reference.bytes.dropLast(reference.file.count / 3)))
        _ = try? decoder.probe(reference.bytes)
        #expect(checksum(try decoder.decode(reference.bytes, ignoringAlpha()).pixels) == reference.plain)
    }
}

@Test func decodersSideBySideDoNotDisturbEachOther() async {
    let wrong = await withTaskGroup(of: Int.self) { group in
        for _ in 0..<4 {
            group.addTask {
                let decoder = PictureDecoder()
                return ReferencePicture.all.count { reference in
                    let picture = try? decoder.decode(reference.bytes, ignoringAlpha())
                    return picture.map { checksum($0.pixels) } != reference.plain
                }
            }
        }
        return await group.reduce(0, +)
    }
    #expect(wrong == 0)
}

@Test func tablesAreNotTakenFromThePictureBefore() throws {
    func file(_ name: String, without marker: UInt8) -> [UInt8] {
        var bytes = ReferencePicture.named(name).bytes
        while let at = bytes.indices.dropLast(4).first(where: { bytes[$0] == 0xFF && bytes[$0 + 1] == marker }) {
            bytes.removeSubrange(at..<at + 2 + Int(bytes[at + 2]) << 8 + Int(bytes[at + 3]))
        }
        return bytes
    }
    // The standard tables of codes, which such a file uses, are meant where it has none; quantisers are needed.
    let decoder = PictureDecoder()
    _ = try decoder.decode(ReferencePicture.named("own-444-17x33").bytes)
    let picture = try decoder.decode(file("420-48x32", without: 0xC4))
    #expect(checksum(picture.pixels) == ReferencePicture.named("420-48x32").plain)
    guard case .damaged(.jpeg, _)? = complaint(file("420-48x32", without: 0xDB), DecodeSettings(), decoder) else {
        Issue.record("decoded without quantisers")
        return
    }
}

@Test func encodersAreReadBack() throws {
    let picture = drawnPicture(rows: 61, columns: 83)
    #expect(difference(try PictureDecoder().decode(try picture.png()), picture) == nil)
    // Quality 100 without subsampling is a few levels off at most; quality 40 has far fewer bytes.
    var options = JPEGOptions()
    (options.quality, options.across, options.down) = (100, 1, 1)
    let fine = try PictureDecoder().decode(picture.jpeg(options))
    let most = zip(fine.pixels, picture.pixels).map { abs(Int($0) - Int($1)) }.max()!
    #expect(most <= 4)
    #expect(try picture.jpeg(quality: 40).count < picture.jpeg(quality: 95).count / 2)
    #expect(try PictureDecoder().probe(picture.jpeg(quality: 40)).isProgressive == false)
}

@Test func arithmeticCodesAreReadAsHuffmanCodes() throws {
    let picture = drawnPicture(rows: 45, columns: 70)
    for isProgressive in [false, true] {
        var options = JPEGOptions()
        options.isProgressive = isProgressive
        let huffman = try PictureDecoder().decode(picture.jpeg(options))
        options.isArithmetic = true
        let bytes = try picture.jpeg(options)
        #expect(difference(try PictureDecoder().decode(bytes), huffman) == nil)
        #expect(
            complaint(Array(bytes.dropLast(bytes.count / 3)))
                == .cutOff(format: .jpeg, byteCount: bytes.count - bytes.count / 3))
    }
}
