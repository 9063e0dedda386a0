// What a person chooses about the network.

/// The choices that name one network. The defaults are torchvision's `inception_v3`.
package struct ModelSettings: Sendable, Hashable, Codable {
    /// The family whose initial values are drawn.
    package enum InitialValues: String, Sendable, Hashable, Codable, CaseIterable {
        /// Normal of deviation 0.1 cut at an absolute 2; dense biases uniform in +-1/sqrt(inputs).
        case torchvision
        /// Normal of deviation 0.1 cut at two deviations; dense biases 0.
        case slim
    }

    /// How an average pool inside a block counts its border.
    package enum PoolBorder: String, Sendable, Hashable, Codable, CaseIterable {
        /// Divide by the whole window, padding zeros included (torchvision).
        case counted
        /// Divide by the elements inside the map (TensorFlow).
        case excluded
    }

    package var name = "inception-v3"
    /// Multiplier of every convolution's channels: max(int(channels * width), 16) unless 1.
    package var width = 1.0
    /// Nil: left open, as many as the data set has.
    package var classes: Int? = 1000
    /// The low-resolution stems of the paper's section 8, by the input size they are made for: 299, 151 or 79.
    package var stem = 299
    /// Rows and columns of an input image.
    package var imageSize = 299
    /// Whether the auxiliary head is trained.
    package var auxiliary = true
    /// Probability that dropout before the last dense layer zeroes an element.
    package var dropout = 0.5
    package var initialValues = InitialValues.torchvision
    package var poolBorder = PoolBorder.counted
    /// Whether batch norm has a learned scale (torchvision: yes; slim: no).
    package var batchNormScale = true
    package enum BatchNorm: String, Sendable, Hashable, Codable, CaseIterable {
        /// By the statistics of the batch, which the running ones follow.
        case train
        /// By the running statistics, which stay as they are.
        case frozen
    }

    /// How batch norm computes in training.
    package var batchNorm = BatchNorm.train
    /// Whether images that were normalised for ImageNet's mean and deviation become what Inception's weights are made
    /// for (torchvision's `transform_input`).
    package var transformInput = false
    /// Whether batches push the unbiased variance for the running statistics (torchvision) or the biased one (slim).
    package var unbiasedVariance = true

    package init() {}
}
