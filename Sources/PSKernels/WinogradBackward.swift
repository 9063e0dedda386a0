// Both gradients of a Winograd convolution in one pass over its blocks: dM, the transform of the output's gradient, is
// used for the weights' gradient dU = V^T dM and for the input's, dV = dM U^T.

import CKernels
import PSPlanning

extension WinogradConvolution {
    /// Writes the gradient of the weights and, unless it is nil, that of the input.
    ///
    /// - Parameters:
    ///   - input: as the forward product read it.
    ///   - gradientWeights: as prepared; nil if there is no `inputGradient`.
    ///   - accumulate: adds to `inputGradient` instead of overwriting it.
    ///   - parts: `partFloats` floats to work in.
    ///   - canonical: the gradient of the weights, OIHW.
    /// - Returns: the data gradient's share of the time, 0 to 1; what both gradients need counts for each by half.
    @discardableResult
    package func backward(
        input: InputMap, outputGradient: GradientMap, gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) -> Double {
        precondition(input.map.pixels == shape.inputPixels && input.map.channels == shape.inputChannels)
        precondition(outputGradient.map.pixels == shape.outputPixels)
        precondition(outputGradient.map.channels == shape.outputChannels)
        precondition((gradientWeights == nil) == (inputGradient == nil))
        let (transforms, slots) = (transforms, slots)
        let clock = ShareClock(threads: context.pool.threadCount)
        context.pool.run(chunks.pieces * backwardGroups.pieces) { item, thread in
            let item = BackwardItem(
                plan: self, transforms: transforms, slots: slots, input: input, outputGradient: outputGradient,
                gradientWeights: gradientWeights,
                inputGradient: inputGradient, accumulate: accumulate,
                part: parts + item / backwardGroups.pieces * weightFloats, images: chunks[item / backwardGroups.pieces],
                group: backwardGroups[item % backwardGroups.pieces], scratch: context.scratch(thread))
            item.run(clock, thread: thread)
        }
        let stored = clock.now
        storeWeightGradient(parts: parts, canonical: canonical, context: context)
        // All threads share the storing.
        clock.add(first: .zero, second: (clock.now - stored) * context.pool.threadCount, thread: 0)
        return clock.share
    }
}

/// The gradients of some images with respect to a group of input channels.
private struct BackwardItem {
    let plan: WinogradConvolution
    let transforms: winograd_transforms
    let slots: [WinogradConvolution.WeightSlot]
    let input: InputMap
    let outputGradient: GradientMap
    let gradientWeights: UnsafePointer<Float>?
    let inputGradient: FeatureMap?
    let accumulate: Bool
    let part: UnsafeMutablePointer<Float>
    let images: Range<Int>
    /// Of `gradientPanels`.
    let group: Range<Int>
    let scratch: UnsafeMutablePointer<Float>

    func run(_ clock: ShareClock, thread: Int) {
        let blocks = plan.backwardBlocks(images: images.count)
        for block in 0..<blocks.count {
            add(
                lines: blocks[block].offset(by: images.lowerBound * plan.lines), isFirst: block == 0,
                inputs: plan.tileMatrices(blocks, channels.count),
                outputs: plan.tileMatrices(blocks, plan.shape.outputChannels), clock, thread)
        }
        if let inputGradient, !accumulate { clearUncovered(inputGradient) }
    }

    private var channels: Range<Int> { plan.gradientPanels.columns(ofPanels: group) }

