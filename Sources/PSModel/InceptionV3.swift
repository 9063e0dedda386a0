// Inception-v3 as a table (Szegedy et al. 2015, arXiv 1512.00567; rows and names of torchvision's `inception_v3`).

extension GraphBuilder {
    /// Adds all rows; shapes in the comments are height x width x channels for a 299 x 299 image at width 1.
    mutating func inceptionV3(image: Extent) throws(EmptyMap) {
        var x = input(image)  //                                                                        299 x 299 x 3
        x = try convNormRelu("Conv2d_1a_3x3", x, 32, 3, stride: firstStride)  //                    149 x 149 x 32
        x = try convNormRelu("Conv2d_2a_3x3", x, 32, 3)  //                                         147 x 147 x 32
        x = try convNormRelu("Conv2d_2b_3x3", x, 64, 3, padding: 1)  //                             147 x 147 x 64
        if hasFirstPool { x = try maxPool("maxpool1", x, 3, stride: 2) }  //                 73 x 73 x 64
        x = try convNormRelu("Conv2d_3b_1x1", x, 80, 1)  //                                          73 x 73 x 80
        x = try convNormRelu("Conv2d_4a_3x3", x, 192, 3)  //                                         71 x 71 x 192
        x = try maxPool("maxpool2", x, 3, stride: 2)  //                                            35 x 35 x 192
        x = try figure5("Mixed_5b", x, poolChannels: 32)  //                                        35 x 35 x 256
        x = try figure5("Mixed_5c", x, poolChannels: 64)  //                                        35 x 35 x 288
        x = try figure5("Mixed_5d", x, poolChannels: 64)  //                                        35 x 35 x 288
        x = try firstReduction("Mixed_6a", x)  //                                                   17 x 17 x 768
        x = try figure6("Mixed_6b", x, channels: 128)  //                                           17 x 17 x 768
        x = try figure6("Mixed_6c", x, channels: 160)  //                                           17 x 17 x 768
        x = try figure6("Mixed_6d", x, channels: 160)  //                                           17 x 17 x 768
        x = try figure6("Mixed_6e", x, channels: 192)  //                                           17 x 17 x 768
        if settings.auxiliary { try inceptionHead("AuxLogits", x) }
        x = try secondReduction("Mixed_7a", x)  //                                                  8 x 8 x 1280
        x = try figure7("Mixed_7b", x)  //                                                          8 x 8 x 2048
        x = try figure7("Mixed_7c", x)  //                                                          8 x 8 x 2048
        x = globalAveragePool("avgpool", x)  //                                                     1 x 1 x 2048
        x = dropout("dropout", x)
        logits("fc", x)
    }

    /// Figure 5: the 35 x 35 block; the 5x5 branch stays a 5x5, the other is two 3x3.
    private mutating func figure5(_ name: String, _ x: Int, poolChannels: Int) throws(EmptyMap) -> Int {
        let branch1x1 = try convNormRelu("\(name).branch1x1", x, 64, 1)
        var branch5x5 = try convNormRelu("\(name).branch5x5_1", x, 48, 1)
        branch5x5 = try convNormRelu("\(name).branch5x5_2", branch5x5, 64, 5, padding: 2)
        var double3x3 = try convNormRelu("\(name).branch3x3dbl_1", x, 64, 1)
        double3x3 = try convNormRelu("\(name).branch3x3dbl_2", double3x3, 96, 3, padding: 1)
        double3x3 = try convNormRelu("\(name).branch3x3dbl_3", double3x3, 96, 3, padding: 1)
        var pooled = try averagePool("\(name).pool", x, 3, stride: 1, padding: 1)
        pooled = try convNormRelu("\(name).branch_pool", pooled, poolChannels, 1)
        return concat(name, [branch1x1, branch5x5, double3x3, pooled])
    }

    /// 35 x 35 to 17 x 17: two convolution branches and a pool of stride 2, side by side.
    private mutating func firstReduction(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        let branch3x3 = try convNormRelu("\(name).branch3x3", x, 384, 3, stride: 2)
        var double3x3 = try convNormRelu("\(name).branch3x3dbl_1", x, 64, 1)
        double3x3 = try convNormRelu("\(name).branch3x3dbl_2", double3x3, 96, 3, padding: 1)
        double3x3 = try convNormRelu("\(name).branch3x3dbl_3", double3x3, 96, 3, stride: 2)
        let pooled = try maxPool("\(name).pool", x, 3, stride: 2)
        return concat(name, [branch3x3, double3x3, pooled])
    }

