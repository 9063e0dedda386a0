// How each convolution is computed: which algorithm, and how its work is cut. A plan is a function of the shape alone,
// because its cuts decide the order of additions and so the bits.

import PSPlanning

/// The forms of a direct convolution.
package enum DirectForm: String, Sendable, Hashable {
    /// 1x1 of stride 1: the map is the left matrix as it lies.
    case pointwise
    /// One column of taps, stride 1, size kept: a product per tap with the map shifted by rows, nothing copied.
    case shifted
    /// Tiles of the im2col matrix, gathered just before they are multiplied.
    case columns
}

/// The plan of one convolution in one direction (forward, or the data gradient as a mirrored convolution) together with
/// that of its weight gradient.
package struct ConvolutionPlan: Sendable, Hashable, CustomStringConvertible {
    package let shape: ConvolutionShape
    package let algorithm: DirectForm
    package let panels: WeightPanels
    /// The work items: output pixels, or with `.shifted` rows of output of all images, never two images in one.
    let chunks: EvenCut
    /// Items per image with `.shifted`, else 0.
    let chunksPerImage: Int
    /// Depth of one product: all columns, or with `.shifted` the input channels of one tap.
    let depthCut: EvenCut
    /// Output pixels of one product (`.shifted`: rows of the map).
    let tileLimit: Int

    package init(_ shape: ConvolutionShape) {
        self.shape = shape
        panels = WeightPanels(rows: shape.depth, columns: shape.outputChannels)
        let window = shape.window
        if window.isPointwise {
            algorithm = .pointwise
        } else if window.kernel.width == 1 && window.stride.area == 1 && window.output == window.input {
            algorithm = .shifted
        } else {
            algorithm = .columns
        }
        let widest = panels.columns(ofPanel: 0).count
        switch algorithm {
        case .pointwise, .columns:
            depthCut = EvenCut(shape.depth, atMost: 256)
            let pixels = min(256, smallProduct / (widest * depthCut.longest))
            // At least sixteen items where the map allows it, of at most 256 pixels, so that a core's cache holds them.
            let limit = max(min(256, shape.outputPixels / 16), min(60, pixels))
            chunks = EvenCut(shape.outputPixels, atMost: limit)
            chunksPerImage = 0
            tileLimit = pixels
        case .shifted:
            depthCut = EvenCut(shape.inputChannels, atMost: 256)
            let pixels = min(256, smallProduct / (widest * depthCut.longest))
            tileLimit = max(1, pixels / window.output.width)
            let perImage = EvenCut(window.output.height, atMost: max(1, 512 / window.output.width))
            chunksPerImage = perImage.pieces
            chunks = EvenCut(shape.batch * perImage.pieces, pieces: shape.batch * perImage.pieces)
        }
    }

    /// Floats of scratch one thread needs.
    package var scratchFloats: Int {
        algorithm == .columns ? min(chunks.longest, tileLimit) * depthCut.longest : 0
    }

    package var chunkCount: Int { chunks.pieces }

    /// The output pixels of one work item.
    package func pixels(ofChunk chunk: Int) -> Range<Int> {
        guard algorithm == .shifted else { return chunks[chunk] }
        let map = shape.window.output
        let rows = EvenCut(map.height, pieces: chunksPerImage)[chunk % chunksPerImage]
        let first = chunk / chunksPerImage * map.height
        return (first + rows.lowerBound) * map.width..<(first + rows.upperBound) * map.width
    }

    package var description: String {
        let (kernel, map) = (shape.window.kernel, shape.window.output)
        return "\(kernel.height)x\(kernel.width)/\(shape.window.stride.height) \(shape.inputChannels)->"
            + "\(shape.outputChannels) at \(map.height)x\(map.width): \(algorithm.rawValue), \(chunkCount) items, depth "
            + "\(depthCut.longest) x \(depthCut.pieces), \(panels.panelCount) panels of \(panels.panelWidth)"
    }
}
