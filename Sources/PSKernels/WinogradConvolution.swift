// A convolution by Winograd's minimal filtering: how its work is cut and its weights are laid out. Inputs are
// transformed tile by tile, multiplied with transformed weights, one matrix product for each of the scheme's products, and
// transformed back, block after block of tiles, so that what lies between stays in a core's cache.
//
// Letters: V transformed inputs, U transformed weights, M = V U their products; rows of V and M are tiles.

import CKernels
import PSPlanning

/// The plan of one convolution in all three directions. Like every plan, a function of the shape alone.
package struct WinogradConvolution: ConvolutionKernel {
    package let shape: ConvolutionShape
    package let scheme: WinogradScheme
    /// Weights of one slot: row input channel, column output channel.
    let panels: WeightPanels
    /// The same transposed, for the data gradient.
    let gradientPanels: WeightPanels
    /// Lines of tiles of one image, and tiles of one line.
    let lines: Int
    let columns: Int
    /// Tiles of a block, about.
    private let blockTiles: Int
    let forwardBlocks: TileBlocks
    /// The panels of one work item of the forward product.
    let forwardGroups: EvenCut
    /// The images of one part of the weight gradient; work items are pairs of a chunk and a group.
    let chunks: EvenCut
    /// The panels of input channels of one work item of the gradients.
    let backwardGroups: EvenCut

    /// Nil if there is no such tile for the shape.
    package init?(_ shape: ConvolutionShape, tile: Int) {
        guard let scheme = WinogradScheme(shape, tile: tile) else { return nil }
        self.shape = shape
        self.scheme = scheme
        panels = WeightPanels(rows: shape.inputChannels, columns: shape.outputChannels)
        gradientPanels = WeightPanels(rows: shape.outputChannels, columns: shape.inputChannels)
        lines = scheme.vertical.tiles(covering: shape.window.output.height)
        columns = scheme.horizontal.tiles(covering: shape.window.output.width)

        // V and M of a block should fit a core's second cache. But products of few rows are slow, and where the weights
        // themselves do not fit they are read once for every block.
        let weightFloats = scheme.weights * panels.elementCount
        let rowFloats = scheme.products * (lanes(shape.inputChannels) + lanes(shape.outputChannels))
        blockTiles = min(96, max(weightFloats > 1 << 20 ? 64 : 32, 200_000 / rowFloats))
        forwardBlocks = TileBlocks(batch: shape.batch, lines: lines, columns: columns, tiles: blockTiles)
        forwardGroups = EvenCut(
            panels.panelCount, pieces: (fewestItems - 1) / forwardBlocks.count + 1)

        let tiles = shape.batch * lines * columns
        let transformed = scheme.vertical.outputs * scheme.horizontal.outputs + scheme.products
        // More chunks than are needed are worth their copies only where these are small.
        let most = max(fewestItems, (4 << 20) / weightFloats)
        chunks = EvenCut(
            shape.batch,
            pieces: chunkCount(
                copy: weightFloats, read: tiles * transformed * shape.outputChannels, most: min(tiles / 64, most)))
        backwardGroups = EvenCut(
            gradientPanels.panelCount, pieces: (fewestItems - 1) / chunks.pieces + 1)
    }

    package var name: String { scheme.name }

    /// Floats of the weights prepared for the forward product.
    package var weightFloats: Int { scheme.weights * panels.elementCount }
    /// Floats of the weights prepared for the data gradient.
    package var gradientWeightFloats: Int { weightFloats }
    /// Floats of memory for the parts of the weight gradient.
    package var partFloats: Int { chunks.pieces * weightFloats }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        let forward =
            tileMatrices(forwardBlocks, shape.inputChannels).floats
            + tileMatrices(forwardBlocks, panels.widest(of: forwardGroups)).floats
        // The longest chunk need not have the longest block.
        let backward = [chunks.longest, max(1, chunks.longest - 1)].map { images in
            let blocks = backwardBlocks(images: images)
            return tileMatrices(blocks, gradientPanels.widest(of: backwardGroups)).floats
                + tileMatrices(blocks, shape.outputChannels).floats
        }
        return max(forward, backward.max()!)
    }

    /// The blocks of one chunk.
    func backwardBlocks(images: Int) -> TileBlocks {
        TileBlocks(batch: images, lines: lines, columns: columns, tiles: blockTiles)
    }

    /// V or M of a block.
    func tileMatrices(_ blocks: TileBlocks, _ channels: Int) -> TileMatrices {
        TileMatrices(products: scheme.products, tiles: blocks.longest * columns, channels: channels)
    }

    var transforms: winograd_transforms {
        let (vertical, horizontal) = (scheme.vertical, scheme.horizontal)
        let found = winograd_find(
            Int32(vertical.outputs), Int32(vertical.taps), Int32(vertical.stride), Int32(horizontal.outputs),
            Int32(horizontal.taps), Int32(horizontal.stride))
        guard let found else { preconditionFailure("\(scheme.name) is in the catalogue but not in CKernels") }
        return found.pointee
    }

    /// The weights one product is taken with.
    struct WeightSlot {
        let index: Int
        /// Whether no product before it has the same; at stride 2 some share their weights.
        let isFirst: Bool
    }

    /// The slot of each product.
    var slots: [WeightSlot] {
        let transforms = transforms
        let indices = (0..<scheme.vertical.products).flatMap { vertical in
            (0..<scheme.horizontal.products).map { horizontal in
                Int(transforms.vertical.slots[vertical]) * scheme.horizontal.weights
                    + Int(transforms.horizontal.slots[horizontal])
            }
        }
        return indices.enumerated().map { WeightSlot(index: $1, isFirst: !indices[..<$0].contains($1)) }
    }

    var map: winograd_map {
        let window = shape.window
        return winograd_map(
            input_height: Int32(window.input.height), input_width: Int32(window.input.width),
            output_height: Int32(window.output.height), output_width: Int32(window.output.width),
            padding_height: Int32(window.padding.height), padding_width: Int32(window.padding.width),
            lines: Int32(lines), columns: Int32(columns))
    }
}

