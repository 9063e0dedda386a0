// Every network, small: its gradients against finite differences, its bits, its evaluation, its ways of being computed.

import Foundation
import PSModel
import PSNetwork
import PSParameters
import PSPlanning
import Testing

/// A small form of a network: few channels, small images.
struct SmallNetwork: Sendable, CustomTestStringConvertible {
    let label: String
    let name: String
    let imageSize: Int
    let change: @Sendable (inout ModelSettings) -> Void

    init(
        _ name: String, _ imageSize: Int, _ label: String = "",
        _ change: @escaping @Sendable (inout ModelSettings) -> Void = { _ in }
    ) {
        self.label = label.isEmpty ? name : "\(name), \(label)"
        self.name = name
        self.imageSize = imageSize
        self.change = change
    }

    var testDescription: String { label }

    static let all = [
        SmallNetwork("alexnet", 79), SmallNetwork("alexnet", 79, "groups") { $0.groups = 2 },
        SmallNetwork("vgg16", 64), SmallNetwork("vgg16-bn", 64),
        SmallNetwork("inception-v1", 56), SmallNetwork("googlenet", 56), SmallNetwork("bn-googlenet", 48),
        SmallNetwork("bn-inception", 48), SmallNetwork("inception-v2", 63),
        SmallNetwork("inception-v2", 67, "plain windows, pools behind") {
            $0.factorizeStem = false
            $0.factorize5x5 = .none
            $0.factorize7x7 = false
            $0.reduction = .behind
            $0.auxiliaryNorm = false
        },
        SmallNetwork("inception-v2", 67, "linear factors, pools before") {
            $0.factorize5x5 = .linear
            $0.reduction = .before
        },
        SmallNetwork("inception-v3", 40), SmallNetwork("inception-v4", 107), SmallNetwork("inception-resnet-v1", 63),
        SmallNetwork("inception-resnet-v2", 48), SmallNetwork("xception", 79),
    ]

    func run(
        batch: Int, threads: Int, biasShift: Float = 0, plan: SmallPlan = .direct,
        _ further: (inout ModelSettings) -> Void = { _ in }
    ) throws -> SmallRun {
        let network = try Network.named(name)
        return try SmallRun(batch: batch, threads: threads, biasShift: biasShift, plan: plan) {
            $0 = ModelSettings(network)
            $0.imageSize = imageSize
            $0.width = 0.1
            $0.classes = 12
            change(&$0)
            further(&$0)
        }
    }
}

@Suite struct AllNetworksTests {
    @Test func everyNetworkIsHere() {
        let names = Set(Network.all.map(\.name))
        #expect(Set(SmallNetwork.all.map { $0.name }) == names)
    }

    /// Names, shapes and order of tensors, parameters and multiply-accumulates are the reference's.
    @Test(arguments: NetworkGoldenTests.names) func totalsAreTheReferences(name: String) throws {
        let description = try ModelDescription(ModelSettings(try Network.named(name)))
        let reference = try ReferenceTotals.all()[name]
        let totals = try #require(reference)
        #expect(description.parameters == totals.parameters)
        #expect(description.parametersWithoutAuxiliary == totals.parametersWithoutAux)
        #expect(description.macs == totals.macs)
        let shapes = Dictionary(uniqueKeysWithValues: totals.tensors.map { ($0.name, $0.shape) })
        let own = Dictionary(uniqueKeysWithValues: description.layout.tensors.map { ($0.name, $0.shape) })
        #expect(own == shapes)
    }

    /// Along random directions among the first, the middle and the last tensors, the norms and the biases.
    @Test(arguments: SmallNetwork.all) func directionalDerivatives(network: SmallNetwork) throws {
        var run = try network.run(batch: 4, threads: 2, biasShift: 4, plan: .mixed)
        let tensors = run.network.layout.tensors.filter { $0.kind == .weight }
        let weights = tensors.filter(\.decays).map(\.name)
        let third = weights.count / 3
        let groups: [(String, Set<String>)] = [
            ("first weights", Set(weights[..<third])), ("middle weights", Set(weights[third..<2 * third])),
            ("last weights", Set(weights[(2 * third)...])),
            ("the rest", Set(tensors.filter { !$0.decays }.map(\.name))),
        ]
        for (group, names) in groups {
            try expectSlope(&run, group) { names.contains($0.name) }
        }
    }

