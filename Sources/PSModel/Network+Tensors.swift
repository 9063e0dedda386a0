// Which network a list of tensors is of.

extension Network {
    /// The network that shares the most tensors with these, by their names and the rows and columns of their kernels, of
    /// whatever width; nil where none shares half of its own.
    package static func likeliest(shapes: [String: [Int]]) -> Network? {
        let names = Set(shapes.map { key($0, $1) })
        func share(_ network: Network) -> Double {
            guard let description = try? ModelDescription(ModelSettings(network)) else { return 0 }
            let own = Set(
                description.layout.tensors.map { key($0.name, $0.shape) }.filter { name in
                    !network.auxiliaryPrefixes.contains(where: name.hasPrefix)
                })
            // Of all that either has: a smaller network is not in a larger one.
            let others = names.filter { name in
                !own.contains(name) && !name.contains(".num_batches_tracked")
                    && !network.auxiliaryPrefixes.contains(where: name.hasPrefix)
            }
            return Double(own.intersection(names).count) / Double(own.count + others.count)
        }
        let shares = all.map { ($0, share($0)) }
        // Of equals the one that was published first.
        guard let best = shares.map(\.1).max(), best > 0.5 else { return nil }
        return shares.first { $0.1 == best }?.0
    }

    private static func key(_ name: String, _ shape: [Int]) -> String { "\(name) \(shape.dropFirst(2))" }
}
