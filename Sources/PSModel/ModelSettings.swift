// What a person chooses about the network.

/// The choices that name one network. `init(_:)` gives a network as it was published; a setting that a network does not
/// have stays at its default.
package struct ModelSettings: Sendable, Hashable, Codable {
    /// The family whose initial values are drawn.
    package enum InitialValues: String, Sendable, Hashable, Codable, CaseIterable {
        /// As the network's reference implementation draws them; of Inception-v3 torchvision: normal of deviation 0.1 cut
        /// at an absolute 2, dense biases uniform in +-1/sqrt(inputs).
        case torchvision
        /// Normal of deviation 0.1 cut at two deviations; biases 0.
        case slim
    }

    /// How an average pool inside a block counts its border.
    package enum PoolBorder: String, Sendable, Hashable, Codable, CaseIterable {
        /// As the network's reference implementation does.
        case published
        /// Divide by the whole window, padding zeros included (torchvision).
        case counted
        /// Divide by the elements inside the map (TensorFlow, timm).
        case excluded
    }

    package enum BatchNorm: String, Sendable, Hashable, Codable, CaseIterable {
        /// By the statistics of the batch, which the running ones follow.
        case train
        /// By the running statistics, which stay as they are.
        case frozen
    }

    /// What becomes of a 5x5 window (section 3.1 and Figure 2 of arXiv 1512.00567).
    package enum Factorize5x5: String, Sendable, Hashable, Codable, CaseIterable {
        /// Two 3x3, a ReLU between them.
        case relu
        /// Two 3x3, nothing between them but the batch norm.
        case linear
        /// It stays.
        case none
    }

    /// How a grid is made smaller (section 5 and Figures 9 and 10 of arXiv 1512.00567).
    package enum Reduction: String, Sendable, Hashable, Codable, CaseIterable {
        /// The group's last block at stride 2 with a pool beside it.
        case beside
        /// A pool behind the group's last block: dear.
        case behind
        /// A pool before the group's last block: a bottleneck of what the map can say.
        case before
    }

    package var name = Network.inceptionV3.name
    /// Multiplier of every convolution's channels: max(int(channels * width), 16) unless 1.
    package var width = 1.0
    /// Nil: left open, as many as the data set has.
    package var classes: Int? = 1000
    /// The low-resolution stems of section 8 of arXiv 1512.00567, by the input size of Inception-v3 they are made for:
    /// 299, the published one; 151, without the first stride; 79, without the first pool as well. Nil: by the image's size.
    package var stem: Int?
    /// Rows and columns of an input image.
    package var imageSize = Network.inceptionV3.imageSize
    /// Whether the auxiliary heads are trained.
    package var auxiliary = true
    /// Whether the last hidden layer of Inception-v2's and v3's auxiliary head has a batch norm ("BN-auxiliary").
    package var auxiliaryNorm = true
    /// Probability that dropout before the last dense layer zeroes an element.
    package var dropout = Network.inceptionV3.dropout
    package var initialValues = InitialValues.torchvision
    package var poolBorder = PoolBorder.published
    /// Whether batch norm has a learned scale (torchvision: yes; slim: no).
    package var batchNormScale = true
    /// How batch norm computes in training.
    package var batchNorm = BatchNorm.train
    /// Whether images that were normalised for ImageNet's mean and deviation become what Inception's weights are made
    /// for (torchvision's `transform_input`).
    package var transformInput = false
    /// Whether batches push the unbiased variance for the running statistics (torchvision) or the biased one (slim).
    package var unbiasedVariance = true
    /// Inception-v2's 5x5 windows.
    package var factorize5x5 = Factorize5x5.relu
    /// Whether Inception-v2's 7x7 windows are a 1x7 and a 7x1 each.
    package var factorize7x7 = true
    /// Whether Inception-v2's first 7x7 convolution is three of 3x3.
    package var factorizeStem = true
    package var reduction = Reduction.beside
    /// Groups of channels of AlexNet's second, fourth and fifth convolution; the paper had two, on a processor each.
    package var groups = 1

    /// Inception-v3.
    package init() {}

    /// With the choices that are left open made, where the network is known.
    package var settled: ModelSettings {
        guard let network = try? Network.named(name) else { return self }
        var settled = self
        settled.stem = network.stem(self)
        if poolBorder == .published { settled.poolBorder = network.poolBorder }
        return settled
    }

    /// A network as it was published.
    package init(_ network: Network) {
        name = network.name
        imageSize = network.imageSize
        auxiliary = !network.auxiliaryHeads.isEmpty
        dropout = network.dropout
    }
}
