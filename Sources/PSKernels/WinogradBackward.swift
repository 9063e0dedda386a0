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
        input: InputMap, outputGradient gradient: GradientMap, gradientWeights: UnsafePointer<Float>?,
        inputGradient: FeatureMap?, accumulate: Bool, parts: UnsafeMutablePointer<Float>,
        canonical: UnsafeMutablePointer<Float>, context: KernelContext
    ) -> Double {
        let outputGradient = gradient.materialised(context).map
        precondition(input.map.pixels == shape.inputPixels && input.map.channels == shape.inputChannels)
        precondition(outputGradient.pixels == shape.outputPixels && outputGradient.channels == shape.outputChannels)
        precondition((gradientWeights == nil) == (inputGradient == nil))
        let items = chunks.pieces * backwardGroups.pieces
        var times = [BackwardTimes](repeating: BackwardTimes(), count: items)
        let started = ContinuousClock.now
        times.withUnsafeMutableBufferPointer { times in
            nonisolated(unsafe) let times = times
            context.pool.run(items) { item, thread in
                let work = BackwardItem(
                    plan: self, input: input, outputGradient: outputGradient, gradientWeights: gradientWeights,
                    inputGradient: inputGradient, accumulate: accumulate,
                    part: parts + item / backwardGroups.pieces * weightFloats,
                    group: backwardGroups[item % backwardGroups.pieces], scratch: context.scratch(thread))
                times[item] = work.run(images: chunks[item / backwardGroups.pieces])
            }
        }
        let between = ContinuousClock.now
        storeWeightGradient(parts: parts, canonical: canonical, context: context)
        let store = (ContinuousClock.now - between) / (between - started)
        let data = times.reduce(0) { $0 + $1.data }
        let weights = times.reduce(0) { $0 + $1.weights }
        return data / max((data + weights) * (1 + store), .leastNormalMagnitude)
    }
}

/// Seconds one work item spent on each gradient.
private struct BackwardTimes {
    var data = 0.0
    var weights = 0.0
}

/// The gradients of some images with respect to a group of input channels.
private struct BackwardItem {
    let plan: WinogradConvolution
    let input: InputMap
    let outputGradient: FeatureMap
    let gradientWeights: UnsafePointer<Float>?
    let inputGradient: FeatureMap?
    let accumulate: Bool
    let part: UnsafeMutablePointer<Float>
    /// Of `gradientPanels`.
    let group: Range<Int>
    let scratch: UnsafeMutablePointer<Float>

    func run(images: Range<Int>) -> BackwardTimes {
        let blocks = plan.backwardBlocks(images: images.count)
        let first = images.lowerBound * plan.lines
        var times = BackwardTimes()
        for block in 0..<blocks.count {
            let lines = blocks[block]
            add(
                lines: first + lines.lowerBound..<first + lines.upperBound, isFirst: block == 0,
                inputs: plan.tileMatrices(blocks, channels.count),
                outputs: plan.tileMatrices(blocks, plan.shape.outputChannels), &times)
        }
        if let inputGradient, !accumulate { clearUncovered(inputGradient, images) }
        return times
    }

    private var channels: Range<Int> { plan.channels(of: group, in: plan.gradientPanels) }

    private func add(
        lines: Range<Int>, isFirst: Bool, inputs: TileMatrices, outputs: TileMatrices, _ times: inout BackwardTimes
    ) {
        var map = plan.map
        let transforms = plan.transforms
        let slots = plan.slots
        let v = scratch
        let m = v + inputs.floats
        let tiles = lines.count * plan.columns
        let start = ContinuousClock.now
        transforms.output_gradient(
            &map, outputGradient.base, outputGradient.pixelStride, Int32(plan.shape.outputChannels), lines.lowerBound,
            lines.count, m, outputs.productStride, outputs.tileStride)
        let shared = ContinuousClock.now
        transforms.input(
            &map, input.map.base + channels.lowerBound, input.map.pixelStride, Int32(channels.count),
            (input.norm?.scale).map { $0 + channels.lowerBound }, (input.norm?.shift).map { $0 + channels.lowerBound },
            lines.lowerBound, lines.count, v, inputs.productStride, inputs.tileStride)
        var begun = Set<Int>()
        for product in 0..<plan.scheme.products {
            // At stride 2 several products add to one weight.
            let isFirst = begun.insert(slots[product]).inserted && isFirst
            addWeightGradient(
                tiles: tiles, v + product * inputs.productStride, inputs.tileStride,
                m + product * outputs.productStride, outputs.tileStride, accumulate: !isFirst,
                part + slots[product] * plan.panels.elementCount)
        }
        let weightsDone = ContinuousClock.now
        times.weights += (shared - start) / .seconds(2) + (weightsDone - shared) / .seconds(1)
        guard let inputGradient, let gradientWeights else { return }
        for product in 0..<plan.scheme.products {
            plan.multiplyPanels(
                plan.gradientPanels, group, rows: tiles, m + product * outputs.productStride, outputs.tileStride,
                gradientWeights + slots[product] * plan.gradientPanels.elementCount,
                v + product * inputs.productStride, inputs.tileStride)
        }
        transforms.input_gradient(
            &map, inputGradient.base + channels.lowerBound, inputGradient.pixelStride, Int32(channels.count),
            accumulate ? 1 : 0, lines.lowerBound, lines.count, v, inputs.productStride, inputs.tileStride)
        times.data += (shared - start) / .seconds(2) + (ContinuousClock.now - weightsDone) / .seconds(1)
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
    private func clearUncovered(_ gradient: FeatureMap, _ images: Range<Int>) {
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
