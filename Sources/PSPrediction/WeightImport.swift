// Weights from elsewhere as one file in the names of a network's reference, float32.

import PSCheckpoint
import PSFiles
import PSModel

extension WeightFile {
    /// What `importing` wrote.
    package struct Imported: Encodable, Sendable {
        /// Whose names the file had.
        package enum Origin: String, Sendable, Hashable, Encodable {
            /// Those of the network's reference, perhaps behind a prefix.
            case reference
            /// TF-slim's variables.
            case slim
        }

        package let file: String
        package let model: String
        package let origin: Origin
        /// What all names began with.
        package let prefix: String
        package let tensors: Int
        package let classes: Int
        package let auxiliary: Bool
        /// Whether batch norm's learned scales are 1, as the source has none.
        package let scalesAreOne: Bool
        /// What the file has besides, by name.
        package let leftOut: [String]
    }

    /// Writes the weights of a file under the names of its network's reference and as float32. Scales of batch norm that
    /// the source does not have (slim's) become 1, which computes the same.
    package static func importing(_ path: String, to out: String) throws(StorageError) -> Imported {
        let file = try SafetensorsFile(path)
        let isSlim = SlimNames.areIn(file)
        let found = isSlim ? try slim(file) : try behindPrefix(file)
        let names = Set(found.tensors.map(\.name))
        let heads = found.network.auxiliaryPrefixes
        func isAuxiliary(_ name: String) -> Bool { heads.contains(where: name.hasPrefix) }

        guard let description = try? ModelDescription(ModelSettings(found.network)) else {
            preconditionFailure("\(found.network.name) cannot be built as it was published")
        }
        let last = description.lastLayers.filter { !isAuxiliary($0) }.sorted()
        guard let classes = found.tensors.first(where: { last.contains($0.name) })?.shape.first else {
            throw .damaged(path: path, problem: "has no \(last.joined(separator: " or ")), the last layer")
        }
        try SafetensorsWriter.write(path: out, metadata: metadata(classNames: file.classNames), tensors: found.tensors)
        return Imported(
            file: out, model: found.network.name, origin: isSlim ? .slim : .reference, prefix: found.prefix,
            tensors: found.tensors.count, classes: classes, auxiliary: names.contains(where: isAuxiliary),
            scalesAreOne: found.scalesAreOne, leftOut: found.leftOut)
    }

    /// Tensors of a file as they are to be written.
    private struct Found {
        let network: Network
        var prefix = ""
        let tensors: [OutgoingTensor]
        var scalesAreOne = false
        let leftOut: [String]
    }

    private static func behindPrefix(_ file: SafetensorsFile) throws(StorageError) -> Found {
        guard let (prefix, network) = prefixAndNetwork(file) else {
            throw .damaged(
                path: file.path,
                problem: "has no names of a network here as its reference has them, nor TF-slim's of Inception-v3 (its "
                    + "first is \(file.tensors.map(\.name).min() ?? "none")); psctl model list names the networks")
        }
        var tensors: [OutgoingTensor] = []
        for tensor in file.tensors where tensor.name.hasPrefix(prefix) {
            guard tensor.dataType.isFloat else {
                if tensor.name.hasSuffix(batchCounter) { continue }
                throw .mismatch(path: file.path, problems: ["\(tensor.name) is \(tensor.summary); weights are floats"])
            }
            tensors.append(
                OutgoingTensor(
                    name: String(tensor.name.dropFirst(prefix.count)), shape: tensor.shape,
                    values: try file.floats(of: tensor)))
        }
        return Found(
            network: network, prefix: prefix, tensors: tensors,
            leftOut: file.tensors.map(\.name).filter { !$0.hasPrefix(prefix) }.sorted())
    }

    /// The shortest prefix, of whole parts of names, behind which a network's tensors are.
    private static func prefixAndNetwork(_ file: SafetensorsFile) -> (prefix: String, network: Network)? {
        var prefixes: Set<String> = [""]
        for tensor in file.tensors {
            let parts = tensor.name.split(separator: ".", omittingEmptySubsequences: false)
            for count in 1..<max(2, parts.count) {
                prefixes.insert(parts.prefix(count).joined(separator: ".") + ".")
            }
        }
        // Every network has more than a dozen tensors: a prefix of fewer names needs no closer look.
        for prefix in prefixes.sorted(by: { ($0.count, $0) < ($1.count, $1) }) {
            let behind = file.tensors.filter { $0.name.hasPrefix(prefix) }
            if behind.count < 12 { continue }
            let shapes = behind.map { (String($0.name.dropFirst(prefix.count)), $0.shape) }
            if let network = Network.likeliest(shapes: Dictionary(shapes) { first, _ in first }) {
                return (prefix, network)
            }
        }
        return nil
    }

    private static func slim(_ file: SafetensorsFile) throws(StorageError) -> Found {
        let names = try SlimNames(file)
        var tensors: [OutgoingTensor] = []
        for tensor in names.tensors {
            tensors.append(
                OutgoingTensor(name: tensor.name, shape: tensor.shape, values: try names.floats(of: tensor, in: file)))
        }
        let known = Set(tensors.map(\.name))
        let scales = tensors.compactMap { tensor -> OutgoingTensor? in
            let scale = tensor.name.replacing(".bn.bias", with: ".bn.weight")
            if known.contains(scale) { return nil }
            let ones = [Float](repeating: 1, count: tensor.shape.reduce(1, *))
            return OutgoingTensor(name: scale, shape: tensor.shape, values: ones)
        }
        return Found(
            network: .inceptionV3, tensors: tensors + scales, scalesAreOne: !scales.isEmpty, leftOut: names.leftOut)
    }
}
