// The gradient of a convolution's weights: the input's columns, transposed, times the output's gradient.

import CKernels
import PSPlanning

/// How one weight gradient is computed. Work items are pairs of a chunk of pixels and a group of rows of the weight
/// matrix; each chunk adds up a whole weight matrix of its own, and the chunks are added at the end, in order.
package struct WeightGradientPlan: Sendable, Hashable {
    package let shape: ConvolutionShape
    package let algorithm: DirectForm
    package let layout: WeightLayout
    /// Output pixels, or images with `.shifted`.
    let chunks: EvenCut
    /// Rows of the weight matrix multiplied at once; with `.shifted` those of one tap.
    let depthCut: EvenCut
    /// Blocks of rows: `depthCut`'s pieces, with `.shifted` those of every tap.
    let blocks: Int
    let groups: EvenCut
    /// Output pixels of one product.
    let tileLimit: Int

    package init(_ shape: ConvolutionShape) {
        self.shape = shape
        algorithm = ConvolutionPlan(shape).algorithm
        layout = WeightLayout(shape)
        // Sixteen items if the shape has them; few chunks where the weights are large, for each costs a copy of them.
        let wanted = max(1, min(16, shape.outputPixels / 4096))
        switch algorithm {
        case .pointwise, .columns:
            chunks = EvenCut(shape.outputPixels, pieces: wanted)
            depthCut = EvenCut(shape.depth, atMost: 64)
            blocks = depthCut.pieces
        case .shifted:
            chunks = EvenCut(shape.batch, pieces: wanted)
            depthCut = EvenCut(shape.inputChannels, atMost: 64)
            blocks = depthCut.pieces * shape.taps
        }
        groups = EvenCut(blocks, pieces: (16 + chunks.pieces - 1) / chunks.pieces)
        tileLimit = min(256, smallProduct / (layout.forward.columns(ofPanel: 0).count * depthCut.longest))
    }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int { algorithm == .columns ? tileLimit * depthCut.longest : 0 }

    /// Floats of memory for the chunks' results.
    package var partFloats: Int { chunks.pieces * layout.elementCount }

    /// Writes the gradient to `canonical`, OIHW.
    ///
    /// - Parameter parts: `partFloats` floats to work in.
    package func compute(
        input: FeatureMap, outputGradient: FeatureMap, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) {
        precondition(input.pixels == shape.inputPixels && outputGradient.pixels == shape.outputPixels)
        context.pool.run(chunks.pieces * groups.pieces) { item, thread in
            let chunk = item / groups.pieces
            let part = parts + chunk * layout.elementCount
            let blocks = groups[item % groups.pieces]
            switch algorithm {
            case .pointwise, .columns:
                addTiles(chunks[chunk], blocks, input, outputGradient, part, context.scratch(thread))
            case .shifted:
                for block in blocks { addShifted(images: chunks[chunk], block: block, input, outputGradient, part) }
            }
        }
        context.pool.run(layout.forward.panelCount) { panel, _ in
            layout.storeGradient(panel: panel, parts: parts, partCount: chunks.pieces, to: canonical)
        }
    }

    private func addTiles(
        _ pixels: Range<Int>, _ blocks: Range<Int>, _ input: FeatureMap, _ outputGradient: FeatureMap,
        _ part: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutablePointer<Float>
    ) {
        var window = shape.window.raw
        let cut = EvenCut(pixels.count, atMost: tileLimit)
        for piece in 0..<cut.pieces {
            let tile = pixels.lowerBound + cut[piece].lowerBound..<pixels.lowerBound + cut[piece].upperBound
            for block in blocks {
                let depth = depthCut[block]
                if algorithm == .pointwise {
                    addProducts(
                        tile, depth, input.pixel(tile.lowerBound) + depth.lowerBound, input.pixelStride,
                        outputGradient, part, accumulate: piece > 0)
                } else {
                    engine_gather(
                        &window, Int32(shape.inputChannels), input.base, input.pixelStride, tile.lowerBound,
                        tile.count, depth.lowerBound, depth.count, scratch)
                    addProducts(
                        tile, depth, scratch, depth.count, outputGradient, part, accumulate: piece > 0)
                }
            }
        }
    }

    /// One tap's block of rows: per image, the rows of the map the shifted tap reaches.
    private func addShifted(
        images: Range<Int>, block: Int, _ input: FeatureMap, _ outputGradient: FeatureMap,
        _ part: UnsafeMutablePointer<Float>
    ) {
        let tap = block / depthCut.pieces
        let channels = depthCut[block % depthCut.pieces]
        let depth = tap * shape.inputChannels + channels.lowerBound..<tap * shape.inputChannels + channels.upperBound
        let shift = tap - shape.window.padding.height
        let map = shape.window.output
        let reached = map.height - abs(shift)
        guard reached > 0 else {
            // A map lower than the kernel's arm: this tap sees padding only.
            for panel in 0..<layout.forward.panelCount {
                let start = part + layout.forward.offset(panel: panel, row: depth.lowerBound)
                start.update(repeating: 0, count: depth.count * layout.forward.columns(ofPanel: panel).count)
            }
            return
        }
        let cut = EvenCut(reached * map.width, atMost: tileLimit)
        for image in images {
            let first = (image * map.height + max(0, -shift)) * map.width
            for piece in 0..<cut.pieces {
                let tile = first + cut[piece].lowerBound..<first + cut[piece].upperBound
                addProducts(
                    tile, depth, input.pixel(tile.lowerBound + shift * map.width) + channels.lowerBound,
                    input.pixelStride, outputGradient, part, accumulate: image > images.lowerBound || piece > 0)
            }
        }
    }

    @inline(__always)
    private func addProducts(
        _ pixels: Range<Int>, _ depth: Range<Int>, _ left: UnsafePointer<Float>, _ leftStride: Int,
        _ outputGradient: FeatureMap, _ part: UnsafeMutablePointer<Float>, accumulate: Bool
    ) {
        for panel in 0..<layout.forward.panelCount {
            let columns = layout.forward.columns(ofPanel: panel)
            multiplyTransposed(
                rows: depth.count, columns: columns.count, depth: pixels.count, left, leftStride,
                outputGradient.pixel(pixels.lowerBound) + columns.lowerBound, outputGradient.pixelStride,
                accumulate: accumulate, part + layout.forward.offset(panel: panel, row: depth.lowerBound),
                columns.count)
        }
    }
}
