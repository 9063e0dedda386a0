// Where commands write what a person asked for, and weight files that are not what they seem.

import Foundation
import PSCheckpoint
import Testing

@Suite struct OutputTests {
    /// A file of a narrow AlexNet, which is quick to write.
    private func weights(_ jobs: SmallJobs) throws -> (run: String, file: String) {
        _ = try jobs.train(
            "run", steps: 1,
            set: [
                "model.name=alexnet", "model.imageSize=79", "train.batch=2", "data.evaluate=resize",
                "cluster.workers=1", "cluster.servers=1",
            ])
        let exported = try jobs.psctl("export", "--run-dir", "run", "--out", "w.safetensors")
        #expect(exported.code == 0, "\(exported.errors)")
        #expect(exported.output.contains("torchvision.models.alexnet(num_classes=10) cannot load it: model.width"))
        return (jobs.path("run"), jobs.path("w.safetensors"))
    }

    private func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

    @Test func outputsTakeNothingAway() throws {
        let jobs = SmallJobs()
        let (run, file) = try weights(jobs)
        let before = try bytes(file)
        // Neither a person's file of the name that temporary files once had, nor what lies behind a link beside it.
        try "precious".write(toFile: jobs.path("out.tmp"), atomically: true, encoding: .utf8)
        #expect(try jobs.psctl("import", "w.safetensors", "--out", "out").code == 0)
        #expect(try String(contentsOfFile: jobs.path("out.tmp"), encoding: .utf8) == "precious")
        // A link is followed.
        try FileManager.default.createSymbolicLink(atPath: jobs.path("link"), withDestinationPath: "out")
        #expect(try jobs.psctl("model", "draw", "alexnet", "--svg", "link").code == 0)
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: jobs.path("link")) == "out")
        #expect(try String(contentsOfFile: jobs.path("out"), encoding: .utf8).hasPrefix("<svg"))
        try FileManager.default.createSymbolicLink(atPath: jobs.path("nowhere"), withDestinationPath: "missing/x")
        let pipe = try jobs.psctl("model", "draw", "alexnet", "--svg", "nowhere")
        #expect(pipe.code == 1 && pipe.errors.contains("nowhere: is a link to what is no file"), "\(pipe.errors)")
        // Inputs and a run's files stay; a file of the person's own in a run's directory may be written.
        for name in ["journal", "config.yaml", "checkpoints/step-1/manifest.json"] {
            let kept = try bytes("\(run)/\(name)")
            let refused = try jobs.psctl("export", "--run-dir", "run", "--out", "run/\(name)")
            #expect(refused.code != 0 && refused.errors.contains("is one of the files of the run"), "\(refused.errors)")
            #expect(try bytes("\(run)/\(name)") == kept)
        }
        #expect(try jobs.psctl("export", "--run-dir", "run", "--out", "run/best.safetensors").code == 0)
        let input = try jobs.psctl("predict", "--weights", "w.safetensors", "--batch", "out", "--out", "w.safetensors")
        #expect(input.code != 0 && input.errors.contains("is what the command reads"), "\(input.errors)")
        #expect(try bytes(file) == before)
        let left = try FileManager.default.contentsOfDirectory(atPath: jobs.path(".")).filter { $0.hasSuffix(".tmp") }
        #expect(left == ["out.tmp"])
    }

    /// Whatever their order, each ends well and the file is one of the two.
    @Test func twoCommandsWithOneOutput() throws {
        let jobs = SmallJobs()
        let names = ["vgg16", "inception-v3"]
        let whole = try names.map { name in
            #expect(try jobs.psctl("model", "draw", name, "--svg", "\(name).svg").code == 0)
            return try bytes(jobs.path("\(name).svg"))
        }
        for _ in 0..<5 {
            let both = try names.map { try jobs.start(["model", "draw", $0, "--svg", "both.svg"]) }
            for one in both {
                let finished = try one.finish(within: 40)
                #expect(finished.code == 0, "\(finished.errors)")
            }
            #expect(whole.contains(try bytes(jobs.path("both.svg"))))
        }
    }

    @Test func weightsThatAreNotWhatTheySeem() throws {
        let jobs = SmallJobs()
        let (_, path) = try weights(jobs)
        let file = try SafetensorsFile(path)
        func write(_ name: String, header: Bool = false, _ change: (OutgoingTensor, [Float]) -> OutgoingTensor?) throws
        {
            let tensors = try file.tensors.filter { $0.dataType.isFloat }.compactMap { tensor in
                let values = try file.floats(of: tensor)
                return change(OutgoingTensor(name: tensor.name, shape: tensor.shape, values: values), values)
            }
            try SafetensorsWriter.write(
                path: jobs.path(name),
                metadata: WeightFile.metadata(classNames: nil, network: header ? file.networkAssignments : nil),
                tensors: tensors)
        }
        func refused(_ arguments: [String], _ words: String) throws {
            let finished = try jobs.psctl(arguments: arguments)
            #expect(finished.code == 1 && finished.errors.contains(words), "\(arguments): \(finished.errors)")
        }
        let measured = ["evaluate", "--data", FewImages.path, "--transform", "resize", "--weights"]
        // What tensors do not say the header does; without it the width has to be set, and the error says to what.
        #expect(file.networkAssignments?.contains("model.width=0.1") == true)
        #expect(try jobs.psctl(arguments: measured + ["w.safetensors"]).code == 0)
        try write("bare.safetensors") { tensor, _ in tensor }
        try refused(measured + ["bare.safetensors"], "the file's network is of width 0.1, the model's of 1.0")
        let settings = ["--set", "model.width=0.1", "--set", "model.imageSize=79"]
        #expect(try jobs.psctl(arguments: measured + ["bare.safetensors"] + settings).code == 0)
        // Values that nothing can be computed with.
        try write("nan.safetensors", header: true) { tensor, values in
            OutgoingTensor(name: tensor.name, shape: tensor.shape, values: values.map { _ in .nan })
        }
        try refused(measured + ["nan.safetensors"], "has values that are not finite")
        // A file that is nobody's, and one behind a prefix.
        try write("other.safetensors") { tensor, values in
            OutgoingTensor(name: "layer.\(tensor.name.count).\(tensor.name)x", shape: tensor.shape, values: values)
        }
        try refused(measured + ["other.safetensors"], "has no names of a network here")
        try write("module.safetensors") { tensor, values in
            OutgoingTensor(name: "module.\(tensor.name)", shape: tensor.shape, values: values)
        }
        try refused(measured + ["module.safetensors"], "has the tensors of alexnet behind 'module.'")
        // What import writes can be read.
        try write("partly.safetensors") { tensor, _ in tensor.name == "features.3.weight" ? nil : tensor }
        try refused(["import", "partly.safetensors", "--out", "x"], "features.3.weight is missing")
        try write("ends.safetensors") { tensor, values in
            tensor.name == "classifier.6.bias"
                ? OutgoingTensor(name: tensor.name, shape: [5], values: Array(values.prefix(5))) : tensor
        }
        try refused(["import", "ends.safetensors", "--out", "x"], "classifier.6.bias is [5]")
        #expect(!FileManager.default.fileExists(atPath: jobs.path("x")))
        // A run of another network or width.
        for (setting, words) in [
            ("model.name=vgg16", "the run is of alexnet, not of vgg16"),
            ("model.width=0.2", "the run's network is of width 0.1, the model's of 0.2"),
        ] {
            let started = try jobs.psctl(
                arguments: ["train", "--run-dir", "other", "--set", "data.path=\(FewImages.path)"]
                    + ["model.name=alexnet", "model.imageSize=79", "model.width=0.1", "train.steps=1", setting]
                    .flatMap { ["--set", $0] } + ["--set", "model.init=run"])
            #expect(started.code != 0 && started.errors.contains(words), "\(started.errors)")
        }
        // Options that no network of the ensemble needs.
        let ensemble = try jobs.psctl("evaluate", "--ensemble", "run", "run", "--set", "model.width=7")
        #expect(ensemble.code == 64 && ensemble.errors.contains("go with --weights FILE"), "\(ensemble.errors)")
    }
}
