// The sizes of one convolution.

/// Everything that decides how a convolution is computed.
package struct ConvolutionShape: Sendable, Hashable {
    /// Images.
    package let batch: Int
    package let window: SlidingWindow
    package let inputChannels: Int
    package let outputChannels: Int

    package init(batch: Int, window: SlidingWindow, inputChannels: Int, outputChannels: Int) {
        precondition(batch > 0 && inputChannels > 0 && outputChannels > 0)
        self.batch = batch
        self.window = window
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
    }

    package var taps: Int { window.kernel.area }
    /// Columns of the im2col matrix, rows of the weight matrix.
    package var depth: Int { taps * inputChannels }
    package var inputPixels: Int { batch * window.input.area }
    package var outputPixels: Int { batch * window.output.area }

    /// The convolution that computes the gradient of this one's input from the gradient of its output; nil if there is
    /// none of stride 1.
    package var mirrored: ConvolutionShape? {
        window.mirrored.map {
            ConvolutionShape(batch: batch, window: $0, inputChannels: outputChannels, outputChannels: inputChannels)
        }
    }

    /// Whether the direct data gradient goes by products of the output's pixels that are scattered onto the input: where
    /// there is no mirrored convolution, and where that would mostly multiply padding because the output is small.
    package var scattersGradient: Bool { mirrored == nil || 2 * outputPixels <= inputPixels }
}
