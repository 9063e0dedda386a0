// What a network's tensors do not say of it, for the header of a weight file.

import PSModel

extension JobConfiguration {
    /// The settings without which the same tensors compute something else, or are another network's.
    private static let networkKeys = [
        "model.name", "model.width", "model.stem", "model.imageSize", "model.auxiliaryNorm", "model.poolBorder",
        "model.batchNormScale", "model.transformInput", "model.factorizeStem", "model.factorize5x5",
        "model.factorize7x7", "model.reduction", "model.groups",
    ]

    /// The settings of the network, as `--set` takes them, where they are not as published; what is left open is settled.
    package var networkAssignments: [String] {
        var (settled, published) = (self, self)
        settled.model = model.settled
        if let network = try? Network.named(model.name) { published.model = ModelSettings(network).settled }
        return JobConfiguration.networkKeys.compactMap { key in
            guard let setting = SettingsTable.setting(named: key) else { return nil }
            let value = setting.yamlValue(in: settled)
            let isAlwaysSaid = ["model.name", "model.width", "model.stem", "model.imageSize"].contains(key)
            return isAlwaysSaid || value != setting.yamlValue(in: published) ? "\(key)=\(value)" : nil
        }
    }

    /// Takes over what `networkAssignments` wrote, and nothing else that a file may claim.
    package mutating func read(networkAssignments: [String]) throws(ConfigurationError) {
        try read(
            assignments: networkAssignments.filter { assignment in
                JobConfiguration.networkKeys.contains { assignment.hasPrefix("\($0)=") }
            })
    }
}