// MARK: Weights

extension WinogradConvolution {
    private var inputCut: EvenCut { EvenCut(shape.inputChannels, atMost: 32) }
    private var outputCut: EvenCut { EvenCut(shape.outputChannels, atMost: 32) }

    /// Items of the preparation of weights.
    package var prepareItems: Int {
        panels.panelCount * inputCut.pieces + gradientPanels.panelCount * outputCut.pieces
    }

    /// Does one item's share of bringing the weights into the layouts of the products; the items are independent.
    ///
    /// - Parameters:
    ///   - canonical: the layer's weights, OIHW.
    ///   - weights: for the forward product; nil if there will be none.
    ///   - gradientWeights: for the data gradient; nil if there will be none.
    package func prepare(
        item: Int, canonical: UnsafePointer<Float>, weights: UnsafeMutablePointer<Float>?,
        gradientWeights: UnsafeMutablePointer<Float>?
    ) {
        let perOutput = shape.depth
        let forwardItems = panels.panelCount * inputCut.pieces
        if item < forwardItems {
            guard let weights else { return }
            prepare(
                panels, panel: item / inputCut.pieces, rows: inputCut[item % inputCut.pieces], canonical,
                rowStride: shape.taps, columnStride: perOutput, weights)
        } else {
            guard let gradientWeights else { return }
            let item = item - forwardItems
            prepare(
                gradientPanels, panel: item / outputCut.pieces, rows: outputCut[item % outputCut.pieces], canonical,
                rowStride: perOutput, columnStride: shape.taps, gradientWeights)
        }
    }

    private func prepare(
        _ panels: WeightPanels, panel: Int, rows: Range<Int>, _ canonical: UnsafePointer<Float>, rowStride: Int,
        columnStride: Int, _ target: UnsafeMutablePointer<Float>
    ) {
        let columns = panels.columns(ofPanel: panel)
        transforms.weights(
            canonical + rows.lowerBound * rowStride + columns.lowerBound * columnStride, rowStride, columnStride,
            Int32(rows.count), Int32(columns.count), target + panels.offset(panel: panel, row: rows.lowerBound),
            panels.elementCount)
    }

    /// Adds up the parts of the weight gradient and brings the sum into its canonical form.
    func storeWeightGradient(
        parts: UnsafePointer<Float>, canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) {
        let transforms = transforms
        context.pool.run(panels.panelCount * inputCut.pieces) { item, _ in
            let panel = item / inputCut.pieces
            let rows = inputCut[item % inputCut.pieces]
            let columns = panels.columns(ofPanel: panel)
            transforms.weight_gradient(
                parts + panels.offset(panel: panel, row: rows.lowerBound), panels.elementCount, Int32(chunks.pieces),
                weightFloats, Int32(rows.count), Int32(columns.count),
                canonical + rows.lowerBound * shape.taps + columns.lowerBound * shape.depth, shape.taps, shape.depth)
        }
    }
}
