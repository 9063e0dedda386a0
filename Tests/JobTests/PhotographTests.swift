// From a folder of pictures to a fine-tuned network, its evaluations, predictions and weights: through the programs.

import Foundation
import PSCheckpoint
import PSFiles
import PSImages
import PSParameters
import PSProtocol
import PSRun
import Testing

@Suite(.serialized)
struct PhotographTests {
    private let jobs = SmallJobs()

    private func train(_ run: String, _ set: [String], more: [String] = []) throws -> Running {
        let all = FewPictures.settings(FewPictures.path) + set
        return try jobs.start(["train", "--json", "--run-dir", run] + all.flatMap { ["--set", $0] } + more)
    }

    private func lines(_ run: String) throws -> [[String: Any]] {
        try String(contentsOfFile: jobs.path("\(run)/metrics.jsonl"), encoding: .utf8).split(separator: "\n").map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    private func evaluations(_ run: String) throws -> [EvaluationReport] {
        try Journal.read(RunDirectory(jobs.path(run))).evaluations
    }

    // MARK: Evaluation beside training

    /// The same figures, bit for bit, for one worker and for three of which one is killed while it measures; and for
    /// `psctl evaluate` of the same checkpoint.
    @Test func evaluationsAreTheSameWhoeverMeasures() throws {
        let set = ["train.steps=12", "eval.everySteps=4", "eval.batch=2", "checkpoint.keep=10"]
        let alone = try train("alone", set).summary()
        #expect(try evaluations("alone").map(\.version) == [4, 8, 12])
        let three = try train("three", set + ["cluster.workers=3"])
        var isKilled = false
        eventually(within: 60, "a worker measures") {
            guard three.isRunning,
                let finished = try? jobs.psctl("status", "--json", "--run-dir", "three"),
                let status = try? finished.json(JobStatus.self)
            else { return !three.isRunning }
            guard
                let one = status.processes.first(where: { $0.activity.hasPrefix("evaluating") && $0.role == "worker" })
            else { return false }
            isKilled = kill(pid_t(one.pid), SIGKILL) == 0
            return isKilled
        }
        let other = try three.summary()
        // A job of a second may be over before anybody looks; then nobody was killed.
        if isKilled { #expect(other.restarts >= 0) }
        #expect(other.weightsSHA256 == alone.weightsSHA256)
        func figures(_ run: String) throws -> [[Double?]] {
            try evaluations(run).map { [Double($0.version.number), $0.top1, $0.top5, $0.loss, Double($0.images)] }
        }
        #expect(try figures("three") == figures("alone"))
        #expect(other.eval?.loss == alone.eval?.loss && alone.eval?.version == 12)

        for report in try evaluations("alone") {
            let step = "\(report.version)"
            let json = try jobs.psctl("evaluate", "--run-dir", "alone", "--step", step, "--json").json()
            #expect(json["top1"] as? Double == report.top1)
            #expect(json["top5"] as? Double == report.top5)
            #expect(json["images"] as? Int == 9)
            #expect(json["excluded"] as? Int == 0)
            let loss = try #require(json["loss"] as? Double)
            #expect(abs(loss - (try #require(report.loss))) < 1e-9)
        }
        // Each has a line of its own in the metrics, beside those of the steps.
        let lines = try lines("three")
        #expect(lines.compactMap { $0["eval_top1"] as? Double }.count == 3)
        #expect(lines.filter { $0["eval_images"] == nil }.compactMap { $0["step"] as? Int } == Array(1...12))
        let status = try jobs.psctl("status", "--run-dir", "alone").output
        #expect(status.contains("evaluation of step 12: top-1"), "\(status)")
    }

    /// A job that is stopped while it measures its end goes on with that.
    @Test func theLastEvaluationIsMadeUpFor() throws {
        _ = try train("late", ["train.steps=2"]).summary()
        #expect(try evaluations("late").isEmpty)
        let resumed = try jobs.resume("late", set: ["eval.atEnd=true"]).summary()
        #expect(resumed.steps == 2 && resumed.eval?.version == 2)
        let again = try jobs.resume("late").summary()
        #expect(again.eval == resumed.eval)
    }

    /// With a rate that changes nothing no evaluation is better than the first: the job ends as the patience says, keeps
    /// the best checkpoint, and goes on when it is given more.
    @Test func patienceEndsTheJob() throws {
        let set = [
            "train.steps=40", "eval.everySteps=2", "train.patience=3", "learningRate.base=0", "checkpoint.keep=2",
            "checkpoint.everySteps=1", "model.batchNorm=frozen", "optimizer.averageDecay=0",
        ]
        let run = try train("patient", set)
        let finished = try run.finish()
        #expect(finished.code == 0, "\(finished.errors)")
        let summary = try finished.json(RunSummary.self)
        // Best at 2; 4, 6 and 8 are no better; that is known at 10.
        #expect(summary.steps == 10)
        #expect(summary.bestEval?.version == 2)
        #expect(finished.errors.contains("stopped early at step 10"), "\(finished.errors)")
        #expect(try jobs.checkpoints("patient").isSuperset(of: ["step-2", "step-10"]))
        let best = try jobs.psctl("evaluate", "--run-dir", "patient", "--best", "--json").json()
        #expect(best["step"] as? Int == 2)
        let further = try jobs.resume("patient", set: ["train.patience=5"]).summary()
        #expect(further.steps == 14)
    }

    @Test func aSetWithoutTestImagesIsRefusedAtOnce() throws {
        let data = jobs.path("only-train")
        try FewPictures.write(to: data, perClass: 3)
        try FileManager.default.removeItem(atPath: "\(data)/val")
        try FileManager.default.moveItem(atPath: "\(data)/train", toPath: jobs.path("flat"))
        // Three pictures of a class: none falls into the tenth that is kept for evaluation.
        let all =
            FewPictures.settings(jobs.path("flat")) + [
                "train.steps=1", "eval.atEnd=true", "data.validationShare=0.001",
            ]
        let refused = try jobs.psctl(arguments: ["train", "--run-dir", "refused"] + all.flatMap { ["--set", $0] })
        #expect(refused.code == 1)
        #expect(
            refused.errors.contains("no pictures for evaluation") && refused.errors.contains("eval.atEnd=false"),
            "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("refused")))
    }

    @Test(arguments: [
        (["eval.everySteps=2", "eval.everyEpochs=1"], "exclude each other"),
        (["train.patience=2"], "eval.everyEpochs or eval.everySteps"),
        (["train.freeze=Conv2d_,nothing"], "has 'nothing', and no tensor of the model begins so"),
        (["train.freeze=Conv2d,Mixed,fc"], "freezes every weight"),
        (["optimizer.groups=fc.:0"], "a factor above 0"),
        (["optimizer.groups=fc."], "expected PREFIX:FACTOR"),
        (["model.init=/does/not/exist"], "/does/not/exist"),
    ])
    func settingsThatDoNotGoTogether(settings: [String], words: String) throws {
        let refused = try train("none", settings).finish()
        #expect(refused.code == 1 || refused.code == 64)
        #expect(refused.errors.contains(words), "\(refused.errors)")
        #expect(refused.errors.split(separator: "\n").count { $0.hasPrefix("psctl: error") } == 1)
        #expect(!FileManager.default.fileExists(atPath: jobs.path("none")))
    }

    // MARK: Fine-tuning

    /// From a run of other classes: its weights but for the heads, the same for any workers, and step 0 is a checkpoint
    /// like any other.
    @Test func aJobBeginsWithAnotherRunsWeights() throws {
        _ = try jobs.train("ten", steps: 3, set: ["model.imageSize=48"])
        let set = [
            "model.init=\(jobs.path("ten"))", "train.steps=4", "train.freeze=[Conv2d_, Mixed_5]",
            "model.batchNorm=frozen",
            "optimizer.groups=fc.:10", "model.stem=79", "checkpoint.keep=5",
        ].map { $0.replacing("[", with: "").replacing("]", with: "") }
        let one = try train("one", set)
        let finished = try one.finish()
        #expect(finished.code == 0, "\(finished.errors)")
        #expect(
            finished.errors.contains("it has 10 classes, the model 3: begun anew are fc.weight, fc.bias"),
            "\(finished.errors)")
        let summary = try finished.json(RunSummary.self)
        #expect(
            try train("three", set + ["cluster.workers=3", "cluster.servers=2"]).summary().weightsSHA256
                == summary.weightsSHA256)

        let source = try checkpoint("ten", 3)
        let (begin, end) = (try checkpoint("one", 0), try checkpoint("one", 4))
        for tensor in [
            "Conv2d_1a_3x3.conv.weight", "Mixed_5c.branch5x5_2.bn.bias", "Mixed_7c.branch1x1.bn.running_var",
        ] {
            let values = try values(source, .average, tensor)
            #expect(try self.values(begin, .current, tensor) == values)
            #expect(try self.values(begin, .average, tensor) == values)
            // Frozen by prefix, frozen by prefix, frozen as all statistics are.
            #expect(try self.values(end, .current, tensor) == values, "\(tensor)")
        }
        let trained = "Mixed_7c.branch1x1.conv.weight"
        #expect(try values(begin, .current, trained) == values(source, .average, trained))
        #expect(try values(end, .current, trained) != values(begin, .current, trained))
        #expect(try values(begin, .current, "fc.weight").count == 3 * values(source, .current, "fc.weight").count / 10)
        #expect(try values(begin, .momentum, trained).allSatisfy { $0 == 0 })

        // Killed before the first commit, it begins with the same again.
        let steps = try train("stopped", set + ["train.steps=100000"])
        eventually("it runs") { FileManager.default.fileExists(atPath: jobs.path("stopped/checkpoints/step-0")) }
        try steps.crash()
        #expect(try jobs.resume("stopped", steps: 4).summary().weightsSHA256 == summary.weightsSHA256)

        // From a file and from a checkpoint the same.
        let file = jobs.path("ten.safetensors")
        #expect(try jobs.psctl("export", "--run-dir", "ten", "--out", file).code == 0)
        for (index, source) in [file, jobs.path("ten/checkpoints/step-3")].enumerated() {
            let set = set.map { $0.hasPrefix("model.init") ? "model.init=\(source)" : $0 }
            #expect(try train("from-\(index)", set).summary().weightsSHA256 == summary.weightsSHA256, "\(source)")
        }
        // A wish for two beginnings, and another network.
        let both = try train("both", set, more: ["--resume", jobs.path("ten/checkpoints/step-3")]).finish()
        #expect(both.code == 1, "\(both.errors)")
        let wide = try train("wide", set + ["model.width=0.15"]).finish()
        #expect(wide.code == 1 && wide.errors.contains("the model needs"), "\(wide.errors)")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("wide")))
    }

