// Inception-ResNet-v1 and v2 as tables (Szegedy et al. 2016, arXiv 1602.07261). Rows and names of v2 are timm's
// `inception_resnet_v2`, names of v1 facenet-pytorch's `InceptionResnetV1`.

extension GraphBuilder {
    /// A convolution of a branch: its name behind the block's, its width, its window, its stride.
    private typealias Step = (name: String, channels: Int, kernel: Extent)

    /// Shapes in the comments are for a 299 x 299 image at width 1.
    mutating func inceptionResNetV1(image: Extent) throws(EmptyMap) {
        var x = input(image)  //                                                                     299 x 299 x 3
        x = try stem(x)  //                                                                            71 x 71 x 192
        x = try convNormRelu("conv2d_4b", x, 256, 3, stride: 2)  //                                    35 x 35 x 256
        for block in 0..<5 {
            x = try residual(
                "repeat_1.\(block)", x, scale: 0.17,  //                                               35 x 35 x 256
                [
                    [("branch0", 32, 1)], [("branch1.0", 32, 1), ("branch1.1", 32, 3)],
                    [("branch2.0", 32, 1), ("branch2.1", 32, 3), ("branch2.2", 32, 3)],
                ])
        }
        x = try reduction(
            "mixed_6a", x,  //                                                                         17 x 17 x 896
            [[("branch0", 384, 3)], [("branch1.0", 192, 1), ("branch1.1", 192, 3), ("branch1.2", 256, 3)]],
            pool: "branch2")
        for block in 0..<10 {
            x = try residual(
                "repeat_2.\(block)", x, scale: 0.10,  //                                               17 x 17 x 896
                [
                    [("branch0", 128, 1)],
                    [("branch1.0", 128, 1), ("branch1.1", 128, Extent(1, 7)), ("branch1.2", 128, Extent(7, 1))],
                ])
        }
        x = try reduction(
            "mixed_7a", x,  //                                                                          8 x 8 x 1792
            [
                [("branch0.0", 256, 1), ("branch0.1", 384, 3)], [("branch1.0", 256, 1), ("branch1.1", 256, 3)],
                [("branch2.0", 256, 1), ("branch2.1", 256, 3), ("branch2.2", 256, 3)],
            ], pool: "branch3")
        let last: [[Step]] = [
            [("branch0", 192, 1)],
            [("branch1.0", 192, 1), ("branch1.1", 192, Extent(1, 3)), ("branch1.2", 192, Extent(3, 1))],
        ]
        for block in 0..<5 { x = try residual("repeat_3.\(block)", x, scale: 0.20, last) }  //          8 x 8 x 1792
        x = globalAveragePool("avgpool", x)  //                                                         1 x 1 x 1792
        x = dropout("dropout", x)
        logits("logits", x)
    }

    /// Shapes in the comments are for a 299 x 299 image at width 1. Twice the paper's blocks of each kind, as its authors'
    /// code and timm have it.
    mutating func inceptionResNetV2(image: Extent) throws(EmptyMap) {
        var x = input(image)  //                                                                     299 x 299 x 3
        x = try stem(x)  //                                                                            71 x 71 x 192
        x = try maxPool("maxpool_5a", x, 3, stride: 2)  //                                             35 x 35 x 192
        x = try mixed5b("mixed_5b", x)  //                                                             35 x 35 x 320
        for block in 0..<10 {
            x = try residual(
                "repeat.\(block)", x, scale: 0.17,  //                                                 35 x 35 x 320
                [
                    [("branch0", 32, 1)], [("branch1.0", 32, 1), ("branch1.1", 32, 3)],
                    [("branch2.0", 32, 1), ("branch2.1", 48, 3), ("branch2.2", 64, 3)],
                ])
        }
        x = try reduction(
            "mixed_6a", x,  //                                                                         17 x 17 x 1088
            [[("branch0", 384, 3)], [("branch1.0", 256, 1), ("branch1.1", 256, 3), ("branch1.2", 384, 3)]],
            pool: "branch2")
        for block in 0..<20 {
            x = try residual(
                "repeat_1.\(block)", x, scale: 0.10,  //                                               17 x 17 x 1088
                [
                    [("branch0", 192, 1)],
                    [("branch1.0", 128, 1), ("branch1.1", 160, Extent(1, 7)), ("branch1.2", 192, Extent(7, 1))],
                ])
        }
        x = try reduction(
            "mixed_7a", x,  //                                                                          8 x 8 x 2080
            [
                [("branch0.0", 256, 1), ("branch0.1", 384, 3)], [("branch1.0", 256, 1), ("branch1.1", 288, 3)],
                [("branch2.0", 256, 1), ("branch2.1", 288, 3), ("branch2.2", 320, 3)],
            ], pool: "branch3")
        let last: [[Step]] = [
            [("branch0", 192, 1)],
            [("branch1.0", 192, 1), ("branch1.1", 224, Extent(1, 3)), ("branch1.2", 256, Extent(3, 1))],
        ]
        for block in 0..<9 { x = try residual("repeat_2.\(block)", x, scale: 0.20, last) }  //          8 x 8 x 2080
        x = try residual("block8", x, scale: 1, last, rectifies: false)  //                             8 x 8 x 2080
        x = try convNormRelu("conv2d_7b", x, 1536, 1)  //                                               8 x 8 x 1536
        x = globalAveragePool("global_pool", x)  //                                                     1 x 1 x 1536
        x = dropout("head_drop", x)
        logits("classif", x)
    }

