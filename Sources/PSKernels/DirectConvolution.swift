// Convolutions with kernels larger than 1x1, or strides, as products with tiles of the im2col matrix: any shape, the
// rounding of a plain sum.

import CKernels
import PSPlanning

/// How one convolution is computed directly, in all three directions.
package struct DirectConvolution: ConvolutionKernel {
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

    package var name: String { "im2col" }
    package var prepareItems: Int { layout.prepareItems }

    package func prepare(
        item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>?,
        gradientWeights: UnsafeMutablePointer<Float>?
    ) {
        layout.prepare(item: item, canonical: canonical, forward: weights, backward: gradientWeights)
    }

    /// Each some output pixels and all channels.
    package var itemCount: Int { product.chunks.pieces }
    package func pixels(ofItem item: Int) -> Range<Int> { product.chunks[item] }
    package func channels(ofItem item: Int) -> Range<Int> { 0..<shape.outputChannels }

    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, bias: UnsafePointer<Float>?, floor: Float,
        context: KernelContext, finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void
    ) {
        product.compute(
            input: input, weights: weights, output: output, accumulate: false, context: context
        ) { item, pixels in
            if let bias { Bias.add(bias, floor: floor, to: output, pixels: pixels) }
            finish(item, pixels, channels(ofItem: item))
        }
    }

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
