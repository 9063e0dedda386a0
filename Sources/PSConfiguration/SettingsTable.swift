// All settings. Reading YAML, `--set`, the environment, `--print-config`, the lists people read and the error messages
// follow from this one table.

import PSDatasets
import PSModel
import PSOptimization
import PSPlanning
import PSSamples

package enum SettingsTable {
    /// All settings, in the order in which they are listed and written; settings of one section are neighbours.
    package static let all: [Setting] =
        job + model + optimizer + learningRate + train + data + engine + cluster + checkpoint

    private static let belowOne = 0...1.0.nextDown
    private static let aboveZero = Double.leastNonzeroMagnitude
    // Bounds far above what anybody wants, low enough that their products still are whole numbers of 64 bits: steps x
    // images of a step come to 6.6e18.
    private static let mostSteps = 1_000_000_000
    private static let mostTimes = 1_000_000

    private static let job: [Setting] = [
        .text("name", \.name, .identifier, "the job's name, part of its run directory's"),
        .integer(
            "seed", \.seed, 0...Int.max,
            "the source of all randomness; the same seed and settings give the same weights"),
    ]

    private static let model: [Setting] = [
        .text("model.name", \.model.name, .identifier, "the network; psctl model list names them"),
        .number("model.width", \.model.width, 0.01...16, "multiplies the channels of every convolution (at least 16)"),
        .optionalInteger(
            "model.classes", \.model.classes, 2...1_000_000, "classes told apart; null: as many as the data set has"),
        .optional(
            "model.stem", \.model.stem, .optionalIntegerChoice([299, 151, 79]),
            "the first layers, by the input size of Inception-v3 they are made for; null: by model.imageSize",
            wrap: { .integer($0) }, unwrap: { if case .integer(let value) = $0 { value } else { nil } }),
        .integer("model.imageSize", \.model.imageSize, 1...8192, "rows and columns of an input image"),
        .optionalText(
            "model.init", \.initialWeights,
            "weights to begin with: a safetensors file in the reference's names, a run, or a checkpoint (their running "
                + "average); null: random ones"),
        .choice(
            "model.batchNorm", \.model.batchNorm,
            "whether batch norm trains by the batch's statistics or stays at the running ones"),
        .boolean(
            "model.transformInput", \.model.transformInput,
            "take images normalised for ImageNet to the range of Inception's weights (torchvision's transform_input)"),
        .boolean("model.auxiliary", \.model.auxiliary, "train the auxiliary heads"),
        .boolean(
            "model.auxiliaryNorm", \.model.auxiliaryNorm,
            "Inception-v2 and v3: batch norm in the auxiliary head's last hidden layer"),
        .number("model.dropout", \.model.dropout, belowOne, "share of elements dropped before the last layer"),
        .choice("model.initialValues", \.model.initialValues, "whose distribution of initial weights"),
        .choice("model.poolBorder", \.model.poolBorder, "whether average pools count their padding"),
        .boolean("model.batchNormScale", \.model.batchNormScale, "learn a scale in each batch norm"),
        .boolean(
            "model.unbiasedVariance", \.model.unbiasedVariance, "fold the unbiased variance into running statistics"),
        .boolean(
            "model.factorizeStem", \.model.factorizeStem, "Inception-v2: the first 7x7 convolution as three of 3x3"),
        .choice(
            "model.factorize5x5", \.model.factorize5x5,
            "Inception-v2: a 5x5 as two 3x3 with a ReLU between, with none, or as it is"),
        .boolean("model.factorize7x7", \.model.factorize7x7, "Inception-v2: a 7x7 as a 1x7 and a 7x1"),
        .choice(
            "model.reduction", \.model.reduction,
            "Inception-v2: grids made smaller by a pool beside a block of stride 2, behind a block, or before it"),
        .integer("model.groups", \.model.groups, 1...2, "AlexNet: groups of channels; the paper had 2"),
    ]

    private static let optimizer: [Setting] = [
        .choice("optimizer.rule", \.optimizer.rule, "how a gradient becomes an update"),
        .number("optimizer.decay", \.optimizer.decay, belowOne, "decay of RMSProp's mean square"),
        .number("optimizer.momentum", \.optimizer.momentum, belowOne, "momentum of either rule"),
        .number("optimizer.epsilon", \.optimizer.epsilon, 0...1e6, "added to RMSProp's mean square inside the root"),
        .number("optimizer.clip", \.optimizer.clip, 0...1e30, "largest norm of a gradient; 0 turns the clip off"),
        .choice("optimizer.clipScope", \.optimizer.clipScope, "whose norm is clipped: the step's or each ticket's"),
        .choice("optimizer.reduction", \.optimizer.reduction, "how the tickets of a step are joined"),
        .number(
            "optimizer.weightDecay", \.optimizer.weightDecay, 0...1,
            "times convolution and dense weights, added to the step's gradient: before a clip of the step, "
                + "after the clips of tickets"),
        .number(
            "optimizer.averageDecay", \.optimizer.averageDecay, belowOne,
            "upper bound of the running average's decay, which is (1 + t) / (10 + t) at commit t"),
        .number(
            "optimizer.batchNormMomentum", \.optimizer.batchNormMomentum, 0...1,
            "share of a new batch statistic in the running one"),
        .list(
            "optimizer.groups", \.optimizer.groups, of: "{prefix, rate}, or prefix:rate",
            "factors of the learning rate for tensors whose names begin with the prefix"),
    ]

    private static let learningRate: [Setting] = [
        .choice("learningRate.shape", \.learningRate.shape, "how the rate goes down"),
        .number("learningRate.base", \.learningRate.base, 0...1e6, "rate at the first step"),
        .number("learningRate.factor", \.learningRate.factor, aboveZero...1, "exponential: one decay"),
        .number(
            "learningRate.everyEpochs", \.learningRate.everyEpochs, aboveZero...1e9, "exponential: epochs to a decay"),
        .boolean("learningRate.staircase", \.learningRate.staircase, "exponential: decay in whole periods"),
        .integer(
            "learningRate.warmupSteps", \.learningRate.warmupSteps, 0...mostSteps, "steps of linear rise at the start"),
    ]

    private static let train: [Setting] = [
        .optionalInteger(
            "train.steps", \.train.steps, 1...mostSteps,
            "steps of the whole job; wins over epochs; a resumed job with more goes on"),
        .number("train.epochs", \.train.epochs, aboveZero...1e9, "passes over the training images"),
        .integer("train.ticketsPerStep", \.train.ticketsPerStep, 1...100_000, "tickets of one step"),
        .integer("train.batch", \.train.batch, 1...65_536, "images of one ticket"),
        .number("train.labelSmoothing", \.train.labelSmoothing, 0...1, "share of the target spread over all classes"),
        .optional(
            "train.auxiliaryWeight", \.train.auxiliaryWeight, .optionalNumber(0...1e6),
            "weight of each auxiliary loss; null: the network's own, 0.4, with two heads 0.3",
            wrap: { .number($0) }, unwrap: { if case .number(let value) = $0 { value } else { nil } }),
        .list(
            "train.freeze", \.train.freeze, of: "beginnings of tensor names",
            "tensors that keep their values, as [Conv2d_, Mixed_5]"),
        .integer(
            "train.patience", \.train.patience, 0...mostTimes,
            "evaluations in a row without a new best one before training ends; 0: it goes on"),
        .integer(
            "train.nonFiniteLimit", \.train.nonFiniteLimit, 1...mostSteps,
            "steps in a row without a finite gradient before the job fails"),
    ]

    private static let data: [Setting] = [
        .text("data.path", \.data.set.path, .text, "the data set's directory"),
        .choice("data.kind", \.data.set.kind, "the data set's form; auto: found from its files"),
        .number(
            "data.validationShare", \.data.set.validationShare, 0.001...0.999,
            "share of the pictures kept for evaluation, where the folder has no split of its own"),
        .integer("data.firstLabel", \.data.set.firstLabel, 0...1, "the number TFRecord files give the first class"),
        .choice("data.augment", \.data.augmentation.augment, "how training images are cut, resampled and coloured"),
        .choice(
            "data.evaluate", \.data.augmentation.evaluate,
            "how an image reaches the model's size in evaluation; unless set, as data.augment's library does"),
        .choice("data.autoAugment", \.data.augmentation.autoAugment, "torchvision's policy of random operations"),
        .number(
            "data.randomErasing", \.data.augmentation.randomErasing, 0...1,
            "share of training images with a part erased"),
        .number("data.mixup", \.data.augmentation.mixup, 0...100, "mixup's alpha; 0: none"),
        .number("data.cutmix", \.data.augmentation.cutmix, 0...100, "cutmix's alpha; 0: none"),
        .boolean("data.flip", \.data.augmentation.flip, "augment none: mirror half of the training images"),
        .integer(
            "data.cropPadding", \.data.augmentation.cropPadding, 0...1024,
            "augment none: pixels by which training images are moved about"),
        .choice("data.decode", \.data.decoding.scale, "every pixel of a JPEG, or as few as are needed"),
        .boolean(
            "data.exifOrientation", \.data.decoding.exifOrientation, "turn images upright as their EXIF block says"),
        .choice("data.background", \.data.decoding.background, "what a transparent pixel is seen over"),
        .integer(
            "data.maxPixels", \.data.decoding.maxPixels, 1...1 << 30, "images with more pixels count as unreadable"),
        .choice(
            "data.onBadImage", \.data.onBadImage,
            "an image that cannot be read ends the job, or another takes its place"),
        .integer(
            "data.threads", \.data.threads, 0...1024, "threads of a worker that read and decode; 0: as many as compute"),
    ]

    private static let engine: [Setting] = [
        .choice(
            "engine.convolution", \.engine.planning.convolution,
            "where convolutions go by Winograd: nowhere, wherever exact enough, or where also cheaper"),
        .number(
            "engine.maxError", \.engine.planning.maximumError, aboveZero...1,
            "Winograd: largest relative RMS error of a layer's algorithm against float64"),
        .optional(
            "engine.plan", \.engine.planFile, .optionalText,
            "file of a plan for training, as psctl bench plan writes it; wins over the two above",
            wrap: { .text($0) }, unwrap: { if case .text(let value) = $0 { value } else { nil } }),
    ]

    private static let cluster: [Setting] = [
        .integer("cluster.workers", \.cluster.workers, 1...10_000, "worker processes"),
        .integer(
            "cluster.minWorkers", \.cluster.minWorkers, 1...10_000, "workers without which no ticket is given out"),
        .integer("cluster.servers", \.cluster.servers, 1...10_000, "server processes"),
        .integer(
            "cluster.spares", \.cluster.spares, 0...1000, "servers that wait to take the place of one that is gone"),
        .integer("cluster.threads", \.cluster.threads, 1...1024, "compute threads of each worker"),
        .integer(
            "cluster.maxRestarts", \.cluster.maxRestarts, 0...mostTimes, "restarts of one process without progress"),
        .choice(
            "cluster.transport", \.cluster.transport,
            "how processes on one machine reach one another: by sockets only their user can open (auto and ipc) or by TCP"
        ),
        .choice(
            "cluster.security", \.cluster.security,
            "whether whoever connects by TCP shows a key: auto asks for keys except on the loopback address"),
        .integer(
            "server.bufferBytes", \.server.bufferBytes, 1 << 20...1 << 50,
            "a server's memory for gradients ahead of their turn"),
        .integer(
            "server.replicas", \.server.replicas, 0...1,
            "1: the server after each one holds all it has, and answers for it when it is gone; 0: the job then goes back "
                + "to its last checkpoint"),
        .boolean(
            "consistency.speculation", \.consistency.speculation,
            "a worker with nothing to do computes a ticket that another one has had for twice the usual time; the first "
                + "copy counts"),
    ]

    private static let checkpoint: [Setting] = [
        .integer(
            "checkpoint.everySteps", \.checkpoint.everySteps, 0...mostSteps, "steps between checkpoints; 0: never"),
        .number(
            "checkpoint.everySeconds", \.checkpoint.everySeconds, 0...1e9, "seconds between checkpoints; 0: never"),
        .integer("checkpoint.keep", \.checkpoint.keep, 2...mostTimes, "newest checkpoints kept"),
        .boolean(
            "checkpoint.keepBest", \.checkpoint.keepBest, "keep the checkpoint of the best evaluation as well"),
        .boolean("eval.atEnd", \.eval.atEnd, "measure the test images when training ends"),
        .number(
            "eval.everyEpochs", \.eval.everyEpochs, 0...1e6,
            "epochs between measurements of the test images beside training; 0: none"),
        .integer(
            "eval.everySteps", \.eval.everySteps, 0...mostSteps, "the same by steps, instead of epochs; 0: none"),
        .integer(
            "eval.batch", \.eval.batch, 1...65_536,
            "test images of a part of an evaluation; with several crops their number, but at least those of one image"),
        Setting(
            "eval.crops", \.eval.crops, .integerChoice(CropCount.allCases.map(\.rawValue)),
            "crops of a test image whose softmaxes are averaged; 1: as data.evaluate fits it",
            wrap: { .integer($0.rawValue) },
            unwrap: { if case .integer(let value) = $0 { CropCount(rawValue: value) } else { nil } }),
    ]

    private static let byKey = Dictionary(uniqueKeysWithValues: all.map { ($0.key, $0) })

    /// Names and values that earlier releases wrote into runs.
    private static let formerKeys = ["data.fit": "data.evaluate"]
    private static let formerValues = ["data.kind": ["fashion-mnist": "idx"]]

    static func setting(named key: String) -> Setting? { byKey[formerKeys[key] ?? key] }

    /// A value as this release calls it.
    static func current(_ text: String, of key: String) -> String { formerValues[key]?[text] ?? text }

    /// The sections: the parts of the keys before their dot.
    static let sections = Set(all.compactMap { $0.key.split(separator: ".").dropLast().first.map(String.init) })

    /// The setting whose key is the likeliest to have been meant by `name`.
    static func nearest(to name: String) -> Setting {
        func distance(_ setting: Setting) -> Int {
            let whole = spellingDistance(name.lowercased(), setting.key.lowercased())
            // A key without its section, or under a wrong one, is nearer than two unlike keys of one length.
            guard let given = name.split(separator: ".").last, let own = setting.key.split(separator: ".").last else {
                return whole
            }
            return min(whole, 1 + spellingDistance(given.lowercased(), own.lowercased()))
        }
        return all.min { distance($0) < distance($1) }!
    }
}

