// Evaluation by several crops: each sample read once, its crops one after the other, whatever a sample is.

import PSConfiguration
import PSData
import PSDatasets
import PSImages
import PSSamples
import PSTransforms
import Testing

private func picture(_ seed: Int, rows: Int, columns: Int) -> Picture {
    Picture(
        rows: rows, columns: columns, pixels: (0..<rows * columns * 3).map { UInt8(($0 / 3 * seed + $0) / 7 % 256) })
}

@Suite struct CropBatchTests {
    private func maker(
        _ source: any SampleSource, _ crops: CropCount, _ change: (inout DataSettings) -> Void = { _ in }
    ) -> BatchMaker {
        var settings = DataSettings()
        change(&settings)
        return BatchMaker(source: source, settings: settings, imageSize: 16, seed: 3, batch: 1, crops: crops)
    }

    /// Values and labels of all samples.
    private func evaluated(_ maker: BatchMaker, threads: Int) throws -> (values: [Float], labels: [Int32]) {
        let count = maker.source.count
        let loader = BatchLoader(maker, capacity: count, threads: threads)
        defer { loader.close() }
        let batch = try loader.take(.evaluation(0..<count))
        let values = UnsafeBufferPointer(start: batch.images, count: count * maker.crops.rawValue * maker.imageElements)
        return (Array(values), batch.labels)
    }

    /// What the transform makes of a whole picture.
    private func expected(_ picture: Picture, _ crops: CropCount) -> [Float] {
        let squares = CropSquare.all(crops, scaling: .symmetric, size: 16, rows: picture.rows, columns: picture.columns)
        var values = [Float](repeating: .nan, count: crops.rawValue * 16 * 16 * 3)
        PictureTransform().write(picture.part(PictureTransform.region(of: squares)), squares: squares, to: &values)
        return values
    }

    @Test(arguments: [CropCount.ten, .twelve, .hundredFortyFour])
    func aPictureIsReadOnceForAllItsCrops(crops: CropCount) throws {
        let pictures = [
            picture(3, rows: 40, columns: 50), picture(5, rows: 70, columns: 21), picture(2, rows: 9, columns: 9),
        ]
        // PNG: what is decoded is what was encoded.
        let source = FileSource(try pictures.map { try $0.png() })
        let maker = maker(source, crops)
        let (values, labels) = try evaluated(maker, threads: 1)
        #expect(source.readCount == pictures.count)
        #expect(labels == [0, 0, 0])
        let all = pictures.flatMap { expected($0, crops) }
        #expect(values.elementsEqual(all))
        #expect(try evaluated(maker, threads: 3).values.elementsEqual(values))
    }

    /// A set in memory, grey: no file, no decoder.
    @Test func pixelsHaveCrops() throws {
        let source = PixelSource(count: 4)
        let (values, labels) = try evaluated(maker(source, .twelve), threads: 2)
        #expect(labels == [0, 1, 0, 1])
        let all = source.pictures.flatMap { bytes in
            expected(Picture(rows: 6, columns: 6, pixels: bytes.flatMap { [$0, $0, $0] }), .twelve)
        }
        #expect(values.elementsEqual(all))
    }

    @Test func badPicturesDoNotCount() throws {
        let files = [try picture(1, rows: 30, columns: 30).jpeg(quality: 90), Array("no picture".utf8)]
        let skipping = maker(FileSource(files), .ten) { $0.onBadImage = .skip }
        #expect(try evaluated(skipping, threads: 1).labels == [0, -1])
        let error = #expect(throws: DataError.self) { try evaluated(maker(FileSource(files), .ten), threads: 1) }
        #expect(error?.description.contains("picture-1 of ") == true)
    }

    /// A JPEG that comes smaller out of the decoder is nearly the same picture.
    @Test func aScaledJPEGIsNearlyTheSame() throws {
        var pixels: [UInt8] = []
        for row in 0..<400 {
            for column in 0..<320 {
                for channel in 0..<3 { pixels.append(UInt8(row / 4 + column / 3 + 10 * channel)) }
            }
        }
        let smooth = Picture(rows: 400, columns: 320, pixels: pixels)
        let source = FileSource([try smooth.jpeg(quality: 95)])
        for crops in [CropCount.ten, .hundredFortyFour] {
            let exact = try evaluated(maker(source, crops), threads: 1).values
            let scaled = try evaluated(maker(source, crops) { $0.decoding.scale = .scaled }, threads: 1).values
            var sum: Float = 0
            for index in exact.indices { sum += abs(exact[index] - scaled[index]) }
            let mean = sum / Float(exact.count)
            #expect(mean < 0.01 && exact != scaled, "\(mean)")
        }
    }
}
