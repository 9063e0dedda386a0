// Xception as a table (Chollet 2016, arXiv 1610.02357; rows and names of timm's `legacy_xception`).

extension GraphBuilder {
    /// Shapes in the comments are for a 299 x 299 image at width 1.
    mutating func xception(image: Extent) throws(EmptyMap) {
        var x = input(image)  //                                                                     299 x 299 x 3
        x = try convolution("conv1", x, channels: scaled(32), 3, stride: 2)
        x = relu(norm("bn1", x))  //                                                                  149 x 149 x 32
        x = try convolution("conv2", x, channels: scaled(64), 3)
        x = relu(norm("bn2", x))  //                                                                  147 x 147 x 64
        x = try block("block1", x, [128, 128], stride: 2, startsWithReLU: false)  //                    74 x 74 x 128
        x = try block("block2", x, [256, 256], stride: 2)  //                                           37 x 37 x 256
        x = try block("block3", x, [728, 728], stride: 2)  //                                           19 x 19 x 728
        for index in 4...11 { x = try block("block\(index)", x, [728, 728, 728]) }  //                  19 x 19 x 728
        x = try block("block12", x, [728, 1024], stride: 2)  //                                         10 x 10 x 1024
        x = relu(norm("bn3", try separable("conv3", x, 1536)))  //                                      10 x 10 x 1536
        x = relu(norm("bn4", try separable("conv4", x, 2048)))  //                                      10 x 10 x 2048
        x = globalAveragePool("global_pool", x)  //                                                     1 x 1 x 2048
        x = dropout("head_drop", x)
        logits("fc", x)
    }

    /// Figure 5: separable convolutions with a batch norm each, a ReLU before each, and a sum with the block's input,
    /// which a 1x1 convolution fits where the grid becomes smaller.
    private mutating func block(
        _ name: String, _ x: Int, _ widths: [Int], stride: Extent = 1, startsWithReLU: Bool = true
    ) throws(EmptyMap) -> Int {
        let isReduction = stride != 1
        var skip = x
        if isReduction {
            skip = try convolution("\(name).skip", x, channels: scaled(widths[widths.count - 1]), 1, stride: stride)
            skip = norm("\(name).skipbn", skip)
        }
        var y = x
        // Modules of `rep` so far.
        var module = 0
        for (index, channels) in widths.enumerated() {
            if index > 0 || startsWithReLU {
                y = relu(y)
                module += 1
            }
            y = norm("\(name).rep.\(module + 1)", try separable("\(name).rep.\(module)", y, channels))
            module += 2
        }
        if isReduction { y = try maxPool("\(name).rep.\(module)", y, 3, stride: stride, padding: 1) }
        return add(name, y, skip)
    }

    /// A depthwise 3x3 and a 1x1 convolution, nothing between them.
    private mutating func separable(_ name: String, _ x: Int, _ channels: Int) throws(EmptyMap) -> Int {
        let inputs = shape(x).channels
        let depthwise = try convolution("\(name).conv1", x, channels: inputs, 3, padding: 1, groups: inputs)
        return try convolution("\(name).pointwise", depthwise, channels: scaled(channels), 1)
    }
}
