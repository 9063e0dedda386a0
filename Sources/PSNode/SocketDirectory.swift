// Sockets of this machine: a directory that nobody but its owner enters, and the endpoints in it.

import Glibc
import PSTransport

package enum SocketDirectory {
    package static let scheme = "ipc://"

    package static func isEndpoint(_ endpoint: String) -> Bool { endpoint.hasPrefix(scheme) }

    /// What is wrong with an endpoint of this machine, or nil.
    package static func mistake(in endpoint: String) -> String? {
        let path = endpoint.dropFirst(scheme.count)
        guard path.hasPrefix("/"), path.count > 1 else { return "expected ipc:// and the absolute path of a socket" }
        // sockaddr_un has room for 107 and the zero behind them.
        guard path.utf8.count <= 107 else {
            return "the path of a socket has at most 107 bytes, this one has \(path.utf8.count)"
        }
        return nil
    }

    /// A new directory under the user's runtime directory where there is one, else under /tmp: the path of a socket must be
    /// short, and many shared file systems cannot hold one.
    package static func make() throws(TransportError) -> String {
        let runtime = getenv("XDG_RUNTIME_DIR").map { String(cString: $0) } ?? ""
        let parent = runtime.hasPrefix("/") && runtime.utf8.count <= 60 && access(runtime, W_OK) == 0 ? runtime : "/tmp"
        var template = Array("\(parent)/ps-XXXXXX".utf8CString)
        // With mode 0700, whatever the umask.
        guard mkdtemp(&template) != nil else {
            throw TransportError("make a directory for sockets in \(parent)", code: errno)
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether the directory is there, its owner this user, and nobody else may enter it.
    package static func isPrivate(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
            && status.st_mode & 0o077 == 0
    }

    /// Whether the socket's file was removed.
    package static func isGone(_ endpoint: String) -> Bool {
        access(String(endpoint.dropFirst(scheme.count)), F_OK) != 0 && errno == ENOENT
    }

    /// Makes the directory of a socket that was there, unless it is.
    package static func makeAgain(for endpoint: String) throws(TransportError) {
        let path = directory(of: endpoint)
        if mkdir(path, 0o700) == 0 || errno == EEXIST && isPrivate(path) { return }
        throw TransportError("make the directory \(path) for sockets", code: errno)
    }

    /// Whether somebody listens there.
    package static func isServed(_ endpoint: String) -> Bool {
        let path = Array(String(endpoint.dropFirst(scheme.count)).utf8CString)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.count <= MemoryLayout.size(ofValue: address.sun_path) else { return false }
        withUnsafeMutableBytes(of: &address.sun_path) { place in
            path.withUnsafeBytes { place.copyMemory(from: $0) }
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { Glibc.close(descriptor) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }

    package static func directory(of endpoint: String) -> String {
        let path = endpoint.dropFirst(scheme.count)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    /// - Parameter name: of the socket in the directory of `endpoint`.
    package static func endpoint(beside endpoint: String, _ name: String) -> String {
        "\(scheme)\(directory(of: endpoint))/\(name)"
    }

    /// Removes the directory that `make` made and the sockets in it; anything else in it keeps it there.
    package static func remove(of endpoint: String) {
        let path = directory(of: endpoint)
        guard isEndpoint(endpoint), isPrivate(path), path.split(separator: "/").last?.hasPrefix("ps-") ?? false else {
            return
        }
        if let list = opendir(path) {
            while let entry = readdir(list) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                var status = stat()
                if lstat("\(path)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFSOCK {
                    unlink("\(path)/\(name)")
                }
            }
            closedir(list)
        }
        rmdir(path)
    }
}
