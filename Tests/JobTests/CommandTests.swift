// The commands that need no running job, as processes: what they print where, and their exit codes.

import Foundation
import PSModel
import Testing

@Suite struct CommandTests {
    private func psctl(_ arguments: String..., environment: [String: String] = [:]) throws -> Finished {
        try Running("psctl", arguments, environment: environment).finish()
    }

    @Test func jsonIsAloneOnStandardOutput() throws {
        let run = try psctl("model", "summary", "inception-v3", "--json")
        #expect(run.code == 0)
        #expect(run.errors.isEmpty)
        #expect(try run.json()["parameters"] as? Int == 27_161_264)
    }

    /// A path at which there is nothing, on whatever machine the tests run.
    private static let unusedPath = FileManager.default.temporaryDirectory
        .appendingPathComponent("ps-tests-unused-\(UUID().uuidString)").path

    /// A mistake, its exit code, and how its one line begins.
    @Test(
        arguments: [
            (["nonsense"], 64, "psctl: error: Unexpected argument 'nonsense'"),
            (["model", "summary", "inception-v3", "--jsno"], 64, "psctl: error: Unknown option '--jsno'"),
            (["model", "summary", "inception-v9"], 64, "psctl: error: model.name: there is no model \"inception-v9\""),
            (
                ["model", "summary", "inception-v3", "--set", "model.widht=2"], 64,
                "psctl: error: --set: unknown setting 'model.widht'; the nearest is 'model.width'"
            ),
            (
                ["model", "summary", "inception-v3", "--set", "model.imageSize=60", "--set", "model.stem=299"], 64,
                "psctl: error: model.imageSize: 60 is too small for inception-v3 with stem 299, whose minimum is 75"
            ),
            (
                ["model", "draw", "vgg16", "--set", "model.imageSize=31", "--svg", unusedPath], 64,
                "psctl: error: model.imageSize: 31 is too small for vgg16, whose minimum is 32"
            ),
            (
                ["model", "compare", "vgg16", "vgg61"], 64,
                "psctl: error: model.name: there is no model \"vgg61\"; the nearest is vgg16; known models: alexnet, "
            ),
            (
                ["model", "receptive", "xception", "--set", "model.stem=79"], 64,
                "psctl: error: model.stem: xception has no such choice; its first layers are the published ones only"
            ),
            (
                ["bench", "step", "--model", "vgg16", "--auxiliary"], 64,
                "psctl: error: model.auxiliary: vgg16 has no such choice; it has no auxiliary head"
            ),
            (["bench", "step", "--threads", "0"], 64, "psctl: error: --threads is 0, allowed is from 1 to 1024"),
            (
                ["bench", "step", "--max-error", "0"], 64,
                "psctl: error: --max-error is 0.0, allowed is above 0, at most 1"
            ),
            (
                ["bench", "plan", "--out", "/nonexistent/plan.json"], 1,
                "psctl: error: cannot create /nonexistent/plan.json: No such file or directory"
            ),
            (["bench", "step", "--plan-file", "/nonexistent"], 1, "psctl: error: cannot read the plan /nonexistent"),
            (["bench", "inference", "--convolution", "fft"], 64, "psctl: error: The value 'fft' is invalid"),
            (["doctor", "--config", "/nonexistent.yaml"], 64, "psctl: error: cannot read the configuration"),
            (["evaluate", "--run-dir", "/nonexistent"], 1, "psctl: error: /nonexistent is no run directory"),
            (["export", "--run-dir", "/nonexistent", "--out", unusedPath], 1, "psctl: error: /nonexistent is no run"),
            (
                ["predict", "--weights", "/nonexistent", "--batch", "/nonexistent", "--out", unusedPath], 1,
                "psctl: error: cannot open /nonexistent: No such file or directory"
            ),
        ])
    func mistakesAreOneLineOnStandardError(arguments: [String], exitCode: Int32, line: String) throws {
        let run = try Running("psctl", arguments).finish()
        #expect(run.code == exitCode)
        #expect(run.output.isEmpty)
        #expect(run.errors.hasPrefix(line), "\(run.errors)")
        #expect(run.errors.split(separator: "\n").count == 1)
    }

