// A checkpoint measured and exported.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSEvaluation
import PSFiles
import PSJob
import PSModel
import PSParameters
import PSPrediction
import PSRun
import Testing

/// On the test images of the job's data set.
private func evaluate(
    _ checkpoint: CheckpointReader, _ job: JobConfiguration, _ weights: WeightChoice
) throws -> Evaluation {
    let description = try ModelDescription(job.model)
    let images = try TestImages(
        Dataset.open(job.data.set, .test), configuration: job, description: description, threads: 2)
    try images.load(checkpoint.values(weights.storedValue, layout: description.layout))
    return try Evaluation(
        of: [images], classNames: [], subject: .checkpoint(step: checkpoint.manifest.step, weights))
}

@Suite struct EvaluationTests {
    @Test func ranksCountTiesAndBrokenValues() {
        var tally = Tally(classes: 7)
        tally.add(label: 0, logits: [9, 1, 1, 1, 1, 1, 1])
        tally.add(label: 1, logits: [9, 9, 1, 1, 1, 1, 1])  // A tie goes to the lower class: rank 1.
        tally.add(label: 2, logits: [1, 2, 0, 3, 4, 5, 6])  // Rank 6.
        tally.add(label: 0, logits: ArraySlice(repeating: .nan, count: 7))
        #expect(tally.share(withRankBelow: 1) == 0.25)
        #expect(tally.share(withRankBelow: 5) == 0.5)
        let classes = tally.byClass
        #expect(classes.map(\.images) == [2, 1, 1, 0, 0, 0, 0])
        #expect(classes.map(\.correct) == [1, 0, 0, 0, 0, 0, 0])
        // The tie was named as class 0; what was no number at all as anything but its label.
        #expect(classes.map(\.predicted) == [2, 1, 0, 0, 0, 0, 1])
        #expect(tally.bins.map(\.images).reduce(0, +) == 4)
    }

