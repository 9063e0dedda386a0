// GoogLeNet and BN-Inception as tables (Szegedy et al. 2014, arXiv 1409.4842; Ioffe and Szegedy 2015, arXiv 1502.03167).
// Names are those of torchvision's `googlenet`.

/// The forms of GoogLeNet.
struct GoogLeNetForm {
    /// Batch norm behind each convolution instead of its bias.
    let norms: Bool
    /// Local response normalisation behind the first pool and before the second.
    let responseNorms: Bool
    /// The window of the third branch of a block.
    let branch3: Extent
    /// The window of the pool before the last two blocks.
    let lastPool: Extent
    /// The auxiliary heads' pool: 4 x 4 means by windows of any size, or windows of 5 at stride 3.
    let adaptivePool: Bool

    /// As the paper and Caffe's `bvlc_googlenet` have it.
    static let published = GoogLeNetForm(
        norms: false, responseNorms: true, branch3: 5, lastPool: 3, adaptivePool: false)
    /// torchvision's.
    static let torchvision = GoogLeNetForm(
        norms: true, responseNorms: false, branch3: 3, lastPool: 2, adaptivePool: true)
    /// The paper's with batch norm, the first rungs of table 3 of arXiv 1512.00567.
    static let normalised = GoogLeNetForm(
        norms: true, responseNorms: false, branch3: 5, lastPool: 3, adaptivePool: false)
}

extension GraphBuilder {
    /// Shapes in the comments are for a 224 x 224 image at width 1.
    mutating func googLeNet(_ form: GoogLeNetForm, image: Extent) throws(EmptyMap) {
        let response = LocalResponseNorm(size: 5, alpha: 1e-4, k: 1)
        var x = input(image)  //                                                                    224 x 224 x 3
        x = try product(form, "conv1", x, 64, 7, stride: firstStride, padding: 3)  //               112 x 112 x 64
        if hasFirstPool { x = try maxPool("maxpool1", x, 3, stride: 2, rounding: .ceil) }  //        56 x 56 x 64
        if form.responseNorms { x = localResponseNorm("norm1", x, response) }
        x = try product(form, "conv2", x, 64, 1)  //                                                 56 x 56 x 64
        x = try product(form, "conv3", x, 192, 3, padding: 1)  //                                    56 x 56 x 192
        if form.responseNorms { x = localResponseNorm("norm2", x, response) }
        x = try maxPool("maxpool2", x, 3, stride: 2, rounding: .ceil)  //                            28 x 28 x 192
        x = try googLeNetBlock(form, "inception3a", x, 64, (96, 128), (16, 32), 32)  //              28 x 28 x 256
        x = try googLeNetBlock(form, "inception3b", x, 128, (128, 192), (32, 96), 64)  //            28 x 28 x 480
        x = try maxPool("maxpool3", x, 3, stride: 2, rounding: .ceil)  //                            14 x 14 x 480
        x = try googLeNetBlock(form, "inception4a", x, 192, (96, 208), (16, 48), 64)  //             14 x 14 x 512
        let first = x
        x = try googLeNetBlock(form, "inception4b", x, 160, (112, 224), (24, 64), 64)  //            14 x 14 x 512
        x = try googLeNetBlock(form, "inception4c", x, 128, (128, 256), (24, 64), 64)  //            14 x 14 x 512
        x = try googLeNetBlock(form, "inception4d", x, 112, (144, 288), (32, 64), 64)  //            14 x 14 x 528
        let second = x
        x = try googLeNetBlock(form, "inception4e", x, 256, (160, 320), (32, 128), 128)  //          14 x 14 x 832
        x = try maxPool("maxpool4", x, form.lastPool, stride: 2, rounding: .ceil)  //                 7 x 7 x 832
        x = try googLeNetBlock(form, "inception5a", x, 256, (160, 320), (32, 128), 128)  //           7 x 7 x 832
        x = try googLeNetBlock(form, "inception5b", x, 384, (192, 384), (48, 128), 128)  //           7 x 7 x 1024
        if settings.auxiliary {
            try googLeNetHead(form, "aux1", first)
            try googLeNetHead(form, "aux2", second)
        }
        x = globalAveragePool("avgpool", x)  //                                                       1 x 1 x 1024
        x = dropout("dropout", x)
        logits("fc", x)
    }

    private mutating func product(
        _ form: GoogLeNetForm, _ name: String, _ x: Int, _ channels: Int, _ kernel: Extent, stride: Extent = 1,
        padding: Extent = 0
    ) throws(EmptyMap) -> Int {
        form.norms
            ? try convNormRelu(name, x, channels, kernel, stride: stride, padding: padding)
            : try convRelu(name, x, channels, kernel, stride: stride, padding: padding)
    }

    /// Figure 2(b): windows of 1, 3 and 5, the larger ones behind a reduction, and a pool with a projection.
    private mutating func googLeNetBlock(
        _ form: GoogLeNetForm, _ name: String, _ x: Int, _ one: Int, _ three: (reduce: Int, Int),
        _ five: (reduce: Int, Int), _ projection: Int
    ) throws(EmptyMap) -> Int {
        let branch1 = try product(form, "\(name).branch1", x, one, 1)
        var branch2 = try product(form, "\(name).branch2.0", x, three.reduce, 1)
        branch2 = try product(form, "\(name).branch2.1", branch2, three.1, 3, padding: 1)
        let border = Extent(form.branch3.height / 2, form.branch3.width / 2)
        var branch3 = try product(form, "\(name).branch3.0", x, five.reduce, 1)
        branch3 = try product(form, "\(name).branch3.1", branch3, five.1, form.branch3, padding: border)
        var branch4 = try maxPool("\(name).branch4.0", x, 3, stride: 1, padding: 1)
        branch4 = try product(form, "\(name).branch4.1", branch4, projection, 1)
        return concat(name, [branch1, branch2, branch3, branch4])
    }

