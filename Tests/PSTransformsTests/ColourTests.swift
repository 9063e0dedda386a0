// TensorFlow's colour operations: its own results, and the plain way through HSV and back.

import CPixels
import PSImages
import PSParameters
import PSSamples
import PSTransforms
import Testing

@Suite struct ColourTests {
    let fixture: PixelFixture

    init() throws { fixture = try PixelFixture.load() }

    private func operation(_ name: String, _ value: Float) -> ColourOperation {
        switch name {
        case "brightness": .brightness(value)
        case "saturation": .saturation(value)
        case "hue": .hue(value)
        default: .contrast(value)
        }
    }

    /// Every order of slim's and the distributed trainer's, with values that leave 0...1 in between.
    @Test func distortionsAreTensorFlows() {
        for test in fixture.distortions {
            var plan = SamplePlan(
                size: test.size,
                crop: PixelRectangle(
                    row: test.box[0], column: test.box[1], rows: test.box[2], columns: test.box[3]),
                resampling: .tensorFlow)
            plan.mirrored = test.flip
            plan.colourOperations = test.order.map { operation($0, test.parameters[$0]!) }
            let worst = zip(image(test.image.picture(), plan), test.expected.floats).map { abs($0 - $1) }.max()!
            #expect(worst <= 5e-6, "\(test.name): \(worst)")
        }
    }

    /// Awkward pixels: corners, greys, ties, values outside 0...1.
    @Test func awkwardPixelsAreTensorFlows() {
        let pixels = fixture.colourPixels.floats
        let count = pixels.count / 3
        for test in fixture.colourTable {
            var planes = (0..<3).flatMap { channel in (0..<count).map { pixels[3 * $0 + channel] } }
            switch operation(test.op, test.value) {
            case .brightness(let amount): ps_brightness(&planes, amount, count)
            case .saturation(let factor): ps_saturation(&planes, factor, count)
            case .hue(let turns): ps_hue(&planes, turns, count)
            case .contrast(let factor):
                var sums = [Double](repeating: 0, count: planes.count)
                ps_add_to_sums(&sums, planes, count)
                let means = (0..<3).map { channel in
                    Float(sums[channel * count..<(channel + 1) * count].reduce(0, +) / Double(count))
                }
                ps_contrast(&planes, means, factor, count)
            }
            var expected = test.expected.floats
            if let defect = test.defect {
                let right = defect.expected.floats
                for (index, pixel) in defect.pixels.enumerated() {
                    expected.replaceSubrange(3 * pixel..<3 * pixel + 3, with: right[3 * index..<3 * index + 3])
                }
            }
            for pixel in 0..<count {
                for channel in 0..<3 {
                    let distance = abs(planes[channel * count + pixel] - expected[3 * pixel + channel])
                    #expect(distance <= 1e-6, "\(test.op) \(test.value), pixel \(pixel)")
                }
            }
        }
    }

    /// What the trainer draws, on pictures of odd sizes, against the plain way in double precision.
    @Test func drawnDistortionsAreTheTwins() {
        var settings = AugmentationSettings()
        settings.augment = .inception
        let transform = PictureTransform()
        for number in 0..<60 {
            let picture = formulaPicture(
                number % 2 == 0 ? "photo" : "noise", columns: 30 + number % 17, rows: 41 - number % 19, seed: number)
            let size = 9 + number % 33
            let plan = AugmentationPlanner(settings: settings, imageSize: size, seed: 2).training(
                ticket: Ticket(UInt64(number)), index: 0, rows: picture.rows, columns: picture.columns)
            var plain = plan
            plain.colourOperations = []
            let values = naiveImage(picture, plain).map { Double($0) / 2 + 0.5 }
            var pixels = (0..<size * size).map { Array(values[3 * $0..<3 * $0 + 3]) }
            for operation in plan.colourOperations { pixels = naiveColour(pixels, operation) }
            let expected = pixels.flatMap { $0.map { (min(max($0, 0), 1) - 0.5) * 2 } }
            let worst = zip(image(picture, plan, transform), expected).map { abs(Double($0) - $1) }.max()!
            #expect(worst <= 5e-6, "\(plan.colourOperations): \(worst)")
        }
    }

    /// Every hue of every brightness there is in a coarse cube, turned all the way.
    @Test func huesTurn() {
        let levels: [Float] = [0, 0.2, 0.5, 0.8, 1]
        var pixels: [[Float]] = []
        for r in levels { for g in levels { for b in levels { pixels.append([r, g, b]) } } }
        for turns in stride(from: Float(-0.5), through: 0.5, by: 0.05) {
            var planes = (0..<3).flatMap { channel in pixels.map { $0[channel] } }
            ps_hue(&planes, turns, pixels.count)
            let expected = naiveColour(pixels.map { $0.map { Double($0) } }, .hue(turns))
            for (index, pixel) in expected.enumerated() {
                for channel in 0..<3 {
                    #expect(abs(Double(planes[channel * pixels.count + index]) - pixel[channel]) < 2e-6)
                }
            }
        }
    }
}
