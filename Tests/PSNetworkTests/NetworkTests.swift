// Whole small networks: directional derivatives, bits, order of readiness, inference, errors.

import PSModel
import PSNetwork
import PSParameters
import PSPlanning
import Testing

@Suite struct NetworkTests {
    /// What the gradient says the loss does is what it does: every kind of tensor, dropout on, in the variants.
    @Test(arguments: ["torchvision", "mixed plan", "slim", "no auxiliary", "stem 299", "frozen norms"])
    func directionalDerivatives(variant: String) throws {
        let plan: SmallPlan = variant == "mixed plan" ? .mixed : .winograd
        var run = try SmallRun(batch: 4, threads: 2, biasShift: 4, plan: plan) {
            switch variant {
            case "slim":
                $0.batchNormScale = false
                $0.poolBorder = .excluded
                $0.unbiasedVariance = false
            case "no auxiliary": $0.auxiliary = false
            case "stem 299": ($0.stem, $0.imageSize, $0.width) = (299, 147, 0.1)
            case "frozen norms": $0.batchNorm = .frozen
            default: break
            }
        }
        if variant == "frozen norms" { try run.takeStatistics() }
        let groups: [(String, (TensorSpecification) -> Bool)] = [
            ("early convolutions", { $0.name.hasPrefix("Conv2d") && $0.decays }),
            ("middle convolutions", { $0.name.hasPrefix("Mixed_6c") && $0.decays }),
            ("late convolutions", { $0.name.hasPrefix("Mixed_7") && $0.decays }),
            ("norms", { $0.name.contains(".bn.") }), ("dense", { $0.name.contains("fc.") }),
            ("auxiliary", { $0.name.hasPrefix("AuxLogits.conv") && $0.decays }),
        ]
        for (name, included) in groups {
            if variant == "no auxiliary" && name == "auxiliary" { continue }
            // Without its scaling by the batch the loss is large, and so is its rounding.
            let (gradient, difference) = try run.directionalDerivative(
                movingLossBy: variant == "frozen norms" ? 0.02 : 0.005, included: included)
            #expect(abs(gradient) > 1e-3)
            #expect(abs(difference / gradient - 1) < 5e-3, "\(name): gradient \(gradient), difference \(difference)")
        }
    }

    /// With frozen norms training computes what inference does, whatever else is in the batch, and hands out the running
    /// statistics as they are.
    @Test func frozenNormsGoByTheRunningStatistics() throws {
        var run = try SmallRun(batch: 6, threads: 2) { $0.batchNorm = .frozen }
        try run.takeStatistics()
        run.options.dropout = false
        _ = try run.step()
        let layout = run.network.layout
        #expect(sameBits(Array(run.gradients[layout.weightCount...]), Array(run.weights[layout.weightCount...])))
        let network = try InferenceNetwork(
            description: run.network.description, batch: 6, threads: 2,
            plan: SmallPlan.direct.plan(run.network.description, batch: 6))
        layout.eachSlice(of: run.weights, network.load)
        var logits = [Float](repeating: .nan, count: 6 * 12)
        logits.withUnsafeMutableBufferPointer { network.logits(images: run.images, count: 6, into: $0.baseAddress!) }
        let size = run.network.logits.map(abs).max()!
        #expect(zip(logits, run.network.logits).allSatisfy { abs($0 - $1) < 1e-3 * size })
        // The other images of the batch do not matter.
        let perImage = run.network.description.nodes[0].shape.elements
        let before = Array(run.network.logits.prefix(12))
        for index in perImage..<run.images.count { run.images[index] = -run.images[index] }
        _ = try run.step()
        #expect(sameBits(Array(run.network.logits.prefix(12)), before))
    }

    /// torchvision's `transform_input`, in training as in inference.
    @Test func inputsAreTransformed() throws {
        var plain = try SmallRun(batch: 2, threads: 1)
        var transformed = try SmallRun(batch: 2, threads: 1) { $0.transformInput = true }
        let channels: [(Float, Float)] = [
            (0.229 / 0.5, (0.485 - 0.5) / 0.5), (0.224 / 0.5, (0.456 - 0.5) / 0.5), (0.225 / 0.5, (0.406 - 0.5) / 0.5),
        ]
        plain.images = transformed.images.enumerated().map { $1 * channels[$0 % 3].0 + channels[$0 % 3].1 }
        #expect(try plain.step() == transformed.step())
        #expect(sameBits(plain.gradients, transformed.gradients))
    }

