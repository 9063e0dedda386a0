// Inception-v2 as a table (table 1 of Szegedy et al. 2015, arXiv 1512.00567), with what the paper compares as settings:
// each rung of table 3 is a configuration of it. The paper gives the widths of whole maps only; within the blocks they
// are those of Inception-v3, which has the same maps.

extension GraphBuilder {
    /// Shapes in the comments are for a 299 x 299 image at width 1.
    mutating func inceptionV2(image: Extent) throws(EmptyMap) {
        var x = input(image)  //                                                                     299 x 299 x 3
        if settings.factorizeStem {
            x = try convNormRelu("Conv2d_1a_3x3", x, 32, 3, stride: firstStride)  //                  149 x 149 x 32
            x = try convNormRelu("Conv2d_2a_3x3", x, 32, 3)  //                                       147 x 147 x 32
            x = try convNormRelu("Conv2d_2b_3x3", x, 64, 3, padding: 1)  //                           147 x 147 x 64
        } else {
            x = try convNormRelu("Conv2d_1a_7x7", x, 64, 7, stride: firstStride)  //                  147 x 147 x 64
        }
        if hasFirstPool { x = try maxPool("maxpool1", x, 3, stride: 2) }  //                           73 x 73 x 64
        x = try convNormRelu("Conv2d_3b_3x3", x, 80, 3)  //                                            71 x 71 x 80
        x = try convNormRelu("Conv2d_4a_3x3", x, 192, 3, stride: 2)  //                                35 x 35 x 192
        x = try convNormRelu("Conv2d_4b_3x3", x, 288, 3, padding: 1)  //                               35 x 35 x 288
        x = try block5("Mixed_5b", x)  //                                                              35 x 35 x 288
        x = try block5("Mixed_5c", x)  //                                                              35 x 35 x 288
        x = try reduce("Mixed_5d", x, to: 768) { (graph, name, x, stride, outputs) throws(EmptyMap) in
            try graph.block5(name, x, stride: stride, outputs: outputs)  //                             17 x 17 x 768
        }
        x = try block6("Mixed_6a", x, channels: 128)  //                                               17 x 17 x 768
        x = try block6("Mixed_6b", x, channels: 160)  //                                               17 x 17 x 768
        x = try block6("Mixed_6c", x, channels: 160)  //                                               17 x 17 x 768
        x = try block6("Mixed_6d", x, channels: 192)  //                                               17 x 17 x 768
        if settings.auxiliary { try inceptionHead("AuxLogits", x) }
        x = try reduce("Mixed_6e", x, to: 1280) { (graph, name, x, stride, outputs) throws(EmptyMap) in
            try graph.block6(name, x, channels: 192, stride: stride, outputs: outputs)  //               8 x 8 x 1280
        }
        x = try figure7("Mixed_7a", x)  //                                                              8 x 8 x 2048
        x = try figure7("Mixed_7b", x)  //                                                              8 x 8 x 2048
        x = globalAveragePool("avgpool", x)  //                                                         1 x 1 x 2048
        x = dropout("dropout", x)
        logits("fc", x)
    }

    /// The last block of a group and the grid's reduction, in the form that the settings choose.
    ///
    /// - Parameter block: adds a block; of stride 2 it has no 1x1 and no pool branch, of other outputs all four branches
    ///   are alike.
    private mutating func reduce(
        _ name: String, _ x: Int, to outputs: Int,
        _ block: (inout GraphBuilder, String, Int, Extent, Int?) throws(EmptyMap) -> Int
    ) throws(EmptyMap) -> Int {
        switch settings.reduction {
        case .beside: return try block(&self, name, x, 2, nil)
        case .behind:
            return try maxPool("\(name).reduction", try block(&self, name, x, 1, outputs), 3, stride: 2)
        case .before:
            return try block(&self, name, try maxPool("\(name).reduction", x, 3, stride: 2), 1, outputs)
        }
    }

