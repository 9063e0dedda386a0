// The sizes of one convolution.

import CKernels

/// Everything that decides how a convolution is computed. Strides and paddings as in PyTorch.
package struct ConvolutionShape: Sendable, Hashable {
    package var batch: Int
    package var inputHeight: Int
    package var inputWidth: Int
    package var inputChannels: Int
    package var outputHeight: Int
    package var outputWidth: Int
    package var outputChannels: Int
    package var kernelHeight: Int
    package var kernelWidth: Int
    package var strideHeight: Int
    package var strideWidth: Int
    package var paddingHeight: Int
    package var paddingWidth: Int

    /// - Parameters: extents as (rows, columns).
    package init(
        batch: Int, input: (Int, Int), inputChannels: Int, outputChannels: Int, kernel: (Int, Int),
        stride: (Int, Int) = (1, 1), padding: (Int, Int) = (0, 0)
    ) {
        self.batch = batch
        (inputHeight, inputWidth) = input
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        (kernelHeight, kernelWidth) = kernel
        (strideHeight, strideWidth) = stride
        (paddingHeight, paddingWidth) = padding
        outputHeight = (input.0 + 2 * padding.0 - kernel.0) / stride.0 + 1
        outputWidth = (input.1 + 2 * padding.1 - kernel.1) / stride.1 + 1
        precondition(outputHeight > 0 && outputWidth > 0, "the kernel does not fit the map")
    }

    package var taps: Int { kernelHeight * kernelWidth }
    /// Columns of the im2col matrix, rows of the weight matrix.
    package var depth: Int { taps * inputChannels }
    package var outputPixels: Int { batch * outputHeight * outputWidth }
    package var inputPixels: Int { batch * inputHeight * inputWidth }
    package var isPointwise: Bool {
        taps == 1 && strideHeight == 1 && strideWidth == 1 && paddingHeight == 0 && paddingWidth == 0
    }

    /// The convolution that computes the gradient of this one's input from the gradient of its output, with the kernel
    /// turned round; nil if there is none of stride 1.
    package var mirrored: ConvolutionShape? {
        guard strideHeight == 1 && strideWidth == 1 && paddingHeight < kernelHeight && paddingWidth < kernelWidth
        else { return nil }
        return ConvolutionShape(
            batch: batch, input: (outputHeight, outputWidth), inputChannels: outputChannels,
            outputChannels: inputChannels, kernel: (kernelHeight, kernelWidth),
            padding: (kernelHeight - 1 - paddingHeight, kernelWidth - 1 - paddingWidth))
    }

    var window: engine_window {
        engine_window(
            input_height: Int32(inputHeight), input_width: Int32(inputWidth), output_height: Int32(outputHeight),
            output_width: Int32(outputWidth), kernel_height: Int32(kernelHeight), kernel_width: Int32(kernelWidth),
            stride_height: Int32(strideHeight), stride_width: Int32(strideWidth),
            padding_height: Int32(paddingHeight), padding_width: Int32(paddingWidth))
    }
}
