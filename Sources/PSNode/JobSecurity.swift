// Whether a job's processes show keys, and where they find them.

import Glibc
import Logging
import PSKeys
import PSParameters
import PSProofs
import PSTransport

package enum JobSecurity {
    /// Whether whoever connects to `endpoint` must be of this user and machine: a socket in a directory that is its own.
    package static func isLocal(_ endpoint: String) -> Bool {
        endpoint == DaemonArguments.localBind || SocketDirectory.isEndpoint(endpoint)
    }

    /// - Parameter endpoint: where is listened.
    package static func entrance(_ endpoint: String, hasKeys: Bool) -> Entrance {
        hasKeys ? .keys : isLocal(endpoint) ? .open : .paced
    }

    /// Whether only this machine reaches the endpoint.
    package static func isLoopback(_ endpoint: String) -> Bool {
        guard let host = Addresses.parse(endpoint)?.host else { return false }
        let address = Addresses.numericHost(host)
        return address.hasPrefix("127.") || address == "::1"
    }
}

extension JoinFile {
    /// What a process of this role shows to the coordinator.
    package var clientKeys: ClientKeys { clientKeys(to: coordinatorKey) }

    /// What it shows to whoever has the other half of `serverKey`.
    package func clientKeys(to serverKey: String) -> ClientKeys {
        ClientKeys(serverKey: serverKey, publicKey: keys.publicKey, secretKey: keys.secretKey)
    }

    /// Reads the file of a process, which must be of one of the roles.
    package static func read(_ path: String, as roles: KeyRole...) throws -> JoinFile {
        let file = try read(path)
        guard roles.contains(file.role) else {
            throw KeyError.unusable(
                "\(path) is the key of the role \(file.role.rawValue); here one of the role "
                    + roles.map(\.rawValue).joined(separator: " or ") + " is needed")
        }
        return file
    }
}

/// How a daemon that joins a job finds it.
package struct JoinOptions: Sendable {
    /// tcp://HOST:PORT or ipc:///PATH
    package let coordinator: String
    /// Nil: a job without keys.
    package let file: JoinFile?

    /// - Parameters:
    ///   - coordinator: what the process was told; wins over what its join file says.
    ///   - path: of the join file.
    package init(coordinator: String?, path: String?, role: KeyRole) throws {
        try self.init(coordinator: coordinator, file: path.map { try JoinFile.read($0, as: role) }, of: path)
    }

    package init(coordinator: String?, file: JoinFile?, of path: String?) throws {
        guard let endpoint = coordinator ?? file?.coordinator else {
            throw KeyError.unusable(
                path == nil
                    ? "name the coordinator: --coordinator tcp://HOST:PORT, or --join FILE"
                    : "\(path!) does not say where the coordinator is: make the keys with psctl keys create --coordinator "
                        + "tcp://HOST:PORT, or start a server or worker with --coordinator tcp://HOST:PORT besides")
        }
        if let mistake = DaemonArguments.mistake(coordinator: endpoint) { throw KeyError.unusable(mistake) }
        if file != nil, SocketDirectory.isEndpoint(endpoint) {
            throw KeyError.unusable(
                "\(endpoint) is a socket of this machine, where no keys are shown: leave --join away")
        }
        self.coordinator = endpoint
        self.file = file
    }

    /// Why the coordinator cannot be spoken to: it does not let the key in, or no handshake has succeeded for some seconds.
    package func refusal(of link: Link) -> String? {
        if link.isRefused, let file {
            return
                "the coordinator \(coordinator) does not let the key \(fingerprint(file.keys.publicKey)) of \(file.name) "
                + "in: it was revoked, or replaced by psctl keys rotate; have a new join file made"
        }
        guard link.hasFailed, link.millisecondsDown >= 10_000 else { return nil }
        return "no word from the coordinator \(coordinator)\(hint(of: link))"
    }

    /// What may be wrong where no handshake succeeds.
    package func hint(of link: Link) -> String {
        guard link.hasFailed else {
            return link.downSince == nil ? "" : "; there is no connection to \(coordinator)"
        }
        return file == nil
            ? "; it asks for keys, it seems: start this process with --join FILE, as psctl keys makes it"
            : "; the handshake fails: the join file is of another job or from before psctl keys rotate coordinator, or the "
                + "coordinator was started without keys"
    }
}

/// Watches whether the coordinator lets a daemon in.
package struct Admission {
    private let joining: JoinOptions
    private let logger: Logger
    private var isTold = false

    package init(_ joining: JoinOptions, _ logger: Logger) {
        self.joining = joining
        self.logger = logger
    }

    /// - Parameter hasJoined: whether the process has something to lose. Whoever listens where the coordinator was can
    ///   refuse it: the coordinator that is started anew is waited for.
    /// - Returns: why the process is to end.
    package mutating func refusal(of link: Link, hasJoined: Bool) -> String? {
        if joining.file == nil, link.isRefused {
            tell(
                "the coordinator \(joining.coordinator) turns this address away for now: too many connect from it; it is "
                    + "asked again")
            return nil
        }
        guard let text = joining.refusal(of: link) else {
            isTold = false
            return nil
        }
        // Without keys a place in the job is not lost: whoever fails the handshakes there is not the coordinator.
        if !hasJoined || (joining.file != nil && link.millisecondsDown >= 20_000) { return text }
        tell(joining.file == nil ? text : "\(text); this process ends unless it is let in within 20 s")
        return nil
    }

    private mutating func tell(_ text: String) {
        if !isTold { logger.warning("\(text)") }
        isTold = true
    }
}

/// What a daemon that joins a job is told.
package struct MemberOptions: Sendable {
    package var joining: JoinOptions
    /// Where the coordinator is looked for when it is gone; nil: it comes back where it was.
    package var whereabouts: Whereabouts?
    package var rank: Int?
    /// Whoever starts the process says that the one that had the rank has ended.
    package var takesOver: Bool
    /// Standard input is a pipe from who started this process; its end means that they are gone.
    package var lifeline: Bool

    package init(
        joining: JoinOptions, whereabouts: Whereabouts? = nil, rank: Int?, takesOver: Bool, lifeline: Bool
    ) {
        self.joining = joining
        self.whereabouts = whereabouts
        self.rank = rank
        self.takesOver = takesOver
        self.lifeline = lifeline
    }
}
