// Everything that is looked at before a run is begun or resumed: by `psctl train` before it starts a process, by the
// coordinator again. Nothing is written here.

import Glibc
import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSFiles
import PSMessages
import PSModel
import PSParameters
import PSPlanning
import PSPrediction
import PSProtocol
import PSRun

package struct JobOpening: Sendable {
    /// The job's, with what follows from the data set filled in.
    package let configuration: JobConfiguration
    package let description: ModelDescription
    /// The training samples.
    package let data: Dataset
    /// The test images; nil: the job does not look at them.
    package let test: Dataset?
    /// Whether the list of them is yet to be written.
    package let isNewData: Bool
    package let plan: PlanFile
    /// Whether `plan.json` is yet to be written.
    package let isNewPlan: Bool
    /// What a person should know of how it was chosen; nil as a rule.
    package let planRemark: String?
    package let stepsPerEpoch: Double
    /// Of the whole job, whatever it was begun from.
    package let stepCount: Int
    /// Whether the state that the start goes on from is already the end or past it.
    package let hasNothingLeft: Bool
    package let start: RunStart
    /// What the job begins with, where that is read and the job is yet to begin.
    package let initial: InitialWeights?
    /// What the journal says so far.
    package let replay: Replay

    /// - Parameter former: an opening of a moment ago, whose data sets are taken over.
    /// - Throws: what stands against the start, with a message for a person.
    package init(
        configuration: JobConfiguration, run: RunDirectory, resume: CoordinatorOptions.Resume?, mustExist: Bool = false,
        former: JobOpening? = nil
    ) throws {
        let hasJob = try run.hasJob()
        if !hasJob, mustExist || resume == .last {
            throw StorageError.mismatch(
                path: run.path, problems: ["holds no job to go on with; was the run moved or removed?"])
        }
        data = try former?.data ?? Dataset.open(configuration.data.set, .train)
        let configuration = try configuration.with(classesOf: data)
        test = configuration.eval.isOn ? try former?.test ?? JobOpening.test(configuration) : nil
        self.configuration = configuration
        description = try ModelDescription(configuration.model)
        _ = try configuration.rates(of: description.layout)
        let train = configuration.train
        stepsPerEpoch = Double(data.count) / Double(train.imagesPerStep)
        stepCount = train.steps ?? Int((train.epochs * stepsPerEpoch).rounded(.up))
        let replay = try hasJob ? Journal.read(run) : Replay()
        self.replay = replay
        // An empty journal, or none where checkpoints are: the job in them would be overwritten and pruned.
        if try replay.job == 0 && !run.checkpoints.list().isEmpty {
            throw StorageError.mismatch(
                path: run.path,
                problems: [
                    "has no job in its journal, so that it cannot go on; its checkpoints would be overwritten: begin "
                        + "another run from one of them, with --resume CHECKPOINT and another --run-dir"
                ])
        }
        let wish: RunStart.Wish =
            switch resume {
            case nil: .takeUp
            case .last: .goOn
            case .checkpoint(let path):
                .from(try JobOpening.base(path, configuration, description.layout, run, replay))
            }
        if let path = configuration.initialWeights, replay.generation == 0 {
            if case .from = wish {
                throw ConfigurationError.unusable(
                    "model.init", problem: "and --resume CHECKPOINT both say what the run begins with; keep one")
            }
            initial =
                try former?.initial
                ?? InitialWeights(
                    path, configuration: configuration, description: description, classNames: data.classNames)
        } else {
            initial = nil
        }
        try JobOpening.check(data, replay, run)
        isNewData = replay.dataDigest == nil || !run.files.exists(run.samples)
        // The recipe before the plan: of two reasons it is the one to act on.
        try RunStart(
            seed: configuration.seed, layoutDigest: description.layout.digest, recipe: configuration.recipe,
            planIdentity: 0, dataDigest: data.digest, wish: wish
        ).check(replay, run: run)
        let begun =
            switch wish {
            case .from(let base): base.version
            default: replay.version
            }
        hasNothingLeft = begun >= Version(UInt64(stepCount))
        let choice = try JobPlan.of(run, replay: replay, configuration: configuration, description: description)
        plan = choice.plan
        isNewPlan = choice.isNew
        planRemark = choice.remark
        var start = RunStart(
            seed: configuration.seed, layoutDigest: description.layout.digest, recipe: configuration.recipe,
            planIdentity: plan.identity, dataDigest: data.digest, testDigest: test?.digest, wish: wish)
        start.settings = configuration.settings
        self.start = start
    }

    /// Writes the list of samples and the names of classes.
    func writeData(to run: RunDirectory) throws {
        try SampleList.write(data.index, to: run.samples)
        // A name on each line, whatever is in it.
        let names = data.classNames.map { $0.replacing("\n", with: " ") + "\n" }
        try run.replace(run.classes, with: Array(names.joined().utf8))
    }

    /// Finds out before training, not after it.
    private static func test(_ configuration: JobConfiguration) throws -> Dataset {
        let advice = "to train without evaluations set eval.atEnd=false and leave out eval.everyEpochs"
        let test: Dataset
        do throws(DatasetError) {
            test = try Dataset.open(configuration.data.set, .test)
        } catch {
            switch error {
            case .missing, .layout: throw EvaluationError.noImages("\(error); \(advice)")
            default: throw error
            }
        }
        if test.count == 0 {
            throw EvaluationError.noImages("\(configuration.data.set.path) has no test images; \(advice)")
        }
        if let classes = configuration.model.classes, test.classNames.count > classes {
            throw EvaluationError.tooFewClasses(model: classes, data: test.classNames.count)
        }
        return test
    }

    /// Throws unless the training samples are those that the run began with.
    private static func check(_ data: Dataset, _ replay: Replay, _ run: RunDirectory) throws {
        guard let digest = replay.dataDigest, digest != data.digest else { return }
        let difference = try? SampleList.firstDifference(between: data.index, and: SampleList.open(run.samples))
        throw StorageError.mismatch(
            path: run.path,
            problems: [
                "was begun with other training samples: \(difference.map { "\($0)" } ?? "its list of them is gone")",
                "they give its tickets their meaning: put them back, or start another run",
            ])
    }

    /// The reference to a checkpoint that a person names, once it is known to be whole and of this recipe.
    private static func base(
        _ path: String, _ configuration: JobConfiguration, _ layout: ParameterLayout, _ run: RunDirectory,
        _ replay: Replay
    ) throws -> CheckpointReference {
        // Read now: the path may lead through a link that is about to move.
        let directory = Paths.resolved(path) ?? Paths.absolute(path)
        let reader = try CheckpointReader(directory, verifying: .everything)
        try reader.check(layout: layout)
        if let former = try? JobConfiguration(yaml: reader.manifest.settings, path: "the checkpoint's settings") {
            let problems = RunStart.differences(of: configuration.recipe, from: former.recipe)
            if !problems.isEmpty {
                throw StorageError.mismatch(
                    path: directory,
                    problems: problems.map { $0.replacing(", the run's is", with: ", the checkpoint's is") } + [
                        "such settings give a checkpoint its meaning: go on from it with its own"
                    ])
            }
        }
        let version = Version(UInt64(reader.manifest.step))
        // One of another job that somebody put there is not this run's, whatever its place; one that was kept aside is.
        let isOfJob = reader.manifest.job == String(replay.job, radix: 16)
        let isOwn = isOfJob && Paths.resolved(run.checkpoints.path(step: reader.manifest.step)) == directory
        let generation = UInt32(exactly: reader.manifest.generation)
        if isOwn {
            // As the journal names it, where it does: then what came before it still counts.
            return replay.checkpoints.last { $0.version == version && $0.foreign == nil }
                ?? CheckpointReference(version: version, generation: generation)
        }
        if replay.job != 0, !isOfJob {
            throw StorageError.mismatch(
                path: run.path,
                problems: [
                    "has a job of its own, and \(directory) is not of it: begin another run with another --run-dir"
                ])
        }
        return CheckpointReference(version: version, generation: generation, foreign: directory)
    }
}
