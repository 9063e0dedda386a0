// Windows sliding over maps: what convolutions and pools have in common.

import PSModel

/// The map a window reads, the map it writes, and how it moves; as in PyTorch.
package struct SlidingWindow: Sendable, Hashable {
    package let input: Extent
    package let output: Extent
    package let kernel: Extent
    package let stride: Extent
    package let padding: Extent

    /// - Parameter output: by default as many windows as fit into the padded map.
    package init(
        input: Extent, kernel: Extent, stride: Extent = Extent(1, 1), padding: Extent = Extent(0, 0),
        output: Extent? = nil
    ) {
        self.input = input
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.output =
            output
            ?? Extent(
                (input.height + 2 * padding.height - kernel.height) / stride.height + 1,
                (input.width + 2 * padding.width - kernel.width) / stride.width + 1)
        precondition(self.output.height > 0 && self.output.width > 0, "the window does not fit the map")
    }

    /// One element at a time: the output is as large as the input.
    package var isPointwise: Bool { kernel.area == 1 && stride.area == 1 && padding == 0 }

    /// The window that goes from the output's gradient back to the input's, the kernel turned round; nil if there is
    /// none of stride 1.
    package var mirrored: SlidingWindow? {
        guard stride.area == 1 && padding.height < kernel.height && padding.width < kernel.width else { return nil }
        return SlidingWindow(
            input: output, kernel: kernel,
            padding: Extent(kernel.height - 1 - padding.height, kernel.width - 1 - padding.width))
    }
}

extension SlidingWindow {
    /// A model's window between two of its maps.
    package init(_ window: Window, input: MapShape, output: MapShape) {
        self.init(
            input: Extent(input.height, input.width), kernel: window.kernel, stride: window.stride,
            padding: window.padding, output: Extent(output.height, output.width))
    }
}
