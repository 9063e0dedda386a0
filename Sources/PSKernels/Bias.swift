// Biases: of dense layers, whose maps are one pixel an image, too small to share among threads; and of convolutions
// into whose weights batch norm was folded.

import CKernels

package enum Bias {
    /// Adds the bias to every pixel.
    package static func add(_ bias: UnsafePointer<Float>, to y: FeatureMap) {
        for pixel in 0..<y.pixels {
            let row = y.pixel(pixel)
            for channel in 0..<y.channels { row[channel] += bias[channel] }
        }
    }

    /// y = max(y + bias, floor) for some pixels, on the calling thread.
    package static func add(_ bias: UnsafePointer<Float>, floor: Float, to y: FeatureMap, pixels: Range<Int>) {
        engine_bias(y.pixel(pixels.lowerBound), y.pixelStride, pixels.count, y.channels, bias, floor)
    }

    /// The gradient of the bias: the sum over all pixels, in order.
    package static func gradient(outputGradient: FeatureMap, into gradient: UnsafeMutablePointer<Float>) {
        gradient.update(from: outputGradient.base, count: outputGradient.channels)
        for pixel in 1..<max(outputGradient.pixels, 1) {
            let row = outputGradient.pixel(pixel)
            for channel in 0..<outputGradient.channels { gradient[channel] += row[channel] }
        }
    }
}
