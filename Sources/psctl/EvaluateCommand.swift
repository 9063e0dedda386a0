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

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measures a network on labelled images: top-1, top-5, each class, confusions, calibration.",
        discussion: """
            The network is a checkpoint of a run (--run-dir, by default runs/last) or a weight file (--weights). The \
            images are the run's test images, or those of another data set (--data): its test split where it has one, \
            all of it where it is a folder of classes. The classes of another data set are found by their names.
            """)

    @OptionGroup var network: NetworkOptions

    @Option(help: ArgumentHelp("Another data set, in any form that data.path takes.", valueName: "path"))
    var data: String?

    @OptionGroup var transform: TransformOptions

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
        let source = try Dataset.open(chosen.configuration.data.set, .test)
        let path = chosen.configuration.data.set.path
        guard source.count > 0 else { throw EvaluationError.noImages("\(path) has no images to measure") }
        let labels = try LabelMap(
            of: source, path: path, onto: chosen.classNames,
            classes: chosen.description.classes)
        let images = try TestImages(
            source, configuration: chosen.configuration, description: chosen.description, threads: threads.count)
        let progress = CountProgress()
        let evaluation = try Evaluation(
            chosen.values, of: images, classNames: chosen.classNames ?? source.classNames, labels: labels.classes,
            step: chosen.step, weights: chosen.weights
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