    /// The layers that both have in common with Inception-v3.
    private mutating func stem(_ images: Int) throws(EmptyMap) -> Int {
        var x = images
        x = try convNormRelu("conv2d_1a", x, 32, 3, stride: firstStride)  //                          149 x 149 x 32
        x = try convNormRelu("conv2d_2a", x, 32, 3)  //                                               147 x 147 x 32
        x = try convNormRelu("conv2d_2b", x, 64, 3, padding: 1)  //                                   147 x 147 x 64
        if hasFirstPool { x = try maxPool("maxpool_3a", x, 3, stride: 2) }  //                         73 x 73 x 64
        x = try convNormRelu("conv2d_3b", x, 80, 1)  //                                                73 x 73 x 80
        x = try convNormRelu("conv2d_4a", x, 192, 3)  //                                               71 x 71 x 192
        return x
    }

    /// The branches of windows at stride 1 that keep a map's size.
    private mutating func branch(_ name: String, _ x: Int, _ steps: [Step]) throws(EmptyMap) -> Int {
        var x = x
        for step in steps {
            let padding = Extent(step.kernel.height / 2, step.kernel.width / 2)
            x = try convNormRelu("\(name).\(step.name)", x, step.channels, step.kernel, padding: padding)
        }
        return x
    }

    /// Figures 10 to 19: x + scale * (a linear 1x1 convolution of the branches), and a ReLU unless it is the last.
    private mutating func residual(
        _ name: String, _ x: Int, scale: Float, _ branches: [[Step]], rectifies: Bool = true
    ) throws(EmptyMap) -> Int {
        var ends: [Int] = []
        for steps in branches { ends.append(try branch(name, x, steps)) }
        let mixed = concat("\(name).concat", ends)
        let residual = try convolution("\(name).conv2d", mixed, channels: shape(x).channels, 1, bias: true)
        let sum = add(name, x, residual, scale: scale)
        return rectifies ? relu(sum) : sum
    }

    /// Figures 7, 12 and 18: branches that end in a window of stride 2, and a pool.
    private mutating func reduction(
        _ name: String, _ x: Int, _ branches: [[Step]], pool: String
    ) throws(EmptyMap) -> Int {
        var ends: [Int] = []
        for steps in branches {
            let last = steps[steps.count - 1]
            let before = try branch(name, x, steps.dropLast())
            ends.append(try convNormRelu("\(name).\(last.name)", before, last.channels, last.kernel, stride: 2))
        }
        ends.append(try maxPool("\(name).\(pool)", x, 3, stride: 2))
        return concat(name, ends)
    }

    private mutating func mixed5b(_ name: String, _ x: Int) throws(EmptyMap) -> Int {
        let branch0 = try branch(name, x, [("branch0", 96, 1)])
        let branch1 = try branch(name, x, [("branch1.0", 48, 1), ("branch1.1", 64, 5)])
        let branch2 = try branch(name, x, [("branch2.0", 64, 1), ("branch2.1", 96, 3), ("branch2.2", 96, 3)])
        var branch3 = try averagePool("\(name).branch3.0", x, 3, stride: 1, padding: 1)
        branch3 = try convNormRelu("\(name).branch3.1", branch3, 64, 1)
        return concat(name, [branch0, branch1, branch2, branch3])
    }
}
