// The forward product of a convolution; also its data gradient, which is a convolution with the mirrored shape.

import CKernels
import PSPlanning

extension ConvolutionPlan {
    /// output = input * weights, added to it if `accumulate`.
    ///
    /// - Parameters:
    ///   - weights: laid out like `panels`.
    ///   - finish: called for each work item when its pixels of `output` are final, on the thread that computed them.
    package func forward(
        input: FeatureMap, weights: UnsafePointer<Float>, output: FeatureMap, accumulate: Bool = false,
        context: KernelContext, finish: (_ chunk: Int, _ pixels: Range<Int>) -> Void = { _, _ in }
    ) {
        precondition(input.pixels == shape.inputPixels && input.channels == shape.inputChannels)
        precondition(output.pixels == shape.outputPixels && output.channels == shape.outputChannels)
        context.pool.run(chunkCount) { chunk, thread in
            let pixels = pixels(ofChunk: chunk)
            switch algorithm {
            case .pointwise: multiplyPoints(pixels, input, weights, output, accumulate)
            case .columns: multiplyColumns(pixels, input, weights, output, accumulate, context.scratch(thread))
            case .shifted: multiplyShifted(pixels, input, weights, output, accumulate)
            }
            finish(chunk, pixels)
        }
    }

    private func multiplyPoints(
        _ pixels: Range<Int>, _ input: FeatureMap, _ weights: UnsafePointer<Float>, _ output: FeatureMap,
        _ accumulate: Bool
    ) {
        forEachTile(of: pixels) { tile in
            for piece in 0..<depthCut.pieces {
                let depth = depthCut[piece]
                multiplyPanels(
                    tile, depth, input.pixel(tile.lowerBound) + depth.lowerBound, input.pixelStride, weights, output,
                    accumulate: accumulate || piece > 0)
            }
        }
    }

    private func multiplyColumns(
        _ pixels: Range<Int>, _ input: FeatureMap, _ weights: UnsafePointer<Float>, _ output: FeatureMap,
        _ accumulate: Bool, _ scratch: UnsafeMutablePointer<Float>
    ) {
        var window = shape.window.raw
        forEachTile(of: pixels) { tile in
            for piece in 0..<depthCut.pieces {
                let depth = depthCut[piece]
                engine_gather(
                    &window, Int32(shape.inputChannels), input.base, input.pixelStride, tile.lowerBound, tile.count,
                    depth.lowerBound, depth.count, scratch)
                multiplyPanels(
                    tile, depth, scratch, depth.count, weights, output, accumulate: accumulate || piece > 0)
            }
        }
    }

    /// The middle tap covers every row and comes first, so that it can overwrite; the others add to the rows they reach.
    private func multiplyShifted(
        _ pixels: Range<Int>, _ input: FeatureMap, _ weights: UnsafePointer<Float>, _ output: FeatureMap,
        _ accumulate: Bool
    ) {
        let (width, height) = (shape.window.output.width, shape.window.output.height)
        let middle = shape.window.padding.height
        let image = pixels.lowerBound / width / height * height
        let rows = pixels.lowerBound / width - image..<pixels.upperBound / width - image
        let cut = EvenCut(rows.count, atMost: tileLimit)
        for piece in 0..<cut.pieces {
            let tile = rows.lowerBound + cut[piece].lowerBound..<rows.lowerBound + cut[piece].upperBound
            for step in 0..<shape.taps {
                // Taps in the order middle, 0, 1, ... without the middle.
                let tap = step == 0 ? middle : (step <= middle ? step - 1 : step)
                let shift = tap - middle
                let reached = tile.clamped(to: max(0, -shift)..<max(0, -shift, min(height, height - shift)))
                if reached.isEmpty { continue }
                let target = (image + reached.lowerBound) * width..<(image + reached.upperBound) * width
                for piece in 0..<depthCut.pieces {
                    let depth = depthCut[piece]
                    let first = tap * shape.inputChannels
                    multiplyPanels(
                        target, first + depth.lowerBound..<first + depth.upperBound,
                        input.pixel(target.lowerBound + shift * width) + depth.lowerBound, input.pixelStride, weights,
                        output, accumulate: accumulate || step > 0 || piece > 0)
                }
            }
        }
    }

    /// One tile times the rows `depth` of every panel.
    @inline(__always)
    private func multiplyPanels(
        _ pixels: Range<Int>, _ depth: Range<Int>, _ left: UnsafePointer<Float>, _ leftStride: Int,
        _ weights: UnsafePointer<Float>, _ output: FeatureMap, accumulate: Bool
    ) {
        for panel in 0..<panels.panelCount {
            let columns = panels.columns(ofPanel: panel)
            multiply(
                rows: pixels.count, columns: columns.count, depth: depth.count, left, leftStride,
                weights + panels.offset(panel: panel, row: depth.lowerBound), columns.count, accumulate: accumulate,
                output.pixel(pixels.lowerBound) + columns.lowerBound, output.pixelStride)
        }
    }

    @inline(__always)
    private func forEachTile(of pixels: Range<Int>, _ body: (Range<Int>) -> Void) {
        let cut = EvenCut(pixels.count, atMost: tileLimit)
        for piece in 0..<cut.pieces {
            let tile = cut[piece]
            body(pixels.lowerBound + tile.lowerBound..<pixels.lowerBound + tile.upperBound)
        }
    }
}