    /// The running average and the raw weights differ, each is evaluated and exported as what it is.
    @Test func evaluatesAndExportsACheckpoint() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "run-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var job = JobConfiguration()
        job.model.width = 0.1
        job.model.classes = 10
        let layout = try ModelDescription(job.model).layout
        // Untrained, but each set of weights sure of a class of its own.
        func values(seed: UInt64, favourite: Int) throws -> [Float] {
            var values = layout.initialValues(seed: seed)
            values[layout.range(ofTensor: try #require(layout.index(ofTensor: "fc.bias"))).lowerBound + favourite] = 1e6
            return values
        }
        let values = try [
            StoredValue.current: values(seed: 1, favourite: 1), .average: values(seed: 2, favourite: 3),
        ]
        try writeRun(directory, job: job, layout: layout, step: 3, values: values)

        let run = try RunDirectory.existing(directory)
        #expect(try run.readConfiguration() == job)
        let checkpoint = try run.checkpoint(step: nil)
        #expect(try checkpoint.values(.average, layout: layout) == values[.average])
        for weights in WeightChoice.allCases {
            let file = "\(directory)/\(weights).safetensors"
            let export = try Export(
                checkpoint: checkpoint, configuration: job, weights: weights, classNames: ["a\"b", "c"],
                to: OutputFile(file))
            #expect(try SafetensorsFile(file).metadata["classes"] == #"["a\"b","c"]"#)
            #expect(export.notReference?.contains("model.width is 0.1") == true)
            #expect(try WeightFile.load(file, layout: layout) == values[weights.storedValue])
        }
        let evaluations = try WeightChoice.allCases.map {
            try evaluate(checkpoint, job, $0)
        }
        for evaluation in evaluations {
            #expect(evaluation.step == 3)
            #expect(evaluation.images == 10_000)
            #expect(evaluation.classes.count == 10)
            #expect(evaluation.top1 == 0.1)
        }
        #expect(evaluations[0].classes.filter { $0.recall == 1 }.map(\.label) == [3])
        #expect(evaluations[1].classes.filter { $0.recall == 1 }.map(\.label) == [1])
        #expect(evaluations[0].classes[3].precision == 0.1)
        #expect(evaluations[0].classes[0].precision == nil)
        #expect(evaluations[0].confusion.map(\.predicted) == Array(repeating: 3, count: 10))
        #expect(abs(evaluations[0].calibration.expectedError - 0.9) < 1e-9)
        #expect(evaluations[0].mistakes.count == 100)
    }

    /// Test sets that no batch divides, in batches that are full, not full, and larger than the set.
    @Test func everyImageCountsWhateverTheBatch() throws {
        let scratch = try Scratch()
        let random = CounterRandom(seed: 3, name: "pixels")
        func writeImages(_ count: Int) throws {
            func gzip(_ name: String, _ shape: [UInt8], _ elements: [UInt8]) throws {
                let header: [UInt8] = [0, 0, 8, UInt8(shape.count)] + shape.flatMap { [0, 0, 0, $0] }
                try Data(header + elements).write(to: URL(filePath: scratch.file(name)))
                #expect(try Running(shell: "gzip -f '\(scratch.file(name))'").finish().code == 0)
            }
            let pixels = (0..<count * 28 * 28).map { UInt8(random.integer(UInt64($0), below: 256)) }
            for split in ["train", "t10k"] {
                try gzip("\(split)-images-idx3-ubyte", [UInt8(count), 28, 28], pixels)
                try gzip("\(split)-labels-idx1-ubyte", [UInt8(count)], (0..<count).map { UInt8($0 % 10) })
            }
        }
        var job = JobConfiguration()
        job.model.width = 0.1
        job.model.classes = 10
        job.data.set.path = scratch.path
        let layout = try ModelDescription(job.model).layout
        let values = layout.initialValues(seed: 4)
        try writeRun(
            scratch.file("run"), job: job, layout: layout, step: 1, values: [.current: values, .average: values])
        let checkpoint = try RunDirectory.existing(scratch.file("run")).checkpoint(step: nil)
        for count in [1, 13] {
            try writeImages(count)
            var results: Set<[Double]> = []
            for batch in [1, 4, 7, 13, 100] {
                job.eval.batch = batch
                let evaluation = try evaluate(checkpoint, job, .raw)
                #expect(evaluation.images == count)
                results.insert([evaluation.top1, evaluation.top5])
            }
            #expect(results.count == 1, "\(results)")
        }
    }

    /// An image's logits do not depend on how many others there are: not on the batch, nor on what fills it up.
    @Test func logitsDoNotDependOnTheBatch() throws {
        var job = JobConfiguration()
        job.model.width = 0.1
        job.model.classes = 10
        let description = try ModelDescription(job.model)
        let values = description.layout.initialValues(seed: 5)
        let random = CounterRandom(seed: 6, name: "pixels")
        let images = (0..<9 * description.nodes[0].shape.elements).map { 2 * random.uniform(UInt64($0)) - 1 }
        let all = try [1, 2, 4, 9, 100].map { batch in
            try Predictor(
                description: description, values: values, batch: batch, threads: 2, planning: job.engine.planning
            ).logits(images: images, count: 7)
        }
        for logits in all {
            #expect(logits.count == 7 * 10)
            // The last bit of a product may depend on how many rows it has.
            #expect(zip(logits, all[0]).allSatisfy { abs($0 - $1) <= 1e-7 })
        }
    }

    @Test func missingRunsAndCheckpointsAreNamed() throws {
        #expect { _ = try RunDirectory.existing("/nonexistent/run") } throws: {
            "\($0)" == "/nonexistent/run is no run directory: it has no config.yaml"
        }
        let run = RunDirectory("/nonexistent/run")
        #expect { _ = try run.checkpoint(step: 5) } throws: {
            "\($0)" == "/nonexistent/run has no complete checkpoint"
        }
    }

    @Test func torchvisionsLimitsAreNamed() {
        var settings = ModelSettings()
        #expect(Export.difference(from: settings) == nil)
        settings.imageSize = 298
        #expect(Export.difference(from: settings)?.contains("model.imageSize is 298") == true)
        settings.auxiliary = false
        #expect(Export.difference(from: settings) == nil)
        settings.stem = 79
        #expect(Export.difference(from: settings)?.contains("model.stem is 79") == true)
    }
}
