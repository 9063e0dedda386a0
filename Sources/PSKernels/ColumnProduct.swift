// Products with tiles of the im2col matrix, gathered just before they are multiplied: the forward direction, and with
// the mirrored shape the data gradient of stride 1.

import CKernels
import PSPlanning

struct ColumnProduct: Sendable, Hashable {
    let shape: ConvolutionShape
    let panels: WeightPanels
    /// The work items: output pixels.
    let chunks: BlockCut
    /// Output pixels of one product.
    private let tile: Int
    private let depthCut: EvenCut

    init(_ shape: ConvolutionShape) {
        self.shape = shape
        panels = WeightPanels(rows: shape.depth, columns: shape.outputChannels)
        depthCut = EvenCut(shape.depth, atMost: 256)
        // At least sixteen items where there are pixels enough, each small enough for a core's cache.
        let most = max(6, shape.outputPixels / 16 / 6 * 6)
        tile = min(most, tileRows(columns: panels.panelWidth, depth: depthCut.longest))
        chunks = BlockCut(shape.outputPixels, size: max(tile, min(most, 240) / tile * tile))
    }

    var scratchFloats: Int { tile * depthCut.longest }

    /// See `DirectConvolution.forward`; adds to the output if `accumulate`.
    func compute(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, accumulate: Bool, context: KernelContext,
        finish: (_ item: Int, _ pixels: Range<Int>) -> Void = { _, _ in }
    ) {
        precondition(input.map.pixels == shape.inputPixels && input.map.channels == shape.inputChannels)
        precondition(output.pixels == shape.outputPixels && output.channels == shape.outputChannels)
        context.pool.run(chunks.pieces) { chunk, thread in
            let scratch = context.scratch(thread)
            let tiles = BlockCut(chunks[chunk].count, size: tile)
            for piece in 0..<tiles.pieces {
                let pixels = tiles[piece].offset(by: chunks[chunk].lowerBound)
                for part in 0..<depthCut.pieces {
                    let depth = depthCut[part]
                    shape.gather(input, pixels: pixels, columns: depth, into: scratch)
                    for panel in 0..<panels.panelCount {
                        let columns = panels.columns(ofPanel: panel)
                        multiply(
                            rows: pixels.count, columns: columns.count, depth: depth.count, scratch, depth.count,
                            weights + panels.offset(panel: panel, row: depth.lowerBound), columns.count,
                            accumulate: accumulate || part > 0,
                            output.pixel(pixels.lowerBound) + columns.lowerBound, output.pixelStride)
                    }
                }
            }
            finish(chunk, chunks[chunk])
        }
    }
}

extension ConvolutionShape {
    /// Some columns of the im2col matrix for some output pixels, densely.
    func gather(
        _ input: InputMap, pixels: Range<Int>, columns: Range<Int>, into scratch: UnsafeMutablePointer<Float>
    ) {
        var raw = window.raw
        engine_gather(
            &raw, Int32(inputChannels), input.map.base, input.map.pixelStride, input.norm?.scale, input.norm?.shift,
            input.floor, pixels.lowerBound, pixels.count, columns.lowerBound, columns.count, scratch)
    }
}
