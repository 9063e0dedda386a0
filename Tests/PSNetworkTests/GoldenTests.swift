// Whole training steps of full-size Inception-v3 against PyTorch's float64.

import PSModel
import PSNetwork
import PSParameters
import PSPlanning
import Testing

/// The clip and TensorFlow's RMSProp in plain lines.
private struct PlainOptimizer {
    var meanSquares: [Float]
    var momentum: [Float]

    init(count: Int) {
        meanSquares = [Float](repeating: 1, count: count)
        momentum = [Float](repeating: 0, count: count)
    }

    mutating func update(_ weights: inout [Float], gradients: [Float]) {
        var squares = 0.0
        for index in meanSquares.indices { squares += Double(gradients[index]) * Double(gradients[index]) }
        let scale = Float(min(1, 2 / squares.squareRoot()))
        for index in meanSquares.indices {
            let gradient = gradients[index] * scale
            meanSquares[index] += (gradient * gradient - meanSquares[index]) * 0.1
            momentum[index] = 0.9 * momentum[index] + 0.045 * gradient / (meanSquares[index] + 1).squareRoot()
            weights[index] -= momentum[index]
        }
    }
}

private struct GoldenRun {
    let golden: GoldenFile
    let network: TrainingNetwork
    var weights: [Float]
    var gradients: [Float]

    init(_ name: String, _ settings: PlanSettings) throws {
        golden = try GoldenFile.load(name)
        let description = try ModelDescription(ModelSettings())
        network = try TrainingNetwork(
            description: description, batch: golden.batch, threads: 2,
            plan: EnginePlan(description: description, batch: golden.batch, settings: settings))
        weights = [Float](repeating: 0, count: network.layout.count)
        gradients = weights
        for (index, tensor) in network.layout.tensors.enumerated() where tensor.kind == .weight {
            weights.replaceSubrange(network.layout.range(ofTensor: index), with: golden.initialValues(tensor))
        }
    }

    mutating func step() throws -> StepResult {
        for slice in network.layout.slices {
            weights[slice.range].withUnsafeBufferPointer {
                network.load(elements: slice.range, from: $0.baseAddress!)
            }
        }
        var options = StepOptions()
        options.dropout = false
        return try network.step(
            images: golden.formula.images(batch: golden.batch, size: golden.size), labels: golden.labels,
            random: CounterRandom(key: 0), options: options,
            gradients: &gradients, ready: { _ in })
    }

    /// Each learned tensor's error, ascending.
    func gradientErrors() throws -> [(error: Double, name: String)] {
        let layout = network.layout
        return try layout.tensors.indices.filter { layout.tensors[$0].kind == .weight }.map { index in
            let name = layout.tensors[index].name
            let digest = try #require(golden.gradients[name])
            let error = golden.formula.error(
                gradients[layout.range(ofTensor: index)], "grad:\(name)", digest, floor: 1e-3 * golden.steps[0].norm)
            return (error, name)
        }.sorted { $0.error < $1.error }
    }
}

/// How far a plan may be from float64, relatively: three to four times the largest found with OpenBLAS's kernels for
/// SkylakeX, Haswell, Sandybridge and Nehalem (`OPENBLAS_CORETYPE`). What stands on ReLUs that switch, above all the
/// losses of the later steps, differs between these by a factor of ten.
struct GoldenBounds: Sendable, CustomTestStringConvertible {
    let convolution: PlanSettings.Convolution
    /// With nearly all ReLUs open: logits, auxiliary logits, the median gradient, the largest.
    let smooth: [Double]
    /// With ordinary weights, where ReLUs switch: the same.
    let ordinary: [Double]
    /// The loss of three steps.
    let losses: [Double]

    static let all = [
        GoldenBounds(
            convolution: .direct, smooth: [1.2e-6, 1.5e-5, 1e-4, 1.2e-2], ordinary: [1.2e-4, 2.5e-4, 4e-2, 1.2e-1],
            losses: [3e-6, 1.5e-3, 6e-3]),
        GoldenBounds(
            convolution: .auto, smooth: [2e-6, 2.5e-5, 2e-4, 2.5e-2], ordinary: [8e-4, 1.5e-3, 1.5e-1, 4e-1],
            losses: [9e-6, 3e-3, 2.5e-2]),
    ]

    var testDescription: String { "\(convolution)" }

    var settings: PlanSettings {
        var settings = PlanSettings()
        settings.convolution = convolution
        return settings
    }
}

@Suite(.serialized) struct GoldenTests {
    /// Logits, auxiliary logits, the median gradient and the largest against their bounds.
    private func check(_ run: GoldenRun, _ bounds: [Double]) throws {
        let gradients = try run.gradientErrors()
        #expect(gradients.count == 292)
        let found = [
            run.golden.formula.error(run.network.logits, "logits", run.golden.logits),
            run.golden.formula.error(run.network.auxiliaryLogits[0], "aux", run.golden.aux),
            gradients[146].error, gradients[291].error,
        ]
        print("golden: logits, auxiliary, gradients' median and largest", found, gradients[291].name)
        for (found, bound) in zip(found, bounds) { #expect(found < bound) }
    }

    @Test(arguments: GoldenBounds.all) func smoothStep(bounds: GoldenBounds) throws {
        var run = try GoldenRun("golden-smooth", bounds.settings)
        let result = try run.step()
        let error = abs(result.loss / run.golden.steps[0].loss - 1)
        print("golden: loss", error)
        #expect(error < bounds.losses[0])
        try check(run, bounds.smooth)
    }

    @Test(arguments: GoldenBounds.all) func threeSteps(bounds: GoldenBounds) throws {
        var run = try GoldenRun("golden-1", bounds.settings)
        var optimizer = PlainOptimizer(count: run.network.layout.weightCount)
        for (index, bound) in bounds.losses.enumerated() {
            let result = try run.step()
            let error = abs(result.loss / run.golden.steps[index].loss - 1)
            print("golden: loss of step \(index)", error)
            #expect(error < bound, "step \(index)")
            if index == 0 { try check(run, bounds.ordinary) }
            optimizer.update(&run.weights, gradients: run.gradients)
        }
    }
}
