// The engine's layout of a weight matrix, and its way from and to the canonical one.

import CKernels
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

    /// The columns of neighbouring panels.
    package func columns(ofPanels panels: Range<Int>) -> Range<Int> {
        columns(ofPanel: panels.lowerBound).lowerBound..<columns(ofPanel: panels.upperBound - 1).upperBound
    }

    /// The most columns of a group of panels.
    func widest(of groups: EvenCut) -> Int { (0..<groups.pieces).map { columns(ofPanels: groups[$0]).count }.max()! }

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

    /// Input channels of one item of work.
    private var inputCut: BlockCut { BlockCut(inputChannels, size: 32) }
    private var itemCount: Int { forward.panelCount * inputCut.pieces }
    private func outputs(ofItem item: Int) -> Range<Int> { forward.columns(ofPanel: item / inputCut.pieces) }
    private func inputs(ofItem item: Int) -> Range<Int> { inputCut[item % inputCut.pieces] }

    /// The weights are prepared in items that do not depend on each other.
    package var prepareItems: Int { itemCount }

    /// Brings some of the weights into the forms of the forward product and of the data gradient, unless they are nil.
    ///
    /// - Parameter weights: all of the layer's, OIHW.
    package func prepare(
        item: Int, canonical weights: UnsafePointer<Float>, forward target: UnsafeMutablePointer<Float>?,
        backward gradientTarget: UnsafeMutablePointer<Float>?
    ) {
        let (outputs, inputs) = (outputs(ofItem: item), inputs(ofItem: item))
        let source = weights + (outputs.lowerBound * inputChannels + inputs.lowerBound) * taps
        // Transposed in cache first, for single weights lie far apart in one form or the other.
        withUnsafeTemporaryAllocation(of: Float.self, capacity: inputs.count * taps * outputs.count) { block in
            let block = block.baseAddress!
            if let target {
                engine_transpose(
                    source, inputChannels * taps, block, outputs.count, outputs.count, inputs.count * taps)
                for (index, input) in inputs.enumerated() {
                    for tap in 0..<taps {
                        (target + forward.offset(panel: item / inputCut.pieces, row: tap * inputChannels + input))
                            .update(from: block + (index * taps + tap) * outputs.count, count: outputs.count)
                    }
                }
            }
            if let gradientTarget {
                for (index, output) in outputs.enumerated() {
                    engine_transpose(
                        source + index * inputChannels * taps, taps, block, inputs.count, inputs.count, taps)
                    for tap in 0..<taps {
                        storeBackward(block + tap * inputs.count, output, inputs, tap: tap, to: gradientTarget)
                    }
                }
            }
        }
    }

    /// Puts one output channel's weights of some inputs, one tap of them, where the data gradient reads them.
    private func storeBackward(
        _ weights: UnsafePointer<Float>, _ output: Int, _ inputs: Range<Int>, tap: Int,
        to target: UnsafeMutablePointer<Float>
    ) {
        let (row, first) =
            switch gradientMatrix {
            case .mirrored: ((taps - 1 - tap) * outputChannels + output, inputs.lowerBound)
            case .transposed: (output, tap * inputChannels + inputs.lowerBound)
            }
        var done = 0
        while done < inputs.count {
            let panel = (first + done) / backward.panelWidth
            let columns = backward.columns(ofPanel: panel)
            let count = min(columns.upperBound - (first + done), inputs.count - done)
            (target + backward.offset(panel: panel, row: row) + (first + done - columns.lowerBound))
                .update(from: weights + done, count: count)
            done += count
        }
    }

    /// Adds up `partCount` weight gradients laid out like `forward`, in order, and writes them to their canonical places.
    ///
    /// - Parameter partStride: floats from one part to the next.
    package func storeGradient(
        parts: UnsafePointer<Float>, partStride: Int, partCount: Int, to canonical: UnsafeMutablePointer<Float>,
        context: KernelContext
    ) {
        context.pool.run(itemCount) { item, _ in
            let (outputs, inputs) = (outputs(ofItem: item), inputs(ofItem: item))
            withUnsafeTemporaryAllocation(of: Float.self, capacity: inputs.count * taps * outputs.count) { block in
                let block = block.baseAddress!
                for (index, input) in inputs.enumerated() {
                    for tap in 0..<taps {
                        let sum = block + (index * taps + tap) * outputs.count
                        let part =
                            parts + forward.offset(panel: item / inputCut.pieces, row: tap * inputChannels + input)
                        sum.update(from: part, count: outputs.count)
                        for other in 1..<max(partCount, 1) {
                            let part = part + other * partStride
                            for column in 0..<outputs.count { sum[column] += part[column] }
                        }
                    }
                }
                engine_transpose(
                    block, outputs.count, canonical + (outputs.lowerBound * inputChannels + inputs.lowerBound) * taps,
                    inputChannels * taps, inputs.count * taps, outputs.count)
            }
        }
    }
}
