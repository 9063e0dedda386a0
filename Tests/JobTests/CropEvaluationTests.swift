// Evaluation as it is published: several crops, several networks, images left out, errors beside accuracies.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSDatasets
import PSEvaluation
import PSModel
import PSParameters
import PSPrediction
import PSSamples
import Testing

@Suite struct ClassScoreTests {
    /// Means of softmaxes, not softmaxes of means: one sure crop outvotes two that doubt.
    @Test func softmaxesAreAveraged() {
        var tally = Tally(classes: 3)
        func softmax(_ logits: [Double]) -> [Double] {
            let powers = logits.map { exp($0) }
            return powers.map { $0 / powers.reduce(0, +) }
        }
        let first: [Double] = [4, 0, 0]
        let second: [Double] = [0, 1, 0.5]
        let mean = zip(softmax(first), softmax(second)).map { ($0 + $1) / 2 }
        let scores = ClassScores.mean([
            .logits(first.map { Float($0) }[...]), .logits(second.map { Float($0) }[...]),
        ])
        #expect(zip(scores.probabilities, mean).allSatisfy { abs($0 - $1) < 1e-12 })
        let (predicted, probability) = tally.add(label: 1, scores: scores)
        #expect(predicted == 0 && abs(probability - mean[0]) < 1e-12)
        #expect(abs(tally.loss + log(mean[1])) < 1e-12)
        #expect(tally.count(withRankBelow: 1) == 0 && tally.count(withRankBelow: 2) == 1)
        // Of one network nothing is changed, and what it says counts as ever.
        guard case .logits(let same) = ClassScores.mean([.logits([3, 1])]) else { return #expect(Bool(false)) }
        #expect(same == [3, 1])
    }

    @Test func tiesAndBrokenValuesCountAsThoseOfLogits() {
        let cases: [(label: Int, logits: [Float])] = [
            (0, [9, 1, 1, 1]), (1, [9, 9, 1, 1]), (2, [1, 2, 0, 3]), (0, [.nan, .nan, .nan, .nan]),
            (3, [1, .nan, 2, 5]),
        ]
        var logits = Tally(classes: 4)
        var probabilities = Tally(classes: 4)
        for (label, values) in cases {
            logits.add(label: label, logits: values[...])
            probabilities.add(label: label, scores: .probabilities(ClassScores.logits(values[...]).probabilities))
        }
        #expect(logits.count(withRankBelow: 1) == 2)
        // A softmax with a value that is no number is none at all: the last case is right by logits alone.
        #expect(probabilities.count(withRankBelow: 1) == 1)
        #expect(probabilities.count(withRankBelow: 2) == 2)
        #expect(probabilities.imageCount == 5 && probabilities.loss.isNaN)
    }
}

@Suite(.serialized) struct CropEvaluationTests {
    private let jobs = SmallJobs()

    /// A run that nobody trained, of the few pictures; its average is drawn from `seed`.
    private func run(_ name: String, seed: UInt64 = 1, size: Int = 48, classes: Int = 3, names: [String]? = nil) throws
        -> JobConfiguration
    {
        var job = JobConfiguration()
        try job.read(assignments: FewPictures.settings(FewPictures.path) + ["model.imageSize=\(size)"])
        job.model.classes = classes
        let layout = try ModelDescription(job.model).layout
        let values = layout.initialValues(seed: seed).enumerated().map { $1 + 0.02 * sin(Float($0)) }
        try writeRun(
            jobs.path(name), job: job, layout: layout, step: 3, values: [.current: values, .average: values])
        let lines = (names ?? FewPictures.classes).prefix(classes).map { "\($0)\n" }.joined()
        try lines.write(toFile: jobs.path("\(name)/classes.txt"), atomically: true, encoding: .utf8)
        return job
    }

    private func evaluate(_ arguments: String...) throws -> [String: Any] {
        let finished = try jobs.psctl(arguments: ["evaluate", "--json"] + arguments)
        #expect(finished.code == 0, "\(finished.errors)")
        return try finished.json()
    }

