// Convolutions whose channels fall into groups that do not see each other: one direct convolution after the other.

import PSPlanning

package struct GroupedConvolution: Sendable, Hashable {
    package let groups: Int
    /// Of one group; all are alike.
    private let part: DirectConvolution

    /// - Parameter shape: of one group.
    package init(_ shape: ConvolutionShape, groups: Int) {
        precondition(groups > 1)
        self.groups = groups
        part = DirectConvolution(shape)
    }

    private var inputChannels: Int { part.shape.inputChannels }
    private var outputChannels: Int { part.shape.outputChannels }

    package var weightFloats: Int { groups * part.weightFloats }
    package var gradientWeightFloats: Int { groups * part.gradientWeightFloats }
    package var partFloats: Int { part.partFloats }
    package var scratchFloats: Int { part.scratchFloats }
    package var itemCount: Int { groups * part.itemCount }

    package func pixels(ofItem item: Int) -> Range<Int> { part.pixels(ofItem: item % part.itemCount) }

    package func channels(ofItem item: Int) -> Range<Int> {
        let first = item / part.itemCount * outputChannels
        return first..<first + outputChannels
    }

    package var prepareItems: Int { groups * part.layout.prepareItems }

    /// One item of bringing the weights into the forms of `forward` and `backward`, unless they are nil.
    ///
    /// - Parameter canonical: (output, input of its group, row, column).
    package func prepare(
        item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>?,
        gradientWeights: UnsafeMutablePointer<Float>?
    ) {
        let group = item / part.layout.prepareItems
        part.layout.prepare(
            item: item % part.layout.prepareItems, canonical: canonical + group * part.layout.elementCount,
            forward: weights.map { $0 + group * part.weightFloats },
            backward: gradientWeights.map { $0 + group * part.gradientWeightFloats })
    }

    /// See `DirectConvolution.forward`.
    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, context: KernelContext,
        finish: (_ item: Int, _ pixels: Range<Int>) -> Void = { _, _ in }
    ) {
        for group in 0..<groups {
            part.forward(
                input: input.channels(inputs(group)), weights: weights + group * part.weightFloats,
                output: output.channels(outputs(group)), context: context
            ) { item, pixels in finish(group * part.itemCount + item, pixels) }
        }
    }

    /// See `DirectConvolution.backward`.
    @discardableResult
    package func backward(
        input: InputMap, outputGradient: GradientMap, gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) -> Double {
        let gradient = outputGradient.materialised(context).map
        var shares = 0.0
        for group in 0..<groups {
            shares += part.backward(
                input: input.channels(inputs(group)), outputGradient: GradientMap(gradient.channels(outputs(group))),
                gradientWeights: gradientWeights.map { $0 + group * part.gradientWeightFloats },
                inputGradient: inputGradient?.channels(inputs(group)), accumulate: accumulate, parts: parts,
                canonical: canonical + group * part.layout.elementCount, context: context)
        }
        return shares / Double(groups)
    }

    private func inputs(_ group: Int) -> Range<Int> { group * inputChannels..<(group + 1) * inputChannels }
    private func outputs(_ group: Int) -> Range<Int> { group * outputChannels..<(group + 1) * outputChannels }
}
