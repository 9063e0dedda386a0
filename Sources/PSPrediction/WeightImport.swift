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
    package static func importing(_ path: String, to output: OutputFile) throws(StorageError) -> Imported {
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
        let ends = found.tensors.filter { last.contains($0.name) }
        guard let classes = ends.first?.shape.first, classes > 0, ends.allSatisfy({ $0.shape.first == classes }) else {
            let shapes = ends.map { "\($0.name) is \($0.shape)" }.joined(separator: ", ")
            throw .damaged(path: path, problem: "has no last layer for a number of classes: \(shapes)")
        }
        try SafetensorsWriter.write(
            to: output, metadata: metadata(classNames: file.classNames, network: file.networkAssignments),
            tensors: found.tensors)
        return Imported(
            file: output.path, model: found.network.name, origin: isSlim ? .slim : .reference, prefix: found.prefix,
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
        guard let (prefix, network) = file.networkBehindPrefix() else {
            throw .damaged(path: file.path, problem: file.unknownNetwork)
        }
        let names = NetworkNames(network)
        var tensors: [OutgoingTensor] = []
        var leftOut: [String] = []
        for tensor in file.tensors {
            let name = String(tensor.name.dropFirst(prefix.count))
            if name.hasSuffix(batchCounter) { continue }
            guard tensor.name.hasPrefix(prefix), names.mayHave(name) else {
                leftOut.append(tensor.name)
                continue
            }
            guard tensor.dataType.isFloat else {
                throw .mismatch(
                    path: file.path,
                    problems: ["\(tensor.name) is \(tensor.summary); weights are F32, F16, BF16 or F64"])
            }
            tensors.append(OutgoingTensor(name: name, shape: tensor.shape, values: try file.floats(of: tensor)))
        }
        let missing = names.missing(Set(tensors.map(\.name)))
        if !missing.isEmpty {
            throw .mismatch(
                path: file.path,
                problems: ["looks like \(network.name), but is not whole"] + missing.map { "\(prefix)\($0) is missing" }
            )
        }
        return Found(network: network, prefix: prefix, tensors: tensors, leftOut: leftOut.sorted())
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

/// The names of a network's tensors.
private struct NetworkNames {
    private let network: Network
    private let all: Set<String>
    /// Those that every file has: outside the auxiliary heads, and without the scales of batch norm.
    private let required: Set<String>
    /// Settings other than the published ones bring other names.
    private let isOpen: Bool

    init(_ network: Network) {
        self.network = network
        var settings = ModelSettings(network)
        isOpen = network.features.contains(.factorisations)
        settings.auxiliary = !network.auxiliaryHeads.isEmpty
        all = NetworkNames.names(settings)
        settings.auxiliary = false
        settings.batchNormScale = !network.features.contains(.batchNorm)
        required = NetworkNames.names(settings)
    }

    private static func names(_ settings: ModelSettings) -> Set<String> {
        Set((try? ModelDescription(settings).layout.tensors.map(\.name)) ?? [])
    }

    func mayHave(_ name: String) -> Bool {
        isOpen || all.contains(name) || network.auxiliaryPrefixes.contains(where: name.hasPrefix)
    }

    func missing(_ names: Set<String>) -> [String] { isOpen ? [] : required.subtracting(names).sorted() }
}
