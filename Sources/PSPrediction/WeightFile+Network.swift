// A weight file for a network: which one it is of, and what to do if it is another's.

import PSCheckpoint
import PSFiles
import PSModel
import PSParameters

extension SafetensorsFile {
    /// The network whose tensors the file has; nil: none's.
    package var network: Network? { network(behind: "") }

    /// The network whose tensors the file has behind a prefix.
    func network(behind prefix: String) -> Network? {
        let found = tensors.filter { $0.name.hasPrefix(prefix) }
        // Every network has more than a dozen tensors.
        if found.count < 12 { return nil }
        let shapes = found.map { (String($0.name.dropFirst(prefix.count)), $0.shape) }
        return Network.likeliest(shapes: Dictionary(shapes) { first, _ in first })
    }

    /// The shortest prefix, of whole parts of names, behind which a network's tensors are.
    func networkBehindPrefix() -> (prefix: String, network: Network)? {
        var prefixes: Set<String> = [""]
        for tensor in tensors {
            let parts = tensor.name.split(separator: ".", omittingEmptySubsequences: false)
            for count in 1..<max(2, parts.count) {
                prefixes.insert(parts.prefix(count).joined(separator: ".") + ".")
            }
        }
        for prefix in prefixes.sorted(by: { ($0.count, $0) < ($1.count, $1) }) {
            if let network = network(behind: prefix) { return (prefix, network) }
        }
        return nil
    }

    /// What to do with a file whose tensors are no network's as they are called.
    package var unknownNetwork: String {
        if SlimNames.areIn(self) { return "has TF-slim's names: psctl import makes them torchvision's" }
        if let (prefix, network) = networkBehindPrefix() {
            return "has the tensors of \(network.name) behind '\(prefix)': psctl import takes the prefix away"
        }
        return "has no names of a network here as its reference has them, nor TF-slim's of Inception-v3 (its first is "
            + "\(tensors.map(\.name).min() ?? "none")); psctl model list names the networks"
    }

    /// How the file's network differs from the model as a whole, where it does.
    fileprivate func difference(from description: ModelDescription) -> String? {
        guard let network else { return "the file \(unknownNetwork)" }
        if network.name != description.network.name {
            return "the file is of \(network.name), not of \(description.network.name)"
        }
        if let width = width(of: description), width != description.settings.width {
            return "the file's network is of width \(width), the model's of \(description.settings.width): "
                + "set model.width=\(width)"
        }
        return nil
    }

    /// The width at which the model has the file's shapes; nil: at none.
    private func width(of description: ModelDescription) -> Double? {
        func shapes(_ width: Double) -> [String: [Int]] {
            var settings = description.settings
            settings.width = width
            guard let other = try? ModelDescription(settings) else { return [:] }
            let last = other.lastLayers
            return Dictionary(
                uniqueKeysWithValues: other.layout.tensors.filter { !last.contains($0.name) }.map {
                    ($0.name, $0.shape)
                })
        }
        // By the layer with the most outputs, whose number is rounded least.
        let whole = shapes(1)
        guard let widest = whole.max(by: { ($0.value[0], $0.key) < ($1.value[0], $1.key) }),
            let found = tensor(named: widest.key)?.shape.first
        else { return nil }
        let exact = Double(found) / Double(widest.value[0])
        return [100.0, 1000, 10_000].lazy.map { (exact * $0).rounded() / $0 }.first { width in
            width > 0
                && shapes(width).allSatisfy { name, shape in self.tensor(named: name).map { $0.shape == shape } ?? true
                }
        }
    }
}

extension WeightFile {
    /// As `load`, for a network that knows its auxiliary heads.
    ///
    /// - Throws: what `load` throws, with the network or the width that the file looks like if that is another.
    package static func load(
        _ path: String, of description: ModelDescription, ignoredPrefixes: [String] = [], anew: Set<String> = []
    ) throws(StorageError) -> [Float] {
        do throws(StorageError) {
            let values = try load(path, layout: description.layout, ignoredPrefixes: ignoredPrefixes, anew: anew)
            try check(values, of: description, path: path)
            return values
        } catch {
            guard case .mismatch(let path, let problems) = error, problems.count > 1,
                let difference = (try? SafetensorsFile(path))?.difference(from: description)
            else { throw error }
            throw .mismatch(path: path, problems: [difference] + problems)
        }
    }

    /// Throws unless a network can compute with the values.
    package static func check(_ values: [Float], of description: ModelDescription, path: String) throws(StorageError) {
        for (index, tensor) in description.layout.tensors.enumerated() {
            let own = values[description.layout.range(ofTensor: index)]
            if !own.allSatisfy(\.isFinite) {
                throw .damaged(path: path, problem: "\(tensor.name) has values that are not finite; take another file")
            }
            if tensor.name.hasSuffix(".running_var"), own.contains(where: { $0 < 0 }) {
                throw .damaged(path: path, problem: "\(tensor.name) has variances below 0; take another file")
            }
        }
    }
}
