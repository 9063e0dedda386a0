// What this machine and its libraries are, as far as commands report it.

import CCrypto
import COpenBLAS
import CProtobufC
import CZeroMQ
import CZlib
import Foundation

package enum Machine {
    /// The kernel set OpenBLAS chose for this processor.
    package static var blasCore: String { String(cString: openblas_get_corename()) }

    /// The most memory this process has had, bytes.
    package static func peakResidentBytes() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }

    /// Memory a new process could take, bytes: what the kernel can free, within the limit of the control group.
    package static func availableMemory() -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("MemAvailable:") }),
            let kibibytes = Int(line.split(separator: " ")[1])
        else { return nil }
        func number(_ path: String) -> Int? {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
            return Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        // Version 2 of control groups; without a limit the file says "max".
        let group = "/sys/fs/cgroup/memory"
        guard let limit = number(group + ".max"), let used = number(group + ".current") else { return kibibytes << 10 }
        return min(kibibytes << 10, max(0, limit - used))
    }

    /// Names and versions of the libraries this program is linked with.
    package static var libraries: [(name: String, version: String)] {
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        zmq_version(&major, &minor, &patch)
        return [
            ("ZeroMQ", "\(major).\(minor).\(patch)"),
            ("protobuf-c", String(cString: protobuf_c_version())),
            ("OpenBLAS", String(cString: openblas_get_config())),
            ("OpenSSL", String(cString: OpenSSL_version(OPENSSL_VERSION))),
            ("zlib", String(cString: zlibVersion())),
        ]
    }
}