    /// Each crop count gives figures of its own; the same bits for any number of threads and any `eval.batch`.
    @Test func theSameBitsForAnyBatchAndThreads() throws {
        var job = try run("run")
        let description = try ModelDescription(job.model)
        let values = description.layout.initialValues(seed: 2)
        let data = try Dataset.open(job.data.set, .test)
        var losses: Set<UInt64> = []
        for crops in CropCount.allCases where crops != .one {
            job.eval.crops = crops
            var bits: Set<[UInt64]> = []
            for (batch, threads) in [(1, 1), (7, 2), (30, 1), (100, 3), (2000, 2)] {
                job.eval.batch = batch
                let images = try TestImages(data, configuration: job, description: description, threads: threads)
                #expect(images.batch == min(9, max(1, batch / crops.rawValue)))
                try images.load(values)
                let evaluation = try Evaluation(of: [images], classNames: [], subject: .file("drawn"))
                #expect(evaluation.images == 9 && evaluation.crops == crops.rawValue)
                bits.insert([try #require(evaluation.loss), evaluation.top1, evaluation.top5].map(\.bitPattern))
            }
            #expect(bits.count == 1, "\(crops)")
            losses.formUnion(bits.map { $0[0] })
        }
        #expect(losses.count == 3)
    }

    /// `eval.crops` of a job: one worker or three, and psctl afterwards, say the same.
    @Test func aJobsWorkersLookAtCrops() throws {
        func train(_ name: String, _ workers: Int) throws -> [String: Any] {
            let set =
                FewPictures.settings(FewPictures.path) + [
                    "train.steps=2", "eval.atEnd=true", "eval.crops=10", "eval.batch=20", "cluster.workers=\(workers)",
                ]
            let finished = try jobs.start(["train", "--json", "--run-dir", name] + set.flatMap { ["--set", $0] })
                .finish(within: 60)
            #expect(finished.code == 0, "\(finished.errors)")
            return try #require(finished.json()["eval"] as? [String: Any])
        }
        let alone = try train("alone", 1)
        let three = try train("three", 3)
        for key in ["top1", "top5", "loss"] {
            #expect(alone[key] as? Double != nil && alone[key] as? Double == three[key] as? Double, "\(key)")
        }
        let again = try evaluate("--run-dir", "alone")
        #expect(again["crops"] as? Int == 10 && again["top1"] as? Double == alone["top1"] as? Double)
        let (loss, measured) = (try #require(again["loss"] as? Double), try #require(alone["loss"] as? Double))
        #expect(abs(loss - measured) < 1e-9)
        let single = try evaluate("--run-dir", "alone", "--crops", "1")
        #expect(single["crops"] as? Int == 1 && single["loss"] as? Double != loss)
        // It may be another one when the job goes on.
        let resumed = try jobs.resume("alone", steps: 3, set: ["eval.crops=1"]).summary()
        #expect(resumed.eval?.version == 3)
    }

    /// An ensemble's softmax is the mean of its networks', each at its own size, however each is named.
    @Test func ensemblesAreMeans() throws {
        let first = try run("first", seed: 1)
        let second = try run("second", seed: 2, size: 64)
        #expect(try jobs.psctl("export", "--run-dir", "first", "--out", "first.safetensors").code == 0)
        let data = try Dataset.open(first.data.set, .test)
        let networks = try [("first", first), ("second", second)].map { name, job in
            let description = try ModelDescription(job.model)
            let images = try TestImages(data, configuration: job, description: description, threads: 2)
            let checkpoint = try CheckpointReader(jobs.path("\(name)/checkpoints/step-3"))
            try images.load(checkpoint.values(.average, layout: description.layout))
            return images
        }
        var means = [[Double]](repeating: [0, 0, 0], count: 9)
        for images in networks {
            for part in 0..<images.partCount {
                _ = try images.compute(part: part) { sample, _, scores in
                    for (label, share) in scores.probabilities.enumerated() { means[sample][label] += share / 2 }
                }
            }
        }
        let expected = try (0..<9).reduce(0) { $0 - log(means[$1][try data.label(of: $1)]) / 9 }
        let single = try evaluate("--run-dir", "first")
        #expect(single["networks"] == nil)
        for names in [["first", "second"], ["first/checkpoints/step-3", "second/checkpoints/step-3"]] {
            let both = try evaluate("--ensemble", names[0], names[1], "--crops", "1")
            #expect(both["networks"] as? [String] == names && both["weights"] as? String == "ensemble")
            #expect(abs(try #require(both["loss"] as? Double) - expected) < 1e-9)
            #expect(both["loss"] as? Double != single["loss"] as? Double)
        }
        // A file beside a run; what it does not tell is said for all files.
        let settings = ["model.width=0.1", "model.stem=79", "model.imageSize=48"].flatMap { ["--set", $0] }
        let file = try jobs.psctl(
            arguments: ["evaluate", "--json", "--ensemble", "first.safetensors", "second"] + settings)
        #expect(file.code == 0, "\(file.errors)")
        #expect(abs(try #require(try file.json()["loss"] as? Double) - expected) < 1e-6)
        // Twice the same is the same, also over crops.
        let twice = try evaluate("--ensemble", "first", "first", "--crops", "10")
        let once = try evaluate("--run-dir", "first", "--crops", "10")
        #expect(twice["loss"] as? Double == once["loss"] as? Double)
        #expect(twice["top1"] as? Double == once["top1"] as? Double)
    }

    @Test func whatCannotBeAskedTogether() throws {
        _ = try run("three", classes: 3)
        _ = try run("four", classes: 4, names: ["cat", "dog", "eel", "fox"])
        _ = try run("others", names: ["dog", "cat", "eel"])
        func refused(_ arguments: String..., code: Int32 = 1) throws -> String {
            let finished = try jobs.psctl(arguments: ["evaluate"] + arguments)
            #expect(finished.code == code && finished.output.isEmpty, "\(arguments): \(finished.code)")
            return finished.errors
        }
        let classes = try refused("--ensemble", "three", "four")
        #expect(
            classes
                == "psctl: error: three has 3 classes and four has 4; an ensemble needs networks of the same classes\n")
        let names = try refused("--ensemble", "three", "others")
        #expect(names.contains("class 0 is cat in three and dog in others"), "\(names)")
        #expect(try refused("--ensemble", "three", "nowhere").contains("nowhere"))
        #expect(try refused("--ensemble", "three", "--best", code: 64).contains("--ensemble names all networks"))
        #expect(try refused("--run-dir", "three", "--crops", "7", code: 64).contains("one of '1', '10', '12' or '144'"))
        #expect(
            try refused("--run-dir", "three", "--crops", "10", "--central-fraction", "0.5", code: 64)
                .contains("--central-fraction is for one crop"))
        #expect(try refused("--run-dir", "three", "--exclude", "nowhere.txt").contains("nowhere.txt"))
        let train = try jobs.psctl("train", "--set", "eval.crops=7")
        #expect(train.code == 64 && train.errors.contains("one of 1, 10, 12, 144"), "\(train.errors)")
    }

    /// By name, by the name's last part, by its number; the report says how many, the errors add up to one.
    @Test func listedImagesAreLeftOut() throws {
        _ = try run("run")
        let all = try evaluate("--run-dir", "run")
        #expect(all["images"] as? Int == 9 && all["left_out"] as? Int == 0)
        func list(_ text: String) throws {
            try text.write(toFile: jobs.path("list"), atomically: true, encoding: .utf8)
        }
        // One image twice.
        try list("cat/cat_9.JPEG\n\n  dog_10.JPEG\r\ncat_9.JPEG\n")
        let some = try evaluate("--run-dir", "run", "--exclude", "list", "--crops", "12")
        #expect(some["images"] as? Int == 7 && some["left_out"] as? Int == 2 && some["excluded"] as? Int == 0)
        let classes = try #require(some["classes"] as? [[String: Any]])
        #expect(classes.map { $0["count"] as? Int } == [2, 2, 3])
        for kind in ["top1", "top5"] {
            let (share, error) = (some[kind] as? Double ?? .nan, some["\(kind)_error"] as? Double ?? .nan)
            #expect(abs(share + error - 1) < 1e-12)
        }
        let text = try jobs.psctl(
            "evaluate", "--run-dir", "run", "--exclude", "list", "--html", "page.html", "--crops", "10")
        #expect(text.output.contains("7 test images, 10 crops of each: top-1 "), "\(text.output)")
        #expect(text.output.contains("% (error ") && text.output.contains("2 test images left out as listed"))
        let page = try String(contentsOfFile: jobs.path("page.html"), encoding: .utf8)
        for words in ["top-1 error", "top-5 error", "<b>2</b><span>left out as listed", "10 crops of each"] {
            #expect(page.contains(words), "\(words)")
        }

        // What is left is measured as by itself.
        let folder = jobs.path("rest")
        try FewPictures.write(to: folder)
        for name in ["cat/cat_9", "dog/dog_10"] {
            try FileManager.default.removeItem(atPath: "\(folder)/val/\(name).JPEG")
        }
        let rest = try evaluate("--run-dir", "run", "--data", folder, "--crops", "12")
        #expect(rest["loss"] as? Double == some["loss"] as? Double)

        func refused() throws -> String {
            let finished = try jobs.psctl("evaluate", "--run-dir", "run", "--exclude", "list")
            #expect(finished.code == 1 && finished.errors.split(separator: "\n").count == 1, "\(finished.errors)")
            return finished.errors
        }
        try list("cat_9.JPEG\ncat_99.JPEG\nyak.JPEG\n")
        let unknown = try refused()
        #expect(unknown.contains("list: line 2, 'cat_99.JPEG', names no image of ") && unknown.contains("1 more line"))
        // There are a cat, a dog and an eel of that number.
        try list("10\n")
        #expect(try refused().contains("line 1, '10', names 3 images"))
        try list(["cat", "dog", "eel"].flatMap { name in (9...11).map { "\(name)_\($0).JPEG\n" } }.joined())
        #expect(try refused().contains("leaves none of the images"))
    }

    /// ILSVRC's list is one of numbers: those that the files' names end in, whatever folders they are in.
    @Test func numbersAreThoseOfTheFileNames() throws {
        struct Names: SampleSource {
            let names: [String]
            let classNames = ["one"]
            var count: Int { names.count }
            func label(of sample: Int) -> Int { 0 }
            func name(of sample: Int) -> String { names[sample] }
            func byteCount(of sample: Int) -> Int { 0 }
            func read(_ sample: Int) -> SampleContent { .encoded([]) }
        }
        func listed(_ text: String, _ names: [String]) throws -> Set<Int> {
            try text.write(toFile: jobs.path("list"), atomically: true, encoding: .utf8)
            return try ExclusionList(path: jobs.path("list"), of: Names(names: names), dataPath: "set").samples
        }
        let names = [
            "n2/ILSVRC2012_val_00000036.JPEG", "n1/ILSVRC2012_val_00000050.JPEG", "n1/ILSVRC2012_val_00000005.JPEG",
        ]
        #expect(try listed("36\n5\n", names) == [0, 2])
        #expect(try listed("0050", names) == [1])
        #expect(throws: EvaluationError.self) { try listed("3", names) }
        // Images without files are called by their numbers from 0, here as everywhere.
        #expect(try listed("0\n2", ["0", "1", "2"]) == [0, 2])
        #expect(throws: EvaluationError.self) { try listed("3", ["0", "1", "2"]) }
    }

    /// A set that is no files: the default job's own.
    @Test func imagesInMemoryHaveCrops() throws {
        let run = try jobs.train("digits", steps: 1)
        #expect(run.steps == 1)
        let losses = try ["1", "10", "12", "144"].map { crops in
            let json = try evaluate("--run-dir", "digits", "--crops", crops)
            #expect(json["images"] as? Int == 30)
            return try #require(json["loss"] as? Double)
        }
        #expect(Set(losses).count == 4)
    }
}
