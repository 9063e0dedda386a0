// The engine's layout of a weight matrix, and its way from and to the canonical one.

import PSPlanning

/// A matrix of `rows` x `columns` stored as vertical panels of at most 64 columns, one behind the other, each row-major.
/// A product with one panel then reads contiguous memory, whatever the matrix is wide.
package struct WeightPanels: Sendable, Hashable {
    package static let widest = 64

    package let rows: Int
    package let columns: Int
    package let panelWidth: Int

    package init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        // Panels of equal width, a multiple of 16 lanes; the last takes what is left.
        let count = (columns + WeightPanels.widest - 1) / WeightPanels.widest
        panelWidth = ((columns + count - 1) / count + 15) / 16 * 16
    }

    package var elementCount: Int { rows * columns }
    package var panelCount: Int { (columns + panelWidth - 1) / panelWidth }

    /// The columns of one panel.
    package func columns(ofPanel panel: Int) -> Range<Int> {
        panel * panelWidth..<min((panel + 1) * panelWidth, columns)
    }

    /// Where `row` of a panel starts.
    package func offset(panel: Int, row: Int) -> Int {
        let columns = columns(ofPanel: panel)
        return rows * columns.lowerBound + row * columns.count
    }
}

/// How one layer's canonical weights, OIHW or (out, in), map to the matrices its products need.
package struct WeightLayout: Sendable, Hashable {
    /// The matrix of the data gradient.
    package enum GradientMatrix: Sendable, Hashable {
        /// Row (turned tap, output channel), column input channel: a convolution with the mirrored shape.
        case mirrored
        /// Row output channel, column (tap, input channel): the transpose, whose products are scattered.
        case transposed
    }

    package let outputChannels: Int
    package let inputChannels: Int
    package let taps: Int
    package let gradientMatrix: GradientMatrix
    /// Row (tap, input channel), column output channel.
    package let forward: WeightPanels
    package let backward: WeightPanels

    package init(_ shape: ConvolutionShape) {
        outputChannels = shape.outputChannels
        inputChannels = shape.inputChannels
        taps = shape.taps
        gradientMatrix = shape.scattersGradient ? .transposed : .mirrored
        forward = WeightPanels(rows: taps * inputChannels, columns: outputChannels)
        switch gradientMatrix {
        case .mirrored: backward = WeightPanels(rows: taps * outputChannels, columns: inputChannels)
        case .transposed: backward = WeightPanels(rows: outputChannels, columns: taps * inputChannels)
        }
    }

    package var elementCount: Int { outputChannels * inputChannels * taps }

    /// The weights are prepared in items that do not depend on each other: panels of output channels.
    package var prepareItems: Int { forward.panelCount }

    /// Brings some output channels' weights into the forms of the forward product and, unless nil, of the data gradient.
    ///
    /// - Parameter weights: all of the layer's, OIHW.
    package func prepare(
        item: Int, canonical weights: UnsafePointer<Float>, forward target: UnsafeMutablePointer<Float>?,
        backward gradientTarget: UnsafeMutablePointer<Float>?
    ) {
        let outputs = forward.columns(ofPanel: item)
        let perOutput = inputChannels * taps
        if let target {
            for input in 0..<inputChannels {
                for tap in 0..<taps {
                    let row = target + forward.offset(panel: item, row: tap * inputChannels + input)
                    let source = weights + outputs.lowerBound * perOutput + (input * taps + tap)
                    for output in 0..<outputs.count { row[output] = source[output * perOutput] }
                }
            }
        }
        guard let gradientTarget else { return }
        for output in outputs {
            let source = weights + output * perOutput
            for tap in 0..<taps {
                switch gradientMatrix {
                case .mirrored:
                    let row = (taps - 1 - tap) * outputChannels + output
                    for panel in 0..<backward.panelCount {
                        let columns = backward.columns(ofPanel: panel)
                        let to = gradientTarget + backward.offset(panel: panel, row: row) - columns.lowerBound
                        for input in columns { to[input] = source[input * taps + tap] }
                    }
                case .transposed:
                    for panel in 0..<backward.panelCount {
                        let columns = backward.columns(ofPanel: panel)
                        let wanted = columns.clamped(to: tap * inputChannels..<(tap + 1) * inputChannels)
                        let to = gradientTarget + backward.offset(panel: panel, row: output) - columns.lowerBound
                        for column in wanted { to[column] = source[(column - tap * inputChannels) * taps + tap] }
                    }
                }
            }
        }
    }

    /// Adds up `partCount` weight gradients laid out like `forward`, in order, and writes them to their canonical places.
    ///
    /// - Parameter partStride: floats from one part to the next.
    package func storeGradient(
        parts: UnsafePointer<Float>, partStride: Int, partCount: Int, to canonical: UnsafeMutablePointer<Float>,
        context: KernelContext
    ) {
        let inputs = BlockCut(inputChannels, size: 32)
        context.pool.run(forward.panelCount * inputs.pieces) { item, _ in
            storeGradient(
                panel: item / inputs.pieces, inputs: inputs[item % inputs.pieces], parts: parts,
                partStride: partStride, partCount: partCount, to: canonical)
        }
    }

    private func storeGradient(
        panel: Int, inputs: Range<Int>, parts: UnsafePointer<Float>, partStride: Int, partCount: Int,
        to canonical: UnsafeMutablePointer<Float>
    ) {
        let perOutput = inputChannels * taps
        let columns = forward.columns(ofPanel: panel)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: columns.count) { sum in
            for input in inputs {
                for tap in 0..<taps {
                    let row = parts + forward.offset(panel: panel, row: tap * inputChannels + input)
                    for column in 0..<columns.count { sum[column] = row[column] }
                    for part in 1..<max(partCount, 1) {
                        let other = row + part * partStride
                        for column in 0..<columns.count { sum[column] += other[column] }
                    }
                    let target = canonical + columns.lowerBound * perOutput + (input * taps + tap)
                    for column in 0..<columns.count { target[column * perOutput] = sum[column] }
                }
            }
        }
    }
}
