// Plans as text: what is written is read, what is wrong is named.

import PSModel
import PSPlanning
import Testing

@Suite struct PlanFileTests {
    private let description: ModelDescription
    private let file: PlanFile

    init() throws {
        var settings = ModelSettings()
        settings.width = 0.25
        settings.imageSize = 299
        description = try ModelDescription(settings)
        let plan = EnginePlan(layers: [
            "Conv2d_2b_3x3": ConvolutionChoice(forward: .winograd(tile: 6), backward: .winograd(tile: 4)),
            "Mixed_5b.branch5x5_2": ConvolutionChoice(forward: .direct, backward: .winograd(tile: 2)),
        ])
        file = PlanFile(plan, origin: "auto", description: description, batch: 4)
    }

    @Test func whatIsWrittenIsRead() throws {
        let read = try PlanFile(text: file.text, path: "p")
        #expect(read == file)
        #expect(read.plan["Conv2d_2b_3x3"].backward == .winograd(tile: 4))
        #expect(read.plan["Conv2d_2b_3x3"].forward == .winograd(tile: 6))
        #expect(read.plan["Conv2d_1a_3x3"] == .direct)
        #expect(read.batch == 4)
        #expect(read.imageSize == 299)
        #expect(read.model == "inception-v3")
        #expect(
            file.text.contains(
                "\n    {\"name\": \"Conv2d_2b_3x3\", \"forward\": \"winograd-6\", \"backward\": \"winograd-4\"},\n"))
    }

    @Test func everyConvolutionThatIsNoProductHasALine() {
        // Stem 4, blocks 5: 3 each, 6a: 3, blocks 6b to e: 6 each, 7a: 4, 7b and c: 5 each, the auxiliary 5x5.
        #expect(file.layers.count == 4 + 3 * 3 + 3 + 4 * 6 + 4 + 2 * 5 + 1)
        #expect(file.layers.first?.name == "Conv2d_1a_3x3")
        #expect(file.summary.hasPrefix("auto, 2 of 55 layers Winograd ("))
    }

    @Test func shapesAreTheNetworks() throws {
        let convolutions = Dictionary(
            uniqueKeysWithValues: description.plannedConvolutions(batch: 4).map { ($0.name, $0.shape) })
        let first = try #require(convolutions["Conv2d_1a_3x3"])
        #expect(first.inputChannels == 3 && first.outputChannels == 16 && first.batch == 4)
        #expect(first.window.input == Extent(299, 299) && first.window.output == Extent(149, 149))
        #expect(first.window.stride == Extent(2, 2) && first.window.padding == Extent(0, 0))
        let wide = try #require(convolutions["Mixed_6b.branch7x7_2"])
        #expect(wide.window.kernel == Extent(1, 7) && wide.window.padding == Extent(0, 3))
    }

    @Test func identityFollowsTheChoicesAlone() {
        var plan = file.plan
        #expect(PlanFile(plan, origin: "other", description: description, batch: 8).identity == file.identity)
        plan.layers["Conv2d_2b_3x3"]?.backward = .winograd(tile: 6)
        #expect(PlanFile(plan, origin: "auto", description: description, batch: 4).identity != file.identity)
    }

    @Test(
        arguments: [
            ("\"format\": 1", "\"format\": 2", "its format is 2, known is 1"),
            ("\"format\": 1,", "", ".format is missing"),
            ("\"batch\": 4", "\"batch\": \"four\"", ".batch is of the wrong kind"),
            ("winograd-6", "winograd-0", ".layers[2].forward: \"winograd-0\" is not a convolution algorithm"),
            ("winograd-6", "fft", ".layers[2].forward: \"fft\" is not a convolution algorithm"),
            ("Conv2d_2a_3x3", "Conv2d_1a_3x3", "layer Conv2d_1a_3x3 is in it twice"),
            ("]", "", "it is not JSON, or a number in it is out of range"),
            ("\"format\": 1", "\"format\": 1.5", "it is not JSON, or a number in it is out of range"),
            ("\"auto\"", "\"au\\u001bto\"", ".origin has control characters"),
        ])
    func damageIsNamed(part: String, replacement: String, problem: String) throws {
        let damaged = file.text.replacing(part, with: replacement, maxReplacements: 1)
        #expect(damaged != file.text)
        #expect(throws: PlanError.damaged(path: "p", problem: problem)) { try PlanFile(text: damaged, path: "p") }
    }

    @Test(arguments: ["[]", "null"])
    func whatIsNoPlanIsNamed(text: String) {
        #expect(throws: PlanError.damaged(path: "p", problem: "it is of the wrong kind")) {
            try PlanFile(text: text, path: "p")
        }
    }

    @Test(arguments: [("/nonexistent/plan.json", "No such file or directory"), ("/tmp", "Is a directory")])
    func aFileThatCannotBeReadIsNamed(path: String, reason: String) {
        #expect(throws: PlanError.unreadable(path: path, reason: reason)) { try PlanFile(path: path) }
    }

    @Test func aPlanForItsModelPasses() throws {
        try file.check(description: description, batch: 9, path: "p")
    }

    @Test func aLayerTheModelLacksIsNamed() throws {
        var settings = description.settings
        settings.auxiliary = false
        #expect {
            try file.check(
                description: ModelDescription(settings), batch: 4, path: "p")
        } throws: {
            "\($0)".contains("the model has no layer AuxLogits.conv1 to choose for")
        }
        let without = PlanFile(.direct, origin: "direct", description: try ModelDescription(settings), batch: 4)
        #expect(
            throws: PlanError.otherLayers(path: "p", problem: "it has no choice for layer AuxLogits.conv1")
        ) { try without.check(description: description, batch: 4, path: "p") }
    }

    @Test func anotherModelIsNamed() throws {
        let other = try PlanFile(text: file.text.replacing("inception-v3", with: "inception-v9"), path: "p")
        #expect(throws: PlanError.otherLayers(path: "p", problem: "it is for inception-v9, not inception-v3")) {
            try other.check(description: description, batch: 4, path: "p")
        }
    }

    @Test func anAlgorithmWithoutAFormIsNamed() throws {
        let wrong = try PlanFile(text: file.text.replacing("winograd-2", with: "winograd-6"), path: "p")
        #expect(
            throws: PlanError.noForm(
                path: "p", layer: "Mixed_5b.branch5x5_2", algorithm: .winograd(tile: 6),
                available: [.direct, .winograd(tile: 2), .winograd(tile: 4)])
        ) { try wrong.check(description: description, batch: 4, path: "p") }
    }
}
