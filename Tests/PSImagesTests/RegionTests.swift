// A part of a picture is what cutting the whole gives.

import PSImages
import PSParameters
import PSSamples
import Testing

private func checkRegions(_ bytes: [UInt8], _ settings: DecodeSettings, draws: UInt64, _ name: String) throws {
    let decoder = PictureDecoder()
    let whole = try decoder.decode(bytes, settings)
    let random = CounterRandom(seed: 3, name: name)
    for draw in 0..<draws {
        let region = randomRegion(rows: whole.rows, columns: whole.columns, random, draw)
        let part = try decoder.decode(bytes, region: region, settings)
        #expect(difference(part, whole.cut(region)) == nil, "\(name), \(region)")
    }
}

@Test(arguments: ReferencePicture.all.indices) func regionsOfTheReferences(_ index: Int) throws {
    let reference = ReferencePicture.all[index]
    for settings in [ignoringAlpha(), over(255), ignoringAlpha(turned: true)] {
        try checkRegions(reference.bytes, settings, draws: 12, reference.name)
    }
}

/// How much finer luma is sampled than chroma.
private let samplings = [(1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (4, 2), (1, 4), (2, 4)]

@Test(arguments: samplings.indices) func regionsOfEverySampling(_ index: Int) throws {
    for (rows, columns) in [(97, 131), (64, 96), (40, 250), (130, 33)] {
        for (isProgressive, isArithmetic, interval) in [
            (false, false, 0), (true, false, 0), (false, true, 0), (false, false, 3), (true, true, 5),
        ] {
            var options = JPEGOptions()
            (options.across, options.down) = samplings[index]
            (options.isProgressive, options.isArithmetic) = (isProgressive, isArithmetic)
            options.restartInterval = interval
            let bytes = try drawnPicture(rows: rows, columns: columns).jpeg(options)
            try checkRegions(bytes, DecodeSettings(), draws: 40, "\(rows) \(columns) \(options)")
        }
    }
}

@Test func regionsOfProgressivePicturesWithoutTheirLastScans() throws {
    for (across, down) in [(2, 2), (1, 1), (2, 1)] {
        var options = JPEGOptions()
        (options.across, options.down, options.isProgressive, options.quality) = (across, down, true, 50)
        let bytes = try drawnPicture(rows: 120, columns: 171).jpeg(options)
        let scans = bytes.indices.dropLast().filter { bytes[$0] == 0xFF && bytes[$0 + 1] == 0xDA }
        for scan in scans.dropFirst() {
            // As sound as a file can be that lacks detail; the library smooths such pictures.
            let file = Array(bytes[..<scan]) + [0xFF, 0xD9]
            try checkRegions(file, DecodeSettings(), draws: 30, "\(across) \(down), \(scan) bytes")
        }
    }
}

@Test func regionsOfTurnedPictures() throws {
    let bytes = try drawnPicture(rows: 75, columns: 110).jpeg(quality: 90)
    for orientation in Orientation.allCases {
        try checkRegions(
            withOrientation(bytes, UInt8(orientation.rawValue)), DecodeSettings(), draws: 60, "\(orientation)")
    }
}

@Test func shrunkPicturesAreNotSmallerThanIsWanted() throws {
    let decoder = PictureDecoder()
    for (across, down) in samplings {
        var options = JPEGOptions()
        (options.across, options.down) = (across, down)
        let bytes = try drawnPicture(rows: 203, columns: 310).jpeg(options)
        for (rows, columns, expected) in [
            (203, 310, (203, 310)), (102, 155, (203, 310)), (101, 155, (102, 155)), (50, 77, (51, 78)),
            (26, 26, (51, 78)), (25, 38, (26, 39)), (1, 1, (26, 39)),
        ] {
            let settings = DecodeSettings(resolution: .scaled(rows: rows, columns: columns))
            let picture = try decoder.decode(bytes, settings)
            #expect(picture.rows == expected.0 && picture.columns == expected.1)
        }
    }
}

@Test(arguments: samplings.indices) func regionsOfShrunkPictures(_ index: Int) throws {
    let decoder = PictureDecoder()
    let random = CounterRandom(seed: 5, name: "shrunk")
    var options = JPEGOptions()
    (options.across, options.down) = samplings[index]
    for isProgressive in [false, true] {
        options.isProgressive = isProgressive
        let bytes = try drawnPicture(rows: 203, columns: 310).jpeg(options)
        for shrink in [2, 4, 8] {
            // All of it at this scale, then parts that ask for exactly it.
            let wanted = DecodeSettings(resolution: .scaled(rows: 203 / shrink, columns: 310 / shrink))
            let whole = try decoder.decode(bytes, wanted)
            for draw in 0..<30 {
                let region = randomRegion(rows: 203, columns: 310, random, UInt64(draw) * 3 + 1)
                guard region.rows >= shrink && region.columns >= shrink else { continue }
                let settings = DecodeSettings(
                    resolution: .scaled(rows: region.rows / shrink, columns: region.columns / shrink))
                let (bottom, right) = (region.row + region.rows, region.column + region.columns)
                let (row, column) = (region.row / shrink, region.column / shrink)
                let covered = PixelRectangle(
                    row: row, column: column, rows: (bottom + shrink - 1) / shrink - row,
                    columns: (right + shrink - 1) / shrink - column)
                let part = try decoder.decode(bytes, region: region, settings)
                #expect(difference(part, whole.cut(covered)) == nil, "\(options) \(shrink) \(region)")
            }
        }
    }
}

@Test func otherFormatsAreNotShrunk() throws {
    let picture = drawnPicture(rows: 40, columns: 50)
    let same = try PictureDecoder().decode(try picture.png(), DecodeSettings(resolution: .scaled(rows: 1, columns: 1)))
    #expect(difference(same, picture) == nil)
}

@Test func regionsThatAreNotInThePictureAreErrors() throws {
    let png = try drawnPicture(rows: 20, columns: 30).png()
    let jpeg = try drawnPicture(rows: 20, columns: 30).jpeg(quality: 80)
    for bytes in [png, jpeg, withOrientation(jpeg, 6)] {
        for (row, column, rows, columns) in [
            (0, 0, 31, 31), (29, 0, 2, 1), (0, 29, 1, 2), (-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0),
            (0, 0, -5, 5), (40, 0, 1, 1),
            (Int.max, 0, 1, 1), (0, Int.max, 1, Int.max), (1, 1, Int.max, Int.max), (Int.min, Int.min, 1, 1),
        ] {
            let region = PixelRectangle(row: row, column: column, rows: rows, columns: columns)
            guard case .outside(region, _, _) = complaint(bytes, region: region) else {
                Issue.record("\(region)")
                continue
            }
            #expect("\(complaint(bytes, region: region)!)".contains("was the file changed"))
        }
    }
}
