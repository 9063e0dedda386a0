// One line of the list of who may speak with a job. Public halves only: the list is no secret.

import PSFiles
import PSProofs

package struct AllowedKey: Sendable, Hashable, Codable {
    package let name: String
    package let role: KeyRole
    /// 40 characters of Z85.
    package let publicKey: String

    package init(name: String, role: KeyRole, publicKey: String) {
        self.name = name
        self.role = role
        self.publicKey = publicKey
    }

    package var fingerprint: String { PSKeys.fingerprint(publicKey) }

    private enum CodingKeys: String, CodingKey {
        case name, role
        case publicKey = "key"
    }

    /// - Returns: the list, sorted by name.
    /// - Throws: when it is no list, or has an entry that says two things or nothing.
    static func readList(_ path: String) throws(KeyError) -> [AllowedKey] {
        let bytes = try PrivateFile.read(path)
        func refused(_ problem: String) -> KeyError {
            .refused(path: path, problem: "is no list of keys: \(problem); take it from a backup, or correct it")
        }
        let list: [AllowedKey]
        do { list = try JSON.decode([AllowedKey].self, from: bytes) } catch { throw refused(JSON.explain(error)) }
        var names: Set<String> = []
        var keys: Set<String> = []
        for (index, entry) in list.enumerated() {
            guard KeyDirectory.isName(entry.name), !KeyDirectory.reserved.contains(entry.name) else {
                throw refused("entry \(index + 1) has a name that no key may have")
            }
            guard entry.role != .coordinator else {
                throw refused("\(entry.name) is a coordinator, whose key is in coordinator.join alone")
            }
            guard Z85.isKey(entry.publicKey) else {
                throw refused("the key of \(entry.name) is not 40 characters of Z85")
            }
            guard names.insert(entry.name).inserted else { throw refused("\(entry.name) is in it twice") }
            guard keys.insert(entry.publicKey).inserted else {
                throw refused("the key of \(entry.name) is that of another name, too")
            }
        }
        return list.sorted { $0.name < $1.name }
    }

    static func bytes(ofList list: [AllowedKey]) -> [UInt8] { JSON.pretty(list.sorted { $0.name < $1.name }) }
}
