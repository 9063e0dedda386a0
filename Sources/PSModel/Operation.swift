// The operations a network is made of, as hyperparameters only: no memory, no values. How the engine fuses them is its
// own business.

/// One node's work.
package enum Operation: Sendable, Hashable {
    /// The images: NHWC, three channels.
    case input
    /// With a bias where the node has one. Input and output channels fall into `groups` equal parts, of which each output
    /// part sees its own input part; as many groups as channels is a depthwise convolution.
    case convolution(Window, groups: Int)
    /// Batch norm over the pixels of the batch: (x - mean) / sqrt(variance + epsilon) * scale + bias.
    case norm(epsilon: Float)
    /// max(x, 0)
    case relu
    /// first + scale * second: a residual block's sum.
    case add(scale: Float)
    case maxPool(Window)
    case averagePool(Window, border: ModelSettings.PoolBorder)
    /// Means of as many windows as the output has pixels: of row i of n over a map of height h,
    /// rows floor(i h / n) ..< ceil((i + 1) h / n) (PyTorch's adaptive pool). One pixel is the global mean.
    case adaptiveAveragePool
    case localResponseNorm(LocalResponseNorm)
    /// The inputs' channels one behind the other.
    case concat
    /// Zeroes an element with this probability in training, scaling the others by 1 / (1 - probability).
    case dropout(probability: Double)
    /// All of an image's values times weights plus bias; the weights' order is channel, row, column, as PyTorch flattens.
    case dense
}

/// Local response normalisation across channels (Krizhevsky et al. 2012):
/// y_c = x_c / (k + alpha / size * sum of x_j^2 over the `size` channels around c)^(3/4).
package struct LocalResponseNorm: Sendable, Hashable {
    /// Channels of the sum, an odd number.
    package let size: Int
    package let alpha: Float
    package let k: Float

    package init(size: Int, alpha: Float, k: Float) {
        precondition(size > 0 && size % 2 == 1)
        self.size = size
        self.alpha = alpha
        self.k = k
    }
}

/// One node of a network's graph. Nodes are in an order in which every input comes before its user.
package struct Node: Sendable, Hashable {
    /// Indices, into the layout's tensors, of the tensors a node owns.
    package struct Tensors: Sendable, Hashable {
        /// Convolution kernel (OIHW) or dense weights (out, in).
        package var weight: Int?
        /// Batch norm's learned scale.
        package var scale: Int?
        /// Batch norm's shift, or the bias of a convolution or a dense layer.
        package var bias: Int?
        package var runningMean: Int?
        package var runningVariance: Int?

        package init(
            weight: Int? = nil, scale: Int? = nil, bias: Int? = nil, runningMean: Int? = nil,
            runningVariance: Int? = nil
        ) {
            self.weight = weight
            self.scale = scale
            self.bias = bias
            self.runningMean = runningMean
            self.runningVariance = runningVariance
        }
    }

    package let index: Int
    /// The reference implementation's module where there is one.
    package let name: String
    /// The row of the network's table it belongs to; a convolution, its batch norm and its ReLU are one row.
    package let row: Int
    package let operation: Operation
    /// Indices of the nodes it reads.
    package let inputs: [Int]
    package let shape: MapShape
    package let tensors: Tensors
    /// Learned elements.
    package let parameters: Int
    /// Multiply-accumulates of one image's forward pass.
    package let macs: Int
}

/// A classifier on top of a network, or beside it.
package struct Head: Sendable, Hashable {
    /// "" for the main one; else what the names of its tensors begin with, without the dot.
    package let name: String
    /// The node whose output are its logits: a dense layer.
    package let logits: Int

    package init(name: String, logits: Int) {
        self.name = name
        self.logits = logits
    }
}
