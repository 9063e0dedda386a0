// Everything that can be wrong with keys: what was found, where, what to do. No text here ever holds a secret.

import PSFiles

package enum KeyError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A name, a role or a key that was given and cannot be used.
    case unusable(String)
    /// A file or directory is not as keys need it.
    case refused(path: String, problem: String)
    /// The operating system refused an operation on a file.
    case storage(StorageError)
    /// The ZeroMQ library has no CURVE.
    case noCurve

    package var description: String {
        switch self {
        case .unusable(let problem): problem
        case .refused(let path, let problem): "\(path) \(problem)"
        case .storage(let error): error.description
        case .noCurve: "this machine's libzmq was built without CURVE; install one that has it (with libsodium)"
        }
    }
}

/// Performs work on files; its errors become ours.
@discardableResult
func storing<Result: ~Copyable>(_ body: () throws(StorageError) -> Result) throws(KeyError) -> Result {
    do throws(StorageError) { return try body() } catch { throw .storage(error) }
}
