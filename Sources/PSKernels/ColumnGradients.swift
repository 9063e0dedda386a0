// The weight gradient by im2col, and the data gradient where no mirrored convolution serves.

import CKernels
import PSPlanning

/// The input's columns, transposed, times the output's gradient. Work items are pairs of a chunk of pixels and a group
/// of rows of the weight matrix; each chunk adds up a weight matrix of its own, and the chunks are added at the end, in
/// order.
struct ColumnWeightGradient: Sendable, Hashable {
    let shape: ConvolutionShape
    let layout: WeightLayout
    /// Output pixels.
    private let chunks: EvenCut
    /// Rows of the weight matrix multiplied at once.
    private let depthCut: EvenCut
    private let groups: EvenCut
    /// Output pixels of one product.
    private let tile: Int

    init(_ shape: ConvolutionShape, _ layout: WeightLayout) {
        self.shape = shape
        self.layout = layout
        // Sixteen items if the shape has them; few chunks where the weights are large, for each costs a copy of them.
        chunks = EvenCut(shape.outputPixels, pieces: max(1, min(16, shape.outputPixels / 4096)))
        depthCut = EvenCut(shape.depth, atMost: 64)
        groups = EvenCut(depthCut.pieces, pieces: (16 + chunks.pieces - 1) / chunks.pieces)
        tile = min(256, smallProduct / (layout.forward.panelWidth * depthCut.longest))
    }

    var scratchFloats: Int { tile * depthCut.longest }
    var partFloats: Int { chunks.pieces * layout.elementCount }

    func compute(
        input: InputMap, outputGradient: FeatureMap, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) {
        precondition(input.map.pixels == shape.inputPixels && outputGradient.pixels == shape.outputPixels)
        context.pool.run(chunks.pieces * groups.pieces) { item, thread in
            let pixels = chunks[item / groups.pieces]
            let part = parts + item / groups.pieces * layout.elementCount
            let scratch = context.scratch(thread)
            let tiles = EvenCut(pixels.count, atMost: tile)
            for piece in 0..<tiles.pieces {
                let tile = tiles[piece].offset(by: pixels.lowerBound)
                for block in groups[item % groups.pieces] {
                    let depth = depthCut[block]
                    shape.gather(input, pixels: tile, columns: depth, into: scratch)
                    for panel in 0..<layout.forward.panelCount {
                        let columns = layout.forward.columns(ofPanel: panel)
                        multiplyTransposed(
                            rows: depth.count, columns: columns.count, depth: tile.count, scratch, depth.count,
                            outputGradient.pixel(tile.lowerBound) + columns.lowerBound, outputGradient.pixelStride,
                            accumulate: piece > 0,
                            part + layout.forward.offset(panel: panel, row: depth.lowerBound), columns.count)
                    }
                }
            }
        }
        layout.storeGradient(
            parts: parts, partStride: layout.elementCount, partCount: chunks.pieces, to: canonical, context: context)
    }
}

/// Products of the output's gradient with the transposed weights, scattered back onto the input, a few images an item.
struct ColumnScatter: Sendable, Hashable {
    let shape: ConvolutionShape
    let panels: WeightPanels
    /// The work items: images, so many that a product has several rows and yet a batch has several items.
    private let images: EvenCut
    private static let tile = 60

    init(_ shape: ConvolutionShape, _ panels: WeightPanels) {
        self.shape = shape
        self.panels = panels
        images = EvenCut(shape.batch, atMost: max(1, 8 / shape.window.output.area))
    }

    var scratchFloats: Int { ColumnScatter.tile * panels.panelWidth }

    func compute(
        outputGradient: FeatureMap, weights: UnsafePointer<Float>, inputGradient: FeatureMap, accumulate: Bool,
        context: KernelContext
    ) {
        context.pool.run(images.pieces) { item, thread in
            if !accumulate {
                let pixels = shape.window.input.area
                for pixel in images[item].lowerBound * pixels..<images[item].upperBound * pixels {
                    inputGradient.pixel(pixel).update(repeating: 0, count: inputGradient.channels)
                }
            }
            scatter(images[item], outputGradient, weights, inputGradient, context.scratch(thread))
        }
    }

    private func scatter(
        _ images: Range<Int>, _ outputGradient: FeatureMap, _ weights: UnsafePointer<Float>,
        _ inputGradient: FeatureMap, _ scratch: UnsafeMutablePointer<Float>
    ) {
        var window = shape.window.raw
        let pixels = shape.window.output.area
        let tiles = EvenCut(images.count * pixels, atMost: ColumnScatter.tile)
        let depthCut = EvenCut(shape.outputChannels, atMost: 256)
        for piece in 0..<tiles.pieces {
            let tile = tiles[piece].offset(by: images.lowerBound * pixels)
            for panel in 0..<panels.panelCount {
                let columns = panels.columns(ofPanel: panel)
                for part in 0..<depthCut.pieces {
                    let depth = depthCut[part]
                    multiply(
                        rows: tile.count, columns: columns.count, depth: depth.count,
                        outputGradient.pixel(tile.lowerBound) + depth.lowerBound, outputGradient.pixelStride,
                        weights + panels.offset(panel: panel, row: depth.lowerBound), columns.count,
                        accumulate: part > 0, scratch, columns.count)
                }
                engine_scatter(
                    &window, Int32(shape.inputChannels), scratch, tile.lowerBound, tile.count, columns.lowerBound,
                    columns.count, inputGradient.base, inputGradient.pixelStride)
            }
        }
    }
}
