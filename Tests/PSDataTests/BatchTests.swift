// Batches of small pictures: the same for the same ticket whoever makes them, pixels where the settings put them.

import PSConfiguration
import PSData
import PSDatasets
import PSParameters
import PSSamples
import Testing

private func batch(_ maker: BatchMaker, ticket: Ticket, threads: Int = 1) throws -> (images: [Float], labels: [Int32]) {
    try made(maker, .training(ticket), threads: threads)
}

/// The samples as evaluation sees them.
private func plain(_ maker: BatchMaker, _ samples: Range<Int>) throws -> [Float] {
    let (images, labels) = try made(maker, .evaluation(samples))
    #expect(try labels == samples.map { Int32(try maker.source.label(of: $0)) })
    return images
}

@Test func aTicketIsAPureFunction() throws {
    var settings = DataSettings()
    settings.augmentation.flip = true
    settings.augmentation.cropPadding = 2
    func maker(seed: UInt64) -> BatchMaker {
        BatchMaker(source: PixelSource(), settings: settings, imageSize: 8, seed: seed, batch: 4)
    }
    let first = maker(seed: 1)
    let tickets = (0..<6).map(Ticket.init)
    let expected = try tickets.map { try batch(first, ticket: $0) }
    let second = maker(seed: 1)
    for ticket in tickets.reversed() {
        let again = try batch(second, ticket: ticket, threads: 3)
        #expect(again == expected[Int(ticket.number)])
        #expect(again.labels == second.stream.samples(of: ticket).map { Int32($0 % 2) })
        #expect(again.images.allSatisfy { $0 >= -1 && $0 <= 1 })
    }
    #expect(try batch(maker(seed: 2), ticket: 0).images != expected[0].images)
}

/// Two pixels to four, by hand: the outer centres lie outside and take the border's value.
@Test func bilinearWithHalfPixelCentres() throws {
    let source = PixelSource(rows: 2, columns: 2, pictures: [[0, 40, 80, 120]])
    let maker = BatchMaker(source: source, settings: DataSettings(), imageSize: 4, seed: 1, batch: 1)
    let images = try plain(maker, 0..<1)
    let columns: [Float] = [0, 10, 30, 40]
    let rows: [Float] = [0, 20, 60, 80]
    for row in 0..<4 {
        for column in 0..<4 {
            for channel in 0..<3 {
                let expected = ((rows[row] + columns[column]) / 255 - 0.5) * 2
                #expect(abs(images[(row * 4 + column) * 3 + channel] - expected) < 1e-6)
            }
        }
    }
}

@Test func aPictureOfTheRightSizeStaysAsItIs() throws {
    for channels in [1, 3] {
        let source = PixelSource(channels: channels)
        let maker = BatchMaker(source: source, settings: DataSettings(), imageSize: 6, seed: 1, batch: 1)
        let images = try plain(maker, 3..<5)
        let pixels = (3..<5).flatMap { source.pictures[$0] }
        for index in 0..<images.count {
            let pixel = channels == 3 ? pixels[index] : pixels[index / 3]
            #expect(images[index] == (Float(pixel) / 255 - 0.5) * 2)
        }
    }
}

@Test func paddingSurroundsWithBlack() throws {
    var settings = DataSettings()
    settings.augmentation.evaluate = .pad
    let maker = BatchMaker(source: PixelSource(), settings: settings, imageSize: 10, seed: 1, batch: 1)
    let padded = try plain(maker, 2..<3)
    let pixels = PixelSource().pictures[2]
    for row in 0..<10 {
        for column in 0..<10 {
            let inside = (2..<8).contains(row) && (2..<8).contains(column)
            let pixel = inside ? pixels[(row - 2) * 6 + column - 2] : 0
            #expect(padded[(row * 10 + column) * 3] == (Float(pixel) / 255 - 0.5) * 2)
        }
    }
    // No room for a frame: resized instead.
    let small = BatchMaker(source: PixelSource(), settings: settings, imageSize: 4, seed: 1, batch: 1)
    #expect(
        try plain(small, 2..<3)
            == plain(
                BatchMaker(source: PixelSource(), settings: DataSettings(), imageSize: 4, seed: 1, batch: 1), 2..<3))
}

/// Each training image is one of the eighteen that mirroring and moving by up to one pixel can give, and all occur.
@Test func mirroredAndMoved() throws {
    var settings = DataSettings()
    settings.augmentation.flip = true
    settings.augmentation.cropPadding = 1
    let source = PixelSource(count: 1)
    let maker = BatchMaker(source: source, settings: settings, imageSize: 6, seed: 5, batch: 1)
    let picture = try plain(maker, 0..<1)
    var expected: [[Float]: Int] = [:]
    for mirrored in [false, true] {
        for down in -1...1 {
            for right in -1...1 {
                var image = [Float](repeating: -1, count: picture.count)
                for row in 0..<6 where (0..<6).contains(row - down) {
                    for column in 0..<6 where (0..<6).contains(column - right) {
                        let from = mirrored ? 5 - (column - right) : column - right
                        for channel in 0..<3 {
                            image[(row * 6 + column) * 3 + channel] = picture[((row - down) * 6 + from) * 3 + channel]
                        }
                    }
                }
                expected[image] = 0
            }
        }
    }
    #expect(expected.count == 18)
    for ticket in 0..<1800 {
        let image = try batch(maker, ticket: Ticket(UInt64(ticket))).images
        #expect(expected[image] != nil)
        expected[image]? += 1
    }
    // 100 each, deviation 10.
    #expect(expected.values.allSatisfy { $0 > 50 && $0 < 150 })
}