    /// Figure 5: a 3x3 and a 5x5 branch, the latter as two 3x3, as two with nothing between, or as it is.
    ///
    /// - Parameters:
    ///   - stride: 2 for Figure 10: the two branches and a pool.
    ///   - outputs: of the whole block, if not 288: a quarter for each branch.
    fileprivate mutating func block5(
        _ name: String, _ x: Int, stride: Extent = 1, outputs: Int? = nil
    ) throws(EmptyMap) -> Int {
        let isReduction = stride != 1
        let padding: Extent = isReduction ? 0 : 1
        let quarter = outputs.map { $0 / 4 }
        var branch3x3 = try convNormRelu("\(name).branch3x3_1", x, isReduction ? 64 : 48, 1)
        branch3x3 = try convNormRelu(
            "\(name).branch3x3_2", branch3x3, isReduction ? 384 : quarter ?? 64, 3, stride: stride, padding: padding)
        let five = try branch5x5(name, x, outputs: quarter ?? 96, stride: stride)
        if isReduction {
            return concat(name, [branch3x3, five, try maxPool("\(name).pool", x, 3, stride: stride)])
        }
        let branch1x1 = try convNormRelu("\(name).branch1x1", x, quarter ?? 64, 1)
        var pooled = try averagePool("\(name).pool", x, 3, stride: 1, padding: 1)
        pooled = try convNormRelu("\(name).branch_pool", pooled, quarter ?? 64, 1)
        return concat(name, [branch1x1, branch3x3, five, pooled])
    }

    private mutating func branch5x5(
        _ name: String, _ x: Int, outputs: Int, stride: Extent
    ) throws(EmptyMap) -> Int {
        let isReduction = stride != 1
        let branch = try convNormRelu("\(name).branch5x5_1", x, 64, 1)
        switch settings.factorize5x5 {
        case .none:
            return try convNormRelu(
                "\(name).branch5x5_2", branch, outputs, 5, stride: stride, padding: isReduction ? 1 : 2)
        case .relu, .linear:
            var middle = try convNorm("\(name).branch5x5_2", branch, 96, 3, padding: 1)
            if settings.factorize5x5 == .relu { middle = relu(middle) }
            return try convNormRelu(
                "\(name).branch5x5_3", middle, outputs, 3, stride: stride, padding: isReduction ? 0 : 1)
        }
    }

    /// Figure 6 with n = 7: one and two 7x7, each as a 1x7 and a 7x1 or as it is.
    ///
    /// - Parameters:
    ///   - channels: inside the branches.
    ///   - stride: 2 for Figure 10: a 3x3 and a 7x7 branch that end in a 3x3, and a pool.
    ///   - outputs: of the whole block, if not 768: a quarter for each branch.
    fileprivate mutating func block6(
        _ name: String, _ x: Int, channels: Int, stride: Extent = 1, outputs: Int? = nil
    ) throws(EmptyMap) -> Int {
        if stride != 1 {
            var branch3x3 = try convNormRelu("\(name).branch3x3_1", x, 192, 1)
            branch3x3 = try convNormRelu("\(name).branch3x3_2", branch3x3, 320, 3, stride: stride)
            var branch7x7 = try convNormRelu("\(name).branch7x7x3_1", x, 192, 1)
            branch7x7 = try window7x7("\(name).branch7x7x3_2", branch7x7, 192, 192)
            branch7x7 = try convNormRelu("\(name).branch7x7x3_3", branch7x7, 192, 3, stride: stride)
            return concat(name, [branch3x3, branch7x7, try maxPool("\(name).pool", x, 3, stride: stride)])
        }
        let quarter = outputs.map { $0 / 4 } ?? 192
        let branch1x1 = try convNormRelu("\(name).branch1x1", x, quarter, 1)
        var branch7x7 = try convNormRelu("\(name).branch7x7_1", x, channels, 1)
        branch7x7 = try window7x7("\(name).branch7x7_2", branch7x7, channels, quarter)
        var double7x7 = try convNormRelu("\(name).branch7x7dbl_1", x, channels, 1)
        double7x7 = try window7x7("\(name).branch7x7dbl_2", double7x7, channels, channels)
        double7x7 = try window7x7("\(name).branch7x7dbl_3", double7x7, channels, quarter)
        var pooled = try averagePool("\(name).pool", x, 3, stride: 1, padding: 1)
        pooled = try convNormRelu("\(name).branch_pool", pooled, quarter, 1)
        return concat(name, [branch1x1, branch7x7, double7x7, pooled])
    }

    /// - Parameter middle: channels between the 1x7 and the 7x1.
    private mutating func window7x7(
        _ name: String, _ x: Int, _ middle: Int, _ outputs: Int
    ) throws(EmptyMap) -> Int {
        guard settings.factorize7x7 else { return try convNormRelu(name, x, outputs, 7, padding: 3) }
        let row = try convNormRelu("\(name)a", x, middle, Extent(1, 7), padding: Extent(0, 3))
        return try convNormRelu("\(name)b", row, outputs, Extent(7, 1), padding: Extent(3, 0))
    }
}
