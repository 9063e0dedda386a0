// `runs/last`: the newest run of a working directory, which commands mean that are not told another.

import Glibc
import PSFiles

/// A link, so that people can use it too. Where there can be none (the storage has no links, or a copy made a directory
/// of it), a file beside it names the run.
package enum LastRun {
    package static let link = "runs/last"
    /// Holds a path, if there is no link: relative to `runs`, or absolute.
    private static let note = "runs/last-run"

    /// The newest run's directory; nil where there is none.
    package static var path: String? {
        if Paths.isLink(link), let target = Paths.resolved(link) { return target }
        if let text = try? LocalFileSystem().read(note, atMost: 1 << 16) {
            let name = String(decoding: text, as: UTF8.self).prefix { !$0.isNewline }
            if let target = Paths.resolved(name.hasPrefix("/") ? String(name) : "runs/\(name)") { return target }
        }
        return Paths.resolved(link)
    }

    /// Makes this the newest run.
    /// - Returns: what a person should know, if it is not the link that says so from now on.
    package static func become(_ run: RunDirectory) -> String? {
        let files = LocalFileSystem()
        let own = Paths.absolute(link)
        if run.path == Paths.resolved(own), !Paths.isLink(link) {
            // A directory of that very name.
            unlink(note)
            return nil
        }
        // Relative where it can be: the tree may be moved or copied.
        let parent = Paths.resolved(Paths.parent(of: own))
        let target = Paths.parent(of: run.path) == parent ? Paths.name(of: run.path) : run.path
        do throws(StorageError) {
            try files.createDirectory(Paths.parent(of: own))
            let problem = makeLink(to: target)
            if problem == nil {
                unlink(note)
                return nil
            }
            try AtomicFile.write(Paths.absolute(note), Array("\(target)\n".utf8), in: files)
            return "\(link) \(problem!): \(note) names this run instead, commands without --run-dir mean it"
        } catch {
            return "\(link) cannot be made, so commands need --run-dir \(run.path): \(error)"
        }
    }

    /// Replaces the link in one step.
    /// - Returns: why it cannot be.
    private static func makeLink(to target: String) -> String? {
        if !Paths.isLink(link), access(link, F_OK) == 0 { return "is there and is no link" }
        let temporary = "\(link).\(getpid())"
        guard symlink(target, temporary) == 0 else { return "cannot be a link (\(String(cString: strerror(errno))))" }
        guard rename(temporary, link) == 0 else {
            let reason = String(cString: strerror(errno))
            unlink(temporary)
            return "cannot be replaced (\(reason))"
        }
        return nil
    }
}
