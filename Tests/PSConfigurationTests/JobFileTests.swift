// The job files and the README say what the settings table says.

import Foundation
import PSConfiguration
import PSModel
import Testing

@Suite struct JobFileTests {
    private static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private func job(_ name: String) throws -> JobConfiguration {
        try JobConfiguration(
            path: JobFileTests.root.appending(path: "cluster/\(name)").path, environment: [:], assignments: [])
    }

    @Test func fashionMNISTIsTheDefaultJob() throws {
        #expect(try job("fashion-mnist.yaml") == JobConfiguration())
    }

    @Test func imageNetIsThePapersRecipe() throws {
        let job = try job("imagenet.yaml")
        #expect(job.model == .init())
        #expect(job.optimizer == .init())
        #expect(job.learningRate == .init())
        #expect(job.train.imagesPerStep == 1600)
        #expect(job.train.epochs == 100)
    }

    @Test(arguments: ["photos", "cifar10"]) func theOthersFitTheirNetworks(name: String) throws {
        var job = try job("\(name).yaml")
        #expect(job.name == name && job.eval.everyEpochs == 1)
        job.model.classes = 5
        let layout = try ModelDescription(job.model).layout
        let rates = try job.rates(of: layout)
        func rate(_ tensor: String) throws -> Float { rates[try #require(layout.index(ofTensor: tensor))] }
        #expect(try rate("Conv2d_2a_3x3.bn.weight") == (name == "photos" ? 0 : 1))
        #expect(try rate("Mixed_7c.branch1x1.conv.weight") == 1)
        #expect(try rate("fc.weight") == (name == "photos" ? 10 : 1))
    }

    @Test func readmeListsTheSettings() throws {
        let readme = try String(contentsOf: JobFileTests.root.appending(path: "README.md"), encoding: .utf8)
        #expect(readme.contains(SettingsTable.markdown()), "paste the new table:\n\(SettingsTable.markdown())")
    }
}
