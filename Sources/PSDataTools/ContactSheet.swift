// Pictures side by side in one: what a data set holds, and what a network is shown of it.

import PSConfiguration
import PSData
import PSDatasets
import PSImages
import PSParameters
import PSSamples
import PSTransforms

/// Square pictures of one size in rows.
package struct ContactSheet: Sendable {
    /// Pixels between two pictures, and around all.
    private static let gap = 4
    private static let background: UInt8 = 40

    package let columns: Int
    private let size: Int
    private var tiles: [[UInt8]] = []

    /// - Parameters:
    ///   - columns: pictures of a row.
    ///   - size: rows and columns of a picture.
    package init(columns: Int, size: Int) {
        precondition(columns > 0 && size > 0)
        self.columns = columns
        self.size = size
    }

    package var count: Int { tiles.count }

    /// Adds what a network would be shown: `size` x `size` x 3 values as a plan scales them, back as bytes.
    mutating func add(_ values: UnsafePointer<Float>, _ resampling: SamplePlan.Resampling) {
        tiles.append(
            (0..<size * size * Picture.channels).map { index in
                let value = resampling.byte(values[index], channel: index % Picture.channels)
                return UInt8(min(max(value, 0), 255).rounded())
            })
    }

    /// Adds what `write` leaves in `output`; a picture that cannot be decoded is a grey square.
    private mutating func add(
        _ output: UnsafePointer<Float>, _ write: () throws(DataError) -> SamplePlan.Resampling
    ) throws(DataError) {
        do throws(DataError) {
            add(output, try write())
        } catch {
            guard case .picture = error else { throw error }
            tiles.append([UInt8](repeating: 90, count: size * size * Picture.channels))
        }
    }

    package func picture() -> Picture {
        let gap = ContactSheet.gap
        let rows = max(1, (tiles.count + columns - 1) / columns)
        let height = rows * (size + gap) + gap
        let width = columns * (size + gap) + gap
        var pixels = [UInt8](repeating: ContactSheet.background, count: height * width * Picture.channels)
        for (index, tile) in tiles.enumerated() {
            let top = gap + index / columns * (size + gap)
            let left = gap + index % columns * (size + gap)
            for row in 0..<size {
                let target = ((top + row) * width + left) * Picture.channels
                let source = row * size * Picture.channels
                pixels.replaceSubrange(
                    target..<target + size * Picture.channels, with: tile[source..<source + size * Picture.channels])
            }
        }
        return Picture(rows: height, columns: width, pixels: pixels)
    }

    // MARK: Of a data set

    /// Samples of a split, as many of each class as there is room for, fitted without regard to their shape.
    ///
    /// - Returns: the sheet, and the names of the samples in it.
    package static func samples(
        of dataset: Dataset, settings: DataSettings, columns: Int, rows: Int, size: Int
    ) throws -> (sheet: ContactSheet, names: [String]) {
        var settings = settings
        settings.augmentation = AugmentationSettings()
        let maker = BatchMaker(source: dataset, settings: settings, imageSize: size, seed: 0, batch: 1)
        let images = maker.makeImageMaker()
        var sheet = ContactSheet(columns: columns, size: size)
        var names: [String] = []
        let output = UnsafeMutablePointer<Float>.allocate(capacity: maker.imageElements)
        defer { output.deallocate() }
        let wanted = min(columns * rows, dataset.count)
        for index in 0..<wanted {
            // Samples stand by class: even steps show every class that can be shown.
            let sample = index * dataset.count / wanted
            names.append(try dataset.name(of: sample))
            try sheet.add(output) { () throws(DataError) in
                try images.write(sample, to: output) {
                    SamplePlan.evaluation(.resize, size: size, rows: $0, columns: $1)
                }
                return .halfPixel
            }
        }
        return (sheet, names)
    }

    /// One picture for each sample, as evaluation shows it to a network but in another size.
    package static func thumbnails(
        of dataset: any SampleSource, samples: [Int], settings: DataSettings, size: Int
    ) throws -> [Picture] {
        let maker = BatchMaker(source: dataset, settings: settings, imageSize: size, seed: 0, batch: 1)
        let images = maker.makeImageMaker()
        let output = UnsafeMutablePointer<Float>.allocate(capacity: maker.imageElements)
        defer { output.deallocate() }
        return try samples.map { sample in
            var sheet = ContactSheet(columns: 1, size: size)
            try sheet.add(output) { () throws(DataError) in
                try images.write(sample, to: output) {
                    SamplePlan.evaluation(.resize, size: size, rows: $0, columns: $1)
                }
                return .halfPixel
            }
            return Picture(rows: size, columns: size, pixels: sheet.tiles[0])
        }
    }

    /// The images of a ticket as the network is shown them.
    package static func ticket(
        _ ticket: Ticket, of dataset: Dataset, configuration: JobConfiguration, columns: Int
    ) throws -> (sheet: ContactSheet, names: [String]) {
        let size = configuration.model.imageSize
        let maker = BatchMaker(
            source: dataset, settings: configuration.data, imageSize: size, seed: configuration.seed,
            batch: configuration.train.batch)
        let loader = BatchLoader(maker, capacity: configuration.train.batch, threads: 1)
        defer { loader.close() }
        let batch = try loader.take(.training(ticket))
        var sheet = ContactSheet(columns: columns, size: size)
        let resampling = maker.trainingResampling
        for place in batch.labels.indices { sheet.add(batch.images + place * maker.imageElements, resampling) }
        return (sheet, try maker.stream.samples(of: ticket).map { try dataset.name(of: $0) })
    }

    /// Samples of a class, a row each: as evaluation shows it, then as tickets would.
    package static func ofClass(
        _ label: Int, of dataset: Dataset, configuration: JobConfiguration, columns: Int, rows: Int
    ) throws -> (sheet: ContactSheet, names: [String]) {
        let size = configuration.model.imageSize
        let maker = BatchMaker(
            source: dataset, settings: configuration.data, imageSize: size, seed: configuration.seed, batch: 1)
        let images = maker.makeImageMaker()
        var sheet = ContactSheet(columns: columns, size: size)
        var names: [String] = []
        let output = UnsafeMutablePointer<Float>.allocate(capacity: maker.imageElements)
        defer { output.deallocate() }
        for sample in 0..<dataset.count where names.count < rows {
            guard try dataset.label(of: sample) == label else { continue }
            names.append(try dataset.name(of: sample))
            for column in 0..<columns {
                try sheet.add(output) { () throws(DataError) in
                    let ticket = column == 0 ? nil : Ticket(UInt64(column))
                    return try maker.show(sample, as: ticket, by: images, to: output)
                }
            }
        }
        return (sheet, names)
    }
}

extension SamplePlan.Resampling {
    /// The byte, not rounded and not cut, that became this value.
    fileprivate func byte(_ value: Float, channel: Int) -> Float {
        switch self {
        case .tensorFlow, .halfPixel, .frame: (value / 2 + 0.5) * 255
        case .pillow:
            (value * PictureTransform.imageNetDeviation[channel] + PictureTransform.imageNetMean[channel]) * 255
        }
    }
}
