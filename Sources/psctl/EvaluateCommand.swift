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
        abstract: "Measures a network on labelled images: top-1, top-5, each class, confusions, calibration.",
        discussion: """
            The network is a checkpoint of a run (--run-dir, by default runs/last) or a weight file (--weights). The \
            images are the run's test images, or those of another data set (--data): its test split where it has one, \
            all of it where it is a folder of classes. The classes of another data set are found by their names.

            With --crops and --ensemble the softmax is averaged over crops and networks, as published results are: 10 \
            crops are the corners and the centre of the image, and their mirrors; 12 the same of its middle square, \
            and that as a whole; 144 of three squares at four scales.
            """)

    @OptionGroup var network: NetworkOptions

    @Option(help: ArgumentHelp("Another data set, in any form that data.path takes.", valueName: "path"))
    var data: String?

    @OptionGroup var transform: TransformOptions

    @Option(help: "Crops of each image: 1, 10, 12 or 144 (default: the run's eval.crops; with a weight file, 1).")
    var crops: Int?

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "More networks to average with the first: runs, checkpoints of runs, or weight files.",
            valueName: "checkpoint"))
    var ensemble: [String] = []

    @Option(help: ArgumentHelp("A list of images to leave out, one in every line.", valueName: "file"))
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
        if network.file != nil, data == nil {
            throw ValidationError("a weight file knows no images: name a data set with --data")
        }
        if let crops, Crops(rawValue: crops) == nil {
            throw ValidationError("--crops is \(crops), allowed is 1, 10, 12 or 144")
        }
    }

    func run() throws {
        var chosen = try network.read()
        transform.apply(to: &chosen.configuration.data)
        if let data {
            chosen.configuration.data.set.kind = .auto
            chosen.configuration.data.set.path = data
            // Of a folder without a split of its own, all of it.
            chosen.configuration.data.set.validationShare = 1
        }
        if let crops = crops.flatMap(Crops.init) { chosen.configuration.eval.crops = crops }
        let path = chosen.configuration.data.set.path
        let all = try Dataset.open(chosen.configuration.data.set, .test)
        let excluded = try exclude.map { try ExclusionFile.read($0, of: all) } ?? []
        let source: any SampleSource = excluded.isEmpty ? all : RemainingSamples(all, without: excluded)
        guard source.count > 0 else { throw EvaluationError.noImages("\(path) has no images to measure") }
        let labels = try LabelMap(
            of: source, path: path, onto: chosen.classNames,
            classes: chosen.description.classes)
        let members = try [chosen] + ensemble.map { try network.member($0, of: chosen) }
        let networks = try members.map { member in
            let images = try TestImages(
                source, configuration: member.configuration, description: member.description, threads: threads.count)
            return (member.values, images)
        }
        let progress = CountProgress()
        let evaluation = try Evaluation(
            networks, leftOut: excluded.count, classNames: chosen.classNames ?? source.classNames,
            labels: labels.classes, step: chosen.step, weights: chosen.weights
        ) { progress.count("measured", done: $0, of: $1) }
        progress.finish()
        if let html {
            let curve = try chosen.run?.evaluations() ?? []
            let page = try EvaluationPage(
                evaluation, title: chosen.run?.path ?? chosen.weights,
                curve: curve.compactMap { report in
                    report.top1.map { EvaluationPage.Point(step: Int(clamping: report.version.number), top1: $0) }
                }, data: source, settings: chosen.configuration.data)
            try AtomicFile.write(html, Array(page.html.utf8), in: LocalFileSystem())
        }
        write(json.isOn ? Report.json(evaluation) : evaluation.text + (matrix ? evaluation.matrix : ""))
    }
}
