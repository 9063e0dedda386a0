// Inception-v4 as a table (Szegedy et al. 2016, arXiv 1602.07261; rows and names of timm's `inception_v4`).

extension GraphBuilder {
    /// Shapes in the comments are for a 299 x 299 image at width 1.
    mutating func inceptionV4(image: Extent) throws(EmptyMap) {
        var x = input(image)  //                                                                     299 x 299 x 3
        x = try convNormRelu("features.0", x, 32, 3, stride: 2)  //                                   149 x 149 x 32
        x = try convNormRelu("features.1", x, 32, 3)  //                                              147 x 147 x 32
        x = try convNormRelu("features.2", x, 64, 3, padding: 1)  //                                  147 x 147 x 64
        var pooled = try maxPool("features.3.maxpool", x, 3, stride: 2)
        var convolved = try convNormRelu("features.3.conv", x, 96, 3, stride: 2)
        x = concat("features.3", [pooled, convolved])  //                                              73 x 73 x 160
        x = try stemBranches("features.4", x)  //                                                      71 x 71 x 192
        convolved = try convNormRelu("features.5.conv", x, 192, 3, stride: 2)
        pooled = try maxPool("features.5.maxpool", x, 3, stride: 2)
        x = concat("features.5", [convolved, pooled])  //                                              35 x 35 x 384
        for block in 6...9 { x = try blockA("features.\(block)", x) }  //                              35 x 35 x 384
        x = try reductionA("features.10", x)  //                                                       17 x 17 x 1024
        for block in 11...17 { x = try blockB("features.\(block)", x) }  //                            17 x 17 x 1024
        x = try reductionB("features.18", x)  //                                                        8 x 8 x 1536
        for block in 19...21 { x = try blockC("features.\(block)", x) }  //                             8 x 8 x 1536
        x = globalAveragePool("global_pool", x)  //                                                     1 x 1 x 1536
        x = dropout("head_drop", x)
        logits("last_linear", x)
    }

    /// The middle of Figure 3.
    private mutating func stemBranches(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        var branch0 = try convNormRelu("\(name).branch0.0", x, 64, 1)
        branch0 = try convNormRelu("\(name).branch0.1", branch0, 96, 3)
        var branch1 = try convNormRelu("\(name).branch1.0", x, 64, 1)
        branch1 = try convNormRelu("\(name).branch1.1", branch1, 64, Extent(1, 7), padding: Extent(0, 3))
        branch1 = try convNormRelu("\(name).branch1.2", branch1, 64, Extent(7, 1), padding: Extent(3, 0))
        branch1 = try convNormRelu("\(name).branch1.3", branch1, 96, 3)
        return concat(name, [branch0, branch1])
    }

    /// Figure 4: the 35 x 35 block.
    private mutating func blockA(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        let branch0 = try convNormRelu("\(name).branch0", x, 96, 1)
        var branch1 = try convNormRelu("\(name).branch1.0", x, 64, 1)
        branch1 = try convNormRelu("\(name).branch1.1", branch1, 96, 3, padding: 1)
        var branch2 = try convNormRelu("\(name).branch2.0", x, 64, 1)
        branch2 = try convNormRelu("\(name).branch2.1", branch2, 96, 3, padding: 1)
        branch2 = try convNormRelu("\(name).branch2.2", branch2, 96, 3, padding: 1)
        var branch3 = try averagePool("\(name).branch3.0", x, 3, stride: 1, padding: 1)
        branch3 = try convNormRelu("\(name).branch3.1", branch3, 96, 1)
        return concat(name, [branch0, branch1, branch2, branch3])
    }

    /// Figure 7 with k = 192, l = 224, m = 256, n = 384.
    private mutating func reductionA(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        let branch0 = try convNormRelu("\(name).branch0", x, 384, 3, stride: 2)
        var branch1 = try convNormRelu("\(name).branch1.0", x, 192, 1)
        branch1 = try convNormRelu("\(name).branch1.1", branch1, 224, 3, padding: 1)
        branch1 = try convNormRelu("\(name).branch1.2", branch1, 256, 3, stride: 2)
        return concat(name, [branch0, branch1, try maxPool("\(name).branch2", x, 3, stride: 2)])
    }

