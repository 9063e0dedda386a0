// What can be wrong with a person's choice of network.

/// A setting that names no network. The description says what was found and what is allowed.
package enum ModelError: Error, Equatable, CustomStringConvertible {
    case unknownModel(name: String, known: [String])
    case invalidSetting(name: String, found: String, allowed: String)
    case imageTooSmall(size: Int, network: String, stem: Int?, minimum: Int)
    /// The text says which networks have it, or what to do.
    case noSuchSetting(name: String, network: String, instead: String)

    package var description: String {
        switch self {
        case .unknownModel(let name, let known):
            "model.name: there is no model \"\(name)\"; the nearest is \(nearest(name, known)); known models: "
                + known.joined(separator: ", ")
        case .invalidSetting(let name, let found, let allowed):
            "\(name): found \(found), expected \(allowed)"
        case .imageTooSmall(let size, let network, let stem, let minimum):
            "model.imageSize: \(size) is too small for \(network)" + (stem.map { " with stem \($0)" } ?? "")
                + ", whose minimum is \(minimum)"
        case .noSuchSetting(let name, let network, let instead):
            "\(name): \(network) has no such choice; \(instead)"
        }
    }

    private func nearest(_ name: String, _ known: [String]) -> String {
        known.min { spellingDistance(name.lowercased(), $0) < spellingDistance(name.lowercased(), $1) } ?? ""
    }
}
