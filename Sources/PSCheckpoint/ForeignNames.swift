// Weights of Inception-v3 under other projects' names, made torchvision's: PyTorch wrappers' prefixes, timm's, TF-slim's.

import PSFiles

/// A file's tensors as torchvision would call them.
package struct ForeignNames {
    /// Where the names are from.
    package enum Origin: String, Sendable, Hashable, Encodable {
        /// torchvision's, which are timm's, perhaps behind a prefix.
        case torchvision
        /// TF-slim's variables, kernels in the order rows, columns, in, out.
        case slim
    }

    /// One tensor of the result.
    struct Renamed {
        let name: String
        let source: SafetensorsTensor
        /// Whether the kernel's axes go from rows, columns, in, out to out, in, rows, columns.
        var isTransposed = false
        /// A dense layer that is a 1 x 1 kernel in the file.
        var isDense = false
    }

    package let origin: Origin
    /// What all names of the file began with.
    package let prefix: String
    /// Names of the file that no weight of the network has, and that were left out.
    package let leftOut: [String]
    let tensors: [Renamed]

    package init(_ file: SafetensorsFile) throws(StorageError) {
        if file.tensors.contains(where: { $0.name.contains("InceptionV3/") }) {
            (origin, prefix) = (.slim, "")
            (tensors, leftOut) = try ForeignNames.slim(file)
            return
        }
        // What is left of a name behind the prefix begins with a layer of the network.
        func start(_ name: String) -> Substring? {
            ["Conv2d_1a_3x3.", "Mixed_", "AuxLogits.", "fc."].lazy.compactMap { name.firstRange(of: $0) }.map {
                name[..<$0.lowerBound]
            }.min { $0.count < $1.count }
        }
        guard let prefix = file.tensors.lazy.compactMap({ start($0.name) }).first else {
            throw .damaged(
                path: file.path,
                problem: "has no names of an Inception-v3 in torchvision's, timm's or TF-slim's manner (its first is "
                    + "\(file.tensors.map(\.name).min() ?? "none"))")
        }
        origin = .torchvision
        self.prefix = String(prefix)
        tensors = file.tensors.filter { $0.name.hasPrefix(prefix) }.map {
            Renamed(name: String($0.name.dropFirst(prefix.count)), source: $0)
        }
        leftOut = file.tensors.map(\.name).filter { !$0.hasPrefix(prefix) }.sorted()
    }

    /// Reads one tensor in torchvision's order of axes.
    func floats(of tensor: Renamed, in file: SafetensorsFile) throws(StorageError) -> (shape: [Int], values: [Float]) {
        let values = try file.floats(of: tensor.source)
        guard tensor.isTransposed else { return (tensor.source.shape, values) }
        let shape = tensor.source.shape
        let (area, inputs, outputs) = (shape[0] * shape[1], shape[2], shape[3])
        var result = [Float](repeating: 0, count: values.count)
        for position in 0..<area {
            for input in 0..<inputs {
                for output in 0..<outputs {
                    result[(output * inputs + input) * area + position] =
                        values[(position * inputs + input) * outputs + output]
                }
            }
        }
        return (tensor.isDense ? [outputs, inputs] : [outputs, inputs, shape[0], shape[1]], result)
    }

    // MARK: TF-slim

    /// slim's scope of each of torchvision's layers. Source: TF-slim's `inception_v3.py`, whose scopes are now and then
    /// named after another kernel than they have, and torchvision's `inception.py`.
    private static let slimScopes: [(torchvision: String, slim: String)] = {
        var scopes = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"].map {
            ($0, $0)
        }
        func block(_ name: String, _ layers: [(String, String)]) {
            scopes += layers.map { ("\(name).\($0)", "\(name)/\($1)") }
        }
        for name in ["Mixed_5b", "Mixed_5c", "Mixed_5d"] {
            let isOdd = name == "Mixed_5c"
            block(
                name,
                [
                    ("branch1x1", "Branch_0/Conv2d_0a_1x1"),
                    ("branch5x5_1", "Branch_1/\(isOdd ? "Conv2d_0b_1x1" : "Conv2d_0a_1x1")"),
                    ("branch5x5_2", "Branch_1/\(isOdd ? "Conv_1_0c_5x5" : "Conv2d_0b_5x5")"),
                    ("branch3x3dbl_1", "Branch_2/Conv2d_0a_1x1"), ("branch3x3dbl_2", "Branch_2/Conv2d_0b_3x3"),
                    ("branch3x3dbl_3", "Branch_2/Conv2d_0c_3x3"), ("branch_pool", "Branch_3/Conv2d_0b_1x1"),
                ])
        }
        block(
            "Mixed_6a",
            [
                ("branch3x3", "Branch_0/Conv2d_1a_1x1"), ("branch3x3dbl_1", "Branch_1/Conv2d_0a_1x1"),
                ("branch3x3dbl_2", "Branch_1/Conv2d_0b_3x3"), ("branch3x3dbl_3", "Branch_1/Conv2d_1a_1x1"),
            ])
        for name in ["Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"] {
            block(
                name,
                [
                    ("branch1x1", "Branch_0/Conv2d_0a_1x1"), ("branch7x7_1", "Branch_1/Conv2d_0a_1x1"),
                    ("branch7x7_2", "Branch_1/Conv2d_0b_1x7"), ("branch7x7_3", "Branch_1/Conv2d_0c_7x1"),
                    ("branch7x7dbl_1", "Branch_2/Conv2d_0a_1x1"), ("branch7x7dbl_2", "Branch_2/Conv2d_0b_7x1"),
                    ("branch7x7dbl_3", "Branch_2/Conv2d_0c_1x7"), ("branch7x7dbl_4", "Branch_2/Conv2d_0d_7x1"),
                    ("branch7x7dbl_5", "Branch_2/Conv2d_0e_1x7"), ("branch_pool", "Branch_3/Conv2d_0b_1x1"),
                ])
        }
        block(
            "Mixed_7a",
            [
                ("branch3x3_1", "Branch_0/Conv2d_0a_1x1"), ("branch3x3_2", "Branch_0/Conv2d_1a_3x3"),
                ("branch7x7x3_1", "Branch_1/Conv2d_0a_1x1"), ("branch7x7x3_2", "Branch_1/Conv2d_0b_1x7"),
                ("branch7x7x3_3", "Branch_1/Conv2d_0c_7x1"), ("branch7x7x3_4", "Branch_1/Conv2d_1a_3x3"),
            ])
        for name in ["Mixed_7b", "Mixed_7c"] {
            block(
                name,
                [
                    ("branch1x1", "Branch_0/Conv2d_0a_1x1"), ("branch3x3_1", "Branch_1/Conv2d_0a_1x1"),
                    ("branch3x3_2a", "Branch_1/Conv2d_0b_1x3"),
                    ("branch3x3_2b", "Branch_1/\(name == "Mixed_7b" ? "Conv2d_0b_3x1" : "Conv2d_0c_3x1")"),
                    ("branch3x3dbl_1", "Branch_2/Conv2d_0a_1x1"), ("branch3x3dbl_2", "Branch_2/Conv2d_0b_3x3"),
                    ("branch3x3dbl_3a", "Branch_2/Conv2d_0c_1x3"), ("branch3x3dbl_3b", "Branch_2/Conv2d_0d_3x1"),
                    ("branch_pool", "Branch_3/Conv2d_0b_1x1"),
                ])
        }
        return scopes + [
            ("AuxLogits.conv0", "AuxLogits/Conv2d_1b_1x1"), ("AuxLogits.conv1", "AuxLogits/Conv2d_2a_5x5"),
        ]
    }()

    private static func slim(_ file: SafetensorsFile) throws(StorageError) -> ([Renamed], [String]) {
        var renamed: [Renamed] = []
        var used: Set<String> = []
        var problems: [String] = []
        /// A variable, or better its running average, which slim evaluates.
        func find(_ variable: String) -> SafetensorsTensor? {
            let name = "InceptionV3/\(variable)"
            for name in ["\(name)/ExponentialMovingAverage", name] {
                if let tensor = file.tensor(named: name) {
                    used.insert(name)
                    used.insert("InceptionV3/\(variable)")
                    return tensor
                }
            }
            return nil
        }
        func take(_ name: String, _ variable: String, axes: Int, isDense: Bool = false) {
            guard let tensor = find(variable) else { return problems.append("InceptionV3/\(variable) is missing") }
            guard tensor.shape.count == axes, tensor.dataType.isFloat else {
                return problems.append("\(tensor.name) is \(tensor.summary); expected \(axes) axes of floats")
            }
            renamed.append(Renamed(name: name, source: tensor, isTransposed: axes == 4, isDense: isDense))
        }
        let hasAuxiliary = file.tensors.contains { $0.name.hasPrefix("InceptionV3/AuxLogits/") }
        for (layer, scope) in slimScopes where hasAuxiliary || !layer.hasPrefix("AuxLogits.") {
            take("\(layer).conv.weight", "\(scope)/weights", axes: 4)
            take("\(layer).bn.bias", "\(scope)/BatchNorm/beta", axes: 1)
            take("\(layer).bn.running_mean", "\(scope)/BatchNorm/moving_mean", axes: 1)
            take("\(layer).bn.running_var", "\(scope)/BatchNorm/moving_variance", axes: 1)
            if file.tensor(named: "InceptionV3/\(scope)/BatchNorm/gamma") != nil {
                take("\(layer).bn.weight", "\(scope)/BatchNorm/gamma", axes: 1)
            }
        }
        for (layer, scope) in [("fc", "Logits/Conv2d_1c_1x1"), ("AuxLogits.fc", "AuxLogits/Conv2d_2b_1x1")]
        where hasAuxiliary || layer == "fc" {
            take("\(layer).weight", "\(scope)/weights", axes: 4, isDense: true)
            take("\(layer).bias", "\(scope)/biases", axes: 1)
        }
        if !problems.isEmpty { throw .mismatch(path: file.path, problems: problems) }
        return (renamed, file.tensors.map(\.name).filter { !used.contains($0) }.sorted())
    }
}

