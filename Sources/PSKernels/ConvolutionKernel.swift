// What every way of computing a convolution gives: memory it asks for, weights in its own forms, and both directions.

/// One convolution's plan, whichever algorithm it is. A function of shapes alone.
package protocol ConvolutionKernel: Sendable, Hashable {
    /// As timings name it; plans say "direct" and "winograd-6".
    var name: String { get }
    /// Floats of the weights as `forward` takes them, and as `backward` does.
    var weightFloats: Int { get }
    var gradientWeightFloats: Int { get }
    /// Floats of scratch one thread needs.
    var scratchFloats: Int { get }
    /// Floats of memory for the parts of the weight gradient.
    var partFloats: Int { get }

    /// The weights are prepared in items that do not depend on each other.
    var prepareItems: Int { get }

    /// One item of bringing the canonical weights into the forms `forward` and `backward` multiply by, unless those are nil.
    ///
    /// - Parameter canonical: (out, in of its group, row, column).
    func prepare(
        item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>?,
        gradientWeights: UnsafeMutablePointer<Float>?)

    /// Forward's work items.
    var itemCount: Int { get }
    /// What one of them writes.
    func pixels(ofItem item: Int) -> Range<Int>
    func channels(ofItem item: Int) -> Range<Int>

    /// output = input * weights; with a bias max(that + bias, floor).
    ///
    /// - Parameter finish: called for each work item when its part of `output` is final, on the thread that computed it.
    func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, bias: UnsafePointer<Float>?, floor: Float,
        context: KernelContext, finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void)

    /// Writes the gradient of the weights to `canonical`, in its own form; and, unless it is nil, writes the gradient of
    /// the input, or adds to it if `accumulate`. Where the gradient of the output is read through a norm, it may be
    /// brought into its final form in place.
    ///
    /// - Parameters:
    ///   - gradientWeights: as prepared; nil without `inputGradient`.
    ///   - parts: `partFloats` floats to work in.
    /// - Returns: the data gradient's share of the time, 0 to 1.
    @discardableResult
    func backward(
        input: InputMap, outputGradient: GradientMap, gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) -> Double
}

extension ConvolutionKernel {
    /// Whether both are of one algorithm and shape, so that one preparation serves both.
    package func isSame(as other: any ConvolutionKernel) -> Bool { AnyHashable(self) == AnyHashable(other) }

    /// The plain product.
    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, context: KernelContext,
        finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void = { _, _, _ in }
    ) {
        forward(
            input: input, weights: weights, output: output, bias: nil, floor: 0, context: context, finish: finish)
    }
}