    @Test func environmentIsRead() throws {
        let run = try psctl("doctor", "--json", environment: ["PSCTL_MODEL_CLASSES": "5"])
        #expect(run.code == 1)
        #expect(run.output.contains("set model.classes to 10"))
        #expect(try psctl("doctor", environment: ["PSCTL_MODEL_CLASES": "5"]).code == 64)
    }

    @Test func doctorFindsThisMachineFit() throws {
        let run = try psctl("doctor", "--json")
        #expect(run.code == 0, "\(run.output)")
        #expect(try run.json()["healthy"] as? Bool == true)
    }

    @Test func benchStepMeasuresLayers() throws {
        let scratch = try Scratch()
        let run = try psctl(
            "bench", "step", "--image-size", "75", "--batch", "2", "--threads", "1", "--steps", "2", "--width", "0.25",
            "--convolution", "direct", "--plan", "--svg", scratch.file("x.svg"), "--json")
        #expect(run.code == 0, "\(run.errors)")
        let layers = try #require(try run.json()["layers"] as? [String: Any])
        let rows = try #require(layers["rows"] as? [[String: Any]])
        #expect(
            rows.contains { $0["layer"] as? String == "Conv2d_2b_3x3" && $0["pass"] as? String == "weight gradient" })
        // Forward of all products once and both gradients, but for the first convolution's input.
        let description = try ModelDescription(settings(imageSize: 75, width: 0.25))
        let flops = rows.compactMap { $0["flops"] as? Double }.reduce(0, +)
        let forward = 2 * 2 * Double(description.nodes.reduce(0) { $0 + $1.macs })
        let first = 2 * 2 * Double(description.rows[0].macs)
        #expect(abs(flops / (3 * forward - first) - 1) < 1e-9)
        let peak = try #require((layers["peak"] as? [String: Any])?["one_core"] as? Double)
        #expect(peak > 1)
        #expect(try String(contentsOfFile: scratch.file("x.svg"), encoding: .utf8).hasPrefix("<svg "))
    }

    private func settings(imageSize: Int, width: Double) -> ModelSettings {
        var settings = ModelSettings()
        settings.imageSize = imageSize
        settings.width = width
        return settings
    }

    @Test func benchInferenceMeasuresBatches() throws {
        let run = try psctl(
            "bench", "inference", "--image-size", "75", "--batch", "2", "--threads", "2", "--batches", "3", "--width",
            "0.25", "--json")
        let json = try run.json()
        #expect((json["batch_seconds"] as? [Double])?.count == 3)
        let seconds = try #require(json["seconds_per_batch"] as? Double)
        let rate = try #require(json["images_per_second"] as? Double)
        #expect(abs(rate * seconds - 2) < 1e-9)
        #expect((json["plan"] as? String)?.hasPrefix("auto, ") == true)
    }

    @Test func benchStepMeasuresSteps() throws {
        let run = try psctl(
            "bench", "step", "--image-size", "75", "--batch", "2", "--threads", "2", "--steps", "3", "--width", "0.25",
            "--classes", "10", "--json")
        let json = try run.json()
        let losses = try #require(json["losses"] as? [Double])
        #expect(losses.count == 3)
        // Two random images and ten classes: the main head and 0.4 of the auxiliary one start near 1.4 ln 10.
        #expect(losses.allSatisfy { (1...20).contains($0) })
        let seconds = try #require(json["seconds_per_step"] as? Double)
        let rate = try #require(json["images_per_second"] as? Double)
        #expect(abs(rate * seconds - 2) < 1e-9)
        #expect(try #require(json["peak_rss_bytes"] as? Int) > 1 << 20)
    }
}
