// Resampling against TensorFlow and Pillow bit for bit, and against the plain twins over random plans.

import CPixels
import Glibc
import PSImages
import PSParameters
import PSSamples
import PSTransforms
import Testing

/// What the product makes of a whole picture: it is given the plan's region of it.
func image(_ picture: Picture, _ plan: SamplePlan, _ transform: PictureTransform = PictureTransform()) -> [Float] {
    var image = [Float](repeating: .nan, count: plan.size * plan.size * 3)
    transform.write(picture.cut(PictureTransform.region(of: plan)), plan: plan, to: &image)
    return image
}

/// Bit for bit. Not by `==` of arrays in an expectation: of two long arrays that differ it would look for the shortest edit.
func same(_ values: [Float], _ expected: [Float]) -> Bool {
    values.count == expected.count && zip(values, expected).allSatisfy { $0.bitPattern == $1.bitPattern }
}

func whole(_ picture: Picture) -> PixelRectangle {
    PixelRectangle(row: 0, column: 0, rows: picture.rows, columns: picture.columns)
}

@Suite struct ResampleTests {
    let fixture: PixelFixture

    init() throws { fixture = try PixelFixture.load() }

    /// Bytes as torchvision normalises them.
    private func normalised(_ bytes: [UInt8]) -> [Float] {
        let mean: [Float] = [0.485, 0.456, 0.406]
        let deviation: [Float] = [0.229, 0.224, 0.225]
        return bytes.enumerated().map { (Float($1) / 255 - mean[$0 % 3]) / deviation[$0 % 3] }
    }

    /// Compares a resampled picture through square windows in all corners; a plan's output is square.
    private func compare(_ picture: Picture, crop: PixelRectangle, rows: Int, columns: Int, _ expected: [UInt8]) {
        let size = min(rows, columns)
        let full = Picture(rows: rows, columns: columns, pixels: expected)
        for corner in 0..<4 {
            var plan = SamplePlan(
                size: size, crop: crop, resampledRows: rows, resampledColumns: columns, resampling: .pillow)
            plan.windowRow = corner & 1 == 0 ? 0 : rows - size
            plan.windowColumn = corner & 2 == 0 ? 0 : columns - size
            let window = full.cut(
                PixelRectangle(row: plan.windowRow, column: plan.windowColumn, rows: size, columns: size))
            #expect(same(image(picture, plan), normalised(window.pixels)))
            plan.mirrored = true
            #expect(same(image(picture, plan), normalised(window.mirrored().pixels)))
        }
    }

    @Test func filteringIsPillows() {
        for test in fixture.resize {
            let picture = test.image.picture()
            compare(picture, crop: whole(picture), rows: test.rows, columns: test.columns, test.pillow.bytes)
        }
        for test in fixture.resizedCrop {
            let crop = PixelRectangle(row: test.top, column: test.left, rows: test.height, columns: test.width)
            compare(test.image.picture(), crop: crop, rows: test.out[0], columns: test.out[1], test.pillow.bytes)
        }
    }

    @Test func interpolationIsTensorFlows() {
        for test in fixture.resize {
            let picture = test.image.picture()
            var across = BilinearTable()
            var down = BilinearTable()
            across.tensorFlow(length: picture.columns, count: test.columns)
            down.tensorFlow(length: picture.rows, count: test.rows)
            let stride = 3 * test.columns
            var result: [Float] = []
            let bytes = picture.pixels + [0]
            var rows = [[Float]](repeating: [Float](repeating: 0, count: stride + 1), count: 2)
            for row in 0..<test.rows {
                for (slot, source) in [down.first[row], down.second[row]].enumerated() {
                    bytes.withUnsafeBufferPointer {
                        ps_bilinear_row(
                            &rows[slot], $0.baseAddress! + Int(source) * 3 * picture.columns, across.first,
                            across.second, across.weight, 1, test.columns)
                    }
                }
                result += (0..<stride).map { rows[0][$0] + (rows[1][$0] - rows[0][$0]) * down.weight[row] }
            }
            // The rule in single precision, to the bit.
            #expect(same(result, test.tensorflow.floats), "\(test.name)")
        }
    }

