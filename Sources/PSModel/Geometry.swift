// Sizes of maps, and windows that slide over them.

/// Extent of one image's feature map; the batch is not part of a model.
package struct MapShape: Sendable, Hashable, Codable {
    package let height: Int
    package let width: Int
    package let channels: Int

    package init(height: Int, width: Int, channels: Int) {
        self.height = height
        self.width = width
        self.channels = channels
    }

    package var extent: Extent { Extent(height, width) }
    package var pixels: Int { height * width }
    package var elements: Int { height * width * channels }
}

/// Rows and columns of a kernel, a stride or a padding. An integer literal means a square one.
package struct Extent: Sendable, Hashable, ExpressibleByIntegerLiteral {
    package let height: Int
    package let width: Int

    package init(_ height: Int, _ width: Int) {
        self.height = height
        self.width = width
    }

    package init(integerLiteral value: Int) { self.init(value, value) }

    package var area: Int { height * width }
}

/// How a sliding window moves over a map.
package struct Window: Sendable, Hashable {
    /// What becomes of a last window that would reach past the padded map.
    package enum Rounding: Sendable, Hashable {
        /// It is dropped.
        case floor
        /// It is kept, unless it would start outside the map and its leading padding (PyTorch's `ceil_mode`).
        case ceil
    }

    package var kernel: Extent
    package var stride: Extent
    package var padding: Extent
    package var rounding: Rounding

    package init(kernel: Extent, stride: Extent = 1, padding: Extent = 0, rounding: Rounding = .floor) {
        self.kernel = kernel
        self.stride = stride
        self.padding = padding
        self.rounding = rounding
    }

    /// Windows that fit along a map of `input`, rows and columns; zero or less when none does.
    package func outputExtent(height: Int, width: Int) -> Extent {
        func count(_ input: Int, _ kernel: Int, _ stride: Int, _ padding: Int) -> Int {
            let span = input + 2 * padding - kernel
            guard span >= 0 else { return 0 }
            switch rounding {
            case .floor: return span / stride + 1
            case .ceil:
                let windows = (span + stride - 1) / stride + 1
                return (windows - 1) * stride >= input + padding ? windows - 1 : windows
            }
        }
        return Extent(
            count(height, kernel.height, stride.height, padding.height),
            count(width, kernel.width, stride.width, padding.width))
    }
}