    /// By the better of two distances: the longer one meets pools and ReLUs that switch, the shorter one rounding.
    private func expectSlope(
        _ run: inout SmallRun, _ group: String, _ included: (TensorSpecification) -> Bool
    ) throws {
        let found = try [0.005, 0.001].map { try run.directionalDerivative(movingLossBy: $0, included: included) }
        #expect(abs(found[0].gradient) > 1e-3)
        #expect(
            found.contains { abs($0.difference / $0.gradient - 1) < 1e-2 },
            "\(group): gradient, differences \(found)")
    }

    @Test(arguments: SmallNetwork.all) func threadsDoNotShow(network: SmallNetwork) throws {
        var first = try network.run(batch: 5, threads: 1, plan: .mixed)
        var second = try network.run(batch: 5, threads: 3, plan: .mixed)
        var ready: [Int] = []
        let one = try first.step { ready.append($0) }
        let other = try second.step()
        #expect(one == other)
        #expect(sameBits(first.gradients, second.gradients))
        #expect(first.gradients.allSatisfy { $0.isFinite })
        #expect(ready.sorted() == Array(first.network.layout.tensors.indices))
    }

    /// With this batch's statistics as running ones, evaluation computes what training did, without dropout.
    @Test(arguments: SmallNetwork.all) func inferenceAgreesWithTraining(network: SmallNetwork) throws {
        // With most ReLUs open, for a deep network blows rounding up.
        var run = try network.run(batch: 6, threads: 2, biasShift: 4) {
            if (try? Network.named($0.name).features.contains(.batchNorm)) == true { $0.unbiasedVariance = false }
        }
        run.options.dropout = false
        _ = try run.step()
        let layout = run.network.layout
        let values = Array(run.weights[..<layout.weightCount] + run.gradients[layout.weightCount...])
        for plan in [SmallPlan.direct, .mixed] {
            let description = run.network.description
            let evaluation = try InferenceNetwork(
                description: description, batch: 6, threads: 2, plan: plan.plan(description, batch: 6))
            layout.eachSlice(of: values, evaluation.load)
            var logits = [Float](repeating: .nan, count: 6 * 12)
            logits.withUnsafeMutableBufferPointer {
                evaluation.logits(images: run.images, count: 6, into: $0.baseAddress!)
            }
            let size = run.network.logits.map(abs).max()!
            let bound: Float = plan == .direct ? 1e-5 : 3e-5
            #expect(zip(logits, run.network.logits).allSatisfy { abs($0 - $1) < bound * size }, "\(plan)")
            #expect(evaluation.arenaByteCount < run.network.arenaByteCount)
        }
    }

    /// Frozen norms go by the running statistics, also behind a bias of the convolution's own, and have a gradient.
    @Test func frozenNormsBehindABias() throws {
        var run = try SmallNetwork("vgg16-bn", 64).run(batch: 4, threads: 2, biasShift: 4) { $0.batchNorm = .frozen }
        try run.takeStatistics()
        for (name, included) in [
            ("the convolutions' biases", { $0.name.hasPrefix("features.") && $0.name.hasSuffix(".bias") }),
            ("weights", { $0.name.hasPrefix("features.") && $0.decays }),
        ] as [(String, (TensorSpecification) -> Bool)] {
            try expectSlope(&run, name, included)
        }
    }
}

/// What `Fixtures/networks.py` counted.
private struct ReferenceTotals: Decodable {
    struct Tensor: Decodable {
        let name: String
        let shape: [Int]

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            name = try container.decode(String.self)
            shape = try container.decode([Int].self)
        }
    }

    let parameters: Int
    let parametersWithoutAux: Int
    let macs: Int
    let tensors: [Tensor]

    static func all() throws -> [String: ReferenceTotals] {
        let url = try #require(
            Bundle.module.url(forResource: "totals", withExtension: "json", subdirectory: "Fixtures/networks"))
        return try JSONDecoder().decode([String: ReferenceTotals].self, from: Data(contentsOf: url))
    }
}