/// A writable place in a configuration that may cross threads.
private typealias Place<Value> = WritableKeyPath<JobConfiguration, Value> & Sendable

extension Setting {
    fileprivate init<Value>(
        _ key: String, _ place: Place<Value>, _ kind: Kind, _ documentation: String,
        wrap: @escaping @Sendable (Value) -> SettingValue, unwrap: @escaping @Sendable (SettingValue) -> Value?
    ) {
        self.key = key
        self.kind = kind
        self.documentation = documentation
        read = { wrap($0[keyPath: place]) }
        write = { configuration, value in
            guard let value = unwrap(value) else { preconditionFailure("\(key) cannot be \(value)") }
            configuration[keyPath: place] = value
        }
    }

    /// Of a setting that may be left open.
    fileprivate static func optional<Value>(
        _ key: String, _ place: Place<Value?>, _ kind: Kind, _ documentation: String,
        wrap: @escaping @Sendable (Value) -> SettingValue, unwrap: @escaping @Sendable (SettingValue) -> Value?
    ) -> Setting {
        Setting(
            key, place, kind, documentation,
            wrap: { $0.map(wrap) ?? .none },
            unwrap: { value in
                if case .none = value { return .some(nil) }
                return unwrap(value).map { .some($0) }
            })
    }

    fileprivate static func boolean(_ key: String, _ place: Place<Bool>, _ documentation: String) -> Setting {
        Setting(
            key, place, .boolean, documentation,
            wrap: { .boolean($0) }, unwrap: { if case .boolean(let value) = $0 { value } else { nil } })
    }

