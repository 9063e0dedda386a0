// Jobs on picture files: the same weights whatever the form of the set and whoever reads it; sets that differ, change or
// cannot be read.

import Foundation
import PSDatasets
import PSFiles
import PSImages
import PSRun
import SyntheticData
import Testing

@Suite(.serialized)
struct DataJobTests {
    private let jobs = SmallJobs()

    private func train(
        _ run: String, _ path: String, steps: Int = 4, set: [String] = []
    ) throws -> Running {
        let all = FewPictures.settings(path) + ["train.steps=\(steps)"] + set
        return try jobs.start(["train", "--json", "--run-dir", run] + all.flatMap { ["--set", $0] })
    }

    @Test func everyFormAndAnyWorkersGiveTheSameWeights() throws {
        let folder = try train("folder", FewPictures.path, set: ["eval.atEnd=true"]).summary()
        #expect(folder.eval != nil)
        #expect(try RunDirectory(jobs.path("folder")).classNames() == FewPictures.classes)

        let packed = try jobs.psctl("data", "pack", FewPictures.path, jobs.path("shards"))
        #expect(packed.code == 0 && packed.output.contains("27 training pictures"), "\(packed.output)\(packed.errors)")
        let shards = try train("shards-run", jobs.path("shards"), set: ["cluster.workers=3"]).summary()
        #expect(shards.weightsSHA256 == folder.weightsSHA256)

        try SyntheticSet.writeRecords(
            DatasetSettings(path: FewPictures.path), jobs.path("records"), fileCounts: [.train: 2, .test: 1])
        let records = try train(
            "records-run", jobs.path("records"), set: ["data.firstLabel=1", "cluster.servers=2"]
        ).summary()
        #expect(records.weightsSHA256 == folder.weightsSHA256)

        // In two parts, the second from the shards: the same samples, named the same.
        #expect(try train("parts", FewPictures.path, steps: 2).summary().steps == 2)
        let resumed = try jobs.resume("parts", steps: 4, set: ["data.path=\(jobs.path("shards"))"]).summary()
        #expect(resumed.weightsSHA256 == folder.weightsSHA256)

        // The names go with the weights.
        let file = jobs.path("model.safetensors")
        #expect(try jobs.psctl("export", "--run-dir", "folder", "--out", file).code == 0)
        let header = try Data(contentsOf: URL(filePath: file)).prefix(400)
        #expect(String(decoding: header, as: UTF8.self).contains(#"\"cat\",\"dog\",\"eel\""#))
    }

    /// A worker whose copy of the set differs in one file is told both, and ends for good.
    @Test func aWorkerWithAnotherCopyIsRefusedByName() throws {
        let data = jobs.path("copy")
        try FewPictures.write(to: data)
        let config = try jobs.psctl(
            arguments: ["train", "--print-config"]
                + (FewPictures.settings(data) + ["train.steps=3"]).flatMap { ["--set", $0] })
        try config.output.write(toFile: jobs.path("job.yaml"), atomically: true, encoding: .utf8)
        let coordinator = try Running(
            "ps-coordinator",
            ["--config", jobs.path("job.yaml"), "--run-dir", jobs.path("run"), "--bind", "tcp://127.0.0.1:*"])
        defer { kill(pid_t(coordinator.pid), SIGKILL) }
        eventually("it listens") { FileManager.default.fileExists(atPath: jobs.path("run/endpoints.json")) }
        let endpoint = try #require(Endpoints.read(from: RunDirectory(jobs.path("run")))).coordinator

        let file = "\(data)/train/dog/dog_4.JPEG"
        let whole = try Data(contentsOf: URL(filePath: file))
        try (whole + [0]).write(to: URL(filePath: file))
        let refused = try Running("ps-worker", ["--coordinator", endpoint]).finish(within: 20)
        #expect(refused.code == 64, "\(refused.errors)")
        for part in [
            data, "is not the job's data set", "dog/dog_4.JPEG, \(whole.count + 1) bytes", "\(whole.count) bytes",
        ] {
            #expect(refused.errors.contains(part), "\(refused.errors)")
        }
        try FileManager.default.removeItem(atPath: file)
        let short = try Running("ps-worker", ["--coordinator", endpoint]).finish(within: 20)
        #expect(short.code == 64 && short.errors.contains("dog_4.JPEG"), "\(short.errors)")
    }

    /// A resumed job as well.
    @Test func aRunGoesOnWithItsOwnSamplesOnly() throws {
        let data = jobs.path("copy")
        try FewPictures.write(to: data)
        _ = try train("run", data, steps: 2).summary()
        let before = try jobs.tree("run")
        try Data(FewPictures.picture(1, rows: 60, columns: 60).png())
            .write(to: URL(filePath: "\(data)/train/cat/new.png"))
        let refused = try jobs.resume("run", steps: 4).finish()
        #expect(refused.code == 1 && refused.errors.contains("cat/new.png"), "\(refused.errors)")
        #expect(try jobs.tree("run") == before)
        try FileManager.default.removeItem(atPath: "\(data)/train/cat/new.png")
        #expect(try jobs.resume("run", steps: 4).summary().steps == 4)
    }

