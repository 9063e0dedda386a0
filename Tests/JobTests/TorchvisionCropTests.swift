// Evaluation by many crops and networks against Pillow and torchvision, for `scripts/test --long` as `TorchvisionTests`.
// PS_TEST_PICTURES may name a folder of photographs, a folder for each class, in place of drawn ones.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSData
import PSDatasets
import PSEvaluation
import PSImages
import PSPrediction
import PSSamples
import SyntheticData
import Testing

extension TorchvisionTests {
    /// What crop_logits.py says of networks on some crops.
    private struct Figures: Decodable {
        let loss: Double
        let top1: Double
        let top5: Double
        /// Of each picture the five most probable classes.
        let best: [[Int]]
    }

    /// Every crop's logits, the mean's best five classes, and what `psctl evaluate` makes of them.
    @Test func cropsAndEnsemblesAreTorchvisionsOnPillow() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let pictures = try ProcessInfo.processInfo.environment["PS_TEST_PICTURES"] ?? drawnPictures()
        let fixtures = Document.root.appending(path: "Tests/PSTransformsTests/Fixtures").path
        let report = try script("crop_logits", fixtures, pictures, directory)
        let theirs = try JSONDecoder().decode([String: [String: Figures]].self, from: Data(report.utf8))
        let weights = (0...1).map { "\(directory)/weights-\($0).safetensors" }
        let expected = try SafetensorsFile("\(directory)/logits.safetensors")

        var set = DatasetSettings(path: pictures)
        set.validationShare = 1
        let data = try Dataset.open(set, .test)
        for crops in CropCount.allCases where crops != .one {
            var means = [[ClassScores]](repeating: [], count: data.count)
            for (network, file) in weights.enumerated() {
                let model = try ModelWithWeights(
                    model: "inception-v3", weights: file, assignments: [], withoutAuxiliary: true)
                var configuration = model.configuration
                configuration.data.set = set
                configuration.data.augmentation.evaluate = .inception
                configuration.eval.crops = crops
                let ours = try logits(data, configuration, model)
                let tensor = try #require(expected.tensor(named: "\(crops.rawValue).\(network)"))
                #expect(tensor.shape == [data.count, crops.rawValue, model.description.classes])
                let differences = zip(ours, try expected.floats(of: tensor)).map { abs($0 - $1) }
                let worst = try #require(differences.max())
                print("\(crops.rawValue) crops, network \(network): logits differ by at most \(worst)")
                #expect(ours.count == tensor.elementCount && worst < 1e-4)

                let width = crops.rawValue * model.description.classes
                for sample in means.indices {
                    let own = ours[sample * width..<(sample + 1) * width]
                    means[sample].append(ClassScores(crops: crops.rawValue, logits: own))
                }
                let best = means.map { bestFive(of: $0[network]) }
                #expect(try best == #require(theirs["\(crops.rawValue)"]?["\(network)"]).best)
            }
            let both = try #require(theirs["\(crops.rawValue)"]?["both"])
            #expect(means.map { bestFive(of: ClassScores.mean($0)) } == both.best)
            let measured = try psctl(
                ["evaluate", "--json", "--crops", "\(crops.rawValue)", "--data", pictures, "--ensemble"] + weights)
            let json = try #require(JSONSerialization.jsonObject(with: Data(measured.utf8)) as? [String: Any])
            #expect(abs(try #require(json["loss"] as? Double) - both.loss) < 1e-5)
            #expect(json["top1"] as? Double == both.top1 && json["top5"] as? Double == both.top5)
        }
    }

    private func bestFive(of scores: ClassScores) -> [Int] {
        let probabilities = scores.probabilities
        return Array(probabilities.indices.sorted { probabilities[$0] > probabilities[$1] }.prefix(5))
    }

    /// Logits of every crop of every picture.
    private func logits(
        _ data: Dataset, _ configuration: JobConfiguration, _ model: ModelWithWeights
    ) throws -> [Float] {
        let crops = configuration.eval.crops
        let maker = BatchMaker(
            source: data, settings: configuration.data, imageSize: configuration.model.imageSize, seed: 1, batch: 1,
            crops: crops)
        let loader = BatchLoader(maker, capacity: 1, threads: 1)
        defer { loader.close() }
        let predictor = try Predictor(
            description: model.description, values: model.values,
            batch: TestImages.computedAtOnce(configuration.eval), threads: 2, planning: configuration.engine.planning)
        return try (0..<data.count).flatMap { sample in
            let batch = try loader.take(.evaluation(sample..<sample + 1))
            defer { loader.giveBack(batch) }
            return predictor.logits(images: UnsafePointer(batch.images), count: crops.rawValue)
        }
    }

    /// Three pictures that cost what photographs do: wide, tall, and smaller than the network.
    private func drawnPictures() throws -> String {
        for (number, (rows, columns)) in [(375, 500), (500, 333), (180, 240)].enumerated() {
            let folder = "\(directory)/pictures/class-\(number)"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let picture = SyntheticPicture(number: UInt64(number)).picture(rows: rows, columns: columns)
            try Data(picture.jpeg(quality: 90)).write(to: URL(filePath: "\(folder)/\(number).jpg"))
        }
        return "\(directory)/pictures"
    }
}
