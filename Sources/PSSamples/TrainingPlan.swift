// What is drawn for one picture of one ticket.

import PSParameters

extension SamplePlan {
    /// Streams below a sample's, one for each purpose: a new purpose does not change what the others draw. `augment:
    /// none` draws from the sample's own stream.
    private enum Purpose: UInt64 {
        case crop = 1
        case mirror
        case colour
        case operations
        case erasing
    }

    /// What happens to a training picture of `rows` x `columns`: a pure function of its arguments.
    ///
    /// - Parameter draws: the stream of one sample of one ticket.
    package static func training(
        _ settings: AugmentationSettings, size: Int, draws: CounterRandom, rows: Int, columns: Int
    ) -> SamplePlan {
        precondition(size > 0 && rows > 0 && columns > 0)
        func words(_ purpose: Purpose) -> CounterWords { CounterWords(draws.stream(purpose.rawValue)) }
        var crops = words(.crop)
        var plan: SamplePlan
        switch settings.augment {
        case .inception:
            plan = SamplePlan(
                size: size, crop: DistortedBox().draw(rows: rows, columns: columns, from: &crops),
                resampling: .tensorFlow)
            var colours = words(.colour)
            plan.colourOperations = ColourOperation.distributedTrainer(from: &colours)
        case .torchvision:
            plan = SamplePlan(
                size: size, crop: RandomResizedCrop().draw(rows: rows, columns: columns, from: &crops),
                resampling: .pillow)
        case .light:
            plan = SamplePlan(
                size: size, whole: LightCrop().draw(rows: rows, columns: columns, from: &crops),
                fit: settings.evaluate)
        case .none:
            plan = evaluation(settings.evaluate, size: size, rows: rows, columns: columns)
            let span = 2 * settings.cropPadding + 1
            plan.mirrored = settings.flip && draws.integer(0, below: 2) == 1
            plan.down = draws.integer(1, below: span) - settings.cropPadding
            plan.right = draws.integer(2, below: span) - settings.cropPadding
        }
        if settings.augment != .none {
            var mirrors = words(.mirror)
            plan.mirrored = mirrors.coin()
        }
        var operations = words(.operations)
        plan.byteOperations = ByteOperation.draw(settings.autoAugment, size: size, from: &operations)
        var erasing = words(.erasing)
        plan.erased = RandomErasing(probability: settings.randomErasing).draw(size: size, from: &erasing)
        return plan
    }
}

extension ColourOperation {
    /// The distributed Inception trainer's distortion, with its ranges: brightness 32/255, saturation and contrast
    /// 0.5...1.5, hue 0.2, in one of two orders. The trainer takes the order from the number of the thread that
    /// preprocesses; here it is drawn.
    package static func distributedTrainer(from words: inout some RandomWords) -> [ColourOperation] {
        let second = words.coin()
        let brightness = Float(words.uniform(-32.0 / 255...32.0 / 255))
        let saturation = Float(words.uniform(0.5...1.5))
        let hue = Float(words.uniform(-0.2...0.2))
        let contrast = Float(words.uniform(0.5...1.5))
        return second
            ? [.brightness(brightness), .contrast(contrast), .saturation(saturation), .hue(hue)]
            : [.brightness(brightness), .saturation(saturation), .hue(hue), .contrast(contrast)]
    }
}

/// torchvision's `RandomErasing`: 2...33 % of the area, ratio (rows to columns) 0.3...3.3 uniform in its logarithm, ten
/// attempts, strictly smaller than the image in both directions.
package struct RandomErasing: Sendable, Hashable {
    package var probability: Double
    package var area: ClosedRange<Double> = 0.02...0.33
    package var aspect: ClosedRange<Double> = 0.3...3.3

    package init(probability: Double) { self.probability = probability }

    package func draw(size: Int, from words: inout some RandomWords) -> PixelRectangle? {
        guard words.unit() < probability else { return nil }
        let logarithms = portableLog(aspect.lowerBound)...portableLog(aspect.upperBound)
        for _ in 0..<10 {
            let target = Double(size * size) * words.uniform(area)
            let ratio = portableExp(words.uniform(logarithms))
            let rows = Int((target * ratio).squareRoot().rounded(.toNearestOrEven))
            let columns = Int((target / ratio).squareRoot().rounded(.toNearestOrEven))
            if rows < size && columns < size {
                let row = words.below(size - rows + 1)
                let column = words.below(size - columns + 1)
                return PixelRectangle(row: row, column: column, rows: rows, columns: columns)
            }
        }
        return nil
    }
}
