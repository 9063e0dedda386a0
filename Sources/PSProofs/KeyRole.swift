// What the holders of keys may be.

/// What the holder of a key may be, in a job with keys.
package enum KeyRole: String, Codable, Sendable, Hashable, CaseIterable {
    case coordinator, server, worker
    /// A person who may look and command.
    case `operator`
    /// A person who may look.
    case viewer

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let role = KeyRole(rawValue: text) else {
            // Something longer than any role may be a key that is in the wrong place.
            let found = text.utf8.count <= 20 ? text.debugDescription : "a text of \(text.utf8.count) bytes"
            throw DecodingError.dataCorrupted(
                DecodingError.Context(
                    codingPath: decoder.codingPath,
                    debugDescription: "\(found) is no role; the roles are "
                        + KeyRole.allCases.map(\.rawValue).joined(separator: ", ")))
        }
        self = role
    }
}