    @Test func badPicturesEndTheJobOrAreReplaced() throws {
        let data = jobs.path("bad")
        try FewPictures.write(to: data)
        for (name, bytes) in [("cat/cat_0", Array("no picture".utf8)), ("eel/eel_2", [0xFF, 0xD8, 0xFF, 0xE0, 0, 16])] {
            try Data(bytes).write(to: URL(filePath: "\(data)/train/\(name).JPEG"))
        }
        try Data([1]).write(to: URL(filePath: "\(data)/val/cat/cat_9.JPEG"))
        let failed = try train("failing", data, steps: 20).finish()
        #expect(failed.code == 1, "\(failed.errors)")
        #expect(failed.errors.contains("data.onBadImage=skip"), "\(failed.errors)")
        #expect(
            failed.errors.contains("cat/cat_0.JPEG") || failed.errors.contains("eel/eel_2.JPEG"), "\(failed.errors)")
        // It is not started again and again.
        #expect(!failed.errors.contains("started again"), "\(failed.errors)")

        // What was trained so far goes on.
        let skipping = try jobs.resume(
            "failing", steps: 12, set: ["data.onBadImage=skip", "cluster.workers=2", "eval.atEnd=true"]
        ).summary()
        #expect(skipping.unreadableSamples == ["cat/cat_0.JPEG", "eel/eel_2.JPEG"])
        let whole = try train("skipping", data, steps: 12, set: ["data.onBadImage=skip"]).summary()
        #expect(whole.weightsSHA256 == skipping.weightsSHA256)
        let evaluation = try jobs.psctl("evaluate", "--run-dir", "failing", "--json").json()
        #expect(evaluation["images"] as? Int == 8 && evaluation["unreadable"] as? [String] == ["cat/cat_9.JPEG"])

        let verify = try jobs.psctl("data", "verify", data)
        #expect(verify.code == 1 && verify.output.contains("cat/cat_0.JPEG"), "\(verify.output)")
        let inspect = try jobs.psctl("data", "inspect", data, "--json", "--sheet", jobs.path("sheet.png"))
        let splits = try #require(try inspect.json()["splits"] as? [[String: Any]])
        #expect(splits.map { $0["unreadable_count"] as? Int } == [2, 1])
        #expect(try Data(contentsOf: URL(filePath: jobs.path("sheet.png"))).starts(with: [0x89, 0x50, 0x4E, 0x47]))
    }

    /// One that changes under the job is no bad picture: the job ends and says which.
    @Test func aFileThatChangesEndsTheJob() throws {
        let data = jobs.path("changing")
        try FewPictures.write(to: data)
        let job = try train("run", data, steps: SmallJobs.endless, set: ["data.onBadImage=skip"])
        jobs.waitForStep(3, of: "run")
        try Data([1, 2, 3]).write(to: URL(filePath: "\(data)/train/eel/eel_1.JPEG"))
        let ended = try job.finish()
        #expect(ended.code == 1, "\(ended.errors)")
        #expect(ended.errors.contains("eel/eel_1.JPEG has changed"), "\(ended.errors)")
    }

    @Test func aTicketAsAPicture() throws {
        let sheet = jobs.path("ticket.png")
        let settings = FewPictures.settings(FewPictures.path).flatMap { ["--set", $0] }
        let made = try jobs.psctl(arguments: ["data", "preview", "--ticket", "3", "--out", sheet] + settings)
        #expect(made.code == 0 && made.output.contains("4 images"), "\(made.errors)")
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: sheet)))
        let picture = try PictureDecoder().decode(bytes)
        // Eight in a row of 48 pixels and gaps of four.
        #expect(picture.rows == 48 + 8 && picture.columns == 8 * 52 + 4)
        let ofClass = try jobs.psctl(
            arguments: ["data", "preview", "--class", "dog", "--rows", "2", "--columns", "3", "--out", sheet] + settings
        )
        #expect(ofClass.code == 0 && ofClass.output.contains("6 images"), "\(ofClass.errors)")
        let unknown = try jobs.psctl(
            arguments: ["data", "preview", "--class", "cow", "--out", sheet] + settings)
        #expect(unknown.code == 64 && unknown.errors.contains("cow"), "\(unknown.errors)")
    }

    @Test func benchmarksOfData() throws {
        let settings = FewPictures.settings(FewPictures.path).flatMap { ["--set", $0] }
        let data = try jobs.psctl(
            arguments: ["bench", "data", "--images", "8", "--rounds", "1", "--json"] + settings)
        #expect((try data.json()["images_per_second"] as? Double ?? 0) > 0, "\(data.errors)")
        let evaluation = try jobs.psctl(
            arguments: ["bench", "data", "--evaluation", "--images", "8", "--rounds", "1"] + settings)
        #expect(evaluation.code == 0 && evaluation.output.contains("images/s"), "\(evaluation.errors)")
    }
}