    /// Figure 5: the 17 x 17 block.
    private mutating func blockB(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        let (row, column) = (Extent(1, 7), Extent(7, 1))
        let (rowPadding, columnPadding) = (Extent(0, 3), Extent(3, 0))
        let branch0 = try convNormRelu("\(name).branch0", x, 384, 1)
        var branch1 = try convNormRelu("\(name).branch1.0", x, 192, 1)
        branch1 = try convNormRelu("\(name).branch1.1", branch1, 224, row, padding: rowPadding)
        branch1 = try convNormRelu("\(name).branch1.2", branch1, 256, column, padding: columnPadding)
        var branch2 = try convNormRelu("\(name).branch2.0", x, 192, 1)
        branch2 = try convNormRelu("\(name).branch2.1", branch2, 192, column, padding: columnPadding)
        branch2 = try convNormRelu("\(name).branch2.2", branch2, 224, row, padding: rowPadding)
        branch2 = try convNormRelu("\(name).branch2.3", branch2, 224, column, padding: columnPadding)
        branch2 = try convNormRelu("\(name).branch2.4", branch2, 256, row, padding: rowPadding)
        var branch3 = try averagePool("\(name).branch3.0", x, 3, stride: 1, padding: 1)
        branch3 = try convNormRelu("\(name).branch3.1", branch3, 128, 1)
        return concat(name, [branch0, branch1, branch2, branch3])
    }

    /// Figure 8.
    private mutating func reductionB(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        var branch0 = try convNormRelu("\(name).branch0.0", x, 192, 1)
        branch0 = try convNormRelu("\(name).branch0.1", branch0, 192, 3, stride: 2)
        var branch1 = try convNormRelu("\(name).branch1.0", x, 256, 1)
        branch1 = try convNormRelu("\(name).branch1.1", branch1, 256, Extent(1, 7), padding: Extent(0, 3))
        branch1 = try convNormRelu("\(name).branch1.2", branch1, 320, Extent(7, 1), padding: Extent(3, 0))
        branch1 = try convNormRelu("\(name).branch1.3", branch1, 320, 3, stride: 2)
        return concat(name, [branch0, branch1, try maxPool("\(name).branch2", x, 3, stride: 2)])
    }

    /// Figure 6: the 8 x 8 block.
    private mutating func blockC(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        let (row, column) = (Extent(1, 3), Extent(3, 1))
        let (rowPadding, columnPadding) = (Extent(0, 1), Extent(1, 0))
        let branch0 = try convNormRelu("\(name).branch0", x, 256, 1)
        let branch1 = try convNormRelu("\(name).branch1_0", x, 384, 1)
        let branch1a = try convNormRelu("\(name).branch1_1a", branch1, 256, row, padding: rowPadding)
        let branch1b = try convNormRelu("\(name).branch1_1b", branch1, 256, column, padding: columnPadding)
        var branch2 = try convNormRelu("\(name).branch2_0", x, 384, 1)
        branch2 = try convNormRelu("\(name).branch2_1", branch2, 448, column, padding: columnPadding)
        branch2 = try convNormRelu("\(name).branch2_2", branch2, 512, row, padding: rowPadding)
        let branch2a = try convNormRelu("\(name).branch2_3a", branch2, 256, row, padding: rowPadding)
        let branch2b = try convNormRelu("\(name).branch2_3b", branch2, 256, column, padding: columnPadding)
        var branch3 = try averagePool("\(name).branch3.0", x, 3, stride: 1, padding: 1)
        branch3 = try convNormRelu("\(name).branch3.1", branch3, 256, 1)
        return concat(name, [branch0, branch1a, branch1b, branch2a, branch2b, branch3])
    }
}
