// Plans: pure functions of the stream, evaluation's geometry, what `none` always drew.

import PSParameters
import PSSamples
import Testing

private func settings(_ augment: AugmentationSettings.Training, _ evaluate: AugmentationSettings.Evaluation)
    -> AugmentationSettings
{
    var settings = AugmentationSettings()
    settings.augment = augment
    settings.evaluate = evaluate
    return settings
}

@Suite struct PlanTests {
    @Test func aPlanIsAPureFunction() {
        for augment in AugmentationSettings.Training.allCases {
            for evaluate in AugmentationSettings.Evaluation.allCases {
                var settings = settings(augment, evaluate)
                settings.randomErasing = 0.5
                if settings.resamplesBytes { settings.autoAugment = .randaugment }
                if augment == .none {
                    settings.flip = true
                    settings.cropPadding = 2
                }
                func plans(seed: UInt64) -> [SamplePlan] {
                    let planner = AugmentationPlanner(settings: settings, imageSize: 32, seed: seed)
                    return (0..<40).map {
                        planner.training(ticket: Ticket(UInt64($0 / 4)), index: $0 % 4, rows: 50, columns: 40)
                    }
                }
                let first = plans(seed: 1)
                #expect(first == plans(seed: 1))
                #expect(first != plans(seed: 2))
                #expect(Set(first).count > 5)
                #expect(first.contains { $0.mirrored } && first.contains { !$0.mirrored })
                #expect(first.contains { $0.erased != nil } && first.contains { $0.erased == nil })
            }
        }
    }

    /// What earlier releases drew, and other machines draw: a job that goes on must not see other pictures.
    @Test(arguments: [
        (
            AugmentationSettings.Training.inception, AugmentationSettings.Evaluation.inception,
            UInt64(14_028_320_737_689_404_556)
        ),
        (.torchvision, .torchvision, 1_780_098_210_258_952_358), (.light, .inception, 2_043_766_039_457_603_945),
        (.none, .pad, 2_217_897_341_256_022_401),
    ])
    func drawsNeverChange(
        augment: AugmentationSettings.Training, evaluate: AugmentationSettings.Evaluation, expected: UInt64
    ) {
        var settings = settings(augment, evaluate)
        settings.randomErasing = 0.5
        settings.mixup = 0.2
        settings.cutmix = 1
        if augment == .torchvision { settings.autoAugment = .trivialaugment }
        if augment == .none { (settings.flip, settings.cropPadding) = (true, 4) }
        let planner = AugmentationPlanner(settings: settings, imageSize: 64, seed: 2)
        let drawn = (0..<50).map { ticket in
            let plan = planner.training(ticket: Ticket(UInt64(ticket)), index: 3, rows: 60, columns: 64)
            return "\(plan.crop) \(plan.mirrored) \(plan.down) \(plan.right) \(plan.colourOperations) "
                + "\(plan.byteOperations) \(String(describing: plan.erased)) "
                + "\(String(describing: planner.mixing(ticket: Ticket(UInt64(ticket)))))"
        }
        #expect(fnv1a(drawn.joined(separator: "\n")) == expected)
    }

    /// One purpose's draws do not depend on whether another is asked for.
    @Test func drawsAreIndependentOfOtherSettings() {
        var full = settings(.torchvision, .torchvision)
        full.randomErasing = 1
        full.autoAugment = .trivialaugment
        for sample in 0..<50 {
            let draws = CounterRandom(key: 9).stream(UInt64(sample))
            let plain = SamplePlan.training(
                settings(.torchvision, .torchvision), size: 64, draws: draws, rows: 90, columns: 70)
            var other = SamplePlan.training(full, size: 64, draws: draws, rows: 90, columns: 70)
            other.byteOperations = []
            other.erased = nil
            #expect(plain == other)
        }
    }

