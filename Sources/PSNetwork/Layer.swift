// What a layer is: a pair of forward and backward over memory the plan gave it.

import PSKernels
import PSModel
import PSParameters

/// What a layer needs to know of the step it takes part in.
struct StepEnvironment {
    let context: KernelContext
    let clock: LayerClock
    /// The flat canonical vector of gradients and batch statistics.
    let gradients: UnsafeMutablePointer<Float>
    let random: CounterRandom
    let dropout: Bool
    let unbiasedVariance: Bool
    /// Whether batch norm goes by the running statistics.
    let usesRunningStatistics: Bool
}

/// One stage with its memory.
protocol Layer {
    /// Overwrites the output; saves what `backward` needs.
    func forward(_ step: StepEnvironment)
    /// Turns the gradient of the output into that of the input (overwriting it, or adding if another layer wrote it
    /// before) and of the layer's own tensors (overwriting).
    func backward(_ step: StepEnvironment)
    /// The output from running statistics, without dropout.
    func infer(_ context: KernelContext)
}
