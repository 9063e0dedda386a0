// The draws of a job: from its seed and a ticket to plans.

import PSParameters

/// What happens to the samples of every ticket: a pure function of (seed, settings, ticket, place in the ticket, the
/// picture's rows and columns).
package struct AugmentationPlanner: Sendable {
    package let settings: AugmentationSettings
    /// Rows and columns of the network's input.
    package let imageSize: Int
    private let random: CounterRandom

    package init(settings: AugmentationSettings, imageSize: Int, seed: UInt64) {
        precondition((1..<1 << 15).contains(imageSize) && settings.cropPadding >= 0)
        self.settings = settings
        self.imageSize = imageSize
        random = CounterRandom(seed: seed, name: "augmentation")
    }

    /// What happens to sample `index` of a training ticket.
    package func training(ticket: Ticket, index: Int, rows: Int, columns: Int) -> SamplePlan {
        SamplePlan.training(
            settings, size: imageSize, draws: random.stream(ticket.number).stream(UInt64(index)), rows: rows,
            columns: columns)
    }

    package func evaluation(rows: Int, columns: Int) -> SamplePlan {
        SamplePlan.evaluation(
            settings.evaluate, size: imageSize, rows: rows, columns: columns, centralFraction: settings.centralFraction)
    }

    /// The crops that an evaluation averages over, `count` not one: of `settings.evaluate` the scale of values alone.
    package func squares(_ count: CropCount, rows: Int, columns: Int) -> [CropSquare] {
        CropSquare.all(
            count, scaling: settings.evaluate == .torchvision ? .imageNet : .symmetric, size: imageSize, rows: rows,
            columns: columns)
    }

    /// How the samples of a training ticket are mixed; nil: they are not.
    package func mixing(ticket: Ticket) -> BatchMixing? {
        // The streams of the samples are numbered from 0; the batch's is the last.
        var words = CounterWords(random.stream(ticket.number).stream(.max))
        return BatchMixing.draw(settings, size: imageSize, from: &words)
    }
}
