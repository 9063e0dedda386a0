// `--join FILE`: the one file that a process or a person needs to reach one job.

import PSFiles
import PSProofs

package struct JoinFile: Sendable, Hashable {
    /// For example "worker", "worker-gpu7", "alice".
    package var name: String
    package var role: KeyRole
    /// The public half of the coordinator's pair; in the coordinator's own file that of `keys`.
    package var coordinatorKey: String
    /// The holder's own pair.
    package var keys: KeyPair
    /// tcp://HOST:PORT, where it was given; what a command is told goes before it. Whether it is an endpoint is for its
    /// user to check.
    package var coordinator: String?

    package init(name: String, role: KeyRole, coordinatorKey: String, keys: KeyPair, coordinator: String?) {
        self.name = name
        self.role = role
        self.coordinatorKey = coordinatorKey
        self.keys = keys
        self.coordinator = coordinator
    }

    /// - Throws: when the file is not there, others may read or replace it, or its content is not that of a join file.
    package static func read(_ path: String) throws(KeyError) -> JoinFile {
        let bytes = try PrivateFile.read(path)
        func refused(_ problem: String) -> KeyError {
            .refused(path: path, problem: "is no join file: \(problem); have the job's owner make a new one")
        }
        let content: Content
        do { content = try JSON.decode(Content.self, from: bytes) } catch {
            throw refused(JSON.explain(error))
        }
        guard KeyDirectory.isName(content.name) else { throw refused("its name is not of the form that names have") }
        guard Z85.isKey(content.coordinatorKey) else {
            throw refused("the coordinator's key is not 40 characters of Z85")
        }
        let keys: KeyPair
        do throws(KeyError) {
            keys = try KeyPair(publicKey: content.publicKey, secretKey: content.secretKey)
        } catch .unusable(let problem) {
            throw refused(problem)
        }
        if content.role == .coordinator, content.coordinatorKey != keys.publicKey {
            throw refused("it is the coordinator's, but the coordinator's key in it is another one")
        }
        return JoinFile(
            name: content.name, role: content.role, coordinatorKey: content.coordinatorKey, keys: keys,
            coordinator: content.coordinator)
    }

    /// The file's content, the secret with it.
    var bytes: [UInt8] {
        JSON.pretty(
            Content(
                name: name, role: role, coordinatorKey: coordinatorKey, publicKey: keys.publicKey,
                secretKey: keys.secretKey, coordinator: coordinator))
    }

    /// How it is in the file. Not the type itself: what can be encoded is easily printed.
    private struct Content: Codable {
        var name: String
        var role: KeyRole
        var coordinatorKey: String
        var publicKey: String
        var secretKey: String
        var coordinator: String?

        /// As in the file, so that an error names what is there.
        enum CodingKeys: String, CodingKey {
            case name, role, coordinator
            case coordinatorKey = "coordinator_key"
            case publicKey = "public_key"
            case secretKey = "secret_key"
        }
    }
}