    @Test(arguments: [SmallPlan.winograd, .mixed]) func bitsDoNotDependOnThreads(plan: SmallPlan) throws {
        var first = try SmallRun(batch: 5, threads: 1, plan: plan)
        let expected = try first.step()
        #expect(first.gradients.allSatisfy { $0.isFinite })
        for threads in [2, 3] {
            var other = try SmallRun(batch: 5, threads: threads, plan: plan)
            // Twice: nothing may be left over from the step before.
            for _ in 0..<2 {
                #expect(try other.step() == expected)
                #expect(sameBits(other.gradients, first.gradients))
                #expect(sameBits(other.network.logits, first.network.logits))
                #expect(sameBits(other.network.auxiliaryLogits[0], first.network.auxiliaryLogits[0]))
            }
        }
    }

    @Test func fullSizeBitsDoNotDependOnThreads() throws {
        var runs = try [1, 2, 3].map { threads in
            try SmallRun(batch: 2, threads: threads) { ($0.stem, $0.imageSize, $0.width) = (299, 299, 1) }
        }
        let results = try runs.indices.map { try runs[$0].step() }
        for index in 1...2 {
            #expect(results[index] == results[0])
            #expect(sameBits(runs[index].gradients, runs[0].gradients))
        }
    }

    @Test(arguments: [SmallPlan.winograd, .mixed]) func readyOnceAndFinal(plan: SmallPlan) throws {
        var run = try SmallRun(batch: 3, threads: 2, plan: plan)
        let layout = run.network.layout
        _ = try run.step()
        let final = run.gradients
        run.gradients = [Float](repeating: .nan, count: final.count)
        run.load(run.weights)
        var order: [Int] = []
        var early = 0
        try run.gradients.withUnsafeMutableBufferPointer { gradients in
            _ = try run.network.step(
                images: run.images, labels: run.labels, random: run.random, options: run.options,
                gradients: gradients.baseAddress!
            ) { tensor in
                order.append(tensor)
                let range = layout.range(ofTensor: tensor)
                if !sameBits(Array(gradients[range]), Array(final[range])) { early += 1 }
            }
        }
        #expect(early == 0)
        #expect(order.sorted() == Array(layout.tensors.indices))
        let weights = order.filter { layout.tensors[$0].kind == .weight }
        #expect(layout.tensors[weights[0]].name == "fc.bias")
        #expect(layout.tensors[weights.last!].name == "Conv2d_1a_3x3.conv.weight")
    }

    @Test func dropoutIsAFunctionOfItsRandomNumbers() throws {
        var run = try SmallRun(batch: 4, threads: 2)
        let first = try run.step()
        #expect(try run.step() == first)
        run.random = CounterRandom(seed: 6, name: "dropout")
        #expect(try run.step().mainLoss != first.mainLoss)
        run.options.dropout = false
        let off = try run.step()
        var none = try SmallRun(batch: 4, threads: 2) { $0.dropout = 0 }
        #expect(try none.step() == off)
    }

    @Test func lossIsTheWeightedSum() throws {
        var run = try SmallRun(batch: 4, threads: 1)
        let result = try run.step()
        #expect(result.loss == result.mainLoss + 0.4 * result.auxiliaryLosses[0])
        #expect([result.mainLoss] != result.auxiliaryLosses)
        let rows = stride(from: 0, to: 48, by: 12).map { Array(run.network.logits[$0..<$0 + 12]) }
        let hits = zip(rows, run.labels).filter { $0.firstIndex(of: $0.max()!) == Int($1) }.count
        #expect(result.correct == hits)
        run.options.auxiliaryWeight = 0
        #expect(try run.step().loss == result.mainLoss)
        for (index, tensor) in run.network.layout.tensors.enumerated()
        where tensor.name.hasPrefix("AuxLogits") && tensor.kind == .weight {
            #expect(run.gradients[run.network.layout.range(ofTensor: index)].allSatisfy { $0 == 0 })
        }
    }

