// Every network in the hands of a person: listed, compared, drawn; trained by any number of processes; measured, exported.

import Foundation
import PSCheckpoint
import PSModel
import PSRun
import Testing

@Suite(.serialized) struct NetworkTests {
    /// The least size with some room.
    static let sizes = [
        "alexnet": 79, "vgg16": 48, "vgg16-bn": 48, "inception-v1": 48, "googlenet": 48, "bn-googlenet": 48,
        "bn-inception": 48, "inception-v2": 48, "inception-v3": 48, "inception-v4": 91, "inception-resnet-v1": 48,
        "inception-resnet-v2": 48, "xception": 71,
    ]

    /// Two networks of the most kinds of layers always, the others where there is time.
    static let trained = hasTimeForLongTests ? Network.all.map { $0.name } : ["googlenet", "xception"]

    @Test func everyNetworkHasASize() {
        let names = Set(Network.all.map { $0.name })
        #expect(Set(NetworkTests.sizes.keys) == names)
    }

    /// One worker and one server, three and two: the same bits, those that the checkpoint is then measured and exported by.
    @Test(arguments: trained) func theSameBitsForAnyNumberOfProcesses(name: String) throws {
        let jobs = SmallJobs()
        let network = try Network.named(name)
        let size = try #require(NetworkTests.sizes[name])
        let settings = [
            "model.name=\(name)", "model.imageSize=\(size)", "train.batch=6", "data.evaluate=resize",
            "model.auxiliary=\(!network.auxiliaryHeads.isEmpty)", "train.ticketsPerStep=3",
        ]
        let one = try jobs.train("one", steps: 2, set: settings + ["cluster.workers=1", "cluster.servers=1"])
        let many = try jobs.train("many", steps: 2, set: settings + ["cluster.workers=3", "cluster.servers=2"])
        #expect(one.weightsSHA256 == many.weightsSHA256)
        #expect(one.stateSHA256 == many.stateSHA256)

        let exported = try jobs.psctl("export", "--run-dir", "many", "--out", "w.safetensors", "--json")
        #expect(exported.code == 0, "\(exported.errors)")
        let fromRun = try jobs.psctl("evaluate", "--run-dir", "many", "--json")
        let fromFile = try jobs.psctl(
            arguments: [
                "evaluate", "--weights", "w.safetensors", "--data", FewImages.path, "--transform", "resize", "--json",
            ] + ["model.width=0.1", "model.imageSize=\(size)"].flatMap { ["--set", $0] })
        #expect(fromRun.code == 0 && fromFile.code == 0, "\(fromRun.errors)\(fromFile.errors)")
        #expect(try fromRun.json()["loss"] as? Double == fromFile.json()["loss"] as? Double)
        // Behind a prefix, with something else beside them, they are still the network's.
        let file = try SafetensorsFile(jobs.path("w.safetensors"))
        var wrapped = [OutgoingTensor(name: "ema.decay", shape: [1], values: [0])]
        for tensor in file.tensors where tensor.dataType.isFloat {
            wrapped.append(
                OutgoingTensor(
                    name: "model.net.\(tensor.name)", shape: tensor.shape, values: try file.floats(of: tensor)))
        }
        try SafetensorsWriter.write(path: jobs.path("wrapped.safetensors"), metadata: [:], tensors: wrapped)
        let imported = try jobs.psctl("import", "wrapped.safetensors", "--out", "back.safetensors", "--json")
        #expect(imported.code == 0, "\(imported.errors)")
        #expect(try imported.json()["model"] as? String == name)
        #expect(try imported.json()["left_out"] as? [String] == ["ema.decay"])
        let back = try SafetensorsFile(jobs.path("back.safetensors"))
        #expect(back.tensors.count == wrapped.count - 1)
        for tensor in back.tensors {
            #expect(try back.floats(of: tensor) == file.floats(of: #require(file.tensor(named: tensor.name))))
        }
        // Weights of another network say which one they are of.
        let other = name == "googlenet" ? "bn-inception" : "googlenet"
        let refused = try jobs.psctl(
            "evaluate", "--weights", "w.safetensors", "--model", other, "--data", FewImages.path)
        #expect(refused.code == 1)
        #expect(refused.errors.contains("the file is of \(name)"), "\(refused.errors)")
    }

    @Test func listAndCompare() throws {
        let jobs = SmallJobs()
        let list = try jobs.psctl("model", "list")
        for network in Network.all { #expect(list.output.contains("\(network.name) ")) }
        let compared = try jobs.psctl("model", "compare", "alexnet", "vgg16", "googlenet", "inception-v3", "--json")
        let rows = try #require(compared.json()["networks"] as? [[String: Any]])
        #expect(rows.compactMap { $0["parameters"] as? Int } == [61_100_840, 138_357_544, 6_624_904, 23_834_568])
        #expect(rows.compactMap { $0["macs"] as? Int } == [714_188_480, 15_470_264_320, 1_498_376_192, 5_713_216_096])
        #expect(rows[3]["top1_error"] as? Double == 21.2)
        let text = try jobs.psctl("model", "compare")
        #expect(text.output.contains("inception-resnet-v2    299      55.8 M"))
    }

    /// A box for each row, nothing outside the page.
    @Test(arguments: Network.all.map { $0.name }) func pictures(name: String) throws {
        let jobs = SmallJobs()
        let drawn = try jobs.psctl("model", "draw", name, "--svg", "n.svg")
        #expect(drawn.code == 0, "\(drawn.errors)")
        let svg = try String(contentsOfFile: jobs.path("n.svg"), encoding: .utf8)
        let page = try #require(svg.firstMatch(of: /viewBox="0 0 ([0-9.]+) ([0-9.]+)"/))
        let (width, height) = (try #require(Double(page.1)), try #require(Double(page.2)))
        let boxes = svg.matches(
            of:
                /<g><title>[^<]*<\/title><rect class="[a-z]+" x="([0-9.]+)" y="([0-9.]+)" width="([0-9.]+)" height="([0-9.]+)"/
        )
        #expect(boxes.count == (try ModelDescription(ModelSettings(Network.named(name)))).table.count)
        for box in boxes {
            let (x, y, right, bottom) = (Double(box.1)!, Double(box.2)!, Double(box.3)!, Double(box.4)!)
            #expect(x >= 0 && x + right <= width && y >= 0 && y + bottom <= height)
        }
    }
}
