// Convolutions of 1x1, stride 1, that read the same map: the branches of a block, computed together, and dense layers.
//
// The map is the left matrix as it lies, a row a pixel. Together, the branches read (and normalise) each pixel once, and
// their gradients of the map are added while its tile is in cache.

import CKernels

/// How such convolutions are computed, forward and backward.
package struct PointwiseGroup: Sendable, Hashable {
    /// Pixels of the batch.
    package let pixels: Int
    package let inputChannels: Int
    /// The weights of each member.
    package let members: [WeightLayout]
    /// The work items of `forward` and of the data gradient: pixels.
    package let chunks: BlockCut
    /// Pixels of one product, forward.
    private let forwardTile: Int
    /// Pixels of one product, data gradient.
    private let gradientTile: Int
    private let depthCut: EvenCut
    /// Work items of the weight gradient are pairs of a chunk of pixels and a group of blocks of input channels.
    private let gradientChunks: EvenCut
    private let blocks: EvenCut
    private let groups: EvenCut
    private static let gradientPixels = 240

    package init(pixels: Int, inputChannels: Int, outputChannels: [Int]) {
        precondition(!outputChannels.isEmpty)
        self.pixels = pixels
        self.inputChannels = inputChannels
        members = outputChannels.map { WeightLayout(outputChannels: $0, inputChannels: inputChannels) }
        depthCut = EvenCut(inputChannels, atMost: 256)
        let deepest = members.map { PointwiseGroup.outputCut($0).longest }.max()!
        // At least sixteen items where there are pixels enough, each small enough for a core's cache.
        let most = max(6, pixels / 16 / 6 * 6)
        forwardTile = min(most, tileRows(columns: WeightPanels.widest, depth: depthCut.longest))
        gradientTile = min(most, tileRows(columns: WeightPanels.widest, depth: deepest))
        chunks = BlockCut(pixels, size: max(forwardTile, min(most, 240) / forwardTile * forwardTile))
        // Few chunks where there are few pixels: each costs a copy of the weights.
        gradientChunks = EvenCut(pixels, pieces: max(1, min(16, pixels / 4096)))
        blocks = EvenCut(inputChannels, atMost: 64)
        groups = EvenCut(blocks.pieces, pieces: (16 + gradientChunks.pieces - 1) / gradientChunks.pieces)
    }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        max(
            forwardTile * rowStride,
            PointwiseGroup.gradientPixels * groups.longest * (blocks.longest + 16))
    }

    /// Floats of memory for the chunks' weight gradients.
    package var partFloats: Int { gradientChunks.pieces * elementCount }

    private var elementCount: Int { members.reduce(0) { $0 + $1.elementCount } }
    private static func outputCut(_ layout: WeightLayout) -> EvenCut { EvenCut(layout.outputChannels, atMost: 256) }

    /// Rows of normalised pixels; those 1 KB apart would share cache sets.
    private var rowStride: Int { inputChannels % 256 == 0 ? inputChannels + 16 : inputChannels }

    /// outputs[m] = input * weights[m].
    ///
    /// - Parameters:
    ///   - weights: of each member, laid out like `WeightLayout.forward`.
    ///   - finish: called for each of `chunks` when its pixels are final in all outputs, on the thread that made them.
    package func forward(
        input: InputMap, weights: [UnsafePointer<Float>], outputs: [FeatureMap], context: KernelContext,
        finish: (_ chunk: Int, _ pixels: Range<Int>) -> Void = { _, _ in }
    ) {
        precondition(input.map.pixels == pixels && input.map.channels == inputChannels)
        context.pool.run(chunks.pieces) { chunk, thread in
            let tiles = BlockCut(chunks[chunk].count, size: forwardTile)
            for piece in 0..<tiles.pieces {
                let tile = tiles[piece].offset(by: chunks[chunk].lowerBound)
                let (left, leftStride) = read(
                    input, tile, channels: 0..<inputChannels, rowStride: rowStride, context.scratch(thread))
                for (member, layout) in members.enumerated() {
                    multiplyTile(
                        tile.count, left, leftStride, depthCut, layout.forward, weights[member],
                        outputs[member].pixel(tile.lowerBound), outputs[member].pixelStride, accumulate: false)
                }
            }
            finish(chunk, chunks[chunk])
        }
    }

    /// Writes the gradient of the input, or adds to it if `accumulate`.
    ///
    /// - Parameter weights: of each member, laid out like `WeightLayout.backward`.
    package func dataGradient(
        outputGradients: [FeatureMap], weights: [UnsafePointer<Float>], inputGradient: FeatureMap, accumulate: Bool,
        context: KernelContext
    ) {
        context.pool.run(chunks.pieces) { chunk, _ in
            let tiles = BlockCut(chunks[chunk].count, size: gradientTile)
            for piece in 0..<tiles.pieces {
                let tile = tiles[piece].offset(by: chunks[chunk].lowerBound)
                for (member, layout) in members.enumerated() {
                    multiplyTile(
                        tile.count, outputGradients[member].pixel(tile.lowerBound),
                        outputGradients[member].pixelStride, PointwiseGroup.outputCut(layout), layout.backward,
                        weights[member], inputGradient.pixel(tile.lowerBound), inputGradient.pixelStride,
                        accumulate: accumulate || member > 0)
                }
            }
        }
    }

    /// output (rows x all columns) = left * weights, panel by panel.
    private func multiplyTile(
        _ rows: Int, _ left: UnsafePointer<Float>, _ leftStride: Int, _ depthCut: EvenCut, _ panels: WeightPanels,
        _ weights: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>, _ outputStride: Int, accumulate: Bool
    ) {
        for panel in 0..<panels.panelCount {
            let columns = panels.columns(ofPanel: panel)
            for piece in 0..<depthCut.pieces {
                let depth = depthCut[piece]
                multiply(
                    rows: rows, columns: columns.count, depth: depth.count, left + depth.lowerBound, leftStride,
                    weights + panels.offset(panel: panel, row: depth.lowerBound), columns.count,
                    accumulate: accumulate || piece > 0, output + columns.lowerBound, outputStride)
            }
        }
    }

    /// Writes the weight gradients, (out, in) each, to `canonical`.
    ///
    /// - Parameter parts: `partFloats` floats to work in.
    package func weightGradient(
        input: InputMap, outputGradients: [FeatureMap], parts: UnsafeMutablePointer<Float>,
        canonical: [UnsafeMutablePointer<Float>], context: KernelContext
    ) {
        context.pool.run(gradientChunks.pieces * groups.pieces) { item, thread in
            let chunk = item / groups.pieces
            let group = groups[item % groups.pieces]
            let channels = blocks[group.lowerBound].lowerBound..<blocks[group.upperBound - 1].upperBound
            let tiles = BlockCut(gradientChunks[chunk].count, size: PointwiseGroup.gradientPixels)
            for piece in 0..<tiles.pieces {
                let tile = tiles[piece].offset(by: gradientChunks[chunk].lowerBound)
                let (left, leftStride) = read(
                    input, tile, channels: channels, rowStride: channels.count + 16, context.scratch(thread))
                for block in group {
                    let rows = blocks[block]
                    var part = parts + chunk * elementCount
                    for (member, layout) in members.enumerated() {
                        for panel in 0..<layout.forward.panelCount {
                            let columns = layout.forward.columns(ofPanel: panel)
                            multiplyTransposed(
                                rows: rows.count, columns: columns.count, depth: tile.count,
                                left + (rows.lowerBound - channels.lowerBound), leftStride,
                                outputGradients[member].pixel(tile.lowerBound) + columns.lowerBound,
                                outputGradients[member].pixelStride, accumulate: piece > 0,
                                part + layout.forward.offset(panel: panel, row: rows.lowerBound), columns.count)
                        }
                        part += layout.elementCount
                    }
                }
            }
        }
        var first = 0
        for (member, layout) in members.enumerated() {
            layout.storeGradient(
                parts: parts + first, partStride: elementCount, partCount: gradientChunks.pieces,
                to: canonical[member], context: context)
            first += layout.elementCount
        }
    }

    /// Some channels of a tile of pixels as a matrix: the map itself, or normalised into `scratch`.
    private func read(
        _ input: InputMap, _ pixels: Range<Int>, channels: Range<Int>, rowStride: Int,
        _ scratch: UnsafeMutablePointer<Float>
    ) -> (left: UnsafePointer<Float>, stride: Int) {
        let from = input.map.pixel(pixels.lowerBound) + channels.lowerBound
        guard let norm = input.norm else { return (UnsafePointer(from), input.map.pixelStride) }
        engine_scale_relu(
            from, input.map.pixelStride, scratch, rowStride, pixels.count, channels.count,
            norm.scale + channels.lowerBound, norm.shift + channels.lowerBound)
        return (UnsafePointer(scratch), rowStride)
    }
}

/// Rows of a product that keep it on OpenBLAS's small-matrix path, a multiple of the six its kernels take at a time.
func tileRows(columns: Int, depth: Int) -> Int { max(6, min(240, smallProduct / (columns * depth)) / 6 * 6) }

extension Range<Int> {
    func offset(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}
