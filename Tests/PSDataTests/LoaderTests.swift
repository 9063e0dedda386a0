// The loader: the same batches whatever was prepared, in whatever order, by however many threads; bad pictures.

import PSConfiguration
import PSData
import PSDatasets
import PSImages
import PSParameters
import PSSamples
import Testing

private func picture(_ seed: Int, rows: Int = 40, columns: Int = 50) -> Picture {
    Picture(
        rows: rows, columns: columns, pixels: (0..<rows * columns * 3).map { UInt8(($0 / 3 * seed + $0) / 7 % 256) })
}

@Suite struct LoaderTests {
    private func maker(_ source: any SampleSource, _ change: (inout DataSettings) -> Void = { _ in }) -> BatchMaker {
        var settings = DataSettings()
        settings.augmentation.augment = .inception
        settings.augmentation.evaluate = .inception
        change(&settings)
        return BatchMaker(source: source, settings: settings, imageSize: 32, seed: 3, batch: 5)
    }

    private let files = (0..<7).map { try! picture($0 + 1).jpeg(quality: 90) }

    @Test func preparedOrNotTheSame() throws {
        let maker = maker(FileSource(files))
        let expected = try (0..<8).map { try made(maker, .training(Ticket($0))) }
        let loader = BatchLoader(maker, capacity: 5, threads: 3, ahead: 2)
        defer { loader.close() }
        // More than it keeps, in another order, twice, and some for nobody.
        for ticket in [5, 0, 1, 2, 2, 7, 3] as [UInt64] { loader.prepare(.training(Ticket(ticket))) }
        for ticket in [2, 7, 0, 1, 3, 4, 6, 5] as [UInt64] {
            let batch = try loader.take(.training(Ticket(ticket)))
            loader.prepare(.training(Ticket((ticket + 1) % 8)))
            #expect(floats(batch, maker) == expected[Int(ticket)].images)
            #expect(batch.labels == expected[Int(ticket)].labels)
            loader.giveBack(batch)
        }
    }

    /// What was prepared is there: nothing is read again when it is taken.
    @Test func preparedIsPrepared() throws {
        let source = FileSource(files)
        let loader = BatchLoader(maker(source), capacity: 5, threads: 1)
        defer { loader.close() }
        loader.prepare(.training(4))
        while source.readCount < 5 {}
        loader.giveBack(try loader.take(.training(4)))
        #expect(source.readCount == 5)
    }

    @Test func theFirstBadPictureIsNamed() throws {
        var files = files
        files[2] = Array("no picture at all".utf8)
        files[4] = Array(files[4].prefix(200))
        let maker = maker(FileSource(files))
        let loader = BatchLoader(maker, capacity: 7, threads: 3)
        defer { loader.close() }
        for _ in 0..<5 {
            let error = #expect(throws: DataError.self) { try loader.take(.evaluation(0..<7)) }
            #expect(error?.description.contains("picture-2 of ") == true, "\(error!)")
            #expect(error?.description.contains("data.onBadImage=skip") == true && error?.mayPass == false)
        }
    }

    /// Others take their place, the same whoever makes the batch; in evaluation they do not count.
    @Test func badPicturesAreReplaced() throws {
        var files = files
        files[2] = Array("no picture at all".utf8)
        files[4] = Array(files[4].prefix(200))
        let skipping = maker(FileSource(files)) { $0.onBadImage = .skip }
        let whole = maker(FileSource(self.files))
        var replaced = 0
        for ticket in (0..<20).map(Ticket.init) {
            let samples = whole.stream.samples(of: ticket)
            let one = try made(skipping, .training(ticket))
            #expect(try one == made(skipping, .training(ticket), threads: 3))
            let elements = skipping.imageElements
            let expected = try made(whole, .training(ticket))
            for (place, sample) in samples.enumerated() {
                let range = place * elements..<(place + 1) * elements
                let isSame = one.images[range] == expected.images[range]
                #expect(isSame == ![2, 4].contains(sample))
                if !isSame { replaced += 1 }
            }
        }
        #expect(replaced > 10)
        let evaluated = try made(skipping, .evaluation(0..<7))
        #expect(evaluated.labels == [0, 0, -1, 0, -1, 0, 0])
    }

    @Test func whatCannotBeReadAtAll() throws {
        let junk = [[UInt8]](repeating: Array("junk".utf8), count: 3)
        let error = #expect(throws: DataError.self) {
            try made(maker(FileSource(junk)) { $0.onBadImage = .skip }, .training(0))
        }
        #expect(error?.description.contains("100 images in a row") == true)
        // What the disk refuses is no bad picture, and may pass.
        let failing = FileSource(files, failures: [3: .system(operation: "read", path: "p", code: 5)])
        let disk = #expect(throws: DataError.self) {
            try made(maker(failing) { $0.onBadImage = .skip }, .evaluation(0..<7))
        }
        #expect(disk?.mayPass == true)
    }

    /// mixup: each image and its neighbour before it, with the labels' shares.
    @Test func mixedLabels() throws {
        let mixing = maker(PixelSource(count: 10)) {
            $0.augmentation.augment = .none
            $0.augmentation.evaluate = .resize
            $0.augmentation.mixup = 0.4
        }
        let plain = maker(PixelSource(count: 10)) {
            $0.augmentation.augment = .none
            $0.augmentation.evaluate = .resize
        }
        let loader = BatchLoader(mixing, capacity: 5, threads: 2)
        defer { loader.close() }
        let batch = try loader.take(.training(1))
        let before = try made(plain, .training(1))
        let second = try #require(batch.second)
        #expect(second.labels == [batch.labels[4]] + batch.labels[..<4])
        #expect(second.share > 0 && second.share < 1)
        let elements = mixing.imageElements
        for place in 0..<5 {
            let partner = (place + 4) % 5
            for element in stride(from: 0, to: elements, by: 97) {
                let expected =
                    Double(before.images[place * elements + element]) * (1 - second.share)
                    + Double(before.images[partner * elements + element]) * second.share
                #expect(abs(Double(batch.images[place * elements + element]) - expected) < 1e-6)
            }
        }
    }
}
