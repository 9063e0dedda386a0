// Whole training steps of full-size Inception-v3 against PyTorch's float64.

import PSModel
import PSNetwork
import PSParameters
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

    init(_ name: String) throws {
        golden = try GoldenFile.load(name)
        network = try TrainingNetwork(
            description: ModelDescription(ModelSettings()), batch: golden.batch, threads: 2, plan: .direct)
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
            images: golden.images(), labels: golden.labels, random: CounterRandom(key: 0), options: options,
            gradients: &gradients, ready: { _ in })
    }

    /// Each learned tensor's error, ascending.
    func gradientErrors() throws -> [(error: Double, name: String)] {
        let layout = network.layout
        return try layout.tensors.indices.filter { layout.tensors[$0].kind == .weight }.map { index in
            let name = layout.tensors[index].name
            let digest = try #require(golden.gradients[name])
            let error = golden.error(
                gradients[layout.range(ofTensor: index)], "grad:\(name)", digest, floor: 1e-3 * golden.steps[0].norm)
            return (error, name)
        }.sorted { $0.error < $1.error }
    }
}

@Suite(.serialized) struct GoldenTests {
    @Test func smoothStep() throws {
        var run = try GoldenRun("golden-smooth")
        let result = try run.step()
        #expect(abs(result.loss / run.golden.steps[0].loss - 1) < 1e-5)
        #expect(run.golden.error(run.network.logits, "logits", run.golden.logits) < 1e-5)
        #expect(run.golden.error(run.network.auxiliaryLogits, "aux", run.golden.aux) < 1e-4)
        let errors = try run.gradientErrors()
        #expect(errors.count == 292)
        #expect(errors[146].error < 1e-4)
        #expect(errors[291].error < 2e-2, "\(errors[291].name)")
    }

    @Test func threeSteps() throws {
        var run = try GoldenRun("golden-1")
        var optimizer = PlainOptimizer(count: run.network.layout.weightCount)
        for (index, bound) in [5e-5, 5e-3, 5e-2].enumerated() {
            let result = try run.step()
            #expect(abs(result.loss / run.golden.steps[index].loss - 1) < bound, "step \(index)")
            if index == 0 {
                #expect(run.golden.error(run.network.logits, "logits", run.golden.logits) < 5e-4)
                #expect(run.golden.error(run.network.auxiliaryLogits, "aux", run.golden.aux) < 1e-3)
                let errors = try run.gradientErrors()
                #expect(errors[146].error < 6e-2)
                #expect(errors[291].error < 1.5e-1, "\(errors[291].name)")
            }
            optimizer.update(&run.weights, gradients: run.gradients)
        }
    }
}
