// Convolutions whose channels fall into groups that do not see each other: one direct convolution after the other.

import PSPlanning

package struct GroupedConvolution: ConvolutionKernel {
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

    package var name: String { "im2col by groups" }
    package var weightFloats: Int { groups * part.weightFloats }
    package var gradientWeightFloats: Int { groups * part.gradientWeightFloats }
    package var partFloats: Int { part.partFloats }
    package var scratchFloats: Int { part.scratchFloats }
    package var itemCount: Int { groups * part.itemCount }

    package func pixels(ofItem item: Int) -> Range<Int> { part.pixels(ofItem: item % part.itemCount) }

    package func channels(ofItem item: Int) -> Range<Int> {
        outputs(item / part.itemCount)
    }

    package var prepareItems: Int { groups * part.prepareItems }

    package func prepare(
        item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>?,
        gradientWeights: UnsafeMutablePointer<Float>?
    ) {
        let group = item / part.prepareItems
        part.prepare(
            item: item % part.prepareItems, canonical: canonical + group * part.layout.elementCount,
            weights: weights.map { $0 + group * part.weightFloats },
            gradientWeights: gradientWeights.map { $0 + group * part.gradientWeightFloats })
    }

    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, bias: UnsafePointer<Float>?, floor: Float,
        context: KernelContext, finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void
    ) {
        for group in 0..<groups {
            let channels = outputs(group)
            part.forward(
                input: input.channels(inputs(group)), weights: weights + group * part.weightFloats,
                output: output.channels(channels), bias: bias.map { $0 + channels.lowerBound }, floor: floor,
                context: context
            ) { item, pixels, _ in finish(group * part.itemCount + item, pixels, channels) }
        }
    }

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
