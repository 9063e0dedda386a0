// PPM and PGM: written by hand here, since every rule of theirs shows in a few bytes.

import PSImages
import PSParameters
import PSSamples
import Testing

private func decode(_ text: String, _ samples: [UInt8] = []) throws -> [UInt8] {
    try PictureDecoder().decode(Array(text.utf8) + samples).pixels
}

@Test func plainAndBinary() throws {
    #expect(try decode("P3 1 2 255\n1 2 3 250 251 252\n") == [1, 2, 3, 250, 251, 252])
    #expect(try decode("P2\n# a comment\n2 #another\n1\n255\n7 # and one\n9") == [7, 7, 7, 9, 9, 9])
    #expect(try decode("P6 2 1 255\n", [1, 2, 3, 10, 32, 35]) == [1, 2, 3, 10, 32, 35])
    #expect(try decode("P5 2 1 255\n", [4, 200]) == [4, 4, 4, 200, 200, 200])
    // Bytes after it belong to the next picture.
    #expect(try decode("P5 1 1 255\n", [4, 80, 53]) == [4, 4, 4])
}

@Test func otherLargestSamples() throws {
    // Halves go to the even neighbour, as in Pillow: 25.5, 76.5, 127.5.
    #expect(try decode("P2 3 1 10\n1 3 5") == [26, 26, 26, 76, 76, 76, 128, 128, 128])
    #expect(try decode("P5 2 1 1\n", [0, 1]) == [0, 0, 0, 255, 255, 255])
    #expect(try decode("P5 3 1 65535\n", [0xFF, 0xFF, 0x80, 0x00, 0, 128]) == [255, 255, 255, 128, 128, 128, 0, 0, 0])
    #expect(try decode("P6 1 1 1000\n", [1, 244, 3, 232, 0, 0]) == [128, 255, 0])
    let info = try PictureDecoder().probe(Array("P5 1 1 256\n\0\0".utf8))
    #expect(info.bits == 16 && info.isGrey && info.format == .portableAnymap)
}

@Test func regionsOfAnymaps() throws {
    let random = CounterRandom(seed: 1, name: "anymap")
    for (kind, most) in [("P2", 255), ("P3", 255), ("P5", 255), ("P6", 255), ("P5", 4095), ("P6", 4095), ("P3", 99)] {
        let channels = kind == "P2" || kind == "P5" ? 1 : 3
        let samples = (0..<11 * 13 * channels).map { random.integer(UInt64($0), below: most + 1) }
        var bytes = Array("\(kind) 13 11 \(most)\n".utf8)
        for sample in samples {
            if kind < "P4" {
                bytes += Array("\(sample)\n".utf8)
            } else {
                bytes += most > 255 ? [UInt8(sample >> 8), UInt8(sample & 255)] : [UInt8(sample)]
            }
        }
        let whole = try PictureDecoder().decode(bytes)
        #expect(whole.rows == 11 && whole.columns == 13)
        for draw in 0..<20 {
            let region = randomRegion(rows: 11, columns: 13, random, UInt64(draw))
            let part = try PictureDecoder().decode(bytes, region: region)
            #expect(difference(part, whole.cut(region)) == nil, "\(kind) \(region)")
        }
        // That digits of the last number are missing cannot be seen in a plain file.
        for count in 0..<bytes.count - (kind < "P4" ? 5 : 1) {
            #expect(complaint(Array(bytes.prefix(count))) != nil, "\(kind) of \(count) bytes")
        }
    }
}

@Test func wrongAnymaps() {
    for (text, problem) in [
        ("P5 0 1 255\n.", "a size or the largest sample is 0"), ("P5 1 1 0\n.", "a size or the largest sample is 0"),
        ("P5 1 1 65536\n.", "its largest sample, at byte 7, is above 65535"),
        ("P5 x 1 255\n.", "there is no number of columns at byte 3"),
        ("P5 -1 1 255\n.", "there is no number of columns at byte 3"),
        ("P2 1 1 9\n 10", "a sample is 10 where the most is 9"),
        ("P5 1 1 9\n\u{A}", "a sample is 10 where the most is 9"),
        ("P3 1 1 255\n1 2 99999", "its sample, at byte 15, is above 65535"),
    ] {
        #expect(complaint(Array(text.utf8)) == .damaged(format: .portableAnymap, problem: problem))
    }
}