    private func checkpoint(_ run: String, _ step: Int) throws -> CheckpointReader {
        try CheckpointReader(jobs.path("\(run)/checkpoints/step-\(step)"))
    }

    private func values(_ reader: CheckpointReader, _ value: StoredValue, _ tensor: String) throws -> [Float] {
        try reader.withBytes(value, tensor: tensor) { bytes in Array(bytes.bindMemory(to: Float.self)) }
    }

    // MARK: Prediction

    /// `psctl predict` over the validation folder names what `psctl evaluate` counts, picture by picture; text, CSV and
    /// JSON agree; what cannot be read is named and the rest goes on.
    @Test func predictionsAgreeWithEvaluation() throws {
        _ = try train("run", ["train.steps=8", "data.evaluate=resize", "data.augment=light"]).summary()
        let folder = "\(FewPictures.path)/val"
        let evaluated = try jobs.psctl("evaluate", "--run-dir", "run", "--json").json()
        let all = try jobs.psctl("predict", "--run-dir", "run", "--json", "--top", "3", folder)
        #expect(all.code == 0, "\(all.errors)")
        let pictures = try #require(JSONSerialization.jsonObject(with: Data(all.output.utf8)) as? [[String: Any]])
        #expect(pictures.count == 9)
        var wrong: Set<String> = []
        for picture in pictures {
            let file = try #require(picture["file"] as? String)
            let top = try #require(picture["top"] as? [[String: Any]])
            #expect(top.count == 3)
            let probabilities = top.compactMap { $0["probability"] as? Double }
            #expect(abs(probabilities.reduce(0, +) - 1) < 1e-9 && probabilities == probabilities.sorted(by: >))
            let name = try #require(top[0]["name"] as? String)
            #expect(FewPictures.classes[try #require(top[0]["class"] as? Int)] == name)
            if !file.contains("/\(name)/") { wrong.insert(String(file.dropFirst(folder.count + 1))) }
        }
        let mistakes = try #require(evaluated["mistakes"] as? [[String: Any]])
        #expect(Set(mistakes.compactMap { $0["file"] as? String }) == wrong)
        #expect(evaluated["top1"] as? Double == Double(9 - wrong.count) / 9)

        let files = pictures.compactMap { $0["file"] as? String }
        let listed = try Running(
            shell: "printf '%s\\n' \(files[4]) /etc/hostname \(jobs.path("gone.png")) \(files[2]) "
                + "| \(Running.directory.path)/psctl predict --run-dir '\(jobs.path("run"))' --csv --top 1 -"
        ).finish()
        #expect(listed.code == 1)
        let rows = listed.output.split(separator: "\n").map { $0.split(separator: ",") }
        #expect(rows.first?.joined(separator: ",") == "file,rank,class,name,probability")
        #expect(rows.dropFirst().map { String($0[0]) } == [files[4], files[2]])
        #expect(listed.errors.contains("/etc/hostname") && listed.errors.contains("gone.png"))
        #expect(listed.errors.split(separator: "\n").count == 2)
        // A folder that cannot be walked, and one without pictures, do not keep the others.
        let folders = try Running(
            shell:
                "mkdir -p loop none && ln -s .. loop/up && \(Running.directory.path)/psctl predict --run-dir run --top 1 "
                + "loop none \(files[1])", in: jobs.scratch.path
        ).finish()
        #expect(folders.code == 1 && folders.output.hasPrefix("\(files[1]): "), "\(folders.output)")
        #expect(
            folders.errors.contains("a symbolic link leads back") && folders.errors.contains("none has no pictures"))
        let text = try jobs.psctl("predict", "--run-dir", "run", "--top", "1", files[0])
        #expect(text.output.hasPrefix("\(files[0]): "), "\(text.output)")
    }

    /// A weight file with the names in it, and a file of names.
    @Test func predictionsOfAWeightFile() throws {
        _ = try train("run", ["train.steps=2"]).summary()
        #expect(try jobs.psctl("export", "--run-dir", "run", "--out", "w.safetensors").code == 0)
        let options = [
            "--weights", "w.safetensors", "--set", "model.width=0.1", "--set", "model.stem=79", "--set",
            "model.imageSize=48",
        ]
        let picture = "\(FewPictures.path)/val/cat/cat_9.JPEG"
        let ofRun = try jobs.psctl("predict", "--run-dir", "run", picture)
        let ofFile = try jobs.psctl(arguments: ["predict"] + options + [picture])
        #expect(ofFile.code == 0 && ofFile.output == ofRun.output, "\(ofFile.errors)\(ofFile.output)")
        try "a\nb\nc\n".write(toFile: jobs.path("names"), atomically: true, encoding: .utf8)
        let named = try jobs.psctl(arguments: ["predict", "--classes", "names"] + options + [picture])
        #expect(named.output.contains(": a ") || named.output.contains(", a "), "\(named.output)")
        try "a\nb\n".write(toFile: jobs.path("names"), atomically: true, encoding: .utf8)
        let few = try jobs.psctl(arguments: ["predict", "--classes", "names"] + options + [picture])
        #expect(few.code == 1 && few.errors.contains("has 2 names"), "\(few.errors)")
        // Measured on a folder of classes in another order and with one that the model does not know.
        let data = ["--data", "\(FewPictures.path)"]
        let measured = try jobs.psctl(arguments: ["evaluate", "--json"] + options + data)
        #expect(try measured.json()["images"] as? Int == 9, "\(measured.errors)")
        let folder = jobs.path("others")
        for name in ["dog", "yak"] {
            try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
            try FileManager.default.copyItem(atPath: picture, toPath: "\(folder)/\(name)/1.jpg")
        }
        let unknown = try jobs.psctl(arguments: ["evaluate"] + options + ["--data", folder])
        #expect(unknown.code == 1 && unknown.errors.contains("the model does not know: yak"), "\(unknown.errors)")
        try FileManager.default.removeItem(atPath: "\(folder)/yak")
        try FileManager.default.createDirectory(atPath: "\(folder)/cat", withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: picture, toPath: "\(folder)/cat/1.jpg")
        let mapped = try jobs.psctl(arguments: ["evaluate", "--json"] + options + ["--data", folder]).json()
        #expect(mapped["images"] as? Int == 2)
        let confusion = try #require(mapped["confusion"] as? [[String: Any]])
        #expect(Set(confusion.compactMap { $0["label"] as? Int }) == [0, 1])
    }

    // MARK: The page

    @Test func thePageLoadsNothingAndBelievesNoName() throws {
        let data = jobs.path("named")
        let hostile = "<script>alert(1)<&\""
        try FewPictures.write(to: data)
        for split in ["train", "val"] {
            try FileManager.default.moveItem(atPath: "\(data)/\(split)/eel", toPath: "\(data)/\(split)/\(hostile)")
        }
        let all = FewPictures.settings(data) + ["train.steps=4", "eval.everySteps=2"]
        _ = try jobs.start(["train", "--json", "--run-dir", "run"] + all.flatMap { ["--set", $0] }).summary()
        let made = try jobs.psctl("evaluate", "--run-dir", "run", "--html", "page.html", "--matrix")
        #expect(made.code == 0 && made.output.contains("label \\ named"), "\(made.errors)")
        let page = try String(contentsOfFile: jobs.path("page.html"), encoding: .utf8)
        for wrong in ["<script", "http://", "https://", "url(", "@import"] {
            #expect(!page.contains(wrong), "\(wrong)")
        }
        #expect(page.contains("&lt;script&gt;alert(1)&lt;&amp;&quot;"))
        #expect(page.contains("data:image/png;base64,") && page.contains("<polyline"))
        let full = try jobs.psctl("evaluate", "--run-dir", "run", "--html", "/dev/full/page.html")
        #expect(full.code == 1 && full.errors.contains("/dev/full"), "\(full.errors)")
    }

    // MARK: Weights from elsewhere

    /// slim's variables, in the order in which its source makes them, land where torchvision's network has the same layer.
    @Test func weightsOfOtherNames() throws {
        _ = try jobs.train("ten", steps: 1, set: ["model.imageSize=48"])
        #expect(try jobs.psctl("export", "--run-dir", "ten", "--out", "ours.safetensors").code == 0)
        let ours = try SafetensorsFile(jobs.path("ours.safetensors"))
        func values(_ name: String) throws -> (shape: [Int], values: [Float]) {
            let tensor = try #require(ours.tensor(named: name))
            return (tensor.shape, try ours.floats(of: tensor))
        }
        let block5 = { (a: String, b: String) in
            [
                "Branch_0/Conv2d_0a_1x1", "Branch_1/\(a)", "Branch_1/\(b)", "Branch_2/Conv2d_0a_1x1",
                "Branch_2/Conv2d_0b_3x3", "Branch_2/Conv2d_0c_3x3", "Branch_3/Conv2d_0b_1x1",
            ]
        }
        let block6 = [
            "Branch_0/Conv2d_0a_1x1", "Branch_1/Conv2d_0a_1x1", "Branch_1/Conv2d_0b_1x7", "Branch_1/Conv2d_0c_7x1",
            "Branch_2/Conv2d_0a_1x1", "Branch_2/Conv2d_0b_7x1", "Branch_2/Conv2d_0c_1x7", "Branch_2/Conv2d_0d_7x1",
            "Branch_2/Conv2d_0e_1x7", "Branch_3/Conv2d_0b_1x1",
        ]
        let block7 = { (b: String) in
            [
                "Branch_0/Conv2d_0a_1x1", "Branch_1/Conv2d_0a_1x1", "Branch_1/Conv2d_0b_1x3", "Branch_1/\(b)",
                "Branch_2/Conv2d_0a_1x1", "Branch_2/Conv2d_0b_3x3", "Branch_2/Conv2d_0c_1x3", "Branch_2/Conv2d_0d_3x1",
                "Branch_3/Conv2d_0b_1x1",
            ]
        }
        let blocks: [(String, [String])] = [
            ("Mixed_5b", block5("Conv2d_0a_1x1", "Conv2d_0b_5x5")),
            ("Mixed_5c", block5("Conv2d_0b_1x1", "Conv_1_0c_5x5")),
            ("Mixed_5d", block5("Conv2d_0a_1x1", "Conv2d_0b_5x5")),
            (
                "Mixed_6a",
                [
                    "Branch_0/Conv2d_1a_1x1", "Branch_1/Conv2d_0a_1x1", "Branch_1/Conv2d_0b_3x3",
                    "Branch_1/Conv2d_1a_1x1",
                ]
            ),
            ("Mixed_6b", block6), ("Mixed_6c", block6), ("Mixed_6d", block6), ("Mixed_6e", block6),
            (
                "Mixed_7a",
                [
                    "Branch_0/Conv2d_0a_1x1", "Branch_0/Conv2d_1a_3x3", "Branch_1/Conv2d_0a_1x1",
                    "Branch_1/Conv2d_0b_1x7",
                    "Branch_1/Conv2d_0c_7x1", "Branch_1/Conv2d_1a_3x3",
                ]
            ),
            ("Mixed_7b", block7("Conv2d_0b_3x1")), ("Mixed_7c", block7("Conv2d_0c_3x1")),
        ]
        let scopes =
            ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
            + blocks.flatMap { block in block.1.map { "\(block.0)/\($0)" } }
        // Layers in the order of the state_dict, which is the order of slim's source.
        let layers = ours.tensors.map(\.name).filter { $0.hasSuffix(".conv.weight") }.map { $0.dropLast(12) }
        #expect(layers.count == scopes.count)
        var tensors: [OutgoingTensor] = []
        func add(_ name: String, _ shape: [Int], _ values: [Float]) {
            tensors.append(OutgoingTensor(name: "InceptionV3/\(name)", shape: shape, values: values))
        }
        func kernel(_ name: String, _ source: (shape: [Int], values: [Float])) {
            let (out, in_) = (source.shape[0], source.shape[1])
            let (rows, columns) = source.shape.count == 4 ? (source.shape[2], source.shape[3]) : (1, 1)
            var values = [Float](repeating: 0, count: source.values.count)
            for o in 0..<out {
                for i in 0..<in_ {
                    for p in 0..<rows * columns {
                        values[(p * in_ + i) * out + o] = source.values[(o * in_ + i) * rows * columns + p]
                    }
                }
            }
            add(name, [rows, columns, in_, out], values)
        }
        for (layer, scope) in zip(layers, scopes) {
            kernel("\(scope)/weights", try values("\(layer).conv.weight"))
            for (own, theirs) in [
                ("bias", "beta"), ("running_mean", "moving_mean"), ("running_var", "moving_variance"),
            ] {
                let source = try values("\(layer).bn.\(own)")
                add("\(scope)/BatchNorm/\(theirs)", source.shape, source.values)
            }
        }
        kernel("Logits/Conv2d_1c_1x1/weights", try values("fc.weight"))
        add("Logits/Conv2d_1c_1x1/biases", [10], try values("fc.bias").values)
        add("global", [1], [0])
        try SafetensorsWriter.write(path: jobs.path("slim.safetensors"), metadata: [:], tensors: tensors)
        let imported = try jobs.psctl("import", "slim.safetensors", "--out", "back.safetensors", "--json")
        #expect(imported.code == 0, "\(imported.errors)")
        #expect(try imported.json()["left_out"] as? [String] == ["InceptionV3/global"])
        let back = try SafetensorsFile(jobs.path("back.safetensors"))
        for tensor in back.tensors {
            let found = try back.floats(of: tensor)
            if tensor.name.hasSuffix("bn.weight") {
                #expect(found.allSatisfy { $0 == 1 })
            } else {
                let own = try values(tensor.name)
                #expect(tensor.shape == own.shape && found == own.values, "\(tensor.name)")
            }
        }
        #expect(back.tensors.count == layers.count * 5 + 2)
        // Others' names are refused as a whole.
        try SafetensorsWriter.write(
            path: jobs.path("other.safetensors"), metadata: [:],
            tensors: [OutgoingTensor(name: "layer1.0.conv1.weight", shape: [1], values: [0])])
        let other = try jobs.psctl("import", "other.safetensors", "--out", "none.safetensors")
        #expect(other.code == 1 && other.errors.contains("layer1.0.conv1.weight"), "\(other.errors)")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("none.safetensors")))
    }
}
