// A small network with seeded weights and a seeded batch, for the tests that need no PyTorch.

import PSModel
import PSNetwork
import PSParameters
import PSPlanning

/// Which algorithms the convolutions of a small network go by.
enum SmallPlan: Sendable {
    case direct
    /// Winograd wherever there is a form of it.
    case winograd
    case auto
    /// Every algorithm a layer has, forward and backward in all their pairs as layers go by: im2col beside Winograd, and
    /// layers that prepare their weights for two different kernels.
    case mixed

    func plan(_ description: ModelDescription, batch: Int) -> EnginePlan {
        var settings = PlanSettings()
        switch self {
        case .direct: settings.convolution = .direct
        case .winograd: settings.convolution = .winograd
        case .auto: settings.convolution = .auto
        case .mixed:
            var plan = EnginePlan.direct
            for (index, convolution) in description.plannedConvolutions(batch: batch).enumerated() {
                let algorithms = convolution.shape.candidates.map(\.algorithm)
                plan.layers[convolution.name] = ConvolutionChoice(
                    forward: algorithms[index % algorithms.count],
                    backward: algorithms[index / algorithms.count % algorithms.count])
            }
            return plan
        }
        return EnginePlan(description: description, batch: batch, settings: settings)
    }
}

/// A small network with seeded weights and a seeded batch.
struct SmallRun {
    let network: TrainingNetwork
    let plan: EnginePlan
    var weights: [Float]
    var gradients: [Float]
    var images: [Float]
    let labels: [Int32]
    var options = StepOptions()
    var random = CounterRandom(seed: 5, name: "dropout")

    /// - Parameters:
    ///   - biasShift: added to every batch norm's beta; 4 opens nearly all ReLUs, so that the loss is smooth.
    ///   - image: the images' extent, where they are not square.
    init(
        batch: Int, threads: Int, biasShift: Float = 0, plan: SmallPlan = .winograd, image: Extent? = nil,
        _ change: (inout ModelSettings) -> Void = { _ in }
    ) throws {
        var settings = ModelSettings()
        settings.stem = 79
        settings.imageSize = 40
        settings.width = 0.2
        settings.classes = 12
        change(&settings)
        let description = try ModelDescription(settings, image: image)
        self.plan = plan.plan(description, batch: batch)
        network = try TrainingNetwork(
            description: description, batch: batch, threads: threads, plan: self.plan)
        weights = [Float](repeating: 0, count: network.layout.count)
        gradients = [Float](repeating: .nan, count: network.layout.count)
        for (index, tensor) in network.layout.tensors.enumerated() where tensor.kind == .weight {
            let random = CounterRandom(seed: 3, name: tensor.name)
            let isNorm = network.layout.index(ofTensor: tensor.name.replacingSuffix(with: "running_mean")) != nil
            let (centre, spread): (Float, Float) =
                switch (tensor.shape.count, isNorm, tensor.name.hasSuffix(".weight")) {
                case (1, true, true): (1, 0.25)
                case (1, true, false): (biasShift, 0.25)
                // A bias; enough to open most ReLUs where no norm undoes it.
                case (1, false, _): (biasShift / 4, 0.1)
                default: (0, (3 / Float(tensor.elementCount / tensor.shape[0])).squareRoot())
                }
            for (element, position) in network.layout.range(ofTensor: index).enumerated() {
                weights[position] = centre + spread * (2 * random.uniform(UInt64(element)) - 1)
            }
        }
        let pixels = CounterRandom(seed: 4, name: "images")
        images = (0..<batch * network.description.nodes[0].shape.elements).map { 2 * pixels.uniform(UInt64($0)) - 1 }
        labels = (0..<batch).map { Int32(($0 * 5 + 1) % 12) }
    }

    mutating func step(ready: (Int) -> Void = { _ in }) throws -> StepResult {
        load(weights)
        return try network.step(
            images: images, labels: labels, random: random, options: options, gradients: &gradients, ready: ready)
    }

    /// Takes the statistics of this batch, in a network of the same weights, for running ones.
    mutating func takeStatistics() throws {
        var settings = network.description.settings
        settings.batchNorm = .train
        let description = try ModelDescription(settings)
        let trained = try TrainingNetwork(description: description, batch: labels.count, threads: 1, plan: plan)
        description.layout.eachSlice(of: weights, trained.load)
        _ = try trained.step(
            images: images, labels: labels, random: random, options: options, gradients: &gradients, ready: { _ in })
        weights.replaceSubrange(network.layout.weightCount..., with: gradients[network.layout.weightCount...])
    }

    func load(_ values: [Float]) { network.layout.eachSlice(of: values, network.load) }

    /// The gradient's inner product with a seeded random direction among the tensors `included` names, and the loss's
    /// central difference along it.
    mutating func directionalDerivative(
        movingLossBy distance: Double = 0.005, included: (TensorSpecification) -> Bool
    ) throws -> (gradient: Double, difference: Double) {
        _ = try step()
        let base = weights
        let gradient = gradients
        var direction = [Float](repeating: 0, count: weights.count)
        for (index, tensor) in network.layout.tensors.enumerated() where tensor.kind == .weight && included(tensor) {
            let signs = CounterRandom(seed: 6, name: tensor.name)
            let range = network.layout.range(ofTensor: index)
            // Along the gradient's own signs nine times in ten: a derivative well above rounding, yet not only its norm.
            for position in range {
                let sign: Float = gradient[position] < 0 ? -1 : 1
                direction[position] = signs.uniform(UInt64(position)) < 0.9 ? sign : -sign
            }
        }
        let product = zip(gradient, direction).prefix(network.layout.weightCount).reduce(0.0) {
            $0 + Double($1.0) * Double($1.1)
        }
        // A step that moves the loss far above its rounding, far below its curvature.
        let size = Float(distance / product)
        weights = zip(base, direction).map { $0 + size * $1 }
        let up = try step().loss
        weights = zip(base, direction).map { $0 - size * $1 }
        let down = try step().loss
        weights = base
        return (product, (up - down) / (2 * Double(size)))
    }
}

func sameBits(_ first: [Float], _ second: [Float]) -> Bool {
    first.count == second.count && zip(first, second).allSatisfy { $0.bitPattern == $1.bitPattern }
}

extension String {
    /// The tensor's module with another tensor of it.
    fileprivate func replacingSuffix(with tensor: String) -> String {
        split(separator: ".").dropLast().joined(separator: ".") + ".\(tensor)"
    }
}
