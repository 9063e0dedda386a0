// Everything that can be wrong with files a job reads and writes.

import Glibc

/// What went wrong with a checkpoint, a weight file, the journal or the run directory, where, and what to do.
package enum StorageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The operating system refused an operation on a file; `code` is its errno.
    case system(operation: String, path: String, code: Int32)
    /// A file's content is not what it should be.
    case damaged(path: String, problem: String)
    /// A sound file or checkpoint that does not fit the model or the job.
    case mismatch(path: String, problems: [String])
    /// Another process holds the run directory.
    case inUse(path: String, process: String)

    /// Whether the content was read and is not what it should be. Anything else may be different in a moment, on another
    /// host, or when the storage is back.
    package var isDamage: Bool {
        if case .damaged = self { true } else { false }
    }

    /// Whether another try may end otherwise without anybody's doing: a file server that is away, a folder that is moved
    /// for a moment. No space and no permission are not of that kind.
    package var mayPass: Bool {
        guard case .system(_, _, let code) = self else { return false }
        return ![ENOSPC, EDQUOT, EFBIG, EROFS, EACCES, EPERM, ENAMETOOLONG, EINVAL, EEXIST, ENOTEMPTY].contains(code)
    }

    package var description: String {
        switch self {
        case .system(let operation, let path, let code):
            return "cannot \(operation) \(path): \(String(cString: strerror(code))) (errno \(code)); \(advice(code))"
        case .damaged(let path, let problem):
            return "\(path): \(problem)"
        case .mismatch(let path, let problems):
            // One line, whatever the file: a wholly different model would differ in hundreds of tensors.
            let shown = problems.prefix(5).joined(separator: "; ")
            return "\(path): \(shown)" + (problems.count > 5 ? "; and \(problems.count - 5) problems more" : "")
        case .inUse(let path, let process):
            return "run directory in use by \(process): \(path); stop that job or choose another --run-dir"
        }
    }

    private func advice(_ code: Int32) -> String {
        switch code {
        case ELOOP: "it is a link, and what a run writes goes through none: put a file in its place"
        case ENOSPC, EDQUOT: "free some space there and start again: what was complete is kept"
        case EFBIG: "raise the limit of file sizes (ulimit -f)"
        case EACCES, EPERM, EROFS: "check the owner and permissions of the file and of the directory it is in"
        case ENOENT, ENOTDIR: "check the path"
        case EMFILE, ENFILE: "raise the limit of open files (ulimit -n)"
        case ESTALE: "the file server has lost the file or was mounted anew; mount it again"
        case EIO: "the disk or file server reports an error; look at the system's log"
        default: "check the path and the file system"
        }
    }
}
