// The speed of inference in one process: logits from running statistics, as an evaluation computes them.

import PSModel
import PSNetwork
import PSParameters
import PSPlanning
import PSReport

/// The result of `psctl bench inference`.
package struct InferenceBenchmark: Encodable {
    package let model: String
    package let imageSize: Int
    package let batch: Int
    package let threads: Int
    /// Which algorithms computed the layers, in a line.
    package let plan: String
    /// Images of a batch over the median batch.
    package let imagesPerSecond: Double
    package let secondsPerBatch: Double
    /// Every measured batch; the warm-up before them is left out.
    package let batchSeconds: [Double]
    package let peakRssBytes: Int
    package let blasCore: String

    /// Computes one batch of warm-up and `batches` measured ones of random images.
    package init(description: ModelDescription, batch: Int, threads: Int, batches: Int, plan: PlanFile) throws {
        precondition(batches > 0)
        let network = try InferenceNetwork(
            description: description, batch: batch, threads: threads, plan: plan.plan)
        network.layout.eachSlice(of: network.layout.initialValues(seed: 1), network.load)
        let pixels = CounterRandom(seed: 1, name: "bench").stream(0)
        let images = (0..<batch * description.nodes[0].shape.elements).map { 2 * pixels.uniform(UInt64($0)) - 1 }
        var logits = [Float](repeating: 0, count: batch * description.classes)
        batchSeconds = (0...batches).map { _ in
            let start = ContinuousClock.now
            network.logits(images: images, count: batch, into: &logits)
            return (ContinuousClock.now - start).inSeconds
        }.dropFirst().map(\.self)
        model = description.settings.name
        imageSize = description.settings.imageSize
        self.batch = batch
        self.threads = threads
        self.plan = plan.summary
        secondsPerBatch = median(batchSeconds)
        imagesPerSecond = Double(batch) / secondsPerBatch
        peakRssBytes = Machine.peakResidentBytes()
        blasCore = Machine.blasCore
    }

    /// The lines for people.
    package var text: String {
        """
        \(model), \(imageSize) x \(imageSize), batch \(batch), \(threads) threads, BLAS core \(blasCore)
        plan: \(plan)
        \(Report.decimal(imagesPerSecond, places: 2)) images/s; a batch takes \
        \(Report.decimal(secondsPerBatch, places: 3)) s (median of \(batchSeconds.count))
        peak memory \(Report.bytes(peakRssBytes))

        """
    }
}
