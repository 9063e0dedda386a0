// The crops of an evaluation against those that Pillow takes, crop by crop (`Fixtures/crops.py`).

import Foundation
import PSImages
import PSSamples
import PSTransforms
import Testing

private struct CropCase: Decodable {
    let image: PictureName
    let size: Int
    /// A checksum of the bytes of each crop, in order.
    let crops10: [UInt32]
    let crops12: [UInt32]
    let crops144: [UInt32]
    /// All crops' bytes, of one small case.
    let bytes10: String?
    let bytes12: String?
    let bytes144: String?

    var all: [(count: CropCount, checksums: [UInt32], bytes: String?)] {
        [(.ten, crops10, bytes10), (.twelve, crops12, bytes12), (.hundredFortyFour, crops144, bytes144)]
    }
}

/// All crops of a picture, of which only the squares' region is given.
private func crops(
    _ picture: Picture, _ count: CropCount, size: Int, scaling: SamplePlan.Scaling = .symmetric,
    by transform: PictureTransform = PictureTransform()
) -> [[Float]] {
    let squares = CropSquare.all(count, scaling: scaling, size: size, rows: picture.rows, columns: picture.columns)
    let elements = size * size * 3
    var values = [Float](repeating: .nan, count: count.rawValue * elements)
    transform.write(picture.part(PictureTransform.region(of: squares)), squares: squares, to: &values)
    return (0..<count.rawValue).map { Array(values[$0 * elements..<($0 + 1) * elements]) }
}

@Suite struct EvaluationCropTests {
    private let cases: [CropCase]

    init() throws { cases = try loadFixture("crops") }

    @Test func everyCropIsPillows() throws {
        let transform = PictureTransform()
        for test in cases {
            let picture = test.image.picture()
            for (count, checksums, encoded) in test.all {
                let crops = crops(picture, count, size: test.size, by: transform)
                #expect(checksums.count == count.rawValue)
                let wrong = zip(crops, checksums).enumerated().filter { _, pair in
                    checksum(pair.0.map { UInt8(min(max(($0 / 2 + 0.5) * 255, 0), 255).rounded()) }) != pair.1
                }
                #expect(
                    wrong.isEmpty,
                    "\(count) of \(test.image.formula) \(picture.columns) x \(picture.rows): \(wrong.map(\.offset))")
                guard let encoded else { continue }
                let expected = try #require(Data(base64Encoded: encoded)).map { (Float($0) / 255 - 0.5) * 2 }
                let worst = zip(crops.joined(), expected).map { abs($0 - $1) }.max()!
                #expect(expected.count == count.rawValue * test.size * test.size * 3)
                #expect(worst <= 1e-4, "\(count): \(worst)")
            }
        }
    }

    /// Whoever trained with ImageNet's mean and deviation is shown crops scaled so.
    @Test func valuesAreScaledAsAsked() {
        let picture = formulaPicture("photo", columns: 30, rows: 20, seed: 1)
        let symmetric = crops(picture, .twelve, size: 16).joined()
        let imageNet = crops(picture, .twelve, size: 16, scaling: .imageNet).joined()
        for (index, (value, other)) in zip(symmetric, imageNet).enumerated() {
            let byte = (value / 2 + 0.5) * 255
            let expected =
                (byte / 255 - PictureTransform.imageNetMean[index % 3])
                / PictureTransform.imageNetDeviation[index % 3]
            #expect(abs(other - expected) < 1e-4)
        }
        var settings = AugmentationSettings()
        for (evaluate, scaling) in [
            (AugmentationSettings.Evaluation.torchvision, SamplePlan.Scaling.imageNet), (.inception, .symmetric),
            (.resize, .symmetric), (.pad, .symmetric),
        ] {
            settings.evaluate = evaluate
            let squares = AugmentationPlanner(settings: settings, imageSize: 16, seed: 1).squares(
                .ten, rows: 20, columns: 30)
            #expect(squares.allSatisfy { $0.crops.allSatisfy { $0.scaling == scaling } })
        }
    }

    /// The sizes that the papers give, and where squares and crops lie.
    @Test func sidesAndPlaces() {
        #expect(CropCount.hundredFortyFour.shorterSides(224) == [256, 288, 320, 352])
        #expect(CropCount.hundredFortyFour.shorterSides(299) == [342, 384, 427, 470])
        #expect(CropCount.ten.shorterSides(299) == [342])
        #expect(CropCount.twelve.shorterSides(32) == [37])

        let squares = CropSquare.all(.hundredFortyFour, scaling: .symmetric, size: 299, rows: 500, columns: 375)
        #expect(squares.map(\.plan.size) == [342, 384, 427, 470].flatMap { [$0, $0, $0] })
        #expect(squares.prefix(3).map(\.plan.windowRow) == [0, 57, 114])
        #expect(squares.allSatisfy { $0.plan.windowColumn == 0 && $0.crops.count == 12 })
        #expect(squares[0].plan.resampledRows == 456 && squares[0].plan.resampledColumns == 342)
        #expect(squares[0].crops.map(\.mirrored) == (0..<12).map { $0 % 2 == 1 })
        let parts = stride(from: 0, to: 12, by: 2).map { squares[0].crops[$0].crop }
        #expect(parts.map(\.row) == [0, 0, 43, 43, 22, 0] && parts.map(\.column) == [0, 43, 0, 43, 22, 0])
        #expect(parts.map(\.rows) == [299, 299, 299, 299, 299, 342])

        // The corners of ten crops are the picture's, not those of the square in its middle.
        let ten = CropSquare.all(.ten, scaling: .symmetric, size: 224, rows: 300, columns: 600)
        #expect(ten.map(\.plan.windowColumn) == [0, 288, 0, 288, 144])
        #expect(ten.map(\.plan.windowRow) == [0, 0, 32, 32, 16])
        #expect(ten.allSatisfy { $0.crops.count == 2 && $0.plan.size == 224 })
    }

    /// A picture that is nearly a line does not become a picture of its length in memory: squares are windows.
    @Test func aLineIsAPictureToo() {
        let picture = formulaPicture("ramp", columns: 3000, rows: 1, seed: 1)
        for count in CropCount.allCases where count != .one {
            let crops = crops(picture, count, size: 24)
            #expect(crops.allSatisfy { $0.allSatisfy { $0 >= -1 && $0 <= 1 } })
            #expect(Set(crops).count > 1)
        }
    }

    /// As many as they are called, also where rounding leaves a square no larger than the network.
    @Test func thereAreAsManyAsAsked() {
        for count in CropCount.allCases where count != .one {
            for size in 1...40 {
                for (rows, columns) in [(1, 1), (7, 3), (30, 40)] {
                    let squares = CropSquare.all(
                        count, scaling: .symmetric, size: size, rows: rows, columns: columns)
                    #expect(squares.map(\.crops.count).reduce(0, +) == count.rawValue)
                    for square in squares {
                        let plan = square.plan
                        #expect(plan.windowRow >= 0 && plan.windowRow + plan.size <= plan.resampledRows)
                        #expect(plan.windowColumn >= 0 && plan.windowColumn + plan.size <= plan.resampledColumns)
                    }
                }
            }
        }
    }
}
