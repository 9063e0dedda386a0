// What a file system cannot do, found out by using it: gone without, and said once.

import Glibc
import Synchronization

/// Calls that some network and FUSE file systems do not have. A run goes on without them; a person is told.
package enum Shortcoming: Int, Sendable, Hashable, CaseIterable {
    case directoriesAreNotDurable, filesAreNotDurable, noLocks

    fileprivate var text: String {
        switch self {
        case .directoriesAreNotDurable:
            "its directories cannot be synchronized: after a power cut the newest checkpoint may be missing"
        case .filesAreNotDurable:
            "its files cannot be synchronized: after a power cut the newest steps may be missing"
        case .noLocks:
            "it has no file locks (flock): do not start two jobs in one run directory from different hosts"
        }
    }
}

package enum Shortcomings {
    private static let found = Mutex<[Shortcoming: String]>([:])

    /// Performs a call; that the file system does not have it is noted, any other error is thrown.
    package static func tolerate(
        _ shortcoming: Shortcoming, at path: String, _ call: () throws(StorageError) -> Void
    ) throws(StorageError) {
        do throws(StorageError) {
            try call()
        } catch .system(_, _, let code) where [EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP, ENOLCK].contains(code) {
            found.withLock { if $0[shortcoming] == nil { $0[shortcoming] = path } }
        }
    }

    /// A line for each that was found since the last look, each said once in a process.
    package static func takeNew() -> [String] {
        found.withLock { found in
            let new = Shortcoming.allCases.compactMap { shortcoming in
                found[shortcoming].flatMap { path in
                    path.isEmpty ? nil : "the file system of \(path) lacks something: \(shortcoming.text)"
                }
            }
            for shortcoming in found.keys { found[shortcoming] = "" }
            return new
        }
    }
}
