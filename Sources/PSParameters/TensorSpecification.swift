// What is known of one tensor of a network before any value exists: its name, shape, kind and how it starts.

/// How a tensor takes part in training.
package enum TensorKind: String, Sendable, Hashable, Codable {
    /// Learned: it has a gradient, optimizer slots and a running average.
    case weight
    /// A batch-norm running mean or variance: workers push the statistic of their batch, servers fold it in.
    case statistic
}

/// The distribution a tensor's elements are drawn from at step 0.
package enum Initialization: Sendable, Hashable {
    case constant(Float)
    /// Normal with mean 0, redrawn until its absolute value is at most `cut`.
    case truncatedNormal(standardDeviation: Float, cut: Float)
    /// Uniform in [-bound, bound).
    case uniform(bound: Float)
}

/// One tensor in torchvision's canonical form: convolution kernels OIHW, dense weights (out, in), float32.
package struct TensorSpecification: Sendable, Hashable {
    package let name: String
    /// Extents, outermost first.
    package let shape: [Int]
    package let kind: TensorKind
    package let initialization: Initialization
    /// Whether weight decay applies: convolution and dense weights, not biases and not batch norm.
    package let decays: Bool

    package init(
        name: String, shape: [Int], kind: TensorKind, initialization: Initialization, decays: Bool = false
    ) {
        precondition(shape.allSatisfy { $0 > 0 }, "tensor \(name) has an empty extent: \(shape)")
        self.name = name
        self.shape = shape
        self.kind = kind
        self.initialization = initialization
        self.decays = decays
    }

    package var elementCount: Int { shape.reduce(1, *) }
}