    /// Figure 6 with n = 7: the 17 x 17 block, each 7x7 as a 1x7 and a 7x1.
    private mutating func figure6(_ name: String, _ x: Int, channels: Int) throws(EmptyMap) -> Int {
        let row = Extent(1, 7)
        let column = Extent(7, 1)
        let rowPadding = Extent(0, 3)
        let columnPadding = Extent(3, 0)
        let branch1x1 = try convNormRelu("\(name).branch1x1", x, 192, 1)
        var branch7x7 = try convNormRelu("\(name).branch7x7_1", x, channels, 1)
        branch7x7 = try convNormRelu("\(name).branch7x7_2", branch7x7, channels, row, padding: rowPadding)
        branch7x7 = try convNormRelu("\(name).branch7x7_3", branch7x7, 192, column, padding: columnPadding)
        var double7x7 = try convNormRelu("\(name).branch7x7dbl_1", x, channels, 1)
        double7x7 = try convNormRelu("\(name).branch7x7dbl_2", double7x7, channels, column, padding: columnPadding)
        double7x7 = try convNormRelu("\(name).branch7x7dbl_3", double7x7, channels, row, padding: rowPadding)
        double7x7 = try convNormRelu("\(name).branch7x7dbl_4", double7x7, channels, column, padding: columnPadding)
        double7x7 = try convNormRelu("\(name).branch7x7dbl_5", double7x7, 192, row, padding: rowPadding)
        var pooled = try averagePool("\(name).pool", x, 3, stride: 1, padding: 1)
        pooled = try convNormRelu("\(name).branch_pool", pooled, 192, 1)
        return concat(name, [branch1x1, branch7x7, double7x7, pooled])
    }

    /// The auxiliary classifier on the last 17 x 17 map. Like slim, it shrinks its windows where the map is smaller.
    mutating func inceptionHead(_ name: String, _ x: Int) throws(EmptyMap) {
        let map = shape(x)
        let pool = Extent(min(5, map.height), min(5, map.width))
        var head = try averagePool("\(name).pool", x, pool, stride: 3)  //                           5 x 5 x 768
        head = try convNormRelu("\(name).conv0", head, 128, 1)  //                                    5 x 5 x 128
        let kernel = Extent(min(5, shape(head).height), min(5, shape(head).width))
        // slim's deviation, and the one torchvision names, though its loop over modules misses it and starts with 0.1.
        head =
            settings.auxiliaryNorm
            ? try convNormRelu("\(name).conv1", head, 768, kernel, draw: .truncatedNormal(0.01))
            : relu(
                try convolution(
                    "\(name).conv1", head, channels: scaled(768), kernel, bias: true, tensors: "\(name).conv1.conv",
                    draw: .truncatedNormal(0.01)))  //                                                  1 x 1 x 768
        head = globalAveragePool("\(name).avgpool", head)
        logits("\(name).fc", head, head: name, draw: .truncatedNormal(0.001))
    }

    /// 17 x 17 to 8 x 8.
    private mutating func secondReduction(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        var branch3x3 = try convNormRelu("\(name).branch3x3_1", x, 192, 1)
        branch3x3 = try convNormRelu("\(name).branch3x3_2", branch3x3, 320, 3, stride: 2)
        var branch7x7 = try convNormRelu("\(name).branch7x7x3_1", x, 192, 1)
        branch7x7 = try convNormRelu("\(name).branch7x7x3_2", branch7x7, 192, Extent(1, 7), padding: Extent(0, 3))
        branch7x7 = try convNormRelu("\(name).branch7x7x3_3", branch7x7, 192, Extent(7, 1), padding: Extent(3, 0))
        branch7x7 = try convNormRelu("\(name).branch7x7x3_4", branch7x7, 192, 3, stride: 2)
        let pooled = try maxPool("\(name).pool", x, 3, stride: 2)
        return concat(name, [branch3x3, branch7x7, pooled])
    }

    /// Figure 7: the 8 x 8 block, whose 3x3 ends fan out into a 1x3 and a 3x1.
    mutating func figure7(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        let row = Extent(1, 3)
        let column = Extent(3, 1)
        let rowPadding = Extent(0, 1)
        let columnPadding = Extent(1, 0)
        let branch1x1 = try convNormRelu("\(name).branch1x1", x, 320, 1)
        let branch3x3 = try convNormRelu("\(name).branch3x3_1", x, 384, 1)
        let branch3x3a = try convNormRelu("\(name).branch3x3_2a", branch3x3, 384, row, padding: rowPadding)
        let branch3x3b = try convNormRelu("\(name).branch3x3_2b", branch3x3, 384, column, padding: columnPadding)
        var double3x3 = try convNormRelu("\(name).branch3x3dbl_1", x, 448, 1)
        double3x3 = try convNormRelu("\(name).branch3x3dbl_2", double3x3, 384, 3, padding: 1)
        let double3x3a = try convNormRelu("\(name).branch3x3dbl_3a", double3x3, 384, row, padding: rowPadding)
        let double3x3b = try convNormRelu("\(name).branch3x3dbl_3b", double3x3, 384, column, padding: columnPadding)
        var pooled = try averagePool("\(name).pool", x, 3, stride: 1, padding: 1)
        pooled = try convNormRelu("\(name).branch_pool", pooled, 192, 1)
        return concat(name, [branch1x1, branch3x3a, branch3x3b, double3x3a, double3x3b, pooled])
    }
}
