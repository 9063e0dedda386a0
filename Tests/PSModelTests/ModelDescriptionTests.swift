// The table of Inception-v3 against torchvision's names and shapes and the published totals.

import Foundation
import PSModel
import PSParameters
import Testing

/// One entry of the fixture, `[name, [extents]]`.
private struct Entry: Decodable {
    let name: String
    let shape: [Int]

    init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        name = try container.decode(String.self)
        shape = try container.decode([Int].self)
    }
}

private func torchvisionEntries() throws -> [Entry] {
    let url = try #require(
        Bundle.module.url(forResource: "torchvision_state_dict", withExtension: "json", subdirectory: "Fixtures"))
    return try JSONDecoder().decode([Entry].self, from: Data(contentsOf: url))
}

private func settings(_ change: (inout ModelSettings) -> Void) -> ModelSettings {
    var settings = ModelSettings()
    change(&settings)
    return settings
}

private func output(_ model: ModelDescription, _ name: String) throws -> MapShape {
    try #require(model.rows.first { $0.name == name }).output
}

@Suite struct ModelDescriptionTests {
    @Test func namesAndShapesAreTorchvisions() throws {
        let entries = try torchvisionEntries()
        #expect(entries.count == 580)
        let expected = entries.filter { !$0.name.hasSuffix("num_batches_tracked") }
        let tensors = try ModelDescription(ModelSettings()).layout.tensors
        #expect(tensors.map(\.name) == expected.map(\.name))
        #expect(tensors.map(\.shape) == expected.map(\.shape))
        #expect(tensors.filter { $0.kind == .weight }.count == 292)
        for tensor in tensors {
            #expect((tensor.kind == .statistic) == tensor.name.contains(".running_"))
        }
    }

    @Test func totals() throws {
        let model = try ModelDescription(ModelSettings())
        #expect(model.parameters == 27_161_264)
        #expect(model.parametersWithoutAuxiliary == 23_834_568)
        #expect(model.macs == 5_713_216_096)
        #expect(model.layout.weightCount == 27_161_264)
        #expect(model.rows.reduce(0) { $0 + $1.parameters } == model.parameters)
        // The auxiliary head's own rows: 5 x 5 x (768 x 128 + 128 x 768) + 768 x 1000.
        #expect(model.rows.reduce(0) { $0 + $1.macs } == model.macs + 5_683_200)
        let main = try ModelDescription(settings { $0.auxiliary = false })
        #expect(main.parameters == 23_834_568)
        #expect(main.parametersWithoutAuxiliary == 23_834_568)
        #expect(main.layout.tensors.filter { $0.kind == .weight }.count == 284)
        #expect(main.heads.map(\.name) == [""])
    }

    @Test func shapesAfterEachBlock() throws {
        let model = try ModelDescription(ModelSettings())
        let expected: [(String, Int, Int)] = [
            ("Conv2d_1a_3x3", 149, 32), ("Conv2d_2a_3x3", 147, 32), ("Conv2d_2b_3x3", 147, 64), ("maxpool1", 73, 64),
            ("Conv2d_3b_1x1", 73, 80), ("Conv2d_4a_3x3", 71, 192), ("maxpool2", 35, 192), ("Mixed_5b", 35, 256),
            ("Mixed_5c", 35, 288), ("Mixed_5d", 35, 288), ("Mixed_6a", 17, 768), ("Mixed_6e", 17, 768),
            ("AuxLogits.conv0", 5, 128), ("AuxLogits.conv1", 1, 768), ("Mixed_7a", 8, 1280), ("Mixed_7b", 8, 2048),
            ("Mixed_7c", 8, 2048), ("avgpool", 1, 2048), ("fc", 1, 1000),
        ]
        for (name, size, channels) in expected {
            #expect(try output(model, name) == MapShape(height: size, width: size, channels: channels), "\(name)")
        }
    }

