// Every setting that changes arithmetic, through real processes: the last checkpoint of a small job is what
// `ReferenceJob` comes to, and would be another without the setting.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSCoordinator
import PSOptimization
import PSRun
import Testing

/// A job unlike the default in some settings, each of which must show in the result.
struct Variation: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// Must show: the job's result is another without any one of them.
    var settings: [String] = []
    /// Settings that go with them and need not show alone.
    var frame: [String] = []
    /// Whether the job is stopped half-way and resumed on one server.
    var isResumed = false

    init(_ name: String, _ settings: [String] = [], frame: [String] = [], isResumed: Bool = false) {
        testDescription = name
        self.settings = settings
        self.frame = frame
        self.isResumed = isResumed
    }

    /// Three steps of three tickets of four images: of these steps 5000 are an epoch.
    private static let base = [
        "seed=11", "model.width=0.1", "train.batch=4", "train.ticketsPerStep=3", "train.steps=3", "eval.atEnd=false",
        "engine.convolution=direct",
    ]

    func assignments(without omitted: String? = nil) -> [String] {
        Variation.base + frame + settings.filter { $0 != omitted }
    }

    func configuration(without omitted: String? = nil) throws -> JobConfiguration {
        try JobConfiguration(path: nil, environment: [:], assignments: assignments(without: omitted))
    }

    /// The norm of a gradient here is near 400, of the sum of three near 1200.
    static let all = [
        Variation("defaults"),
        // Summed, so that the step's norm is beyond what each ticket's is kept within: nothing may clip it again.
        Variation(
            "clip by ticket, with sum and weight decay",
            [
                "optimizer.clipScope=ticket", "optimizer.clip=100", "optimizer.reduction=sum",
                "optimizer.weightDecay=0.01",
            ]),
        Variation(
            "no clip, constant rate after a rise",
            ["optimizer.clip=0", "learningRate.shape=constant", "learningRate.warmupSteps=2", "learningRate.base=0.01"]),
        Variation(
            "weight decay, cosine over epochs", ["optimizer.weightDecay=0.01", "learningRate.shape=cosine"],
            frame: ["train.steps=null", "train.epochs=0.0005"]),
        Variation(
            "sum, rate that goes down smoothly",
            [
                "optimizer.reduction=sum", "optimizer.clip=500", "learningRate.shape=exponential",
                "learningRate.factor=0.5", "learningRate.everyEpochs=0.0005", "learningRate.staircase=false",
            ]),
        // A period is 2.5 steps, rounded down to 2.
        Variation(
            "momentum, rate that goes down in steps",
            [
                "optimizer.rule=momentum", "learningRate.shape=exponential", "learningRate.factor=0.5",
                "learningRate.everyEpochs=0.0005",
            ]),
        Variation(
            "momentum, weight decay and sum, resumed",
            [
                "optimizer.rule=momentum", "optimizer.weightDecay=0.01", "optimizer.reduction=sum",
                "optimizer.momentum=0.5", "optimizer.clip=500", "learningRate.shape=constant",
                "learningRate.base=0.001",
            ], isResumed: true),
        Variation(
            "numbers of the update",
            [
                "optimizer.decay=0.7", "optimizer.momentum=0.6", "optimizer.epsilon=0.1", "optimizer.clip=100",
                "optimizer.averageDecay=0.15", "optimizer.batchNormMomentum=0.3",
            ]),
        Variation(
            "loss and dropout", ["train.labelSmoothing=0.3", "train.auxiliaryWeight=0.8", "model.dropout=0.5"],
            frame: ["model.auxiliary=true", "model.imageSize=79", "train.batch=2"]),
        Variation(
            "frozen tensors, rates by prefix, resumed",
            [
                "train.freeze=Conv2d_,Mixed_5", "optimizer.groups=fc.:3,Mixed_7:0.2,Mixed_7c.branch3x3:2",
                "optimizer.clip=0.5", "optimizer.weightDecay=0.01",
            ], frame: ["learningRate.shape=constant"], isResumed: true),
        Variation(
            "frozen tensors, clip by ticket, momentum",
            [
                "train.freeze=Mixed_6,Mixed_7", "optimizer.groups=Conv2d_:0.5", "optimizer.clip=100",
                "optimizer.rule=momentum",
            ], frame: ["optimizer.clipScope=ticket"]),
        Variation("frozen norms", ["model.batchNorm=frozen"], frame: ["optimizer.clip=0.05"]),
        Variation("images", ["data.flip=true", "data.cropPadding=3", "data.evaluate=resize"]),
        Variation("mixed images", ["data.mixup=0.4", "data.cutmix=1", "data.augment=inception"]),
        Variation(
            "network",
            ["model.initialValues=slim", "model.poolBorder=excluded", "model.unbiasedVariance=false"],
            frame: ["model.batchNormScale=false"]),
    ]
}

@Suite(.serialized)
struct ArithmeticTests {
    /// Of a tensor's largest change. Measured: 0, every bit is the same. Roundings of the last commit alone would find
    /// room here; earlier ones grow to the size of faults, see `ReferenceJob`.
    private static let tolerance = 2e-5
    /// Of a tensor's largest change, left by a setting that is not followed. Measured: 0.088 for the unbiased variance,
    /// 0.18 for the average's decay, which no gradient depends on; some tenths or more for the others.
    private static let trace = 0.02

    @Test(arguments: Variation.all)
    func aJobIsWhatTheFormulasSay(_ variation: Variation) throws {
        let scratch = try Scratch()
        let run = scratch.file("run")
        let last = try train(variation, run: run)
        let checkpoint = try CheckpointReader(last)
        let configuration = try variation.configuration()
        #expect(checkpoint.holds(.meanSquare) == (configuration.optimizer.rule == .rmsprop))

        let expected = try ReferenceJob.finished(configuration)
        try checkpoint.check(layout: expected.description.layout)
        if configuration.optimizer.clip > 0 {
            #expect(expected.clipScales.contains { $0 < 0.5 }, "no clip bites: \(expected.clipScales)")
        }
        let difference = try expected.difference(from: checkpoint)
        let agrees = difference.share <= ArithmeticTests.tolerance
        #expect(agrees, "the job differs: \(difference)")

        for setting in variation.settings {
            let other = try ReferenceJob.finished(variation.configuration(without: setting))
            let trace = try other.difference(from: checkpoint)
            if agrees {
                #expect(trace.share > ArithmeticTests.trace, "\(setting) does not show: \(trace)")
            } else {
                #expect(trace.share > ArithmeticTests.tolerance, "the job is as if \(setting) were not said")
            }
        }
    }

    /// The path of the last checkpoint.
    private func train(_ variation: Variation, run: String) throws -> String {
        func part(_ more: [String], _ arguments: [String]) throws -> String {
            let assignments = (variation.assignments() + more).flatMap { ["--set", $0] }
            let finished = try Running("psctl", ["train", "--json", "--run-dir", run] + arguments + assignments)
                .finish()
            #expect(finished.code == 0, "\(finished.errors)")
            return try #require(finished.json(RunSummary.self).checkpoint)
        }
        guard variation.isResumed else { return try part([], []) }
        _ = try part(["train.steps=1"], [])
        return try part(["cluster.servers=1"], ["--resume", "last"])
    }
}
