// Biases of dense layers. Their maps are one pixel an image, too small to share among threads.

package enum Bias {
    /// Adds the bias to every pixel.
    package static func add(_ bias: UnsafePointer<Float>, to y: FeatureMap) {
        for pixel in 0..<y.pixels {
            let row = y.pixel(pixel)
            for channel in 0..<y.channels { row[channel] += bias[channel] }
        }
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