    /// An auxiliary classifier. Like Inception-v3's, it shrinks its windows where the map is smaller.
    private mutating func googLeNetHead(_ form: GoogLeNetForm, _ name: String, _ x: Int) throws(EmptyMap) {
        let map = shape(x)
        let window = Extent(min(5, map.height), min(5, map.width))
        var head =
            form.adaptivePool
            ? adaptiveAveragePool("\(name).pool", x, 4)
            : try averagePool("\(name).pool", x, window, stride: 3, rounding: .ceil)  //                4 x 4
        head = try product(form, "\(name).conv", head, 128, 1)  //                                       4 x 4 x 128
        head = relu(dense("\(name).fc1", head, scaled(1024)))  //                                        1 x 1 x 1024
        head = dropout("\(name).dropout", head, 0.7)
        logits("\(name).fc2", head, head: name)
    }

    /// Figure 5 of arXiv 1502.03167: GoogLeNet with two 3x3 for each 5x5, one more block at 28 x 28, average pools, and
    /// grids that blocks of stride 2 make smaller. Its first layer's depth multiplier is left out.
    mutating func bnInception(image: Extent) throws(EmptyMap) {
        var x = input(image)  //                                                                     224 x 224 x 3
        x = try convNormRelu("conv1", x, 64, 7, stride: firstStride, padding: 3)  //                  112 x 112 x 64
        if hasFirstPool { x = try maxPool("maxpool1", x, 3, stride: 2, rounding: .ceil) }  //          56 x 56 x 64
        x = try convNormRelu("conv2", x, 64, 1)  //                                                    56 x 56 x 64
        x = try convNormRelu("conv3", x, 192, 3, padding: 1)  //                                       56 x 56 x 192
        x = try maxPool("maxpool2", x, 3, stride: 2, rounding: .ceil)  //                              28 x 28 x 192
        x = try bnInceptionBlock("inception3a", x, 64, (64, 64), (64, 96), 32)  //                     28 x 28 x 256
        x = try bnInceptionBlock("inception3b", x, 64, (64, 96), (64, 96), 64)  //                     28 x 28 x 320
        x = try bnInceptionReduction("inception3c", x, (128, 160), (64, 96))  //                       14 x 14 x 576
        x = try bnInceptionBlock("inception4a", x, 224, (64, 96), (96, 128), 128)  //                  14 x 14 x 576
        x = try bnInceptionBlock("inception4b", x, 192, (96, 128), (96, 128), 128)  //                 14 x 14 x 576
        x = try bnInceptionBlock("inception4c", x, 160, (128, 160), (128, 160), 96)  //                14 x 14 x 576
        x = try bnInceptionBlock("inception4d", x, 96, (128, 192), (160, 192), 96)  //                 14 x 14 x 576
        x = try bnInceptionReduction("inception4e", x, (128, 192), (192, 256))  //                      7 x 7 x 1024
        x = try bnInceptionBlock("inception5a", x, 352, (192, 320), (160, 224), 128)  //                7 x 7 x 1024
        x = try bnInceptionBlock("inception5b", x, 352, (192, 320), (192, 224), 128, maximum: true)  // 7 x 7 x 1024
        x = globalAveragePool("avgpool", x)  //                                                         1 x 1 x 1024
        x = dropout("dropout", x)
        logits("fc", x)
    }

    /// - Parameter maximum: of the last block, a max pool in the place of the average one.
    private mutating func bnInceptionBlock(
        _ name: String, _ x: Int, _ one: Int, _ three: (reduce: Int, Int), _ double: (reduce: Int, Int),
        _ projection: Int, maximum: Bool = false
    ) throws(EmptyMap) -> Int {
        let branch1 = try convNormRelu("\(name).branch1", x, one, 1)
        var branch2 = try convNormRelu("\(name).branch2.0", x, three.reduce, 1)
        branch2 = try convNormRelu("\(name).branch2.1", branch2, three.1, 3, padding: 1)
        var branch3 = try convNormRelu("\(name).branch3.0", x, double.reduce, 1)
        branch3 = try convNormRelu("\(name).branch3.1", branch3, double.1, 3, padding: 1)
        branch3 = try convNormRelu("\(name).branch3.2", branch3, double.1, 3, padding: 1)
        var branch4 =
            maximum
            ? try maxPool("\(name).branch4.0", x, 3, stride: 1, padding: 1)
            : try averagePool("\(name).branch4.0", x, 3, stride: 1, padding: 1)
        branch4 = try convNormRelu("\(name).branch4.1", branch4, projection, 1)
        return concat(name, [branch1, branch2, branch3, branch4])
    }

    private mutating func bnInceptionReduction(
        _ name: String, _ x: Int, _ three: (reduce: Int, Int), _ double: (reduce: Int, Int)
    ) throws(EmptyMap) -> Int {
        var branch2 = try convNormRelu("\(name).branch2.0", x, three.reduce, 1)
        branch2 = try convNormRelu("\(name).branch2.1", branch2, three.1, 3, stride: 2, padding: 1)
        var branch3 = try convNormRelu("\(name).branch3.0", x, double.reduce, 1)
        branch3 = try convNormRelu("\(name).branch3.1", branch3, double.1, 3, padding: 1)
        branch3 = try convNormRelu("\(name).branch3.2", branch3, double.1, 3, stride: 2, padding: 1)
        let pooled = try maxPool("\(name).branch4", x, 3, stride: 2, padding: 1)
        return concat(name, [branch2, branch3, pooled])
    }
}
