// From a ticket to the numbers the network reads.

import PSParameters
import PSSamples

/// Fills batches of images and labels: a pure function of (source, settings, seed, ticket).
package struct BatchMaker: Sendable {
    /// Every image is RGB, grey ones repeated.
    package static let channels = 3

    package let source: any ImageSource
    /// Rows and columns of an image given to the network.
    package let imageSize: Int
    package let stream: SampleStream
    private let settings: DataSettings
    private let random: CounterRandom

    package init(source: any ImageSource, imageSize: Int, settings: DataSettings, seed: UInt64, batch: Int) {
        precondition(imageSize > 0 && settings.cropPadding >= 0)
        self.source = source
        self.imageSize = imageSize
        self.settings = settings
        stream = SampleStream(seed: seed, sampleCount: source.count, batch: batch)
        random = CounterRandom(seed: seed, name: "augmentation")
    }

    package var batch: Int { stream.batch }

    /// Elements of one image.
    package var imageElements: Int { imageSize * imageSize * BatchMaker.channels }

    /// Fills the batch of a training ticket.
    ///
    /// - Parameters:
    ///   - images: batch x imageSize x imageSize x 3, values in [-1, 1].
    ///   - labels: batch.
    package func fill(
        ticket: Ticket, images: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>
    ) throws(DataError) {
        let draws = random.stream(ticket.number)
        for (index, sample) in stream.samples(of: ticket).enumerated() {
            let draw = draws.stream(UInt64(index))
            let span = 2 * settings.cropPadding + 1
            let placement = Placement(
                mirrored: settings.flip && draw.integer(0, below: 2) == 1,
                down: draw.integer(1, below: span) - settings.cropPadding,
                right: draw.integer(2, below: span) - settings.cropPadding)
            try write(sample, placement, to: images + index * imageElements)
            labels[index] = Int32(source.label(of: sample))
        }
    }

    /// Fills samples as evaluation sees them, without randomness: `samples.count` images and labels.
    package func fill(
        samples: Range<Int>, images: UnsafeMutablePointer<Float>, labels: UnsafeMutablePointer<Int32>
    ) throws(DataError) {
        for (index, sample) in samples.enumerated() {
            try write(sample, Placement(), to: images + index * imageElements)
            labels[index] = Int32(source.label(of: sample))
        }
    }

    /// How a fitted picture lies in the image: mirrored, then moved.
    private struct Placement {
        var mirrored = false
        var down = 0
        var right = 0
    }

    private func write(
        _ sample: Int, _ placement: Placement, to output: UnsafeMutablePointer<Float>
    ) throws(DataError) {
        let image = try source.image(of: sample)
        let rows = FitTable(length: image.rows, target: imageSize, fit: settings.fit, frame: image.fits(imageSize))
        let columns = FitTable(
            length: image.columns, target: imageSize, fit: settings.fit, frame: image.fits(imageSize))
        image.pixels.withUnsafeBufferPointer { pixels in
            var next = output
            for row in 0..<imageSize {
                let vertical = rows.entry(row - placement.down)
                for column in 0..<imageSize {
                    let moved = column - placement.right
                    let horizontal = columns.entry(placement.mirrored ? imageSize - 1 - moved : moved)
                    for channel in 0..<image.channels {
                        let value = image.interpolate(pixels, vertical, horizontal, channel: channel)
                        next[channel] = (value / 255 - 0.5) * 2
                    }
                    for channel in image.channels..<BatchMaker.channels { next[channel] = next[0] }
                    next += BatchMaker.channels
                }
            }
        }
    }
}

/// For each row (or column) of the fitted picture, the two it is mixed from.
private struct FitTable {
    struct Entry {
        let first: Int
        let second: Int
        /// Share of `second`.
        let weight: Float
    }

    private let entries: [Entry?]

    /// - Parameter frame: whether `.pad` has room for its frame.
    init(length: Int, target: Int, fit: DataSettings.Fit, frame: Bool) {
        if fit == .pad && frame {
            let margin = (target - length) / 2
            entries = (0..<target).map { position in
                let inside = position - margin
                return (0..<length).contains(inside) ? Entry(first: inside, second: inside, weight: 0) : nil
            }
        } else {
            let scale = Float(length) / Float(target)
            entries = (0..<target).map { position in
                let centre = min(max((Float(position) + 0.5) * scale - 0.5, 0), Float(length - 1))
                let first = Int(centre)
                return Entry(first: first, second: min(first + 1, length - 1), weight: centre - Float(first))
            }
        }
    }

    /// nil: black.
    func entry(_ position: Int) -> Entry? { entries.indices.contains(position) ? entries[position] : nil }
}

extension PixelImage {
    fileprivate func fits(_ size: Int) -> Bool { rows <= size && columns <= size }

    fileprivate func interpolate(
        _ pixels: UnsafeBufferPointer<UInt8>, _ vertical: FitTable.Entry?, _ horizontal: FitTable.Entry?, channel: Int
    ) -> Float {
        guard let vertical, let horizontal else { return 0 }
        func pixel(_ row: Int, _ column: Int) -> Float {
            Float(pixels[(row * columns + column) * channels + channel])
        }
        func mix(_ row: Int) -> Float {
            let first = pixel(row, horizontal.first)
            return first + (pixel(row, horizontal.second) - first) * horizontal.weight
        }
        let upper = mix(vertical.first)
        return upper + (mix(vertical.second) - upper) * vertical.weight
    }
}