    @Test func lowResolutionStems() throws {
        let at151 = try ModelDescription(settings { ($0.stem, $0.imageSize) = (151, 151) })
        #expect(try output(at151, "Conv2d_1a_3x3").height == 149)
        #expect(try output(at151, "Mixed_7c").height == 8)
        #expect(at151.parameters == 27_161_264)
        let at79 = try ModelDescription(settings { ($0.stem, $0.imageSize, $0.auxiliary) = (79, 79, false) })
        let names = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"]
        #expect(try names.map { try output(at79, $0).height } == [77, 75, 75, 75, 73])
        #expect(try ["Mixed_5d", "Mixed_6e", "Mixed_7c"].map { try output(at79, $0).height } == [36, 17, 8])
        // The paper's section 8 at the price inception's authors give for it.
        #expect(abs(Double(at79.macs) / 5.362e9 - 1) < 1e-3)
    }

    @Test func theDefaultJobsNetwork() throws {
        let small = settings {
            $0.width = 0.25
            $0.stem = 79
            $0.imageSize = 32
            $0.classes = 10
        }
        let model = try ModelDescription(small)
        #expect(try output(model, "Conv2d_1a_3x3") == MapShape(height: 30, width: 30, channels: 16))
        #expect(try output(model, "Conv2d_3b_1x1") == MapShape(height: 28, width: 28, channels: 20))
        #expect(try output(model, "Mixed_5d").height == 12)
        #expect(try output(model, "Mixed_6e").height == 5)
        #expect(try output(model, "Mixed_7c") == MapShape(height: 2, width: 2, channels: 512))
        // The auxiliary head's second kernel shrinks to the map its pool leaves.
        #expect(model.layout.tensors.first { $0.name == "AuxLogits.conv1.conv.weight" }?.shape == [192, 32, 1, 1])
    }

