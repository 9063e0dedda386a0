// The gradient of a convolution's input.

import CKernels
import PSPlanning

/// How one data gradient is computed.
package enum DataGradientPlan: Sendable, Hashable {
    /// A convolution of the output's gradient with the kernel turned round.
    case mirrored(ConvolutionPlan)
    /// Stride above 1: products with the transposed weights, scattered back onto the input, one image an item.
    case scattered(ConvolutionShape, WeightPanels)

    package init(_ shape: ConvolutionShape) {
        if let mirrored = shape.mirrored {
            self = .mirrored(ConvolutionPlan(mirrored))
        } else {
            self = .scattered(shape, WeightLayout(shape).backward)
        }
    }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        switch self {
        case .mirrored(let plan): plan.scratchFloats
        case .scattered(_, let panels): DataGradientPlan.tileLimit * panels.panelWidth
        }
    }

    /// Writes the gradient of the input, or adds to it if `accumulate`.
    ///
    /// - Parameter weights: laid out like `WeightLayout.backward`.
    package func compute(
        outputGradient: FeatureMap, weights: UnsafePointer<Float>, inputGradient: FeatureMap, accumulate: Bool,
        context: KernelContext
    ) {
        switch self {
        case .mirrored(let plan):
            plan.forward(
                input: outputGradient, weights: weights, output: inputGradient, accumulate: accumulate,
                context: context)
        case .scattered(let shape, let panels):
            context.pool.run(shape.batch) { image, thread in
                if !accumulate { clear(image: image, inputGradient) }
                scatter(image, shape, panels, outputGradient, weights, inputGradient, context.scratch(thread))
            }
        }
    }

    private static let tileLimit = 60

    private func clear(image: Int, _ map: FeatureMap) {
        let pixels = map.height * map.width
        for pixel in image * pixels..<(image + 1) * pixels {
            map.pixel(pixel).update(repeating: 0, count: map.channels)
        }
    }

    private func scatter(
        _ image: Int, _ shape: ConvolutionShape, _ panels: WeightPanels, _ outputGradient: FeatureMap,
        _ weights: UnsafePointer<Float>, _ inputGradient: FeatureMap, _ scratch: UnsafeMutablePointer<Float>
    ) {
        var window = shape.window.raw
        let pixels = shape.window.output.area
        let tiles = EvenCut(pixels, atMost: DataGradientPlan.tileLimit)
        let depthCut = EvenCut(shape.outputChannels, atMost: 256)
        for piece in 0..<tiles.pieces {
            let first = image * pixels + tiles[piece].lowerBound
            let count = tiles[piece].count
            for panel in 0..<panels.panelCount {
                let columns = panels.columns(ofPanel: panel)
                for part in 0..<depthCut.pieces {
                    let depth = depthCut[part]
                    multiply(
                        rows: count, columns: columns.count, depth: depth.count,
                        outputGradient.pixel(first) + depth.lowerBound, outputGradient.pixelStride,
                        weights + panels.offset(panel: panel, row: depth.lowerBound), columns.count,
                        accumulate: part > 0, scratch, columns.count)
                }
                engine_scatter(
                    &window, Int32(shape.inputChannels), scratch, first, count, columns.lowerBound, columns.count,
                    inputGradient.base, inputGradient.pixelStride)
            }
        }
    }
}