    private func compare(_ tests: [PixelFixture.Evaluation], _ evaluation: AugmentationSettings.Evaluation) {
        for test in tests {
            let picture = test.image.picture()
            let plan = SamplePlan.evaluation(evaluation, size: 299, rows: picture.rows, columns: picture.columns)
            let result = image(picture, plan)
            var samples: [Float] = []
            for row in test.grid {
                for column in test.grid {
                    for channel in 0..<3 { samples.append(result[(row * 299 + column) * 3 + channel]) }
                }
            }
            let expected = test.samples.floats
            let worst = zip(samples, expected).map { abs($0 - $1) }.max()!
            #expect(worst <= 1e-6, "\(test.image.formula) \(evaluation): \(worst)")
        }
    }

    @Test func evaluationIsTheLibraries() {
        compare(fixture.slimEvaluation, .inception)
        compare(fixture.torchvisionEvaluation, .torchvision)
    }

    /// A picture that has the size already is not touched, and the share of it that is kept is the one asked for.
    @Test(arguments: [AugmentationSettings.Evaluation.resize, .inception])
    func atItsOwnSizeAPictureIsItself(evaluation: AugmentationSettings.Evaluation) {
        let picture = formulaPicture("noise", columns: 37, rows: 37, seed: 2)
        let plan = SamplePlan.evaluation(evaluation, size: 37, rows: 37, columns: 37, centralFraction: 1)
        let bytes = image(picture, plan).map { (Double($0) / 2 + 0.5) * 255 }
        #expect(zip(bytes, picture.pixels).allSatisfy { abs($0 - Double($1)) < 1e-4 })
        #expect(bytes.count == picture.pixels.count)
    }

    @Test func normalisationIsTorchvisions() throws {
        let test = fixture.erase[0]
        let picture = test.image.picture()
        var values = [Float](repeating: .nan, count: picture.pixels.count)
        ps_bytes_to_normalised(
            &values, picture.pixels, PictureTransform.imageNetMean, PictureTransform.imageNetDeviation,
            picture.pixels.count / 3)
        #expect(same(values, test.normalised.floats))
    }

    /// Random plans of every kind, with one transform whose memory is used again.
    @Test func randomPlansAreTheTwins() {
        let transform = PictureTransform()
        for number in 0..<400 {
            var words = CounterWords(CounterRandom(key: 77).stream(UInt64(number)))
            var settings = AugmentationSettings()
            settings.augment = [.torchvision, .light, .none][words.below(3)]
            settings.evaluate = AugmentationSettings.Evaluation.allCases[words.below(4)]
            settings.randomErasing = 0.3
            if settings.augment == .none {
                settings.flip = true
                settings.cropPadding = [0, 2, 40][words.below(3)]
            }
            let rows = 1 + words.below(words.coin() ? 60 : 8)
            let columns = 1 + words.below(words.coin() ? 60 : 8)
            let picture = formulaPicture("photo", columns: columns, rows: rows, seed: number)
            let size = 1 + words.below(40)
            let planner = AugmentationPlanner(settings: settings, imageSize: size, seed: UInt64(number))
            for plan in [
                planner.training(ticket: 5, index: 1, rows: rows, columns: columns),
                planner.evaluation(rows: rows, columns: columns),
            ] {
                #expect(same(image(picture, plan, transform), naiveImage(picture, plan)), "\(plan)")
            }
        }
    }

