// Convolutions with kernels larger than 1x1, or strides, as products with tiles of the im2col matrix: any shape, the
// rounding of a plain sum.

import CKernels
import PSPlanning

/// How one convolution is computed directly, in all three directions.
package struct DirectConvolution: Sendable, Hashable {
    package let shape: ConvolutionShape
    package let layout: WeightLayout
    private let product: ColumnProduct
    private let dataGradient: DataGradient
    private let weightGradient: ColumnWeightGradient

    /// How the gradient of the input is computed.
    private enum DataGradient: Sendable, Hashable {
        /// A convolution of the output's gradient with the kernel turned round.
        case mirrored(ColumnProduct)
        /// Where that does not exist or would mostly multiply padding: products with the transposed weights, scattered
        /// back onto the input.
        case scattered(ColumnScatter)
    }

    package init(_ shape: ConvolutionShape) {
        self.shape = shape
        layout = WeightLayout(shape)
        product = ColumnProduct(shape)
        weightGradient = ColumnWeightGradient(shape, layout)
        if let mirrored = shape.mirrored, !shape.scattersGradient {
            dataGradient = .mirrored(ColumnProduct(mirrored))
        } else {
            dataGradient = .scattered(ColumnScatter(shape, layout.backward))
        }
    }

    /// Floats of the weights `forward` takes, and of those `backward` takes.
    package var weightFloats: Int { layout.elementCount }
    package var gradientWeightFloats: Int { layout.elementCount }
    /// Floats of memory for parts of the weight gradient.
    package var partFloats: Int { weightGradient.partFloats }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        let backward =
            switch dataGradient {
            case .mirrored(let product): product.scratchFloats
            case .scattered(let scatter): scatter.scratchFloats
            }
        return max(product.scratchFloats, backward, weightGradient.scratchFloats)
    }

    /// Forward's work items, each some output pixels and all channels.
    package var itemCount: Int { product.chunks.pieces }
    package func pixels(ofItem item: Int) -> Range<Int> { product.chunks[item] }

    /// output = input * weights.
    ///
    /// - Parameters:
    ///   - weights: laid out like `WeightLayout.forward`.
    ///   - finish: called for each work item when its pixels of `output` are final, on the thread that computed them.
    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, context: KernelContext,
        finish: (_ item: Int, _ pixels: Range<Int>) -> Void = { _, _ in }
    ) {
        product.compute(
            input: input, weights: weights, output: output, accumulate: false, context: context, finish: finish)
    }

    /// Writes the gradient of the weights to `canonical`, OIHW; and, unless it is nil, writes the gradient of the input,
    /// or adds to it if `accumulate`. Where the gradient of the output is read through a norm, it is brought into its
    /// final form in place.
    ///
    /// - Parameters:
    ///   - gradientWeights: laid out like `WeightLayout.backward`; nil without `inputGradient`.
    ///   - parts: `partFloats` floats to work in.
    /// - Returns: the data gradient's share of the time, 0 to 1.
    @discardableResult
    package func backward(
        input: InputMap, outputGradient: GradientMap, gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) -> Double {
        let start = ContinuousClock.now
        let gradient = outputGradient.materialised(context).map
        weightGradient.compute(
            input: input, outputGradient: gradient, parts: parts, canonical: canonical, context: context)
        guard let gradientWeights, let inputGradient else { return 0 }
        let middle = ContinuousClock.now
        switch dataGradient {
        case .mirrored(let product):
            product.compute(
                input: InputMap(gradient), weights: gradientWeights, output: inputGradient, accumulate: accumulate,
                context: context)
        case .scattered(let scatter):
            scatter.compute(
                outputGradient: gradient, weights: gradientWeights, inputGradient: inputGradient,
                accumulate: accumulate, context: context)
        }
        let end = ContinuousClock.now
        return (end - middle) / (end - start)
    }
}
