// What this machine and its libraries are, as far as commands report it.

import CCrypto
import COpenBLAS
import CProtobufC
import CZeroMQ
import CZlib
import Foundation
import PSPlanning

package enum Machine {
    /// The kernel set OpenBLAS chose for this processor.
    package static var blasCore: String { String(cString: openblas_get_corename()) }

    /// The most memory this process has had, bytes.
    package static func peakResidentBytes() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss * 1024
    }

    /// Processor time that all threads of a process have used so far, seconds; nil: there is no such process.
    package static func processorSeconds(of pid: Int) -> Double? {
        var clock = clockid_t()
        var time = timespec()
        guard clock_getcpuclockid(pid_t(pid), &clock) == 0, clock_gettime(clock, &time) == 0 else { return nil }
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// Memory a new process could take, bytes: what the kernel can free, within the limits of the control groups.
    package static func availableMemory(root: String = "") -> Int? {
        guard let text = try? String(contentsOfFile: "\(root)/proc/meminfo", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix("MemAvailable:") }),
            case let words = line.split(separator: " "), words.count > 1, let kibibytes = Int(words[1])
        else { return nil }
        let machine = kibibytes.timesSaturating(1024)
        return min(machine, ControlGroupMemory(root: root).available() ?? machine)
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
