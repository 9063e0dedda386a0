// AlexNet and VGG-16 as tables: what the Inception papers compare themselves with. Rows and names are torchvision's.

extension GraphBuilder {
    /// Shapes in the comments are for a 224 x 224 image at width 1. (Krizhevsky 2014, arXiv 1404.5997.)
    mutating func alexNet(image: Extent) throws(EmptyMap) {
        let groups = settings.groups
        var x = input(image)  //                                                                    224 x 224 x 3
        x = try convRelu("features.0", x, 64, 11, stride: 4, padding: 2)  //                         55 x 55 x 64
        x = try maxPool("features.2", x, 3, stride: 2)  //                                           27 x 27 x 64
        x = try convRelu("features.3", x, 192, 5, padding: 2, groups: groups)  //                    27 x 27 x 192
        x = try maxPool("features.5", x, 3, stride: 2)  //                                           13 x 13 x 192
        x = try convRelu("features.6", x, 384, 3, padding: 1)  //                                    13 x 13 x 384
        x = try convRelu("features.8", x, 256, 3, padding: 1, groups: groups)  //                    13 x 13 x 256
        x = try convRelu("features.10", x, 256, 3, padding: 1, groups: groups)  //                   13 x 13 x 256
        x = try maxPool("features.12", x, 3, stride: 2)  //                                          6 x 6 x 256
        x = adaptiveAveragePool("avgpool", x, 6)
        x = dropout("classifier.0", x)
        x = relu(dense("classifier.1", x, scaled(4096)))  //                                         1 x 1 x 4096
        x = dropout("classifier.3", x)
        x = relu(dense("classifier.4", x, scaled(4096)))  //                                         1 x 1 x 4096
        logits("classifier.6", x)
    }

    /// Configuration D of Simonyan and Zisserman 2014, arXiv 1409.1556.
    ///
    /// - Parameter norms: a batch norm behind each convolution, as torchvision's `vgg16_bn`.
    mutating func vgg16(image: Extent, norms: Bool) throws(EmptyMap) {
        var x = input(image)  //                                                                    224 x 224 x 3
        // Modules of `features` so far: convolutions, norms, ReLUs and pools count.
        var module = 0
        for (count, channels) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)] {
            for _ in 0..<count {
                x = try convolution(
                    "features.\(module)", x, channels: scaled(channels), 3, padding: 1, bias: true)
                if norms { x = norm("features.\(module + 1)", x) }
                x = relu(x)
                module += norms ? 3 : 2
            }
            x = try maxPool("features.\(module)", x, 2, stride: 2)  //                112, 56, 28, 14, 7
            module += 1
        }
        x = adaptiveAveragePool("avgpool", x, 7)  //                                                 7 x 7 x 512
        x = relu(dense("classifier.0", x, scaled(4096)))  //                                         1 x 1 x 4096
        x = dropout("classifier.2", x)
        x = relu(dense("classifier.3", x, scaled(4096)))  //                                         1 x 1 x 4096
        x = dropout("classifier.5", x)
        logits("classifier.6", x)
    }
}
