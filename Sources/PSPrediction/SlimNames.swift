// TF-slim's variables of Inception-v3 as torchvision's tensors.

import PSCheckpoint
import PSFiles

/// A TF-slim checkpoint's variables under torchvision's names.
struct SlimNames {
    /// One tensor of the result. Kernels of the file have the axes rows, columns, in, out.
    struct Renamed {
        let name: String
        let source: SafetensorsTensor
        /// A dense layer that is a 1 x 1 kernel in the file.
        var isDense = false

        /// Of the result, whose kernels have the axes out, in, rows, columns.
        var shape: [Int] {
            let shape = source.shape
            guard shape.count == 4 else { return shape }
            return isDense ? [shape[3], shape[2]] : [shape[3], shape[2], shape[0], shape[1]]
        }
    }

    let tensors: [Renamed]
    /// Variables that no tensor of the network is made of.
    let leftOut: [String]

    static func areIn(_ file: SafetensorsFile) -> Bool {
        file.tensors.contains { $0.name.contains("InceptionV3/") }
    }

    init(_ file: SafetensorsFile) throws(StorageError) {
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
            renamed.append(Renamed(name: name, source: tensor, isDense: isDense))
        }
        let hasAuxiliary = file.tensors.contains { $0.name.hasPrefix("InceptionV3/AuxLogits/") }
        for (layer, scope) in SlimNames.scopes where hasAuxiliary || !layer.hasPrefix("AuxLogits.") {
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
        tensors = renamed
        leftOut = file.tensors.map(\.name).filter { !used.contains($0) }.sorted()
    }

    /// Reads one tensor in torchvision's order of axes.
    func floats(of tensor: Renamed, in file: SafetensorsFile) throws(StorageError) -> [Float] {
        let values = try file.floats(of: tensor.source)
        let shape = tensor.source.shape
        guard shape.count == 4 else { return values }
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
        return result
    }

    /// slim's scope of each of torchvision's layers. Source: TF-slim's `inception_v3.py`, whose scopes are now and then
    /// named after another kernel than they have, and torchvision's `inception.py`.
    private static let scopes: [(torchvision: String, slim: String)] = {
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
}
