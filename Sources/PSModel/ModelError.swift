// What can be wrong with a person's choice of network.

/// A setting that names no network. The description says what was found and what is allowed.
package enum ModelError: Error, Equatable, CustomStringConvertible {
    case unknownModel(name: String, known: [String])
    case invalidSetting(name: String, found: String, allowed: String)
    case imageTooSmall(size: Int, stem: Int, minimum: Int)

    package var description: String {
        switch self {
        case .unknownModel(let name, let known):
            "model.name: there is no model \"\(name)\"; known models: \(known.joined(separator: ", "))"
        case .invalidSetting(let name, let found, let allowed):
            "\(name): found \(found), expected \(allowed)"
        case .imageTooSmall(let size, let stem, let minimum):
            "model.imageSize: \(size) is too small for stem \(stem), whose minimum is \(minimum)"
        }
    }
}