    fileprivate static func integer<Value: FixedWidthInteger & Sendable>(
        _ key: String, _ place: Place<Value>, _ range: ClosedRange<Int>, _ documentation: String
    ) -> Setting {
        Setting(
            key, place, .integer(range), documentation,
            wrap: { .integer(Int(clamping: $0)) },
            unwrap: { if case .integer(let value) = $0 { Value(exactly: value) } else { nil } })
    }

    fileprivate static func optionalInteger(
        _ key: String, _ place: Place<Int?>, _ range: ClosedRange<Int>, _ documentation: String
    ) -> Setting {
        optional(
            key, place, .optionalInteger(range), documentation,
            wrap: { .integer($0) }, unwrap: { if case .integer(let value) = $0 { value } else { nil } })
    }

    fileprivate static func number(
        _ key: String, _ place: Place<Double>, _ range: ClosedRange<Double>, _ documentation: String
    ) -> Setting {
        Setting(
            key, place, .number(range), documentation,
            wrap: { .number($0) }, unwrap: { if case .number(let value) = $0 { value } else { nil } })
    }

    fileprivate static func text(
        _ key: String, _ place: Place<String>, _ kind: Kind, _ documentation: String
    ) -> Setting {
        Setting(
            key, place, kind, documentation,
            wrap: { .text($0) }, unwrap: { if case .text(let value) = $0 { value } else { nil } })
    }

    fileprivate static func optionalText(
        _ key: String, _ place: Place<String?>, _ documentation: String
    ) -> Setting {
        optional(
            key, place, .optionalText, documentation,
            wrap: { .text($0) }, unwrap: { if case .text(let value) = $0 { value } else { nil } })
    }

    fileprivate static func list(
        _ key: String, _ place: Place<[String]>, of element: String, _ documentation: String
    ) -> Setting {
        Setting(
            key, place, .list(of: element), documentation,
            wrap: { .list($0) }, unwrap: { if case .list(let value) = $0 { value } else { nil } })
    }

    fileprivate static func choice<Value: RawRepresentable<String> & CaseIterable & Sendable>(
        _ key: String, _ place: Place<Value>, _ documentation: String
    ) -> Setting {
        Setting(
            key, place, .choice(Value.allCases.map(\.rawValue)), documentation,
            wrap: { .text($0.rawValue) },
            unwrap: { if case .text(let value) = $0 { Value(rawValue: value) } else { nil } })
    }
}