    /// Bits that every machine gives, whatever its instruction set: checked on plain, AVX2 and AVX-512 builds of the loops.
    @Test(arguments: [
        (AugmentationSettings.Training.inception, AugmentationSettings.Evaluation.inception, UInt32(3_934_456_622)),
        (.torchvision, .torchvision, 4_150_001_410), (.light, .inception, 2_291_891_364),
        (.none, .resize, 2_833_830_836),
    ])
    func theSameBitsEverywhere(
        augment: AugmentationSettings.Training, evaluate: AugmentationSettings.Evaluation, expected: UInt32
    ) {
        var settings = AugmentationSettings()
        settings.augment = augment
        settings.evaluate = evaluate
        let planner = AugmentationPlanner(settings: settings, imageSize: 99, seed: 1)
        let picture = formulaPicture("photo", columns: 150, rows: 111, seed: 1)
        let values = (0..<10).flatMap {
            image(picture, planner.training(ticket: 0, index: $0, rows: picture.rows, columns: picture.columns))
        }
        let bytes = values.flatMap { value in
            (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
        }
        #expect(checksum(bytes) == expected)
    }

    /// The distorted box's own resampling, colours aside.
    @Test func randomDistortedBoxesAreTheTwins() {
        var settings = AugmentationSettings()
        settings.augment = .inception
        for number in 0..<100 {
            let picture = formulaPicture("photo", columns: 20 + number % 31, rows: 45 - number % 23, seed: number)
            var plan = AugmentationPlanner(settings: settings, imageSize: 8 + number % 40, seed: 1).training(
                ticket: Ticket(UInt64(number)), index: 0, rows: picture.rows, columns: picture.columns)
            plan.colourOperations = []
            #expect(same(image(picture, plan), naiveImage(picture, plan)))
        }
    }

    /// Every weight is read, zero ones too: none may lie outside what a plan asks to be decoded.
    @Test func filtersStayInTheirRegion() {
        var table = TriangleTable()
        for length in [1, 2, 3, 7, 29, 30, 64, 500, 1203] {
            for count in [1, 2, 5, 29, 31, 64, 299] {
                for window in [0..<count, count / 3..<count / 3 + 1, count / 2..<count] where !window.isEmpty {
                    let support = TriangleTable.support(length: length, count: count, window: window)
                    #expect(support.lowerBound >= 0 && support.upperBound <= length && !support.isEmpty)
                    table.fill(
                        length: length, count: count, window: window, origin: support.lowerBound,
                        available: support.count)
                    #expect(table.first.count == window.count && table.weight.count == window.count * table.taps)
                    for (sample, first) in table.first.enumerated() {
                        #expect(first >= 0 && Int(first) + table.taps <= support.count)
                        let sum = table.weight[sample * table.taps..<(sample + 1) * table.taps].reduce(0, +)
                        // Each weight is rounded by itself.
                        #expect(abs(Int(sum) - 1 << 22) <= table.taps)
                    }
                }
            }
        }
    }

    /// A picture that ends where a page does, and the next page may not be touched: reading on would end the process.
    @Test func nothingBehindAPictureIsRead() throws {
        let page = sysconf(Int32(_SC_PAGESIZE))
        let room = 4 * page
        let memory = try #require(mmap(nil, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
        defer { munmap(memory, room + page) }
        #expect(mprotect(memory + room, page, PROT_NONE) == 0)
        for (rows, columns) in [(1, 1), (1, 90), (90, 1), (40, 31), (7, 100), (33, 33)] {
            let picture = formulaPicture("noise", columns: columns, rows: rows, seed: 2)
            for evaluation in AugmentationSettings.Evaluation.allCases {
                for size in [3, 33, 64] {
                    let plan = SamplePlan.evaluation(evaluation, size: size, rows: rows, columns: columns)
                    let part = picture.cut(PictureTransform.region(of: plan))
                    let pixels = UnsafeMutableBufferPointer(
                        start: (memory + room - part.pixels.count).assumingMemoryBound(to: UInt8.self),
                        count: part.pixels.count)
                    _ = pixels.update(from: part.pixels)
                    var values = [Float](repeating: .nan, count: size * size * 3)
                    PictureTransform().write(
                        UnsafeBufferPointer(pixels), rows: part.rows, columns: part.columns, plan: plan, to: &values)
                    #expect(same(values, naiveImage(picture, plan)))
                }
            }
        }
    }

    /// Shapes that leave nothing or next to nothing of a picture.
    @Test func thinPicturesAreNoTrouble() {
        for (rows, columns) in [(1, 3000), (3000, 1), (1, 1), (2, 700)] {
            let picture = formulaPicture("noise", columns: columns, rows: rows, seed: 1)
            for evaluation in AugmentationSettings.Evaluation.allCases {
                let plan = SamplePlan.evaluation(evaluation, size: 11, rows: rows, columns: columns)
                let region = PictureTransform.region(of: plan)
                #expect(region.row >= 0 && region.column >= 0 && region.rows > 0 && region.columns > 0)
                #expect(region.row + region.rows <= rows && region.column + region.columns <= columns)
                #expect(image(picture, plan).allSatisfy { $0.isFinite })
            }
        }
        // A side of 65535 needs little of the picture: the centre of a strip.
        let strip = PictureTransform.region(
            of: SamplePlan.evaluation(.torchvision, size: 299, rows: 65_535, columns: 30))
        #expect(strip.rows < 40 && strip.columns == 28)
    }
}
