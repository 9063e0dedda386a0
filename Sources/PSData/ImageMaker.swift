// One thread's means of turning samples into images: a decoder and a transform with their working memory.

import PSDatasets
import PSImages
import PSParameters
import PSSamples
import PSTransforms

/// Used by one thread at a time.
package final class ImageMaker {
    package struct Image {
        /// -1: cannot be read, and does not count.
        package let label: Int32
        /// Samples that were tried before this one.
        package let replaced: [Int]
        /// Why it cannot be read.
        var problem: DataError?
    }

    /// Samples tried in the place of one.
    private static let mostTries = 100

    private let maker: BatchMaker
    private let decoder = PictureDecoder()
    private let transform = PictureTransform()

    init(_ maker: BatchMaker) { self.maker = maker }

    /// Fills one image of a batch.
    func fill(_ request: BatchRequest, place: Int, to output: UnsafeMutablePointer<Float>) throws(DataError) -> Image {
        switch request {
        case .training(let ticket): return try train(ticket, place, output)
        case .evaluation(let samples):
            let sample = samples.lowerBound + place
            do throws(DataError) {
                if maker.crops == .one {
                    try write(sample, to: output) { maker.planner.evaluation(rows: $0, columns: $1) }
                } else {
                    try writeCrops(sample, to: output)
                }
            } catch {
                guard maker.onBadImage == .skip, maker.isOfOneSample(error) else { throw error }
                return Image(label: -1, replaced: [sample], problem: error)
            }
            return Image(label: try label(sample), replaced: [])
        }
    }

    private func train(
        _ ticket: Ticket, _ place: Int, _ output: UnsafeMutablePointer<Float>
    ) throws(DataError) -> Image {
        var sample = maker.stream.sample(of: ticket, place: place)
        var replaced: [Int] = []
        while true {
            do throws(DataError) {
                try write(sample, to: output) {
                    maker.planner.training(ticket: ticket, index: place, rows: $0, columns: $1)
                }
                return Image(label: try label(sample), replaced: replaced)
            } catch {
                guard case .picture = error, maker.onBadImage == .skip else { throw error }
                replaced.append(sample)
                guard replaced.count < ImageMaker.mostTries else {
                    throw .nothingReadable(path: maker.path, tries: replaced.count, last: "\(error)")
                }
                sample = maker.replacement(ticket: ticket, place: place, attempt: replaced.count)
            }
        }
    }

    /// Writes one sample as an image of the network's size.
    ///
    /// - Parameter plan: what happens to a picture of these rows and columns.
    package func write(
        _ sample: Int, to output: UnsafeMutablePointer<Float>, plan: (_ rows: Int, _ columns: Int) -> SamplePlan
    ) throws(DataError) {
        switch try onDataset({ () throws(DatasetError) in try maker.source.read(sample) }) {
        case .pixels(let pixels):
            let plan = plan(pixels.rows, pixels.columns)
            transform.write(pixels.picture(PictureTransform.region(of: plan)), plan: plan, to: output)
        case .encoded(let bytes):
            try onPicture(sample) { () throws(ImageError) in
                let info = try decoder.probe(bytes, maker.decoding)
                let plan = plan(info.rows, info.columns)
                if maker.isScaled, plan.resampling != .frame {
                    try writeScaled(bytes, plan, output)
                } else {
                    let region = PictureTransform.region(of: plan)
                    let picture = try decoder.decode(bytes, region: region, maker.decoding)
                    transform.write(picture, plan: plan, to: output)
                }
            }
        }
    }

    /// Writes all crops of one sample, one after the other; it is read and decoded once.
    private func writeCrops(_ sample: Int, to output: UnsafeMutablePointer<Float>) throws(DataError) {
        switch try onDataset({ () throws(DatasetError) in try maker.source.read(sample) }) {
        case .pixels(let pixels):
            let squares = maker.planner.squares(maker.crops, rows: pixels.rows, columns: pixels.columns)
            transform.write(
                pixels.picture(PictureTransform.region(of: squares)), squares: squares, to: output)
        case .encoded(let bytes):
            try onPicture(sample) { () throws(ImageError) in
                let info = try decoder.probe(bytes, maker.decoding)
                var squares = maker.planner.squares(maker.crops, rows: info.rows, columns: info.columns)
                guard maker.isScaled, let largest = squares.last?.plan else {
                    let picture = try decoder.decode(
                        bytes, region: PictureTransform.region(of: squares), maker.decoding)
                    return transform.write(picture, squares: squares, to: output)
                }
                // As for one crop: as few pixels as the largest of the resampled pictures has, in place of all.
                var settings = maker.decoding
                settings.resolution = .scaled(rows: largest.resampledRows, columns: largest.resampledColumns)
                let picture = try decoder.decode(bytes, settings)
                for index in squares.indices {
                    squares[index].plan.crop = PixelRectangle(
                        row: 0, column: 0, rows: picture.rows, columns: picture.columns)
                }
                transform.write(
                    picture.part(PictureTransform.region(of: squares)), squares: squares, to: output)
            }
        }
    }

    /// Performs what a sample's bytes are asked for; an error then names the sample.
    private func onPicture(_ sample: Int, _ body: () throws(ImageError) -> Void) throws(DataError) {
        do throws(ImageError) { try body() } catch {
            let name = try onDataset { () throws(DatasetError) in try maker.source.name(of: sample) }
            throw .picture(name: name, path: maker.path, error: error)
        }
    }

    /// The crop comes smaller out of the decoder where it still has no fewer pixels than it is resampled to, and is then
    /// resampled as if it were all there is.
    private func writeScaled(
        _ bytes: [UInt8], _ plan: SamplePlan, _ output: UnsafeMutablePointer<Float>
    ) throws(ImageError) {
        var settings = maker.decoding
        settings.resolution = .scaled(rows: plan.resampledRows, columns: plan.resampledColumns)
        let picture = try decoder.decode(bytes, region: plan.crop, settings)
        var plan = plan
        plan.crop = PixelRectangle(row: 0, column: 0, rows: picture.rows, columns: picture.columns)
        transform.write(picture.part(PictureTransform.region(of: plan)), plan: plan, to: output)
    }

    private func label(_ sample: Int) throws(DataError) -> Int32 {
        Int32(try onDataset { () throws(DatasetError) in try maker.source.label(of: sample) })
    }
}

/// Performs what a data set is asked for, whose errors become this module's.
func onDataset<Result>(_ body: () throws(DatasetError) -> Result) throws(DataError) -> Result {
    do throws(DatasetError) { return try body() } catch { throw .dataset(error) }
}

extension RawPixels {
    /// A part as a picture; grey values stand three times.
    func picture(_ region: PixelRectangle) -> Picture {
        let pixels = [UInt8](unsafeUninitializedCapacity: region.rows * region.columns * Picture.channels) {
            output, count in
            var next = 0
            for row in region.row..<region.row + region.rows {
                for column in region.column..<region.column + region.columns {
                    let first = (row * columns + column) * channels
                    for channel in 0..<Picture.channels {
                        output[next] = bytes[first + (channels == 1 ? 0 : channel)]
                        next += 1
                    }
                }
            }
            count = next
        }
        return Picture(rows: region.rows, columns: region.columns, pixels: pixels)
    }
}
