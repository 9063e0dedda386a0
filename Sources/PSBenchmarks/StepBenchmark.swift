// The speed of one training step in one process: what a worker computes and what the servers would do with it.

import PSConfiguration
import PSData
import PSDatasets
import PSModel
import PSPlanning
import PSReport

/// The result of `psctl bench step`.
package struct StepBenchmark: Encodable {
    package let model: String
    package let imageSize: Int
    package let batch: Int
    package let threads: Int
    package let parameters: Int
    /// Which algorithms computed the layers, in a line.
    package let plan: String
    /// Images of the batch over the median step.
    package let imagesPerSecond: Double
    /// The median step.
    package let secondsPerStep: Double
    /// Every measured step; the warm-up before them is left out.
    package let stepSeconds: [Double]
    /// Parts of the median step, seconds: waiting for images, where they are a data set's; taking over the weights; forward and backward; clip and update.
    package let dataSeconds: Double?
    package let loadSeconds: Double
    package let networkSeconds: Double
    package let updateSeconds: Double
    /// The loss of every measured step.
    package let losses: [Double]
    package let peakRssBytes: Int
    package let blasCore: String
    /// What each layer cost, where that was measured.
    package let layers: LayerReport?

    /// Runs one step of warm-up and `steps` measured ones on random images.
    /// - Parameters:
    ///   - measuresLayers: fills `layers`, for which the machine's peak is measured too.
    ///   - images: whose training images are computed, read and made as a worker does; nil: random ones.
    package init(
        description: ModelDescription, batch: Int, threads: Int, steps: Int, plan: PlanFile, measuresLayers: Bool,
        images: JobConfiguration? = nil
    ) throws {
        precondition(steps > 0)
        let loader = try images.map { configuration in
            BatchLoader(
                BatchMaker(
                    source: try Dataset.open(configuration.data.set, .train), settings: configuration.data,
                    imageSize: description.settings.imageSize, seed: configuration.seed, batch: batch),
                capacity: batch, threads: configuration.data.threads > 0 ? configuration.data.threads : threads)
        }
        defer { loader?.close() }
        let trainer = try LocalTrainer(
            description: description, batch: batch, threads: threads, plan: plan.plan, measuresLayers: measuresLayers,
            loader: loader)
        var measured: [LocalTrainer.Step] = []
        for step in 0...steps {
            let result = try trainer.step(number: step)
            if step > 0 { measured.append(result) }
        }
        model = description.settings.name
        imageSize = description.settings.imageSize
        self.batch = batch
        self.threads = threads
        parameters = description.parameters
        self.plan = plan.summary
        stepSeconds = measured.map(\.seconds)
        secondsPerStep = median(stepSeconds)
        imagesPerSecond = Double(batch) / secondsPerStep
        dataSeconds = images.map { _ in median(measured.map(\.data)) }
        loadSeconds = median(measured.map(\.load))
        networkSeconds = median(measured.map(\.network))
        updateSeconds = median(measured.map(\.update))
        losses = measured.map(\.loss)
        peakRssBytes = Machine.peakResidentBytes()
        blasCore = Machine.blasCore
        layers =
            measuresLayers
            ? LayerReport(
                steps: measured.map(\.timings), stepSeconds: secondsPerStep, peak: try FMAPeak.measure(threads: threads)
            )
            : nil
    }

    /// What was measured, in a line.
    package var title: String { "\(model), \(imageSize) x \(imageSize), batch \(batch), \(threads) threads" }

    /// The picture of the layers, where they were measured.
    package var svg: String? {
        layers.map { LayerPicture(report: $0, title: title, speed: "\(speed), plan \(plan)").svg }
    }

    private var speed: String {
        "\(Report.decimal(imagesPerSecond, places: 2)) images/s, \(Report.decimal(secondsPerStep, places: 3)) s a step"
    }

    /// The lines for people.
    package var text: String {
        """
        \(title), BLAS core \(blasCore)
        plan: \(plan)
        \(Report.decimal(imagesPerSecond, places: 2)) images/s; a step takes \
        \(Report.decimal(secondsPerStep, places: 3)) s (median of \(stepSeconds.count)): \
        \(dataSeconds.map { "waiting for images \(Report.decimal($0, places: 3)), " } ?? "")weights \
        \(Report.decimal(loadSeconds, places: 3)), network \(Report.decimal(networkSeconds, places: 3)), \
        clip and update \(Report.decimal(updateSeconds, places: 3))
        loss \(losses.map { Report.decimal($0, places: 4) }.joined(separator: ", "))
        peak memory \(Report.bytes(peakRssBytes))

        """ + (layers.map { "\n" + $0.text } ?? "")
    }
}
