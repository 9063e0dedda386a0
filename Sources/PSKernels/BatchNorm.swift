// Batch norm over the pixels of a batch: y = max((x - mean) / sqrt(variance + epsilon) * gamma + beta, floor), where a
// ReLU follows with a floor of 0, else of minus infinity.
//
// Letters: n values per channel (all pixels of the batch), x what the convolution wrote, d the gradient that reaches
// it through the ReLU (0 where that was closed), x' = (x - mean) / sqrt(variance + epsilon).

import CKernels

/// Where one batch-norm layer's per-channel values are kept.
package struct BatchNormState {
    /// y = max(x * scale + shift, floor); readers of the map apply it.
    package let scale: UnsafeMutablePointer<Float>
    package let shift: UnsafeMutablePointer<Float>
    /// 0 where a ReLU follows, else minus infinity.
    package let floor: Float
    /// Mean of the batch.
    package let mean: UnsafeMutablePointer<Float>
    /// 1 / sqrt(variance + epsilon), the variance biased.
    package let inverseDeviation: UnsafeMutablePointer<Float>
    /// The gradient of x is scale * d + slope * (x - mean) + offset; readers of the gradient apply it.
    package let slope: UnsafeMutablePointer<Float>
    package let offset: UnsafeMutablePointer<Float>

    package static let vectors = 4

    /// - Parameter vectors: `BatchNormState.vectors` vectors of `channels` floats, for all but scale and shift.
    package init(
        scale: UnsafeMutablePointer<Float>, shift: UnsafeMutablePointer<Float>, floor: Float = 0,
        vectors: UnsafeMutablePointer<Float>, channels: Int
    ) {
        self.floor = floor
        self.scale = scale
        self.shift = shift
        mean = vectors
        inverseDeviation = vectors + channels
        slope = vectors + 2 * channels
        offset = vectors + 3 * channels
    }
}

