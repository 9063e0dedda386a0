// The job files and the README say what the settings table says.

import Foundation
import PSConfiguration
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

    @Test func readmeListsTheSettings() throws {
        let readme = try String(contentsOf: JobFileTests.root.appending(path: "README.md"), encoding: .utf8)
        #expect(readme.contains(SettingsTable.markdown()), "paste the new table:\n\(SettingsTable.markdown())")
    }
}