    /// With this batch's own statistics as running ones, evaluation computes what training did, without dropout.
    @Test func inferenceAgreesWithTraining() throws {
        var run = try SmallRun(batch: 6, threads: 2, plan: .direct) { $0.unbiasedVariance = false }
        run.options.dropout = false
        _ = try run.step()
        let layout = run.network.layout
        let values = Array(run.weights[..<layout.weightCount] + run.gradients[layout.weightCount...])
        for (batch, plan) in [(6, SmallPlan.direct), (6, .winograd), (4, .auto), (4, .mixed)] {
            let description = run.network.description
            let network = try InferenceNetwork(
                description: description, batch: batch, threads: 2,
                plan: plan.plan(description, batch: batch))
            values.withUnsafeBufferPointer {
                for slice in layout.slices {
                    network.load(elements: slice.range, from: $0.baseAddress! + slice.range.lowerBound)
                }
            }
            var logits = [Float](repeating: .nan, count: 6 * 12)
            run.images.withUnsafeBufferPointer { images in
                logits.withUnsafeMutableBufferPointer { logits in
                    for start in stride(from: 0, to: 6, by: batch) {
                        let perImage = network.description.nodes[0].shape.elements
                        network.logits(
                            images: images.baseAddress! + start * perImage, count: min(batch, 6 - start),
                            into: logits.baseAddress! + start * 12)
                    }
                }
            }
            let size = run.network.logits.map(abs).max()!
            // The error of float32, and ten times as much where tiles are transformed.
            let bound: Float = plan == .direct ? 1e-4 : 1e-3
            #expect(
                zip(logits, run.network.logits).allSatisfy { abs($0 - $1) < bound * size }, "\(plan), batch \(batch)")
            #expect(network.arenaByteCount < run.network.arenaByteCount)
        }
    }

    @Test func badBatches() throws {
        let run = try SmallRun(batch: 2, threads: 1)
        var gradients = run.gradients
        for (label, image) in [(Int32(12), 1), (-1, 0)] {
            var labels = run.labels
            labels[image] = label
            #expect(throws: NetworkError.labelOutOfRange(label: Int(label), image: image, classes: 12)) {
                try run.network.step(
                    images: run.images, labels: labels, random: run.random, options: run.options,
                    gradients: &gradients, ready: { _ in })
            }
        }
        // At 40 x 40 the last maps are 3 x 3, but the auxiliary head ends in one pixel.
        #expect(throws: NetworkError.singleValueBatchNorm(layer: "AuxLogits.conv0", batch: 1)) {
            try SmallRun(batch: 1, threads: 1)
        }
        _ = try SmallRun(batch: 1, threads: 1) { $0.auxiliary = false }
    }

    /// Maps lower than a kernel's arm, down to one pixel: taps that see padding only.
    @Test(arguments: [(299, 75), (151, 39), (79, 21)]) func smallestImages(stem: Int, size: Int) throws {
        var run = try SmallRun(batch: 24, threads: 2, biasShift: 4) {
            ($0.stem, $0.imageSize, $0.width, $0.dropout) = (stem, size, 0.1, 0)
        }
        let (gradient, difference) = try run.directionalDerivative { $0.name.hasPrefix("Mixed_7") && $0.decays }
        #expect(abs(difference / gradient - 1) < 5e-3, "gradient \(gradient), difference \(difference)")
        for (index, tensor) in run.network.layout.tensors.enumerated() where tensor.name.contains("branch3x3_2b.conv") {
            // A 3x1 kernel on a single row: its outer taps never meet an input.
            let values = Array(run.gradients[run.network.layout.range(ofTensor: index)])
            let outer = values.indices.filter { $0 % 3 != 1 }
            #expect(outer.allSatisfy { values[$0] == 0 } && values.contains { $0 != 0 })
        }
    }

    /// Other rows than columns: the gradients are those of the loss, the loss that of plain sums over all pixels.
    @Test func oblongImages() throws {
        func run(_ plan: SmallPlan) throws -> SmallRun {
            try SmallRun(batch: 8, threads: 2, biasShift: 4, plan: plan, image: Extent(30, 47)) { $0.width = 0.1 }
        }
        var (mixed, direct) = (try run(.mixed), try run(.direct))
        for prefix in ["Conv2d", "Mixed_6c", "Mixed_7", "AuxLogits.conv"] {
            let (gradient, difference) = try mixed.directionalDerivative { $0.name.hasPrefix(prefix) && $0.decays }
            #expect(abs(difference / gradient - 1) < 5e-3, "\(prefix): gradient \(gradient), difference \(difference)")
        }
        let loss = try mixed.step().mainLoss
        _ = try direct.step()
        let size = direct.network.logits.map(abs).max()!
        #expect(zip(mixed.network.logits, direct.network.logits).allSatisfy { abs($0 - $1) < 1e-5 * size })
        mixed.images[mixed.images.count - 1] += 1
        #expect(try mixed.step().mainLoss != loss, "the last image's last pixel counts")
    }

    @Test func liveRegionsNeverMeet() {
        let random = CounterRandom(seed: 9, name: "regions")
        var plan = ArenaPlan()
        let wanted = (0..<200).map { index in
            let start = random.integer(UInt64(3 * index), below: 50)
            return (
                floats: 1 + random.integer(UInt64(3 * index + 1), below: 5000),
                lifetime: start...start + random.integer(UInt64(3 * index + 2), below: 20)
            )
        }
        let regions = wanted.map { plan.reserve(floats: $0.floats, lifetime: $0.lifetime) }
        plan.place()
        for (first, a) in zip(regions, wanted) {
            #expect(plan.offset(first) % 16 == 0 && plan.offset(first) + a.floats <= plan.floatCount)
            for (second, b) in zip(regions, wanted) where first < second && a.lifetime.overlaps(b.lifetime) {
                let apart =
                    plan.offset(first) + a.floats <= plan.offset(second)
                    || plan.offset(second) + b.floats <= plan.offset(first)
                #expect(apart)
            }
        }
        // The busiest moment bounds the size from below; a good plan comes near it.
        let busiest = (0..<70).map { time in
            wanted.reduce(0) { $0 + ($1.lifetime.contains(time) ? $1.floats : 0) }
        }.max()!
        #expect(plan.floatCount < busiest * 5 / 4)
    }

    @Test func memoryIsKnownBeforehand() throws {
        let run = try SmallRun(batch: 3, threads: 2)
        let estimate = try TrainingNetwork.arenaByteCount(
            description: run.network.description, batch: 3, threads: 2, plan: run.plan)
        #expect(estimate == run.network.arenaByteCount)
        let full = try ModelDescription(ModelSettings())
        let bytes = try TrainingNetwork.arenaByteCount(description: full, batch: 32, threads: 2, plan: .direct)
        // 1.15 GB of maps before batch norm, their gradients in passing, and the parameters three times.
        #expect(bytes > 1_400_000_000 && bytes < 2_200_000_000)
    }

    @Test func theProbeIsStable() throws {
        // Every algorithm of every kind of window, in both directions.
        struct Use: Hashable {
            let kernel: Extent
            let stride: Extent
            let algorithm: ConvolutionAlgorithm
        }
        let plan = try KernelProbe.plan
        var (possible, forward, backward) = (Set<Use>(), Set<Use>(), Set<Use>())
        for convolution in try KernelProbe.description.plannedConvolutions(batch: KernelProbe.batch) {
            func use(_ algorithm: ConvolutionAlgorithm) -> Use {
                Use(
                    kernel: convolution.shape.window.kernel, stride: convolution.shape.window.stride,
                    algorithm: algorithm)
            }
            possible.formUnion(convolution.shape.candidates.map { use($0.algorithm) })
            forward.insert(use(plan[convolution.name].forward))
            backward.insert(use(plan[convolution.name].backward))
        }
        #expect(possible.count == 3 * 7 && forward == possible && backward == possible)

        let first = KernelProbe.identity()
        let second = KernelProbe.identity()
        #expect(first.hash == second.hash && first.coreName == second.coreName)
        #expect(!first.coreName.isEmpty)
    }
}