    @Test func anySizeFromTheMinimumOn() throws {
        for (stem, minimum) in [(299, 75), (151, 39), (79, 21)] {
            let smallest = try ModelDescription(settings { ($0.stem, $0.imageSize) = (stem, minimum) })
            #expect(smallest.minimumImageSize == minimum)
            #expect(try output(smallest, "Mixed_7c").height == 1)
            #expect(
                throws: ModelError.imageTooSmall(
                    size: minimum - 1, network: "inception-v3", stem: stem, minimum: minimum)
            ) {
                try ModelDescription(settings { ($0.stem, $0.imageSize) = (stem, minimum - 1) })
            }
        }
        #expect(
            "\(ModelError.imageTooSmall(size: 74, network: "inception-v3", stem: 299, minimum: 75))".contains(
                "minimum is 75"))
    }

    @Test func oblongImages() throws {
        let model = try ModelDescription(ModelSettings(), image: Extent(203, 331))
        #expect(try output(model, "Mixed_5d") == MapShape(height: 23, width: 39, channels: 288))
        #expect(try output(model, "AuxLogits.fc") == MapShape(height: 1, width: 1, channels: 1000))
        #expect(throws: ModelError.imageTooSmall(size: 74, network: "inception-v3", stem: 299, minimum: 75)) {
            try ModelDescription(ModelSettings(), image: Extent(331, 74))
        }
    }

    /// The first layers of an image's size, unless they are chosen.
    @Test func stemsBySize() throws {
        for (name, sizes) in [
            ("inception-v3", [(299, 299), (225, 299), (224, 151), (151, 151), (113, 151), (112, 79), (32, 79)]),
            ("googlenet", [(224, 299), (168, 299), (167, 151), (84, 151), (83, 79), (32, 79)]),
            ("xception", [(299, 299), (48, 299)]),
        ] {
            for (size, stem) in sizes {
                var settings = ModelSettings(try Network.named(name))
                settings.imageSize = size
                #expect(settings.settled.stem == stem, "\(name) at \(size)")
                settings.stem = 299
                #expect(settings.settled.stem == 299)
            }
        }
        let open = settings { ($0.imageSize, $0.auxiliary) = (79, false) }
        let chosen = settings { ($0.imageSize, $0.stem, $0.auxiliary) = (79, 79, false) }
        #expect(try ModelDescription(open).nodes == ModelDescription(chosen).nodes)
    }

    /// A setting that a network does not have stays at its default.
    @Test func settingsANetworkDoesNotHave() throws {
        let changes: [(String, String, @Sendable (inout ModelSettings) -> Void)] = [
            ("vgg16", "model.stem", { $0.stem = 79 }), ("xception", "model.auxiliary", { $0.auxiliary = true }),
            ("alexnet", "model.batchNorm", { $0.batchNorm = .frozen }),
            ("inception-v1", "model.batchNormScale", { $0.batchNormScale = false }),
            ("vgg16", "model.unbiasedVariance", { $0.unbiasedVariance = false }),
            ("googlenet", "model.poolBorder", { $0.poolBorder = .excluded }),
            ("inception-v4", "model.initialValues", { $0.initialValues = .slim }),
            ("inception-v3", "model.factorize5x5", { $0.factorize5x5 = .linear }),
            ("inception-v3", "model.factorize7x7", { $0.factorize7x7 = false }),
            ("bn-inception", "model.factorizeStem", { $0.factorizeStem = false }),
            ("googlenet", "model.reduction", { $0.reduction = .behind }),
            ("googlenet", "model.auxiliaryNorm", { $0.auxiliaryNorm = false }),
            ("inception-v2", "model.groups", { $0.groups = 2 }),
        ]
        for (name, setting, change) in changes {
            var settings = ModelSettings(try Network.named(name))
            _ = try ModelDescription(settings)
            change(&settings)
            let error = #expect(throws: ModelError.self) { try ModelDescription(settings) }
            let text = try #require(error).description
            #expect(text.hasPrefix("\(setting): \(name) has no such choice; "), "\(text)")
        }
        var original = ModelSettings(try Network.named("alexnet"))
        original.groups = 2
        // Of the paper's eight layers but for its first ones' widths: half of the second, fourth and fifth's weights go.
        #expect(try ModelDescription(original).parameters == 61_100_840 - (307_200 + 884_736 + 589_824) / 2)
        original.groups = 3
        #expect(throws: ModelError.self) { try ModelDescription(original) }
    }

    /// Each rung of the paper's table 3 is a configuration of Inception-v2; the plain windows cost more.
    @Test func factorisationsAndReductions() throws {
        func macs(_ change: (inout ModelSettings) -> Void) throws -> Int {
            var settings = ModelSettings(try Network.named("inception-v2"))
            change(&settings)
            let model = try ModelDescription(settings)
            for (name, size, channels) in [("Mixed_5c", 35, 288), ("Mixed_6d", 17, 768), ("Mixed_7b", 8, 2048)] {
                #expect(try output(model, name) == MapShape(height: size, width: size, channels: channels))
            }
            return model.macs
        }
        let published = try macs { _ in }
        #expect(try macs { $0.factorize7x7 = false } > published)
        // At stride 2 the 5x5 is computed on the small grid, the first of two 3x3 on the large one.
        #expect(try macs { $0.factorize5x5 = .none } < published)
        #expect(try macs { $0.factorize5x5 = .linear } == published)
        #expect(try macs { $0.factorizeStem = false } < published)
        // Section 5: a pool behind the block is dear, one before it cheap.
        let (behind, before) = (try macs { $0.reduction = .behind }, try macs { $0.reduction = .before })
        #expect(behind > published && published > before)
    }

    /// Tensors of any width say which network they are of, also where two have the same names.
    @Test(arguments: Network.all.map { $0.name }) func theNetworkOfATensorList(name: String) throws {
        var settings = ModelSettings(try Network.named(name))
        settings.width = 0.3
        settings.classes = 7
        let tensors = try ModelDescription(settings).layout.tensors
        let shapes = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.shape) })
        #expect(Network.likeliest(shapes: shapes)?.name == name)
        #expect(Network.likeliest(shapes: ["a.weight": [3, 3]])?.name == nil)
    }

    @Test func namesThatAreNearlyRight() {
        let error = #expect(throws: ModelError.self) { try Network.named("inception-resnet2") }
        #expect(error?.description.contains("the nearest is inception-resnet-v2; known models: alexnet, ") == true)
    }

    /// What a value of the last 8 x 8 map sees, by hand: each 3x3 of a grid of step s adds 2 s, each 5x5 4 s and so on.
    @Test func receptiveFields() throws {
        let table = try ModelDescription(ModelSettings()).table
        func row(_ name: String) throws -> TableRow { try #require(table.first { $0.name == name }) }
        #expect(try row("Conv2d_1a_3x3").receptiveField == 3)
        #expect(try row("maxpool2").receptiveField == 31)
        #expect(try row("maxpool2").step == 8)
        // Three blocks of a 5x5, or two 3x3, at step 8.
        #expect(try row("Mixed_5d").receptiveField == Extent(31 + 3 * 32, 31 + 3 * 32))
        #expect(try row("Mixed_6a").step == 16)
        #expect(try row("Mixed_5b").inputs.map { table[$0].name }.count == 4)
        #expect(try row("Mixed_5b.branch1x1").kind == "1x1 convolution")
        #expect(try row("Mixed_5b").block == "Mixed_5b" && row("Mixed_5b.pool").block == "Mixed_5b")
    }

    @Test func settingsThatNameNoNetwork() {
        #expect(throws: ModelError.unknownModel(name: "inception-v9", known: Network.all.map(\.name))) {
            try ModelDescription(settings { $0.name = "inception-v9" })
        }
        let changes: [(inout ModelSettings) -> Void] = [
            { $0.stem = 100 }, { $0.width = 0 }, { $0.width = .nan }, { $0.classes = 0 }, { $0.imageSize = -1 },
            { $0.dropout = 1 },
        ]
        for change in changes {
            #expect(throws: ModelError.self) { try ModelDescription(settings(change)) }
        }
    }

    @Test func initialValuesOfBothFamilies() throws {
        func initialization(_ model: ModelDescription, _ name: String) throws -> Initialization {
            try #require(model.layout.tensors.first { $0.name == name }).initialization
        }
        let torchvision = try ModelDescription(ModelSettings())
        let slim = try ModelDescription(settings { $0.initialValues = .slim })
        for (name, deviation) in [
            ("Mixed_5b.branch1x1.conv.weight", 0.1), ("fc.weight", 0.1), ("AuxLogits.conv0.conv.weight", 0.1),
            ("AuxLogits.conv1.conv.weight", 0.01), ("AuxLogits.fc.weight", 0.001),
        ] as [(String, Float)] {
            #expect(
                try initialization(torchvision, name) == .truncatedNormal(standardDeviation: deviation, cut: 2),
                "\(name)")
            #expect(
                try initialization(slim, name) == .truncatedNormal(standardDeviation: deviation, cut: 2 * deviation))
        }
        #expect(try initialization(torchvision, "fc.bias") == .uniform(bound: 1 / Float(2048).squareRoot()))
        #expect(try initialization(slim, "fc.bias") == .constant(0))
        #expect(try initialization(torchvision, "Conv2d_1a_3x3.bn.weight") == .constant(1))
        #expect(try initialization(torchvision, "Conv2d_1a_3x3.bn.running_var") == .constant(1))
    }

    @Test func batchNormWithoutScale() throws {
        let model = try ModelDescription(settings { $0.batchNormScale = false })
        #expect(!model.layout.tensors.contains { $0.name.hasSuffix("bn.weight") })
        let node = try #require(model.nodes.first { $0.name == "Conv2d_1a_3x3.bn" })
        #expect(node.tensors.scale == nil)
        #expect(model.layout.tensors[try #require(node.tensors.bias)].name == "Conv2d_1a_3x3.bn.bias")
        #expect(model.layout.tensors[try #require(node.tensors.runningMean)].name == "Conv2d_1a_3x3.bn.running_mean")
    }

    @Test(arguments: [(7, 3, 2, 0), (8, 3, 2, 0), (8, 2, 2, 1), (5, 5, 3, 0), (10, 3, 3, 1), (4, 3, 2, 1)])
    func ceilWindows(input: Int, kernel: Int, stride: Int, padding: Int) {
        let square = { (n: Int) in Extent(n, n) }
        let window = Window(
            kernel: square(kernel), stride: square(stride), padding: square(padding), rounding: .ceil)
        // Every window that starts inside the map or its leading padding, and whose end is needed to cover the map.
        var starts = [0]
        while starts.last! + kernel < input + 2 * padding && starts.last! + stride < input + padding {
            starts.append(starts.last! + stride)
        }
        #expect(window.outputExtent(height: input, width: input) == square(starts.count))
    }
}
