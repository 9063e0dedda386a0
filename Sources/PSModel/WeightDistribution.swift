// The distributions that networks draw their first weights from.

import PSParameters

/// How a convolution's or a dense layer's weights are drawn.
package enum WeightDistribution: Sendable, Hashable {
    /// Normal of this deviation, cut at an absolute 2 as torchvision does, or at two deviations as slim does.
    case truncatedNormal(Float)
    /// Normal of this deviation.
    case normal(Float)
    /// Normal of variance 2 over the outputs a value goes into (He et al. 2015, PyTorch's fan_out).
    case normalByOutputs
    /// Uniform within 1 / sqrt(inputs): what PyTorch's layers begin with.
    case uniformByInputs
    /// Uniform within sqrt(3 / inputs): Caffe's "xavier".
    case uniformOfVarianceByInputs

    /// - Parameter shape: OIHW or (out, in).
    func initialization(shape: [Int], _ values: ModelSettings.InitialValues) -> Initialization {
        let inputs = Float(shape.dropFirst().reduce(1, *))
        // No draw of a normal distribution comes near ten deviations.
        func normal(_ deviation: Float) -> Initialization {
            .truncatedNormal(standardDeviation: deviation, cut: 10 * deviation)
        }
        switch (values, self) {
        case (.torchvision, .truncatedNormal(let deviation)):
            return .truncatedNormal(standardDeviation: deviation, cut: 2)
        case (.slim, .truncatedNormal(let deviation)):
            return .truncatedNormal(standardDeviation: deviation, cut: 2 * deviation)
        case (_, .normal(let deviation)): return normal(deviation)
        case (_, .normalByOutputs):
            return normal((2 / Float(shape[0] * shape.dropFirst(2).reduce(1, *))).squareRoot())
        case (_, .uniformByInputs): return .uniform(bound: 1 / inputs.squareRoot())
        case (_, .uniformOfVarianceByInputs): return .uniform(bound: (3 / inputs).squareRoot())
        }
    }
}

/// What a network's weights begin with, as its reference implementation draws them.
package struct InitialRules: Sendable, Hashable {
    package enum Biases: Sendable, Hashable {
        case constant(Float)
        /// Uniform within 1 / sqrt(inputs).
        case byInputs
    }

    package var convolutions: WeightDistribution
    package var dense: WeightDistribution
    /// Of convolutions and dense layers; batch norm's begin at 0.
    package var biases: Biases
}
