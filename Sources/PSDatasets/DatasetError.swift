// What can be wrong with a data set.

import Glibc
import PSFiles

/// What was found, where, and what to do about it.
package enum DatasetError: Error, Sendable, Hashable, CustomStringConvertible {
    /// A file or directory of the data set is not there.
    case missing(path: String, advice: String)
    /// The operating system refused an operation on a file; `code` is its errno.
    case system(operation: String, path: String, code: Int32)
    /// What lies in a directory cannot be taken for a data set, or not for one only.
    case layout(path: String, problem: String)
    /// A file's content is not what it should be.
    case damaged(path: String, problem: String)
    /// A file is not the one that was there when the data set was opened or its index was made.
    case changed(path: String, problem: String)
    /// A setting makes no sense.
    case setting(key: String, problem: String)

    package var description: String {
        switch self {
        case .missing(let path, let advice): "\(path) is missing; \(advice)"
        case .system(let operation, let path, let code):
            "cannot \(operation) \(path): \(String(cString: strerror(code))) (errno \(code)); \(advice(code))"
        case .layout(let path, let problem), .damaged(let path, let problem): "\(path): \(problem)"
        case .changed(let path, let problem):
            "\(path) has changed: \(problem); put the old file back, or start a new run with the data set as it is now"
        case .setting(let key, let problem): "\(key) \(problem)"
        }
    }

    private func advice(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "free some space there and start again: what is finished is kept"
        case EACCES, EPERM, EROFS: "check the owner and permissions of the file and of the directory it is in"
        case ENOENT, ENOTDIR: "check the path"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        case EFBIG: "raise the limit of file sizes (ulimit -f)"
        case EIO: "the disk or file server reports an error; look at the system's log"
        case ELOOP: "its symbolic links lead in a circle; remove the link"
        default: "check the path and the file system"
        }
    }

    init(_ error: StorageError) {
        switch error {
        case .system(let operation, let path, let code): self = .system(operation: operation, path: path, code: code)
        case .damaged(let path, let problem): self = .damaged(path: path, problem: problem)
        case .mismatch(let path, let problems): self = .damaged(path: path, problem: problems.joined(separator: "; "))
        case .inUse(let path, let process): self = .damaged(path: path, problem: "in use by \(process)")
        }
    }
}

/// Performs calls of `PSFiles`, whose errors become this module's.
func onFiles<Result: ~Copyable>(
    _ body: () throws(StorageError) -> Result
) throws(DatasetError) -> Result {
    do throws(StorageError) { return try body() } catch { throw DatasetError(error) }
}
