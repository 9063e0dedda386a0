// Which algorithm computes which layer: decided once for a job, from shapes alone, and the same for all its workers.

import PSModel

/// What a person may ask of the plan.
package struct PlanSettings: Sendable, Hashable {
    package enum Convolution: String, Sendable, Hashable, CaseIterable {
        /// No Winograd anywhere.
        case direct
        /// Winograd wherever there is a form exact enough, whatever it costs.
        case winograd
        /// The cheapest algorithm that is exact enough, layer by layer.
        case auto
    }

    package var convolution = Convolution.auto
    /// Largest relative RMS error of an algorithm other than direct against float64 (`ConvolutionCandidate.error`).
    package var maximumError = 2e-5

    package init() {}
}

/// The algorithms of one layer.
package struct ConvolutionChoice: Sendable, Hashable {
    package var forward: ConvolutionAlgorithm
    /// Of the data gradient and the weight gradient, which share their transforms.
    package var backward: ConvolutionAlgorithm

    package init(forward: ConvolutionAlgorithm, backward: ConvolutionAlgorithm) {
        self.forward = forward
        self.backward = backward
    }

    package static let direct = ConvolutionChoice(forward: .direct, backward: .direct)
}

/// The choices for the convolutions of one model at one batch. Pointwise convolutions and dense layers have none: they
/// are matrix products as they stand.
package struct EnginePlan: Sendable, Hashable {
    /// By the layer's name.
    package var layers: [String: ConvolutionChoice]

    package init(layers: [String: ConvolutionChoice]) { self.layers = layers }

    /// Every layer direct.
    package static let direct = EnginePlan(layers: [:])

    /// The choices of one layer; `direct` for layers the plan does not name.
    package subscript(layer: String) -> ConvolutionChoice { layers[layer] ?? .direct }

    /// The plan for a model: a pure function of its shapes, the batch and the settings.
    package init(description: ModelDescription, batch: Int, settings: PlanSettings) {
        self = .direct
        if settings.convolution == .direct { return }
        for convolution in description.plannedConvolutions(batch: batch) {
            let shape = convolution.shape
            var candidates = shape.candidates.filter { $0.isExactEnough(settings.maximumError) }
            if settings.convolution == .winograd && candidates.count > 1 {
                candidates.removeAll { $0.algorithm == .direct }
            }
            func cheapest(_ directions: [ConvolutionCost.Direction]) -> ConvolutionAlgorithm {
                let costs = candidates.map { candidate in
                    directions.reduce(0) { $0 + ConvolutionCost.estimate(shape, candidate.algorithm, $1) }
                }
                return candidates[costs.indices.min { costs[$0] < costs[$1] }!].algorithm
            }
            layers[convolution.name] = ConvolutionChoice(
                forward: cheapest([.forward]),
                backward: cheapest(
                    convolution.readsImages ? [.weightGradient] : [.dataGradient, .weightGradient]))
        }
    }
}
