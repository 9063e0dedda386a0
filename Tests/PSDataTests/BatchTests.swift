// Tickets: every sample once an epoch, the same bytes for the same ticket, pictures where the settings put them.

import PSData
import PSParameters
import PSSamples
import Testing

@Test(arguments: [(10, 10), (10, 3), (7, 4), (5, 13), (1, 3), (100, 32)])
func everySampleOnceAnEpoch(sampleCount: Int, batch: Int) {
    let stream = SampleStream(seed: 7, sampleCount: sampleCount, batch: batch)
    let epochs = 6
    let tickets = (0..<UInt64((epochs * sampleCount + batch - 1) / batch)).map(Ticket.init)
    let samples = tickets.flatMap { stream.samples(of: $0) }
    for epoch in 0..<epochs {
        #expect(samples[epoch * sampleCount..<(epoch + 1) * sampleCount].sorted() == Array(0..<sampleCount))
    }
    if sampleCount > 9 {
        #expect(samples[..<sampleCount] != samples[sampleCount..<2 * sampleCount])
        #expect(
            samples[..<sampleCount]
                != SampleStream(seed: 8, sampleCount: sampleCount, batch: sampleCount)
                .samples(of: 0)[...])
    }
    // Asked in any order, by anyone, the answer is the same.
    let another = SampleStream(seed: 7, sampleCount: sampleCount, batch: batch)
    for ticket in tickets.reversed() {
        let start = Int(ticket.number) * batch
        #expect(another.samples(of: ticket) == Array(samples[start..<start + batch]))
    }
    #expect(stream.samples(of: Ticket(.max)).count == batch)
}

/// Over many epochs every sample comes first about equally often.
@Test func permutationsAreUniform() {
    let stream = SampleStream(seed: 3, sampleCount: 5, batch: 5)
    var first = [Int](repeating: 0, count: 5)
    for epoch in 0..<5000 { first[stream.samples(of: Ticket(UInt64(epoch)))[0]] += 1 }
    // 1000 each, deviation 28.
    #expect(first.allSatisfy { abs($0 - 1000) < 120 })
}

private func batch(_ maker: BatchMaker, ticket: Ticket) throws -> (images: [Float], labels: [Int32]) {
    var images = [Float](repeating: .nan, count: maker.batch * maker.imageElements)
    var labels = [Int32](repeating: -1, count: maker.batch)
    try maker.fill(ticket: ticket, images: &images, labels: &labels)
    return (images, labels)
}

/// The samples as evaluation sees them.
private func plain(_ maker: BatchMaker, _ samples: Range<Int>) throws -> [Float] {
    var images = [Float](repeating: .nan, count: samples.count * maker.imageElements)
    var labels = [Int32](repeating: -1, count: samples.count)
    try maker.fill(samples: samples, images: &images, labels: &labels)
    #expect(labels == samples.map { Int32(maker.source.label(of: $0)) })
    return images
}

@Test func aTicketIsAPureFunction() throws {
    var settings = DataSettings()
    settings.flip = true
    settings.cropPadding = 2
    func maker(seed: UInt64) -> BatchMaker {
        BatchMaker(source: FormulaSource(), imageSize: 8, settings: settings, seed: seed, batch: 4)
    }
    let first = maker(seed: 1)
    let tickets = (0..<6).map(Ticket.init)
    let expected = try tickets.map { try batch(first, ticket: $0) }
    let second = maker(seed: 1)
    for ticket in tickets.reversed() {
        let again = try batch(second, ticket: ticket)
        #expect(again == expected[Int(ticket.number)])
        #expect(again.labels == second.stream.samples(of: ticket).map { Int32($0 % 2) })
        #expect(again.images.allSatisfy { $0 >= -1 && $0 <= 1 })
    }
    #expect(try batch(maker(seed: 2), ticket: 0).images != expected[0].images)
}

/// Two pixels to four, by hand: the outer centres lie outside and take the border's value.
@Test func bilinearWithHalfPixelCentres() throws {
    struct Source: ImageSource {
        let count = 1
        let classNames = ["x"]
        func label(of sample: Int) -> Int { 0 }
        func image(of sample: Int) -> PixelImage {
            PixelImage(rows: 2, columns: 2, channels: 1, pixels: [0, 40, 80, 120])
        }
    }
    let maker = BatchMaker(source: Source(), imageSize: 4, settings: DataSettings(), seed: 1, batch: 1)
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
        let source = FormulaSource(channels: channels)
        let maker = BatchMaker(source: source, imageSize: 6, settings: DataSettings(), seed: 1, batch: 1)
        let images = try plain(maker, 3..<5)
        let pixels = (3..<5).flatMap { source.image(of: $0).pixels }
        for index in 0..<images.count {
            let pixel = channels == 3 ? pixels[index] : pixels[index / 3]
            #expect(images[index] == (Float(pixel) / 255 - 0.5) * 2)
        }
    }
}

@Test func paddingSurroundsWithBlack() throws {
    var settings = DataSettings()
    settings.fit = .pad
    let maker = BatchMaker(source: FormulaSource(), imageSize: 10, settings: settings, seed: 1, batch: 1)
    let padded = try plain(maker, 2..<3)
    let pixels = Array(FormulaSource().image(of: 2).pixels)
    for row in 0..<10 {
        for column in 0..<10 {
            let inside = (2..<8).contains(row) && (2..<8).contains(column)
            let pixel = inside ? pixels[(row - 2) * 6 + column - 2] : 0
            #expect(padded[(row * 10 + column) * 3] == (Float(pixel) / 255 - 0.5) * 2)
        }
    }
    // No room for a frame: resized instead.
    let small = BatchMaker(source: FormulaSource(), imageSize: 4, settings: settings, seed: 1, batch: 1)
    #expect(
        try plain(small, 2..<3)
            == plain(
                BatchMaker(source: FormulaSource(), imageSize: 4, settings: DataSettings(), seed: 1, batch: 1), 2..<3))
}

/// Each training image is one of the eighteen that mirroring and moving by up to one pixel can give, and all occur.
@Test func mirroredAndMoved() throws {
    var settings = DataSettings()
    settings.flip = true
    settings.cropPadding = 1
    let source = FormulaSource(count: 1)
    let maker = BatchMaker(source: source, imageSize: 6, settings: settings, seed: 5, batch: 1)
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

@Test func settingsThatAreRefused() {
    var settings = DataSettings()
    settings.cropPadding = -1
    #expect(throws: DataError.self) { try settings.validate() }
    settings.cropPadding = .max
    #expect(throws: DataError.self) { try settings.validate() }
    settings.cropPadding = 0
    settings.path = ""
    #expect(throws: DataError.self) { try settings.open(.train) }
}
