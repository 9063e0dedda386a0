// Parity with torchvision, for `scripts/test --long`: PS_TEST_PYTHON names a Python with torch and torchvision.

import Foundation
import PSCheckpoint
import PSConfiguration
import PSJob
import PSModel
import Testing

private let python = ProcessInfo.processInfo.environment["PS_TEST_PYTHON"]

@Suite(.enabled(if: ProcessInfo.processInfo.environment["PS_LONG_TESTS"] != nil && python != nil), .serialized)
struct TorchvisionTests {
    let directory: String

    init() throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "torchvision-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    }

    /// Runs one of the scripts and returns its standard output.
    @discardableResult
    func script(_ name: String, _ arguments: String...) throws -> String {
        let file = try #require(Bundle.module.url(forResource: "Torchvision/\(name)", withExtension: "py"))
        let process = Process()
        process.executableURL = URL(filePath: try #require(python))
        process.arguments = [file.path] + arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "\(name) failed")
        return text
    }

    /// Runs `psctl`, which must succeed, and returns its standard output.
    @discardableResult
    func psctl(_ arguments: [String]) throws -> String {
        let finished = try Running("psctl", arguments).finish(within: 300)
        #expect(finished.code == 0, "\(finished.errors)")
        return finished.output
    }

    @Test(arguments: [(299, 299), (299, 331)])
    func gradientsAndLogitsAreTorchvisions(height: Int, width: Int) throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try script("make_batch", directory, "\(height)", "\(width)", "3")
        let (weights, batch) = ("\(directory)/weights.safetensors", "\(directory)/batch.safetensors")
        let input = ["--model", "inception-v3", "--weights", weights, "--batch", batch]
        try psctl(["gradients"] + input + ["--out", "\(directory)/gradients.safetensors"])
        try psctl(["predict"] + input + ["--out", "\(directory)/logits.safetensors"])
        let errors = try JSONDecoder().decode([String: Double].self, from: Data(script("compare", directory).utf8))
        #expect(try #require(errors["loss"]) < 1e-5)
        #expect(try #require(errors["logits"]) < 1e-5)
        #expect(try #require(errors["aux_logits"]) < 1e-4)
        #expect(try #require(errors["evaluation"]) < 1e-5)
        // Two correct float32 engines differ by this much where ReLUs open and close; a wrong gradient by far more.
        #expect(try #require(errors["median"]) < 2e-2)
        #expect(try #require(errors["largest"]) < 1e-1)
    }

    @Test func exportLoadsStrictlyAndGivesTheSameLogits() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var job = JobConfiguration()
        job.model = ModelSettings()
        job.model.classes = 20
        let layout = try ModelDescription(job.model).layout
        let values = layout.initialValues(seed: 5)
        try writeRun(
            "\(directory)/run", job: job, layout: layout, step: 7, values: [.current: values, .average: values])
        let model = "\(directory)/model.safetensors"
        #expect(try psctl(["export", "--run-dir", "\(directory)/run", "--out", model]).contains("strict=True"))

        try script("make_batch", directory, "299", "299", "2")
        let batch = "\(directory)/batch.safetensors"
        try script("load_strictly", model, batch, "\(directory)/theirs.safetensors")
        try psctl(["predict", "--weights", model, "--batch", batch, "--out", "\(directory)/ours.safetensors"])
        let ours = try logits("\(directory)/ours.safetensors")
        let theirs = try logits("\(directory)/theirs.safetensors")
        let difference = zip(ours, theirs).map { Double($0 - $1) }
        let norm = theirs.map(Double.init)
        func squares(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 } }
        #expect((squares(difference) / squares(norm)).squareRoot() < 1e-4)
        #expect(squares(norm) > 0)
    }

    /// torchvision's weights come in, are measured and fine-tuned two steps on other classes, and go back: each time both
    /// sides say the same of the same images.
    @Test func weightsComeAndGo() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try script("make_batch", directory, "299", "299", "2")
        let (weights, batch) = ("\(directory)/weights.safetensors", "\(directory)/batch.safetensors")
        func expectTheSame(_ model: String) throws {
            try script("load_strictly", model, batch, "\(directory)/theirs.safetensors")
            try psctl(["predict", "--weights", model, "--batch", batch, "--out", "\(directory)/ours.safetensors"])
            try expectNearly(logits("\(directory)/ours.safetensors"), logits("\(directory)/theirs.safetensors"))
        }
        try expectTheSame(weights)
        let settings = [
            "data.path=\(FewPictures.path)", "data.augment=inception", "model.width=1", "model.stem=299",
            "model.imageSize=299", "model.auxiliary=true", "model.init=\(weights)", "train.batch=2", "train.steps=2",
            "cluster.workers=1", "cluster.servers=1", "eval.everySteps=1", "learningRate.base=0.001",
        ]
        let output = try psctl(
            ["train", "--json", "--run-dir", "\(directory)/run"] + settings.flatMap { ["--set", $0] })
        #expect(output.contains("\"best_eval\""))
        let out = "\(directory)/out.safetensors"
        #expect(try psctl(["export", "--run-dir", "\(directory)/run", "--out", out]).contains("strict=True"))
        let (before, after) = (try SafetensorsFile(weights), try SafetensorsFile(out))
        #expect(after.tensor(named: "fc.weight")?.shape == [3, 2048])
        let layer = "Mixed_7c.branch1x1.conv.weight"
        #expect(
            try before.floats(of: #require(before.tensor(named: layer)))
                != after.floats(of: #require(after.tensor(named: layer))))
        try expectTheSame(out)
    }

    /// The reference's weights come in by their names alone, are trained a step and go back, strictly: each time both sides
    /// say the same of the same images. Inception-v3 is above.
    @Test(arguments: Network.all.map { $0.name }.filter { $0 != "inception-v3" })
    func everyNetworkIsExchangedWithItsReference(name: String) throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let fixtures = URL(filePath: #filePath).appending(path: "../../PSNetworkTests/Fixtures").standardized.path
        func expectTheSame(_ model: String) throws {
            let ours = "\(directory)/ours.safetensors"
            try psctl(["predict", "--weights", model, "--batch", "\(directory)/batch.safetensors", "--out", ours])
            try expectNearly(logits(ours), logits("\(directory)/theirs.safetensors"))
        }
        let (weights, out) = ("\(directory)/weights.safetensors", "\(directory)/out.safetensors")
        try script("exchange", fixtures, name, "make", directory)
        try expectTheSame(weights)
        let network = try Network.named(name)
        let settings = [
            "data.path=\(FewPictures.path)", "data.augment=inception", "model.name=\(name)", "model.classes=1000",
            "model.width=1", "model.imageSize=\(network.imageSize)",
            "model.auxiliary=\(!network.auxiliaryHeads.isEmpty)",
            "model.init=\(weights)", "train.batch=2", "train.steps=1", "cluster.workers=1", "cluster.servers=1",
            "learningRate.base=0.001",
        ]
        try psctl(["train", "--run-dir", "\(directory)/run"] + settings.flatMap { ["--set", $0] })
        try psctl(["export", "--run-dir", "\(directory)/run", "--weights", "raw", "--out", out])
        let (before, after) = (try SafetensorsFile(weights), try SafetensorsFile(out))
        let last = try #require(ModelDescription(ModelSettings(network)).lastLayers.sorted().first)
        #expect(
            try before.floats(of: #require(before.tensor(named: last)))
                != after.floats(of: #require(after.tensor(named: last))))
        try script("exchange", fixtures, name, "load", directory)
        try expectTheSame(out)
    }

    /// A row for each shape: PyTorch's errors beside ours, none of them far from float32's.
    @Test func roundingIsComparedWithPyTorchs() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let report = "\(directory)/errors.json"
        let options = ["--width", "0.25", "--stem", "79", "--image-size", "32", "--no-auxiliary", "--json"]
        try psctl(["bench", "errors"] + options).write(toFile: report, atomically: true, encoding: .utf8)
        let rows = try script("rounding", report).split(separator: "\n").dropFirst(2)
        #expect(rows.count == 24)
        for row in rows {
            let cells = row.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            try #require(cells.count == 6, "\(row)")
            for cell in cells[2...3] {
                let errors = cell.components(separatedBy: " / ").compactMap(Double.init)
                #expect(errors.count == 3 && errors.allSatisfy { $0 > 0.1 && $0 < 50 }, "\(row)")
            }
        }
    }

    private func expectNearly(_ ours: [Float], _ theirs: [Float]) {
        let size = theirs.map(abs).max() ?? 0
        #expect(size > 0 && ours.count == theirs.count)
        #expect(zip(ours, theirs).allSatisfy { abs($0 - $1) < 1e-4 * max(size, 1) })
    }

    private func logits(_ path: String) throws -> [Float] {
        let file = try SafetensorsFile(path)
        let tensor = try #require(file.tensor(named: "logits"))
        return try file.withBytes(of: tensor) { bytes in
            (0..<tensor.elementCount).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }
}
