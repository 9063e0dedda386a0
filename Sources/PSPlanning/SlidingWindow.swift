// Windows sliding over maps: what convolutions and pools have in common.

import PSModel

/// Rows and columns.
package struct Size: Sendable, Hashable {
    package let height: Int
    package let width: Int

    package init(_ height: Int, _ width: Int) {
        self.height = height
        self.width = width
    }

    package var area: Int { height * width }
}

/// The map a window reads, the map it writes, and how it moves; as in PyTorch.
package struct SlidingWindow: Sendable, Hashable {
    package let input: Size
    package let output: Size
    package let kernel: Size
    package let stride: Size
    package let padding: Size

    /// - Parameter output: by default as many windows as fit into the padded map.
    package init(
        input: Size, kernel: Size, stride: Size = Size(1, 1), padding: Size = Size(0, 0), output: Size? = nil
    ) {
        self.input = input
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.output =
            output
            ?? Size(
                (input.height + 2 * padding.height - kernel.height) / stride.height + 1,
                (input.width + 2 * padding.width - kernel.width) / stride.width + 1)
        precondition(self.output.height > 0 && self.output.width > 0, "the window does not fit the map")
    }

    /// One element at a time: the output is as large as the input.
    package var isPointwise: Bool { kernel.area == 1 && stride.area == 1 && padding == Size(0, 0) }

    /// The window that goes from the output's gradient back to the input's, the kernel turned round; nil if there is
    /// none of stride 1.
    package var mirrored: SlidingWindow? {
        guard stride.area == 1 && padding.height < kernel.height && padding.width < kernel.width else { return nil }
        return SlidingWindow(
            input: output, kernel: kernel,
            padding: Size(kernel.height - 1 - padding.height, kernel.width - 1 - padding.width))
    }
}

extension SlidingWindow {
    /// A model's window between two of its maps.
    package init(_ window: Window, input: MapShape, output: MapShape) {
        func size(_ extent: Extent) -> Size { Size(extent.height, extent.width) }
        self.init(
            input: Size(input.height, input.width), kernel: size(window.kernel), stride: size(window.stride),
            padding: size(window.padding), output: Size(output.height, output.width))
    }
}
