// The parameters of one convolution or dense layer in the engine's memory.

import PSKernels
import PSModel
import PSParameters

/// Weights as they came, and in the forms the layer's kernels multiply by; per-channel vectors.
struct LayerParameters {
    let outputChannels: Int
    /// Weights of one output channel.
    let perOutput: Int
    /// OIHW, or (out, in).
    let canonical: UnsafeMutablePointer<Float>
    /// For the forward product.
    let weights: UnsafeMutablePointer<Float>
    /// For the data gradient; nil where none is needed.
    let gradientWeights: UnsafeMutablePointer<Float>?
    /// Batch norm's learned scale, used only where the model has one.
    let gamma: UnsafeMutablePointer<Float>
    /// Batch norm's shift, or a bias.
    let bias: UnsafeMutablePointer<Float>
    /// The bias of a convolution before a batch norm; zeros where there is none.
    let innerBias: UnsafeMutablePointer<Float>
    let runningMean: UnsafeMutablePointer<Float>
    let runningVariance: UnsafeMutablePointer<Float>
    /// Batch norm's own vectors: in training those of `BatchNormState`, in inference the scale and the shift that follow
    /// from the running statistics.
    let norm: UnsafeMutablePointer<Float>

    static let vectorCount = 5 + BatchNormState.vectors

    /// - Parameter gradientWeights: region of those shared with other layers.
    init(_ regions: ParameterRegions, gradientWeights: Int?, base: (Int) -> UnsafeMutablePointer<Float>) {
        outputChannels = regions.outputChannels
        perOutput = regions.perOutput
        canonical = base(regions.canonical)
        weights = base(regions.weights)
        self.gradientWeights = (gradientWeights ?? regions.gradientWeights).map(base)
        let vectors = base(regions.vectors)
        gamma = vectors
        bias = vectors + outputChannels
        runningMean = vectors + 2 * outputChannels
        runningVariance = vectors + 3 * outputChannels
        norm = vectors + 4 * outputChannels
        innerBias = vectors + (4 + BatchNormState.vectors) * outputChannels
    }

    /// In inference, what `fold` leaves to be added to each output.
    var foldedBias: UnsafeMutablePointer<Float> { norm + outputChannels }

    /// The running mean of what the convolution writes, which leaves its own bias out.
    func withSeenMean(_ body: (UnsafePointer<Float>) -> Void) {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: outputChannels) { mean in
            for channel in 0..<outputChannels { mean[channel] = runningMean[channel] - innerBias[channel] }
            body(UnsafePointer(mean.baseAddress!))
        }
    }

    /// The weights times the scale of the running statistics, into `folded`; `foldedBias` becomes what goes with them.
    func fold(hasGamma: Bool, epsilon: Float, into folded: UnsafeMutablePointer<Float>) {
        withSeenMean { mean in
            BatchNorm.runningScale(
                mean: mean, variance: runningVariance, channels: outputChannels, gamma: hasGamma ? gamma : nil,
                beta: bias, epsilon: epsilon, scale: norm, shift: foldedBias)
        }
        for output in 0..<outputChannels {
            let scale = norm[output]
            let (from, to) = (canonical + output * perOutput, folded + output * perOutput)
            for index in 0..<perOutput { to[index] = from[index] * scale }
        }
    }
}

/// What a convolution's readers do to its map, in training: a batch norm's statistics forward and their gradients' sums
/// backward, or a bias and its gradient.
struct ReaderUnit {
    /// A convolution with an epilogue.
    let stage: Stage
    let layout: ParameterLayout
    let parameters: LayerParameters
    /// What the convolution wrote.
    let map: FeatureMap
    /// The gradient of what readers see.
    let gradient: FeatureMap?
    let state: BatchNormState
    private let epilogue: Epilogue

    init(
        stage: Stage, epilogue: Epilogue, layout: ParameterLayout, parameters: LayerParameters, map: FeatureMap,
        gradient: FeatureMap?, state: BatchNormState
    ) {
        self.stage = stage
        self.epilogue = epilogue
        self.layout = layout
        self.parameters = parameters
        self.map = map
        self.gradient = gradient
        self.state = state
        guard case .bias = epilogue.shift else { return }
        // A bias is a norm of mean 0 and deviation 1 that nothing is learned of.
        state.scale.update(repeating: 1, count: map.channels)
        state.inverseDeviation.update(repeating: 1, count: map.channels)
        state.mean.update(repeating: 0, count: map.channels)
    }

    private var tensors: Node.Tensors { stage.tensors }
    private var gamma: UnsafeMutablePointer<Float>? { tensors.scale == nil ? nil : parameters.gamma }

    /// Whether `finish` wants the moments of what the convolution wrote.
    var wantsMoments: Bool { epilogue.shift != .bias }

    /// Derives scale and shift from the parts' moments and hands out the batch's statistics; or takes the bias.
    func finish(
        _ moments: UnsafePointer<Float>, parts: Int, part: (Int) -> (pixels: Int, channels: Range<Int>),
        _ step: StepEnvironment
    ) {
        guard case .norm(let epsilon) = epilogue.shift else {
            return state.shift.update(from: parameters.bias, count: map.channels)
        }
        let batchMean = step.gradients + layout.offsets[tensors.runningMean!]
        let batchVariance = step.gradients + layout.offsets[tensors.runningVariance!]
        if step.usesRunningStatistics {
            parameters.withSeenMean { mean in
                BatchNorm.useRunning(
                    mean: mean, variance: parameters.runningVariance, channels: map.channels, gamma: gamma,
                    beta: parameters.bias, epsilon: epsilon, state: state, batchMean: batchMean,
                    batchVariance: batchVariance)
            }
            return batchMean.update(from: parameters.runningMean, count: map.channels)
        }
        BatchNorm.finishMoments(
            moments, parts: parts, part: part, channels: map.channels, gamma: gamma, beta: parameters.bias,
            epsilon: epsilon, unbiased: step.unbiasedVariance, state: state, batchMean: batchMean,
            batchVariance: batchVariance)
        if stage.innerBias == nil { return }
        for channel in 0..<map.channels { batchMean[channel] += parameters.innerBias[channel] }
    }

    /// Writes the gradients of gamma and beta, or of the bias.
    ///
    /// - Returns: the gradient of what the convolution wrote.
    func backward(parts: UnsafeMutablePointer<Float>, _ step: StepEnvironment) -> GradientMap {
        guard let gradient else { preconditionFailure("\(stage.name): a network for inference has no backward") }
        return step.clock.measure(stage.name, .norm, wantsMoments ? "batch norm" : "bias") {
            let read = BatchNorm.backward(
                gradient: gradient, x: map, state: state, parts: parts,
                isFrozen: step.usesRunningStatistics || !wantsMoments,
                gammaGradient: tensors.scale.map { step.gradients + layout.offsets[$0] },
                betaGradient: step.gradients + layout.offsets[tensors.bias!], context: step.context)
            writeInnerGradient(step)
            // Behind a bias without a ReLU both gradients are the same.
            return epilogue == Epilogue(shift: .bias, rectifies: false) ? GradientMap(gradient) : read
        }
    }

    /// A bias before a batch norm: the batch's mean takes it away, running statistics do not.
    private func writeInnerGradient(_ step: StepEnvironment) {
        guard let innerBias = stage.innerBias else { return }
        let gradient = step.gradients + layout.offsets[innerBias]
        let sums = step.gradients + layout.offsets[tensors.bias!]
        for channel in 0..<map.channels {
            gradient[channel] = step.usesRunningStatistics ? state.scale[channel] * sums[channel] : 0
        }
    }
}
