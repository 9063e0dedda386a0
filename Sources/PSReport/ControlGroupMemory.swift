// What the control groups of this process leave of the machine's memory.

import Foundation

/// Reads the files of version 2 and version 1 of control groups: the process's own group and all groups it is in.
struct ControlGroupMemory {
    /// Where `/proc` and `/sys` are; another place for tests.
    var root = ""

    /// The least that any of the groups leaves, bytes; nil where none has a limit.
    func available() -> Int? {
        let text = (try? String(contentsOfFile: "\(root)/proc/self/cgroup", encoding: .utf8)) ?? ""
        // "0::/path" is version 2's, "5:cpu,memory:/path" version 1's.
        let lines = text.split(separator: "\n").map {
            $0.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        }.filter { $0.count == 3 }
        let unified = lines.first { $0[0] == "0" && $0[1].isEmpty }
        let memory = lines.first { $0[1].split(separator: ",").contains("memory") }
        let mounts = "\(root)/sys/fs/cgroup"
        let left =
            groups(unified?[2], under: mounts).map(leftVersion2)
            // Version 2 beside version 1.
            + groups(unified?[2], under: "\(mounts)/unified").map(leftVersion2)
            + groups(memory?[2], under: "\(mounts)/memory").map(leftVersion1)
        return left.compactMap(\.self).min()
    }

    /// The directories of a group and of all groups around it. In a container a path may be the host's, of which
    /// nothing is there but the mount itself: the own group.
    private func groups(_ path: Substring?, under mount: String) -> [String] {
        var names = (path ?? "").split(separator: "/")
        // A group outside of what this process may see.
        if names.contains("..") { names = [] }
        return (0...names.count).map { ([mount] + names.prefix($0).map(String.init)).joined(separator: "/") }
    }

    private func leftVersion2(_ directory: String) -> Int? {
        left(
            limit: number("\(directory)/memory.max"), used: number("\(directory)/memory.current"),
            cached: entry("inactive_file", of: "\(directory)/memory.stat"))
    }

    private func leftVersion1(_ directory: String) -> Int? {
        left(
            limit: number("\(directory)/memory.limit_in_bytes"), used: number("\(directory)/memory.usage_in_bytes"),
            cached: entry("total_inactive_file", of: "\(directory)/memory.stat"))
    }

    /// - Parameter cached: part of what is used that the kernel gives back when it is asked for.
    private func left(limit: Int?, used: Int?, cached: Int?) -> Int? {
        guard let limit, let used else { return nil }
        return max(0, limit - max(0, used - (cached ?? 0)))
    }

    /// Nil for what is not there, and for "max".
    private func number(_ path: String) -> Int? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)).flatMap { $0 >= 0 ? $0 : nil }
    }

    private func entry(_ name: String, of path: String) -> Int? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, words[0] == name { return Int(words[1]).flatMap { $0 >= 0 ? $0 : nil } }
        }
        return nil
    }
}
