// The choice of a convolution's kernel: what the plan says of its shape.

import PSKernels
import PSPlanning

extension ConvolutionShape {
    /// - Parameters:
    ///   - algorithm: of several groups it is always direct.
    ///   - groups: the shape's input channels are those of one of them, its output channels all.
    package func kernel(_ algorithm: ConvolutionAlgorithm, groups: Int = 1) -> any ConvolutionKernel {
        if groups > 1 {
            if inputChannels == 1, outputChannels == groups { return DepthwiseConvolution(self) }
            let part = ConvolutionShape(
                batch: batch, window: window, inputChannels: inputChannels, outputChannels: outputChannels / groups)
            return GroupedConvolution(part, groups: groups)
        }
        switch algorithm {
        case .direct: return DirectConvolution(self)
        case .winograd(let tile):
            // Plans are checked against the model before a network is made of them.
            guard let kernel = WinogradConvolution(self, tile: tile) else {
                preconditionFailure("no \(algorithm) for \(self)")
            }
            return kernel
        }
    }
}
