// Convolutions of 1x1, stride 1, that read the same map: the branches of a block, computed together, and dense layers.
//
// The map is the left matrix as it lies, a row a pixel. Together, the branches read (and normalise) each pixel once
// forward and once backward, and their gradients of the map become one product.

import CKernels

/// How such convolutions are computed, forward and backward.
package struct PointwiseGroup: Sendable, Hashable {
    /// Pixels of the batch.
    package let pixels: Int
    package let inputChannels: Int
    package let outputChannels: [Int]
    /// Each member's weights for the forward product: a row an input channel.
    private let forwardPanels: [WeightPanels]
    /// All members' weights for the data gradient: a row an output channel, one member after the other.
    private let backwardPanels: WeightPanels
    /// All members' weight gradients: a row an input channel.
    private let gradientPanels: WeightPanels
    /// The work items of `forward`: pixels.
    package let chunks: BlockCut
    /// Pixels of one product, forward and data gradient.
    private let forwardRows: Int
    private let gradientRows: Int
    private let inputDepth: EvenCut
    private let outputDepth: EvenCut
    /// The work items of `backward`: pairs of some pixels, which add up weight gradients of their own, and some input
    /// channels, panels of `backwardPanels`.
    private let gradientChunks: EvenCut
    private let gradientGroups: EvenCut
    /// Pixels whose inputs and gradients are held in a core's cache at a time, backward.
    private let gradientTile: Int
    /// Between rows of a tile of gradients, and of a group's inputs.
    private let gradientStride: Int
    private let groupStride: Int

    /// - Parameter outputChannels: of each member.
    package init(pixels: Int, inputChannels: Int, outputChannels: [Int]) {
        precondition(!outputChannels.isEmpty)
        self.pixels = pixels
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        let outputs = outputChannels.reduce(0, +)
        forwardPanels = outputChannels.map { WeightPanels(rows: inputChannels, columns: $0) }
        backwardPanels = WeightPanels(rows: outputs, columns: inputChannels)
        gradientPanels = WeightPanels(rows: inputChannels, columns: outputs)
        inputDepth = EvenCut(inputChannels, atMost: 256)
        outputDepth = EvenCut(outputs, atMost: 256)
        // At least sixteen items where there are pixels enough, each of a few products' rows, so that a piece of the
        // weights is used for all of them while it is in cache.
        let most = max(6, pixels / 16 / 6 * 6)
        forwardRows = min(most, tileRows(columns: WeightPanels.widest, depth: inputDepth.longest))
        let cached = max(2 * forwardRows, min(240, PointwiseGroup.cachedFloats / inputChannels))
        chunks = BlockCut(pixels, size: max(forwardRows, min(most, cached) / forwardRows * forwardRows))
        gradientRows = tileRows(columns: WeightPanels.widest, depth: outputDepth.longest)
        gradientChunks = EvenCut(
            pixels,
            pieces: chunkCount(
                copy: inputChannels * outputs, read: pixels * outputs, most: pixels / 48))
        gradientGroups = EvenCut(
            backwardPanels.panelCount, pieces: (fewestItems - 1) / gradientChunks.pieces + 1)
        let channels = backwardPanels.widest(of: gradientGroups)
        gradientStride = PointwiseGroup.rowStride(gradientPanels.columns)
        groupStride = PointwiseGroup.rowStride(channels)
        let tile = max(96, min(240, PointwiseGroup.cachedFloats / (channels + outputs)))
        gradientTile = EvenCut(gradientChunks.longest, atMost: tile).longest
    }

    /// Floats of a core's second-level cache that a tile may take: 700 KB of the 1 MB that is common.
    private static let cachedFloats = 175_000

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        max(chunks.size * PointwiseGroup.rowStride(inputChannels), gradientTile * (groupStride + gradientStride))
    }

    /// Floats of memory for the chunks' weight gradients.
    package var partFloats: Int { gradientChunks.pieces * gradientPanels.elementCount }

    /// Rows of tiles; those 1 KB apart would share cache sets.
    private static func rowStride(_ channels: Int) -> Int { channels % 256 == 0 ? channels + 16 : channels }

    // MARK: weights

    /// Floats of one member's weights as `forward` takes them, and of all members' as `backward` does.
    package func weightFloats(member: Int) -> Int { forwardPanels[member].elementCount }
    package var gradientWeightFloats: Int { backwardPanels.elementCount }

    /// A member's weights are prepared in items that do not depend on each other.
    package func prepareItems(member: Int) -> Int { forwardPanels[member].panelCount }

    /// Brings some of a member's weights into the forms of `forward` and, unless nil, of `backward`.
    ///
    /// - Parameter canonical: all of the member's weights, (out, in).
    package func prepare(
        member: Int, item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>,
        gradientWeights: UnsafeMutablePointer<Float>?
    ) {
        let panels = forwardPanels[member]
        let outputs = panels.columns(ofPanel: item)
        let source = canonical + outputs.lowerBound * inputChannels
        engine_transpose(
            source, inputChannels, weights + panels.offset(panel: item, row: 0), outputs.count, outputs.count,
            inputChannels)
        guard let gradientWeights else { return }
        let first = outputChannels[..<member].reduce(0, +) + outputs.lowerBound
        for panel in 0..<backwardPanels.panelCount {
            let columns = backwardPanels.columns(ofPanel: panel)
            let target = gradientWeights + backwardPanels.offset(panel: panel, row: first)
            for output in 0..<outputs.count {
                (target + output * columns.count).update(
                    from: source + output * inputChannels + columns.lowerBound, count: columns.count)
            }
        }
    }

    // MARK: forward

    /// outputs[m] = input * weights[m].
    ///
    /// - Parameters:
    ///   - weights: of each member, as `prepare` made them.
    ///   - finish: called for each of `chunks` when its pixels are final in all outputs, on the thread that made them.
    package func forward(
        input: InputMap, weights: [UnsafePointer<Float>], outputs: [FeatureMap], context: KernelContext,
        finish: (_ chunk: Int, _ pixels: Range<Int>) -> Void = { _, _ in }
    ) {
        precondition(input.map.pixels == pixels && input.map.channels == inputChannels)
        context.pool.run(chunks.pieces) { chunk, thread in
            let tile = chunks[chunk]
            let (left, leftStride) = input.read(
                tile, into: context.scratch(thread), stride: PointwiseGroup.rowStride(inputChannels))
            for (member, panels) in forwardPanels.enumerated() {
                multiplyTile(
                    tile.count, forwardRows, left, leftStride, inputDepth, panels, 0..<panels.panelCount,
                    weights[member], outputs[member].pixel(tile.lowerBound), outputs[member].pixelStride,
                    accumulate: false)
            }
            finish(chunk, tile)
        }
    }

    /// output (tile x columns) = left * weights, for some panels one after the other, `rows` rows a product.
    private func multiplyTile(
        _ tile: Int, _ rows: Int, _ left: UnsafePointer<Float>, _ leftStride: Int, _ depthCut: EvenCut,
        _ panels: WeightPanels, _ wanted: Range<Int>, _ weights: UnsafePointer<Float>,
        _ output: UnsafeMutablePointer<Float>, _ outputStride: Int, accumulate: Bool
    ) {
        for panel in wanted {
            let columns = panels.columns(ofPanel: panel)
            for piece in 0..<depthCut.pieces {
                let depth = depthCut[piece]
                let right = weights + panels.offset(panel: panel, row: depth.lowerBound)
                for first in stride(from: 0, to: tile, by: rows) {
                    multiply(
                        rows: min(rows, tile - first), columns: columns.count, depth: depth.count,
                        left + first * leftStride + depth.lowerBound, leftStride, right, columns.count,
                        accumulate: accumulate || piece > 0, output + first * outputStride + columns.lowerBound,
                        outputStride)
                }
            }
        }
    }

    // MARK: backward

    /// Writes the weight gradients, (out, in) each, to `canonical`; and, unless it is nil, writes the gradient of the
    /// input, or adds to it if `accumulate`.
    ///
    /// - Parameters:
    ///   - gradientWeights: of all members, as `prepare` made them; nil without `inputGradient`.
    ///   - parts: `partFloats` floats to work in.
    /// - Returns: the data gradient's share of the time, 0 to 1.
    @discardableResult
    package func backward(
        input: InputMap, outputGradients: [GradientMap], gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: [UnsafeMutablePointer<Float>], context: KernelContext
    ) -> Double {
        let clock = ShareClock(threads: context.pool.threadCount)
        context.pool.run(gradientChunks.pieces * gradientGroups.pieces) { item, thread in
            let pixels = gradientChunks[item / gradientGroups.pieces]
            let group = gradientGroups[item % gradientGroups.pieces]
            let channels = backwardPanels.columns(ofPanels: group)
            let part = parts + item / gradientGroups.pieces * gradientPanels.elementCount
            let tiles = EvenCut(pixels.count, atMost: gradientTile)
            for piece in 0..<tiles.pieces {
                let tile = tiles[piece].offset(by: pixels.lowerBound)
                let gradients = context.scratch(thread)
                let inputs = gradients + gradientTile * gradientStride
                let start = clock.now
                var first = 0
                for gradient in outputGradients {
                    gradient.read(tile, into: gradients + first, stride: gradientStride)
                    first += gradient.map.channels
                }
                if let gradientWeights, let inputGradient {
                    multiplyTile(
                        tile.count, gradientRows, gradients, gradientStride, outputDepth, backwardPanels,
                        group, gradientWeights, inputGradient.pixel(tile.lowerBound), inputGradient.pixelStride,
                        accumulate: accumulate)
                }
                let middle = clock.now
                let (left, leftStride) = input.read(tile, channels: channels, into: inputs, stride: groupStride)
                addWeightGradients(tile.count, channels, left, leftStride, gradients, part, accumulate: piece > 0)
                clock.add(first: middle - start, second: clock.now - middle, thread: thread)
            }
        }
        storeGradients(parts, to: canonical, context)
        return inputGradient == nil ? 0 : clock.share
    }

    /// part += left^T * gradients, the rows of some input channels.
    private func addWeightGradients(
        _ tile: Int, _ channels: Range<Int>, _ left: UnsafePointer<Float>, _ leftStride: Int,
        _ gradients: UnsafePointer<Float>, _ part: UnsafeMutablePointer<Float>, accumulate: Bool
    ) {
        let rows = max(16, min(256, smallProduct / (gradientPanels.panelWidth * tile)) / 16 * 16)
        let cut = EvenCut(channels.count, atMost: rows)
        for block in 0..<cut.pieces {
            for panel in 0..<gradientPanels.panelCount {
                let columns = gradientPanels.columns(ofPanel: panel)
                multiplyTransposed(
                    rows: cut[block].count, columns: columns.count, depth: tile, left + cut[block].lowerBound,
                    leftStride, gradients + columns.lowerBound, gradientStride, accumulate: accumulate,
                    part + gradientPanels.offset(panel: panel, row: channels.lowerBound + cut[block].lowerBound),
                    columns.count)
            }
        }
    }

    /// Adds up the chunks' parts, in order, and writes them to their canonical places.
    private func storeGradients(
        _ parts: UnsafeMutablePointer<Float>, to canonical: [UnsafeMutablePointer<Float>], _ context: KernelContext
    ) {
        let inputs = BlockCut(inputChannels, size: 64)
        context.pool.run(gradientPanels.panelCount * inputs.pieces) { item, _ in
            let panel = item / inputs.pieces
            let rows = inputs[item % inputs.pieces]
            let columns = gradientPanels.columns(ofPanel: panel)
            let sum = parts + gradientPanels.offset(panel: panel, row: rows.lowerBound)
            engine_add_parts(sum, gradientPanels.elementCount, gradientChunks.pieces, rows.count * columns.count)
            var first = 0
            for (member, count) in outputChannels.enumerated() {
                let own = columns.clamped(to: first..<first + count)
                if !own.isEmpty {
                    engine_transpose(
                        sum + (own.lowerBound - columns.lowerBound), columns.count,
                        canonical[member] + (own.lowerBound - first) * inputChannels + rows.lowerBound, inputChannels,
                        rows.count, own.count)
                }
                first += count
            }
        }
    }
}

/// Rows of a product that keep it on OpenBLAS's small-matrix path, a multiple of the six its kernels take at a time.
func tileRows(columns: Int, depth: Int) -> Int { max(6, min(240, smallProduct / (columns * depth)) / 6 * 6) }

extension Range<Int> {
    func offset(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}
