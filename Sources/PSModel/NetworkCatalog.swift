// The catalogue: every network of the Inception papers and of their comparisons.

extension Network {
    /// In the order in which they were published.
    package static let all: [Network] = [
        alexNet, vgg16, vgg16Norm, inceptionV1, googLeNet, bnGoogLeNet, bnInception, inceptionV2, inceptionV3,
        inceptionV4,
        inceptionResNetV1, inceptionResNetV2, xception,
    ]

    static let alexNet = Network(
        name: "alexnet", title: "AlexNet (Krizhevsky 2014, arXiv 1404.5997; Krizhevsky et al. 2012)",
        reference: "torchvision alexnet", constructor: "torchvision.models.alexnet()", imageSize: 224, dropout: 0.5,
        features: [.groups],
        published: Published(top1Error: 40.7, top5Error: 18.2, source: "Krizhevsky et al. 2012, table 2, 10 crops"),
        initialValues: .pytorch
    ) { (graph, image) throws(EmptyMap) in try graph.alexNet(image: image) }

    static let vgg16 = Network(
        name: "vgg16", title: "VGG-16 (Simonyan and Zisserman 2014, arXiv 1409.1556)", reference: "torchvision vgg16",
        constructor: "torchvision.models.vgg16()",
        imageSize: 224, dropout: 0.5, features: [],
        published: Published(top1Error: 25.6, top5Error: 8.1, source: "arXiv 1409.1556, table 3, D, one scale"),
        initialValues: InitialRules(convolutions: .normalByOutputs, dense: .normal(0.01), biases: .constant(0))
    ) { (graph, image) throws(EmptyMap) in try graph.vgg16(image: image, norms: false) }

    static let vgg16Norm = Network(
        name: "vgg16-bn", title: "VGG-16 with batch norm", reference: "torchvision vgg16_bn",
        constructor: "torchvision.models.vgg16_bn()", imageSize: 224,
        dropout: 0.5, features: [.batchNorm],
        published: Published(top1Error: 26.64, top5Error: 8.48, source: "torchvision's weights"), epsilon: 1e-5,
        initialValues: InitialRules(convolutions: .normalByOutputs, dense: .normal(0.01), biases: .constant(0))
    ) { (graph, image) throws(EmptyMap) in try graph.vgg16(image: image, norms: true) }

    static let inceptionV1 = Network(
        name: "inception-v1", title: "GoogLeNet as published (Szegedy et al. 2014, arXiv 1409.4842)",
        reference: "the paper, Caffe's bvlc_googlenet", imageSize: 224, auxiliaryHeads: ["aux1", "aux2"],
        auxiliaryWeight: 0.3, dropout: 0.4, features: [.stems],
        published: Published(top1Error: 29, top5Error: 9.2, source: "arXiv 1512.00567, table 3"),
        initialValues: InitialRules(
            convolutions: .uniformOfVarianceByInputs, dense: .uniformOfVarianceByInputs, biases: .constant(0.2))
    ) { (graph, image) throws(EmptyMap) in try graph.googLeNet(.published, image: image) }

    static let googLeNet = Network(
        name: "googlenet", title: "GoogLeNet as torchvision has it: batch norm, 3x3 for 5x5",
        reference: "torchvision googlenet", constructor: "torchvision.models.googlenet(init_weights=False)",
        imageSize: 224, auxiliaryHeads: ["aux1", "aux2"], auxiliaryWeight: 0.3,
        dropout: 0.2, features: [.stems, .batchNorm, .slimValues],
        published: Published(top1Error: 30.22, top5Error: 10.47, source: "torchvision's weights"),
        initialValues: .truncatedNormal(0.01)
    ) { (graph, image) throws(EmptyMap) in try graph.googLeNet(.torchvision, image: image) }

    static let bnGoogLeNet = Network(
        name: "bn-googlenet", title: "GoogLeNet with batch norm (arXiv 1512.00567, table 3)",
        reference: "the paper, names of torchvision's googlenet", imageSize: 224, auxiliaryHeads: ["aux1", "aux2"],
        auxiliaryWeight: 0.3, dropout: 0.4, features: [.stems, .batchNorm, .slimValues],
        published: Published(top1Error: 26.8, top5Error: nil, source: "arXiv 1512.00567, table 3"),
        initialValues: .truncatedNormal(0.1)
    ) { (graph, image) throws(EmptyMap) in try graph.googLeNet(.normalised, image: image) }