extension WeightFile {
    /// What `importing` wrote.
    package struct Imported: Encodable, Sendable {
        package let file: String
        package let origin: ForeignNames.Origin
        package let tensors: Int
        package let classes: Int
        package let auxiliary: Bool
        /// Whether batch norm's learned scales are 1, as the source has none.
        package let scalesAreOne: Bool
        package let leftOut: [String]
    }

    /// Writes the weights of a file under torchvision's names and as float32, where its names map to them. Scales of batch
    /// norm that the source does not have (slim's) become 1, which computes the same.
    package static func importing(_ path: String, to out: String) throws(StorageError) -> Imported {
        let file = try SafetensorsFile(path)
        let names = try ForeignNames(file)
        guard let head = names.tensors.first(where: { $0.name == "fc.weight" }) else {
            throw .damaged(path: path, problem: "has no fc.weight, the last layer")
        }
        let classes = head.isDense ? head.source.shape[3] : head.source.shape.first ?? 0
        var outgoing: [OutgoingTensor] = []
        var scales: [OutgoingTensor] = []
        let known = Set(names.tensors.map(\.name))
        for tensor in names.tensors {
            guard tensor.source.dataType.isFloat else {
                if tensor.name.hasSuffix(batchCounter) { continue }
                throw .mismatch(
                    path: path, problems: ["\(tensor.source.name) is \(tensor.source.summary); weights are floats"])
            }
            let (shape, values) = try names.floats(of: tensor, in: file)
            outgoing.append(OutgoingTensor(name: tensor.name, shape: shape, values: values))
            let scale = tensor.name.replacing(".bn.bias", with: ".bn.weight")
            if tensor.name.hasSuffix(".bn.bias"), !known.contains(scale) {
                scales.append(
                    OutgoingTensor(name: scale, shape: shape, values: [Float](repeating: 1, count: values.count)))
            }
        }
        try SafetensorsWriter.write(
            path: out, metadata: metadata(classNames: file.classNames), tensors: outgoing + scales)
        return Imported(
            file: out, origin: names.origin, tensors: outgoing.count + scales.count, classes: classes,
            auxiliary: known.contains { $0.hasPrefix("AuxLogits.") }, scalesAreOne: !scales.isEmpty,
            leftOut: names.leftOut)
    }
}