package enum BatchNorm {
    /// Per-channel mean and sum of squared distances of some pixels and channels.
    ///
    /// - Parameter moments: two vectors of all the map's channels, of which those in `channels` are written.
    package static func partMoments(
        _ x: FeatureMap, pixels: Range<Int>, channels: Range<Int>, moments: UnsafeMutablePointer<Float>
    ) {
        engine_moments(
            x.pixel(pixels.lowerBound) + channels.lowerBound, x.pixelStride, pixels.count, channels.count,
            moments + channels.lowerBound, moments + x.channels + channels.lowerBound)
    }

    /// Puts the parts' moments together (Chan, Golub and LeVeque 1979), in order and in double precision, and derives
    /// the layer's scale and shift.
    ///
    /// - Parameters:
    ///   - moments: as `partMoments` wrote them, part after part.
    ///   - part: each part's number of pixels and its channels; every channel's pixels appear once.
    ///   - gamma: nil for a learned scale of 1.
    ///   - batchMean, batchVariance: where this batch's statistics go; the variance divides by n - 1 if `unbiased`.
    package static func finishMoments(
        _ moments: UnsafePointer<Float>, parts: Int, part: (Int) -> (pixels: Int, channels: Range<Int>), channels: Int,
        gamma: UnsafePointer<Float>?, beta: UnsafePointer<Float>, epsilon: Float, unbiased: Bool,
        state: BatchNormState, batchMean: UnsafeMutablePointer<Float>, batchVariance: UnsafeMutablePointer<Float>
    ) {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 3 * channels) { sums in
            sums.update(repeating: 0)
            let mean = sums.baseAddress!
            let squares = mean + channels
            let counts = squares + channels
            for index in 0..<parts {
                let (pixels, range) = part(index)
                let from = moments + index * 2 * channels
                let count = Double(pixels)
                for channel in range {
                    let before = counts[channel]
                    counts[channel] = before + count
                    let share = count / counts[channel]
                    let distance = Double(from[channel]) - mean[channel]
                    mean[channel] += distance * share
                    squares[channel] += Double(from[channels + channel]) + distance * distance * (before * share)
                }
            }
            for channel in 0..<channels {
                let variance = squares[channel] / counts[channel]
                let inverse = 1 / (variance + Double(epsilon)).squareRoot()
                let scale = Double(gamma?[channel] ?? 1) * inverse
                state.mean[channel] = Float(mean[channel])
                state.inverseDeviation[channel] = Float(inverse)
                state.scale[channel] = Float(scale)
                state.shift[channel] = Float(Double(beta[channel]) - mean[channel] * scale)
                batchMean[channel] = Float(mean[channel])
                batchVariance[channel] = Float(unbiased ? squares[channel] / (counts[channel] - 1) : variance)
            }
        }
    }

    /// The layer's scale and shift from running statistics, in training with frozen batch norm; they are handed out as the
    /// batch's, since nothing is learned of the batch.
    package static func useRunning(
        mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, channels: Int, gamma: UnsafePointer<Float>?,
        beta: UnsafePointer<Float>, epsilon: Float, state: BatchNormState, batchMean: UnsafeMutablePointer<Float>,
        batchVariance: UnsafeMutablePointer<Float>
    ) {
        runningScale(
            mean: mean, variance: variance, channels: channels, gamma: gamma, beta: beta, epsilon: epsilon,
            scale: state.scale, shift: state.shift)
        for channel in 0..<channels {
            state.mean[channel] = mean[channel]
            state.inverseDeviation[channel] = Float(1 / (Double(variance[channel]) + Double(epsilon)).squareRoot())
        }
        batchMean.update(from: mean, count: channels)
        batchVariance.update(from: variance, count: channels)
    }

    /// Scale and shift from running statistics, for inference.
    package static func runningScale(
        mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, channels: Int, gamma: UnsafePointer<Float>?,
        beta: UnsafePointer<Float>, epsilon: Float, scale: UnsafeMutablePointer<Float>,
        shift: UnsafeMutablePointer<Float>
    ) {
        for channel in 0..<channels {
            let inverse = 1 / (Double(variance[channel]) + Double(epsilon)).squareRoot()
            let product = Double(gamma?[channel] ?? 1) * inverse
            scale[channel] = Float(product)
            shift[channel] = Float(Double(beta[channel]) - Double(mean[channel]) * product)
        }
    }

    /// Floats of memory `backward` needs.
    package static func partFloats(pixels: Int, channels: Int) -> Int {
        passCut(pixels: pixels, channels: channels).pieces * 2 * channels
    }

    /// Writes the gradients of gamma and beta, and to `state` what turns the gradient of y into that of x when it is
    /// read:
    ///
    /// dx = gamma / deviation * (d - mean(d) - x' * mean(d * x')).
    ///
    /// - Parameter isFrozen: mean and deviation are constants: dx = gamma / deviation * d.
    package static func backward(
        gradient: FeatureMap, x: FeatureMap, state: BatchNormState, parts: UnsafeMutablePointer<Float>,
        isFrozen: Bool = false, gammaGradient: UnsafeMutablePointer<Float>?, betaGradient: UnsafeMutablePointer<Float>,
        context: KernelContext
    ) -> GradientMap {
        let channels = x.channels
        let cut = passCut(pixels: x.pixels, channels: channels)
        context.pool.run(cut.pieces) { item, _ in
            let pixels = cut[item]
            let sums = parts + item * 2 * channels
            engine_norm_sums(
                gradient.pixel(pixels.lowerBound), gradient.pixelStride, x.pixel(pixels.lowerBound), x.pixelStride,
                pixels.count, channels, state.scale, state.shift, state.floor, state.mean, sums, sums + channels)
        }
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * channels) { totals in
            totals.update(repeating: 0)
            for item in 0..<cut.pieces {
                let sums = parts + item * 2 * channels
                for index in 0..<2 * channels { totals[index] += Double(sums[index]) }
            }
            let count = Double(x.pixels)
            for channel in 0..<channels {
                let inverse = Double(state.inverseDeviation[channel])
                let sum = totals[channel]
                let product = totals[channels + channel] * inverse
                betaGradient[channel] = Float(sum)
                gammaGradient?[channel] = Float(product)
                let scale = Double(state.scale[channel])
                state.slope[channel] = isFrozen ? 0 : Float(-scale * inverse * product / count)
                state.offset[channel] = isFrozen ? 0 : Float(-scale * sum / count)
            }
        }
        return GradientMap(gradient, norm: GradientMap.Norm(x: x, state: state))
    }
}
