// `psctl predict`: the classes of pictures, or logits of a batch of images, in evaluation mode.

import ArgumentParser
import Foundation
import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSEvaluation
import PSFiles
import PSJob
import PSModel
import PSNode
import PSPrediction
import PSReport
import PSSamples

struct PredictCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "predict",
        abstract: "Names the classes of pictures: running statistics, no dropout.",
        discussion: """
            The network is a run's newest checkpoint (--run-dir, by default runs/last), with the run's own way of fitting \
            pictures, or a weight file (--weights), with Inception's. A picture that cannot be read is named on standard \
            error and the others go on; the command then ends with 1.
            With --batch and --out, the logits of images in a safetensors file are written instead.
            """)

    @OptionGroup var network: NetworkOptions

    @Option(help: "Classes told of a picture.")
    var top = 5

    @OptionGroup var transform: TransformOptions

    @Flag(help: "Print comma-separated values: file, rank, class, name, probability.")
    var csv = false

    @OptionGroup var json: JSONOption
    @OptionGroup var threads: ThreadsOption

    @Option(help: "Safetensors file with 'images' (N, 3, H, W; F32), instead of pictures; with --weights and --out.")
    var batch: String?

    @Option(help: "With --batch: the safetensors file to write: logits.")
    var out: String?

    @Argument(help: "Pictures, folders of pictures, or - for a list of them on standard input, one in a line.")
    var paths: [String] = []

    func validate() throws {
        func refuse(_ isWrong: Bool, _ text: String) throws { if isWrong { throw ValidationError(text) } }
        try network.check()
        try refuse((batch == nil) != (out == nil), "--batch and --out go together")
        try refuse(batch != nil && network.file == nil, "--batch needs --weights FILE")
        try refuse(batch != nil && !paths.isEmpty, "--batch and pictures exclude each other")
        try refuse(batch == nil && paths.isEmpty, "no picture is named: psctl predict PICTURE-OR-FOLDER ...")
        try refuse(csv && json.isOn, "--csv and --json exclude each other")
        try refuse(!(1...1_000_000).contains(top), "--top is \(top), allowed is from 1 to 1000000")
    }

    func run() throws {
        if let batch, let out { return try writeLogits(of: batch, to: out) }
        var chosen = try network.read()
        transform.apply(to: &chosen.configuration.data)
        let predictor = PicturePredictor(
            description: chosen.description, values: chosen.values, engine: chosen.configuration.engine,
            classNames: chosen.classNames, imageSize: chosen.configuration.model.imageSize,
            data: chosen.configuration.data)
        let files = PictureFiles(try paths.flatMap { $0 == "-" ? try PredictCommand.list() : [$0] })
        guard files.count > 0 || !files.problems.isEmpty else {
            throw ValidationError("standard input names no picture")
        }
        for problem in files.problems { say(problem) }
        let output = PredictionOutput(form: json.isOn ? .json : csv ? .csv : .text)
        output.begin()
        let unreadable = try predictor.predict(files, top: top, threads: threads.count) { result in
            switch result {
            case .success(let prediction): output.put(prediction)
            case .failure(let problem): say("\(problem)")
            }
        }
        output.end()
        if unreadable > 0 || !files.problems.isEmpty { throw ExitCode.failure }
    }

    private func say(_ problem: String) { StandardStreams.write("psctl: error: \(problem)\n", to: STDERR_FILENO) }

    private static func list() throws -> [String] {
        var names: [String] = []
        while let line = readLine() { if !line.isEmpty { names.append(line) } }
        return names
    }

    private func writeLogits(of path: String, to out: String) throws {
        let output = try checkedOutput(out, inputs: [path, network.weights])
        let batch = try ImageBatch(path: path)
        let model = try network.read(image: Extent(batch.height, batch.width))
        let predictor = try Predictor(
            description: model.description, values: model.values, batch: min(batch.count, Predictor.mostImages),
            threads: threads.count,
            planning: model.configuration.engine.planning)
        let logits = predictor.logits(images: batch.images, count: batch.count)
        try SafetensorsWriter.write(
            to: output, metadata: [:],
            tensors: [OutgoingTensor(name: "logits", shape: [batch.count, predictor.classes], values: logits)])
    }
}

/// Writes predictions as they come.
private final class PredictionOutput {
    enum Form { case text, csv, json }

    private let form: Form
    private var isFirst = true

    init(form: Form) { self.form = form }

    func begin() {
        switch form {
        case .text: break
        case .csv: write("file,rank,class,name,probability\n")
        case .json: write("[")
        }
    }

    func put(_ prediction: PicturePrediction) {
        switch form {
        case .text:
            let guesses = prediction.top.map { "\($0.name) \(Report.percent($0.probability))" }
            write("\(prediction.file.replacing("\n", with: "\\n")): \(guesses.joined(separator: ", "))\n")
        case .csv:
            for (rank, guess) in prediction.top.enumerated() {
                let fields = [prediction.file, "\(rank + 1)", "\(guess.label)", guess.name, "\(guess.probability)"]
                write(fields.map(PredictionOutput.quoted).joined(separator: ",") + "\n")
            }
        case .json:
            // Without the newline that ends a JSON line.
            write((isFirst ? "\n" : ",\n") + String(decoding: JSON.line(prediction).dropLast(), as: UTF8.self))
        }
        isFirst = false
    }

    func end() { if form == .json { write(isFirst ? "]\n" : "\n]\n") } }

    /// As RFC 4180 has it.
    private static func quoted(_ field: String) -> String {
        field.unicodeScalars.contains { [",", "\"", "\r", "\n"].contains($0) }
            ? "\"\(field.replacing("\"", with: "\"\""))\"" : field
    }
}