    /// The counters of the stream that `flip` and `cropPadding` have always used.
    @Test func noneDrawsWhatItAlwaysDrew() {
        var settings = AugmentationSettings()
        settings.flip = true
        settings.cropPadding = 3
        let planner = AugmentationPlanner(settings: settings, imageSize: 28, seed: 7)
        for ticket in 0..<20 {
            for index in 0..<4 {
                let draw = CounterRandom(seed: 7, name: "augmentation").stream(UInt64(ticket)).stream(UInt64(index))
                let plan = planner.training(ticket: Ticket(UInt64(ticket)), index: index, rows: 28, columns: 28)
                #expect(plan.mirrored == (draw.integer(0, below: 2) == 1))
                #expect(plan.down == draw.integer(1, below: 7) - 3)
                #expect(plan.right == draw.integer(2, below: 7) - 3)
                #expect(plan.resampling == .halfPixel && plan.crop.rows == 28 && plan.erased == nil)
            }
        }
        settings.flip = false
        settings.cropPadding = 0
        let still = AugmentationPlanner(settings: settings, imageSize: 28, seed: 7)
        #expect(
            still.training(ticket: 3, index: 1, rows: 9, columns: 5) == still.evaluation(rows: 9, columns: 5))
    }

    @Test func inceptionDistortsInTwoOrders() {
        let planner = AugmentationPlanner(settings: settings(.inception, .inception), imageSize: 299, seed: 1)
        var orders: [Bool: Int] = [:]
        var extremes = (brightness: (Float(1), Float(-1)), hue: (Float(1), Float(-1)), contrast: (Float(9), Float(-1)))
        for ticket in 0..<2000 {
            let plan = planner.training(ticket: Ticket(UInt64(ticket)), index: 0, rows: 375, columns: 500)
            #expect(plan.resampling == .tensorFlow && plan.byteOperations.isEmpty)
            let operations = plan.colourOperations
            guard operations.count == 4, case .brightness(let brightness) = operations[0] else {
                Issue.record("not four operations, brightness first")
                return
            }
            let hue: Float
            let contrast: Float
            switch (operations[1], operations[2], operations[3]) {
            case (.saturation, .hue(let turns), .contrast(let factor)):
                (hue, contrast) = (turns, factor)
                orders[false, default: 0] += 1
            case (.contrast(let factor), .saturation, .hue(let turns)):
                (hue, contrast) = (turns, factor)
                orders[true, default: 0] += 1
            default:
                Issue.record("an order of nobody's: \(operations)")
                return
            }
            func widen(_ range: inout (Float, Float), _ value: Float) {
                range = (min(range.0, value), max(range.1, value))
            }
            widen(&extremes.brightness, brightness)
            widen(&extremes.hue, hue)
            widen(&extremes.contrast, contrast)
        }
        #expect(abs(orders[true, default: 0] - 1000) < 120)
        #expect(extremes.brightness.0 >= -32 / 255 && extremes.brightness.0 < -0.124)
        #expect(extremes.brightness.1 <= 32 / 255 && extremes.brightness.1 > 0.124)
        #expect(extremes.hue.0 >= -0.2 && extremes.hue.0 < -0.199 && extremes.hue.1 <= 0.2 && extremes.hue.1 > 0.199)
        #expect(extremes.contrast.0 >= 0.5 && extremes.contrast.0 < 0.502)
        #expect(extremes.contrast.1 <= 1.5 && extremes.contrast.1 > 1.498)
    }

    @Test func evaluationCutsAsTheLibrariesDo() throws {
        let fixture = try BoxFixture.load()
        for test in fixture.centralCrop {
            let plan = SamplePlan.evaluation(.inception, size: 299, rows: test.height, columns: test.width)
            #expect(
                plan.crop
                    == PixelRectangle(
                        row: test.top, column: test.left, rows: test.cropHeight, columns: test.cropWidth))
        }
        for test in fixture.torchvisionTable {
            let plan = SamplePlan.evaluation(.torchvision, size: 299, rows: test.height, columns: test.width)
            #expect(plan.resampledRows == test.resizedHeight && plan.resampledColumns == test.resizedWidth)
            #expect(plan.windowRow == test.cropTop && plan.windowColumn == test.cropLeft)
        }
        for test in fixture.centreCropParity {
            #expect(SamplePlan.centreOffset(test.length, test.crop) == test.offset)
        }
        #expect(SamplePlan.resizedShorterSide(299) == 342 && SamplePlan.resizedShorterSide(224) == 256)
        #expect(SamplePlan.evaluation(.pad, size: 32, rows: 32, columns: 9).resampling == .frame)
        #expect(SamplePlan.evaluation(.pad, size: 32, rows: 33, columns: 9).resampling == .halfPixel)
    }

    /// TensorFlow's central_crop; of 0.875 that is a sixteenth from each end, whatever the length.
    @Test func theCentralFractionIsCut() {
        func crop(_ rows: Int, _ fraction: Double) -> PixelRectangle {
            SamplePlan.evaluation(.inception, size: 8, rows: rows, columns: 7, centralFraction: fraction).crop
        }
        for rows in 1...5000 { #expect(crop(rows, 0.875).row == rows / 16) }
        #expect(crop(100, 1).row == 0 && crop(100, 1).rows == 100)
        #expect(crop(100, 0.5).row == 25 && crop(100, 0.5).rows == 50)
        #expect(crop(101, 0.5).row == 25 && crop(101, 0.5).rows == 51)
    }

    @Test func erasedRectanglesAreTorchvisions() {
        var words = CounterWords(CounterRandom(key: 3))
        var erased = 0
        var area = 0.0
        for _ in 0..<20_000 {
            guard let box = RandomErasing(probability: 0.25).draw(size: 299, from: &words) else { continue }
            erased += 1
            area += Double(box.rows * box.columns) / (299 * 299)
            #expect(box.rows < 299 && box.columns < 299)
            #expect(box.row + box.rows <= 299 && box.column + box.columns <= 299)
            let ratio = Double(box.rows) / Double(box.columns)
            #expect(ratio > 0.29 && ratio < 3.4)
        }
        // 5000 of them, deviation 61; rejection takes some of the largest from a mean of 0.175.
        #expect(abs(erased - 5000) < 310)
        #expect(abs(area / Double(erased) - 0.172) < 0.006)
        #expect(RandomErasing(probability: 0).draw(size: 299, from: &words) == nil)
    }

    @Test func settingsThatCannotBeAreNamed() {
        func problem(
            _ augment: AugmentationSettings.Training = .none, _ evaluate: AugmentationSettings.Evaluation = .resize,
            _ change: (inout AugmentationSettings) -> Void = { _ in }
        ) -> String {
            var settings = settings(augment, evaluate)
            change(&settings)
            do {
                try settings.validate()
                return ""
            } catch { return "\(error)" }
        }
        #expect(problem() == "")
        #expect(problem { ($0.cropPadding, $0.flip) = (1024, true) } == "")
        #expect(problem(.torchvision, .torchvision) { ($0.autoAugment, $0.mixup) = (.randaugment, 0.2) } == "")
        #expect(problem(.light, .torchvision) { $0.autoAugment = .trivialaugment } == "")
        #expect(problem(.inception, .resize) == "")
        #expect(problem(.light, .pad) { $0.cutmix = 1 } == "")
        #expect(problem { $0.cropPadding = 1025 }.hasPrefix("cropPadding is 1025"))
        #expect(problem { $0.cropPadding = -1 }.hasPrefix("cropPadding is -1"))
        #expect(problem { $0.randomErasing = 1.5 }.hasPrefix("randomErasing is 1.5"))
        #expect(problem { $0.randomErasing = .nan }.hasPrefix("randomErasing is nan"))
        #expect(problem { $0.mixup = -1 }.hasPrefix("mixup is -1"))
        #expect(problem { $0.cutmix = .infinity }.hasPrefix("cutmix is inf"))
        #expect(problem(.light) { $0.flip = true }.hasPrefix("flip is set with augment: light"))
        #expect(problem(.inception) { $0.cropPadding = 2 }.hasPrefix("cropPadding needs augment: none"))
        #expect(problem(.inception) { $0.autoAugment = .randaugment }.hasPrefix("autoAugment needs"))
        #expect(problem(.inception, .torchvision).hasPrefix("evaluate is torchvision"))
        #expect(problem(.torchvision, .inception).hasPrefix("evaluate is inception"))
    }
}
