// Which weights a command looks at images with: a run's checkpoint, or a weight file.

import ArgumentParser
import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSEvaluation
import PSFiles
import PSJob
import PSModel
import PSPrediction
import PSRun
import PSSamples

/// `--run-dir`, `--step`, `--best`: one checkpoint of one run.
struct CheckpointChoice: ParsableArguments {
    @OptionGroup var directory: RunDirectoryOption

    @Option(help: "The checkpoint's step (default: the newest).")
    var step: Int?

    @Flag(help: "The checkpoint of the best evaluation.")
    var best = false

    var isGiven: Bool { directory.path != nil || step != nil || best }

    func validate() throws {
        if best, step != nil { throw ValidationError("--best and --step exclude each other") }
    }

    func read(_ run: RunDirectory) throws -> CheckpointReader {
        try run.checkpoint(step: best ? run.bestStep() : step)
    }
}

/// A checkpoint of a run, or a weight file with what it cannot say itself.
struct NetworkOptions: ParsableArguments {
    @OptionGroup var checkpoint: CheckpointChoice

    @Option(
        help: ArgumentHelp(
            "Of a run: average (the running average, the default) or raw (those of the last commit); or a safetensors "
                + "file in the names of the network's reference, instead of a run.", valueName: "average|raw|file"))
    var weights = WeightChoice.average.rawValue

    @Option(help: "With a weight file: the network (default: the one whose tensors it has).")
    var model: String?

    @Option(
        help: ArgumentHelp(
            "With a weight file: a file with the name of a class in every line (default: the names in the weight file).",
            valueName: "file"))
    var classes: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "With a weight file: a setting of the model or the engine that it does not tell, as model.stem=79.",
            valueName: "key=value"))
    var assignments: [String] = []

    /// The weight file, if it is one.
    var file: String? { WeightChoice(rawValue: weights) == nil ? weights : nil }

    /// - Parameter others: whether weight files may come by another option.
    func check(others: Bool = false) throws {
        if file == nil, !others, classes != nil || !assignments.isEmpty || model != nil {
            throw ValidationError("--model, --classes and --set go with --weights FILE")
        }
        if file != nil, checkpoint.isGiven {
            throw ValidationError("--weights FILE and --run-dir, --step or --best exclude each other")
        }
    }

    /// - Parameter image: rows and columns of the images to come, where a weight file does not go with the model's.
    func read(image: Extent? = nil) throws -> ChosenNetwork {
        if let file { return try ChosenNetwork(file: file, self, image: image) }
        let run = try checkpoint.directory.existing()
        return try ChosenNetwork(run: run, checkpoint.read(run), WeightChoice(rawValue: weights)!)
    }
}

/// A network with its weights, and what is known of the images it is made for.
struct ChosenNetwork {
    let description: ModelDescription
    /// The flat vector of the description's layout.
    var values: [Float]
    /// The run's settings, or the default ones with the file's model.
    var configuration: JobConfiguration
    /// By label; nil: they are not known.
    let classNames: [String]?
    let run: RunDirectory?
    /// Commits behind the weights; nil: a file's.
    let step: Int?
    /// "average", "raw", or the file's path.
    let weights: String
    /// What a person named it by, or where it was found.
    let path: String

    /// What an evaluation calls it.
    var subject: Evaluation.Subject {
        if let step, let choice = WeightChoice(rawValue: weights) {
            .checkpoint(step: step, choice)
        } else {
            .file(path)
        }
    }

    init(run: RunDirectory, _ checkpoint: CheckpointReader, _ choice: WeightChoice) throws {
        try self.init(
            checkpoint, choice, configuration: run.readConfiguration(), classNames: run.classNames(), run: run,
            path: run.path)
    }

    private init(
        _ checkpoint: CheckpointReader, _ choice: WeightChoice, configuration: JobConfiguration, classNames: [String]?,
        run: RunDirectory?, path: String
    ) throws {
        self.configuration = configuration
        description = try ModelDescription(configuration.model)
        try checkpoint.check(layout: description.layout)
        values = try checkpoint.values(choice.storedValue, layout: description.layout)
        self.classNames = classNames
        self.run = run
        step = checkpoint.manifest.step
        weights = choice.rawValue
        self.path = path
    }

    /// A run's newest checkpoint, a checkpoint or a weight file, as `model.init` names them.
    init(path: String, _ options: NetworkOptions) throws {
        guard LocalFileSystem().isDirectory(path) else {
            try self.init(file: path, options, image: nil)
            return
        }
        let choice = WeightChoice(rawValue: options.weights) ?? .average
        let run = RunDirectory(path)
        if try run.hasJob() {
            try self.init(
                run.checkpoint(step: nil), choice, configuration: run.readConfiguration(),
                classNames: run.classNames(), run: run, path: path)
            return
        }
        let checkpoint = try CheckpointReader(run.path)
        // A run's checkpoint lies two folders below what the run says of its classes.
        let owner = RunDirectory(Paths.parent(of: Paths.parent(of: run.path)))
        try self.init(
            checkpoint, choice,
            configuration: JobConfiguration(yaml: checkpoint.manifest.settings, path: "the settings of \(path)"),
            classNames: owner.classNames(), run: nil, path: path)
    }

    init(file: String, _ options: NetworkOptions, image: Extent?) throws {
        let read = try ModelWithWeights(
            model: options.model, weights: file, assignments: options.assignments, image: image,
            withoutAuxiliary: true)
        if read.configuration.engine.planFile != nil {
            throw ValidationError(
                "engine.plan is for training; a weight file is computed by engine.convolution and engine.maxError")
        }
        let names = try options.classes.map(ClassNameFile.read)
        if let classes = options.classes, let names, names.count != read.description.classes {
            throw StorageError.damaged(
                path: classes, problem: "has \(names.count) names, but \(file) has \(read.description.classes) classes")
        }
        configuration = read.configuration
        // As Inception's weights are made for.
        configuration.data.augmentation.evaluate = .inception
        description = read.description
        values = read.values
        classNames = names ?? read.classNames
        run = nil
        step = nil
        weights = file
        path = file
    }
}

extension ChosenNetwork {
    /// Throws unless the mean of this network's softmax and another's has a meaning.
    func checkClasses(of other: ChosenNetwork) throws(EvaluationError) {
        let (classes, otherClasses) = (description.classes, other.description.classes)
        guard classes == otherClasses else {
            throw .differentClassCounts(first: path, classes: classes, other: other.path, otherClasses: otherClasses)
        }
        guard let classNames, let otherNames = other.classNames else { return }
        if let label = zip(classNames, otherNames).enumerated().first(where: { $1.0 != $1.1 })?.offset {
            throw .differentClassNames(
                first: path, other: other.path, label: label, name: classNames[label], otherName: otherNames[label])
        }
    }
}

extension AugmentationSettings.Evaluation: ExpressibleByArgument {}

/// `--transform` and `--central-fraction`: how a picture is fitted.
struct TransformOptions: ParsableArguments {
    @Option(
        help:
            "How a picture is fitted: as data.evaluate of these names (default: as the run does; with a weight file, inception)."
    )
    var transform: AugmentationSettings.Evaluation?

    @Option(help: "The share of each side that the inception transform keeps (default: 0.875).")
    var centralFraction: Double?

    func validate() throws {
        if let centralFraction, !(0.01...1).contains(centralFraction) {
            throw ValidationError("--central-fraction is \(centralFraction), allowed is from 0.01 to 1")
        }
    }

    func apply(to settings: inout DataSettings) {
        if let transform { settings.augmentation.evaluate = transform }
        if let centralFraction { settings.augmentation.centralFraction = centralFraction }
    }
}