    private func add(
        lines: Range<Int>, isFirst: Bool, inputs: TileMatrices, outputs: TileMatrices, _ clock: ShareClock,
        _ thread: Int
    ) {
        var map = plan.map
        let v = scratch
        let m = v + inputs.floats
        let tiles = lines.count * plan.columns
        let start = clock.now
        withGradientNorm { norm in
            transforms.output_gradient(
                &map, outputGradient.map.base, outputGradient.map.pixelStride, Int32(plan.shape.outputChannels), norm,
                lines.lowerBound, lines.count, m, outputs.productStride, outputs.tileStride)
        }
        let shared = clock.now
        transforms.input(
            &map, input.map.base + channels.lowerBound, input.map.pixelStride, Int32(channels.count),
            (input.norm?.scale).map { $0 + channels.lowerBound }, (input.norm?.shift).map { $0 + channels.lowerBound },
            input.floor, lines.lowerBound, lines.count, v, inputs.productStride, inputs.tileStride)
        for (product, slot) in slots.enumerated() {
            addWeightGradient(
                tiles: tiles, v + product * inputs.productStride, inputs.tileStride,
                m + product * outputs.productStride, outputs.tileStride, accumulate: !(isFirst && slot.isFirst),
                part + slot.index * plan.panels.elementCount)
        }
        let weightsDone = clock.now
        guard let inputGradient, let gradientWeights else {
            clock.add(first: .zero, second: weightsDone - start, thread: thread)
            return
        }
        for (product, slot) in slots.enumerated() {
            plan.multiplyPanels(
                plan.gradientPanels, group, rows: tiles, m + product * outputs.productStride, outputs.tileStride,
                gradientWeights + slot.index * plan.gradientPanels.elementCount,
                v + product * inputs.productStride, inputs.tileStride)
        }
        transforms.input_gradient(
            &map, inputGradient.base + channels.lowerBound, inputGradient.pixelStride, Int32(channels.count),
            accumulate ? 1 : 0, lines.lowerBound, lines.count, v, inputs.productStride, inputs.tileStride)
        let half = (shared - start) / 2
        clock.add(first: half + (clock.now - weightsDone), second: half + (weightsDone - shared), thread: thread)
    }

    private func withGradientNorm(_ body: (UnsafePointer<winograd_gradient_norm>?) -> Void) {
        guard let norm = outputGradient.norm else { return body(nil) }
        var raw = winograd_gradient_norm(
            x: norm.x.base, x_stride: norm.x.pixelStride, scale: norm.state.scale, shift: norm.state.shift,
            mean: norm.state.mean, slope: norm.state.slope, offset: norm.state.offset, floor: norm.state.floor)
        body(&raw)
    }

    /// dU of one product, the rows of the group's input channels.
    private func addWeightGradient(
        tiles: Int, _ v: UnsafePointer<Float>, _ inputStride: Int, _ m: UnsafePointer<Float>, _ outputStride: Int,
        accumulate: Bool, _ target: UnsafeMutablePointer<Float>
    ) {
        let panels = plan.panels
        let depthCut = EvenCut(tiles, atMost: 512)
        for panel in 0..<panels.panelCount {
            let columns = panels.columns(ofPanel: panel)
            let rowCut = EvenCut(channels.count, atMost: smallProduct / (columns.count * depthCut.longest))
            for piece in 0..<depthCut.pieces {
                let depth = depthCut[piece]
                for rows in 0..<rowCut.pieces {
                    let rows = rowCut[rows]
                    multiplyTransposed(
                        rows: rows.count, columns: columns.count, depth: depth.count,
                        v + depth.lowerBound * inputStride + rows.lowerBound, inputStride,
                        m + depth.lowerBound * outputStride + columns.lowerBound, outputStride,
                        accumulate: accumulate || piece > 0,
                        target + panels.offset(panel: panel, row: channels.lowerBound + rows.lowerBound),
                        columns.count)
                }
            }
        }
    }

    /// Rows and columns at the far edges that no window reaches have no gradient.
    private func clearUncovered(_ gradient: FeatureMap) {
        let (vertical, horizontal) = (plan.scheme.vertical, plan.scheme.horizontal)
        let padding = plan.shape.window.padding
        let rows = (plan.lines - 1) * vertical.step + vertical.extent - padding.height
        let columns = (plan.columns - 1) * horizontal.step + horizontal.extent - padding.width
        if rows >= gradient.height && columns >= gradient.width { return }
        for image in images {
            for row in 0..<gradient.height {
                for column in (row < rows ? min(columns, gradient.width) : 0)..<gradient.width {
                    let pixel = gradient.pixel((image * gradient.height + row) * gradient.width + column)
                    (pixel + channels.lowerBound).update(repeating: 0, count: channels.count)
                }
            }
        }
    }
}
