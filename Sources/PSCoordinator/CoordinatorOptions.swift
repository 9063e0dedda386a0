// What a coordinator is started with.

import Foundation
import PSConfiguration
import PSKeys
import PSNode
import PSProtocol
import PSRun

package struct CoordinatorOptions: Sendable {
    /// What to go on from.
    package enum Resume: Sendable, Hashable {
        /// The state in the run directory's journal.
        case last
        /// A checkpoint's directory.
        case checkpoint(String)

        /// - Parameter text: `last` or a path, as a person gives it.
        package init(_ text: String) { self = text == "last" ? .last : .checkpoint(text) }
    }

    package var configuration: JobConfiguration
    package var runDirectory: RunDirectory
    /// tcp://HOST:PORT; a port of `*` takes the one the job had before, else a free one.
    package var bind: String
    /// Nil: begin, or take up what another start left, a stop that was asked for included.
    package var resume: Resume?
    /// The run directory must hold a job: one that was moved away is not begun anew in its old place.
    package var isRestart = false
    /// Standard input is a pipe from who started this process; its end means that they are gone.
    package var lifeline = false
    package var timing = Timing()
    /// Nil: whoever sees the run directory is let in.
    package var keys: KeyDirectory?

    package init(configuration: JobConfiguration, runDirectory: RunDirectory, bind: String) {
        self.configuration = configuration
        self.runDirectory = runDirectory
        self.bind = bind
    }
}

extension CoordinatorOptions {
    /// Where others find who listens on every address.
    static func reachable(_ bind: String) -> String {
        guard let (host, port) = Addresses.parse(bind), host == "*" || Addresses.isEverywhere(host) else { return bind }
        return Addresses.endpoint(ProcessInfo.processInfo.hostName, port == "*" || port == "0" ? "PORT" : port)
    }

    /// Why a coordinator cannot listen where it was told to.
    package enum KeyProblem: Error, CustomStringConvertible {
        case missing(bind: String, directory: String)
        case useless(bind: String)
        case off

        package var description: String {
            switch self {
            case .missing(let bind, let directory):
                (JobSecurity.isLoopback(bind)
                    ? "cluster.security is required" : "others than this machine reach \(bind)")
                    + ", and there are no keys in \(directory): make them with psctl keys create --keys \(directory) "
                    + "--coordinator \(CoordinatorOptions.reachable(bind)), or set cluster.security=off where every machine of the network is trusted"
            case .useless(let bind):
                "\(bind) is a socket of this machine, where no keys are shown: leave --keys away, or bind to tcp://HOST:PORT"
            case .off: "--keys is given, and cluster.security is off: leave one of them away"
            }
        }
    }

    /// The keys that are asked for where the coordinator listens; nil: none.
    ///
    /// - Parameter given: the directory that a person named.
    package static func keys(
        _ security: ClusterSettings.Security, given: String?, run: RunDirectory, bind: String
    ) throws -> KeyDirectory? {
        if JobSecurity.isLocal(bind) {
            if given != nil { throw KeyProblem.useless(bind: bind) }
            return nil
        }
        switch security {
        case .off:
            if given != nil { throw KeyProblem.off }
            return nil
        case .auto where given == nil && JobSecurity.isLoopback(bind): return nil
        case .auto, .required: break
        }
        let directory = KeyDirectory(given ?? "\(run.path)/keys")
        guard given != nil || run.files.isDirectory(directory.path) else {
            throw KeyProblem.missing(bind: bind, directory: directory.path)
        }
        _ = try directory.coordinator()
        _ = try directory.allowed()
        return directory
    }
}