    static let bnInception = Network(
        name: "bn-inception", title: "BN-Inception (Ioffe and Szegedy 2015, arXiv 1502.03167)",
        reference: "the paper, names of torchvision's googlenet", imageSize: 224, dropout: 0.2,
        features: [.stems, .batchNorm, .poolBorder, .slimValues],
        published: Published(top1Error: 25.2, top5Error: 7.8, source: "arXiv 1512.00567, table 3"),
        initialValues: .truncatedNormal(0.1)
    ) { (graph, image) throws(EmptyMap) in try graph.bnInception(image: image) }

    static let inceptionV2 = Network(
        name: "inception-v2", title: "Inception-v2 (Szegedy et al. 2015, arXiv 1512.00567, table 1)",
        reference: "the paper, names of torchvision's inception_v3", imageSize: 299, auxiliaryHeads: ["AuxLogits"],
        dropout: 0.5,
        features: [.stems, .batchNorm, .poolBorder, .slimValues, .factorisations, .auxiliaryNorm],
        published: Published(top1Error: 23.4, top5Error: nil, source: "arXiv 1512.00567, table 3"),
        initialValues: .truncatedNormal(0.1)
    ) { (graph, image) throws(EmptyMap) in try graph.inceptionV2(image: image) }

    package static let inceptionV3 = Network(
        name: "inception-v3", title: "Inception-v3 (Szegedy et al. 2015, arXiv 1512.00567)",
        reference: "torchvision inception_v3", constructor: "torchvision.models.inception_v3(init_weights=False)",
        imageSize: 299, auxiliaryHeads: ["AuxLogits"], dropout: 0.5,
        features: [.stems, .batchNorm, .poolBorder, .slimValues, .auxiliaryNorm],
        published: Published(top1Error: 21.2, top5Error: 5.6, source: "arXiv 1512.00567, table 3"),
        initialValues: .truncatedNormal(0.1)
    ) { (graph, image) throws(EmptyMap) in try graph.inceptionV3(image: image) }

    static let inceptionV4 = Network(
        name: "inception-v4", title: "Inception-v4 (Szegedy et al. 2016, arXiv 1602.07261)",
        reference: "timm inception_v4", constructor: "timm.create_model('inception_v4')", imageSize: 299, dropout: 0.2,
        features: [.batchNorm, .poolBorder],
        published: Published(top1Error: 20.0, top5Error: 5.0, source: "arXiv 1602.07261, table 2"),
        poolBorder: .excluded, initialValues: .pytorch
    ) { (graph, image) throws(EmptyMap) in try graph.inceptionV4(image: image) }

    static let inceptionResNetV1 = Network(
        name: "inception-resnet-v1", title: "Inception-ResNet-v1 (Szegedy et al. 2016, arXiv 1602.07261)",
        reference: "the paper, names of facenet-pytorch's InceptionResnetV1", imageSize: 299, dropout: 0.2,
        features: [.stems, .batchNorm],
        published: Published(top1Error: 21.3, top5Error: 5.5, source: "arXiv 1602.07261, table 2"),
        initialValues: .pytorch
    ) { (graph, image) throws(EmptyMap) in try graph.inceptionResNetV1(image: image) }

    static let inceptionResNetV2 = Network(
        name: "inception-resnet-v2", title: "Inception-ResNet-v2 (Szegedy et al. 2016, arXiv 1602.07261)",
        reference: "timm inception_resnet_v2", constructor: "timm.create_model('inception_resnet_v2')", imageSize: 299,
        dropout: 0.2,
        features: [.stems, .batchNorm, .poolBorder],
        published: Published(top1Error: 19.9, top5Error: 4.9, source: "arXiv 1602.07261, table 2"),
        poolBorder: .excluded, initialValues: .pytorch
    ) { (graph, image) throws(EmptyMap) in try graph.inceptionResNetV2(image: image) }

    static let xception = Network(
        name: "xception", title: "Xception (Chollet 2016, arXiv 1610.02357)", reference: "timm legacy_xception",
        constructor: "timm.create_model('legacy_xception')",
        imageSize: 299, dropout: 0.5, features: [.batchNorm],
        published: Published(top1Error: 21.0, top5Error: 5.5, source: "arXiv 1610.02357, table 1"), epsilon: 1e-5,
        initialValues: InitialRules(convolutions: .normalByOutputs, dense: .uniformByInputs, biases: .byInputs)
    ) { (graph, image) throws(EmptyMap) in try graph.xception(image: image) }
}
