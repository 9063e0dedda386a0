// The forward product of a Winograd convolution.

import CKernels
import PSPlanning

extension WinogradConvolution {
    /// Work items of the forward product: pairs of a block of tiles and a group of output channels.
    package var itemCount: Int { forwardBlocks.count * forwardGroups.pieces }

    /// The output pixels of one work item: whole rows.
    package func pixels(ofItem item: Int) -> Range<Int> {
        let block = forwardBlocks[item / forwardGroups.pieces]
        let output = shape.window.output
        func pixel(line: Int) -> Int {
            let row = min(line % lines * scheme.vertical.outputs, output.height)
            return (line / lines * output.height + row) * output.width
        }
        return pixel(line: block.lowerBound)..<pixel(line: block.upperBound)
    }

    /// The output channels of one work item.
    package func channels(ofItem item: Int) -> Range<Int> {
        panels.columns(ofPanels: forwardGroups[item % forwardGroups.pieces])
    }

    package func forward(
        input: InputMap, weights: UnsafePointer<Float>, output: FeatureMap, bias: UnsafePointer<Float>?, floor: Float,
        context: KernelContext, finish: (_ item: Int, _ pixels: Range<Int>, _ channels: Range<Int>) -> Void
    ) {
        precondition(input.map.pixels == shape.inputPixels && input.map.channels == shape.inputChannels)
        precondition(output.pixels == shape.outputPixels && output.channels == shape.outputChannels)
        let transforms = transforms
        let slots = slots
        context.pool.run(itemCount) { item, thread in
            var map = map
            let block = forwardBlocks[item / forwardGroups.pieces]
            let group = forwardGroups[item % forwardGroups.pieces]
            let channels = channels(ofItem: item)
            let tiles = block.count * columns
            let inputs = tileMatrices(forwardBlocks, shape.inputChannels)
            let outputs = tileMatrices(forwardBlocks, channels.count)
            let v = context.scratch(thread)
            let m = v + inputs.floats
            transforms.input(
                &map, input.map.base, input.map.pixelStride, Int32(shape.inputChannels), input.norm?.scale,
                input.norm?.shift, input.floor, block.lowerBound, block.count, v, inputs.productStride,
                inputs.tileStride)
            for product in 0..<scheme.products {
                multiplyPanels(
                    panels, group, rows: tiles, v + product * inputs.productStride, inputs.tileStride,
                    weights + slots[product].index * panels.elementCount, m + product * outputs.productStride,
                    outputs.tileStride)
            }
            transforms.output(
                &map, output.base + channels.lowerBound, output.pixelStride, Int32(channels.count),
                bias.map { $0 + channels.lowerBound }, floor, block.lowerBound, block.count, m, outputs.productStride,
                outputs.tileStride)
            finish(item, pixels(ofItem: item), channels)
        }
    }

    /// target = left * the weights of the group's panels; the target's first column is that of the group's first panel.
    func multiplyPanels(
        _ panels: WeightPanels, _ group: Range<Int>, rows: Int, _ left: UnsafePointer<Float>, _ leftStride: Int,
        _ weights: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>, _ targetStride: Int
    ) {
        let depthCut = EvenCut(panels.rows, atMost: 512)
        let first = panels.columns(ofPanel: group.lowerBound).lowerBound
        for panel in group {
            let columns = panels.columns(ofPanel: panel)
            let rowCut = EvenCut(rows, atMost: smallProduct / (columns.count * depthCut.longest))
            for piece in 0..<depthCut.pieces {
                let depth = depthCut[piece]
                for tiles in 0..<rowCut.pieces {
                    let tiles = rowCut[tiles]
                    multiply(
                        rows: tiles.count, columns: columns.count, depth: depth.count,
                        left + tiles.lowerBound * leftStride + depth.lowerBound, leftStride,
                        weights + panels.offset(panel: panel, row: depth.lowerBound), columns.count,
                        accumulate: piece > 0,
                        target + tiles.lowerBound * targetStride + columns.lowerBound - first, targetStride)
                }
            }
        }
    }
}
