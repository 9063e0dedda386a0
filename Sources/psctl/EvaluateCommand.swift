// `psctl evaluate`: how well a network names labelled images.

import ArgumentParser
import Foundation
import PSConfiguration
import PSDatasets
import PSEvaluation
import PSFiles
import PSJob
import PSPrediction
import PSReport
import PSSamples

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measures networks on labelled images: top-1, top-5, each class, confusions, calibration.",
        discussion: """
            The network is a checkpoint of a run (--run-dir, by default runs/last) or a weight file (--weights). The \
            images are the run's test images, or those of another data set (--data): its test split where it has one, \
            all of it where it is a folder of classes. The classes of another data set are found by their names.
            With --crops and --ensemble the softmaxes of an image's crops and of all networks are averaged, as the papers \
            do it; each network is shown pictures of its own size, scaled as its run scales them.
            """)

    @OptionGroup var network: NetworkOptions

    @Option(help: ArgumentHelp("Another data set, in any form that data.path takes.", valueName: "path"))
    var data: String?

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Several networks, instead of one: runs (their newest checkpoints), checkpoints' directories, safetensors "
                + "files in the names of their network's reference.", valueName: "checkpoint"))
    var ensemble: [String] = []

    @OptionGroup var transform: TransformOptions

    @Option(
        help: ArgumentHelp(
            "Crops of an image: 1, 10 (corners and centre, mirrored), 12 or 144 (GoogLeNet's squares and sizes); default: "
                + "the run's eval.crops, 1 unless set.", valueName: "1|10|12|144"))
    var crops: CropCount?

    @Option(
        help: ArgumentHelp(
            "Leave out the images that this file names, one in a line: by name, or by the number the file name ends in.",
            valueName: "file"))
    var exclude: String?

    @Option(
        help: ArgumentHelp(
            "Write all of it as one page, with the worst mistakes as pictures; it opens without a network.",
            valueName: "file"))
    var html: String?

    @Flag(help: "Print the confusion matrix as well.")
    var matrix = false

    @OptionGroup var threads: ThreadsOption
    @OptionGroup var json: JSONOption

    func validate() throws {
        try network.check(others: !ensemble.isEmpty)
        if !ensemble.isEmpty, network.checkpoint.isGiven || network.file != nil {
            throw ValidationError(
                "--ensemble names all networks; leave out --run-dir, --step, --best and --weights FILE, which name another"
            )
        }
        if network.file != nil, data == nil {
            throw ValidationError("a weight file knows no images: name a data set with --data")
        }
    }

    func run() throws {
        let page = try html.map { try checkedOutput($0) }
        var chosen = try ensemble.isEmpty ? [network.read()] : ensemble.map { try ChosenNetwork(path: $0, network) }
        if chosen.allSatisfy({ $0.step != nil }) { try network.check() }
        for other in chosen.dropFirst() { try chosen[0].checkClasses(of: other) }
        // Whose test images, and in what parts: the first run's.
        guard let owner = chosen.first(where: { data != nil || $0.step != nil }) else {
            throw ValidationError("weight files know no images: name a data set with --data")
        }
        let set = testSet(of: owner)
        let source = try Dataset.open(set, .test)
        guard source.count > 0 else { throw EvaluationError.noImages("\(set.path) has no images to measure") }
        let names = chosen.lazy.compactMap(\.classNames).first
        let labels = try LabelMap(of: source, path: set.path, onto: names, classes: owner.description.classes)
        let images = try remaining(of: source, path: set.path)
        let eval = try settings(of: owner)
        let networks = try chosen.indices.map { index in
            transform.apply(to: &chosen[index].configuration.data)
            chosen[index].configuration.data.set = set
            chosen[index].configuration.data.onBadImage = owner.configuration.data.onBadImage
            chosen[index].configuration.eval = eval
            let network = try TestImages(
                images, configuration: chosen[index].configuration, description: chosen[index].description,
                threads: threads.count)
            try network.load(chosen[index].values)
            // They are in the network now.
            chosen[index].values = []
            return network
        }
        let progress = CountProgress()
        let evaluation = try Evaluation(
            of: networks, classNames: names ?? source.classNames, labels: labels.classes,
            subject: ensemble.isEmpty ? chosen[0].subject : .ensemble(ensemble), leftOut: source.count - images.count,
            remarks: source.remarks
        ) { progress.count("measured", done: $0, of: $1) }
        progress.finish()
        if let page { try writePage(page, evaluation, chosen[0], images) }
        write(json.isOn ? Report.json(evaluation) : evaluation.text + (matrix ? evaluation.matrix : ""))
    }

    /// The data set that is measured on.
    private func testSet(of owner: ChosenNetwork) -> DatasetSettings {
        var set = owner.configuration.data.set
        if let data {
            set.kind = .auto
            set.path = data
            // Of a folder without a split of its own, all of it.
            set.validationShare = 1
        }
        return set
    }

    /// The images but for those that are to be left out.
    private func remaining(of source: Dataset, path: String) throws -> any SampleSource {
        guard let exclude else { return source }
        let images = try ExclusionList(path: exclude, of: source, dataPath: path).remaining(of: source)
        guard images.count > 0 else {
            throw EvaluationError.noImages("\(exclude) leaves none of the images of \(path)")
        }
        return images
    }

    private func settings(of owner: ChosenNetwork) throws -> EvaluationSettings {
        var settings = owner.configuration.eval
        if let crops { settings.crops = crops }
        if transform.centralFraction != nil, settings.crops != .one {
            throw ValidationError(
                "--central-fraction is for one crop; \(settings.crops.rawValue) crops are cut in their own way")
        }
        return settings
    }

    private func writePage(
        _ output: OutputFile, _ evaluation: Evaluation, _ first: ChosenNetwork, _ images: any SampleSource
    ) throws {
        // An ensemble has no history.
        let run = ensemble.isEmpty ? first.run : nil
        let page = try EvaluationPage(
            evaluation, title: run?.path ?? evaluation.subject,
            curve: (run?.evaluations() ?? []).compactMap { report in
                report.top1.map { EvaluationPage.Point(step: Int(clamping: report.version.number), top1: $0) }
            }, data: images, settings: first.configuration.data)
        try output.write(Array(page.html.utf8))
    }
}

extension CropCount: ExpressibleByArgument {}
