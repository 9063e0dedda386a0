// What can be wrong with a data set.

import Glibc

package enum DataError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file of the data set is not there.
    case missing(path: String, advice: String)
    /// The operating system refused to open or read a file; `code` is its errno.
    case system(operation: String, path: String, code: Int32)
    /// A file's content is not what it should be.
    case damaged(path: String, problem: String)
    /// A setting makes no sense.
    case setting(key: String, problem: String)

    package var description: String {
        switch self {
        case .missing(let path, let advice): "\(path) is missing; \(advice)"
        case .system(let operation, let path, let code):
            "cannot \(operation) \(path): \(String(cString: strerror(code))) (errno \(code))"
        case .damaged(let path, let problem): "\(path): \(problem)"
        case .setting(let key, let problem): "\(key) \(problem)"
        }
    }
}
