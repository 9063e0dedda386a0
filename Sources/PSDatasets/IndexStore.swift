// Where indexes are kept: beside the shards, in the user's cache, or nowhere (a file without a name).

import Glibc
import PSFiles

/// A file being written that has its final name only when it is whole.
final class FileOutput: ByteOutput {
    let path: String
    private let descriptor: Int32
    /// nil: a file without a name.
    private var temporary: String?

    /// Begins a file that will be called `path`. Several processes may do so at once: each has a file of its own, and
    /// the last to finish gives the name to its own.
    init(path: String) throws(DatasetError) {
        self.path = path
        (descriptor, temporary) = try FileOutput.make("\(Paths.parent(of: path))/.\(Paths.name(of: path))")
    }

    /// Begins a file in a directory that goes away with its descriptor.
    init(unnamedIn directory: String) throws(DatasetError) {
        path = "\(directory)/ps-samples (temporary)"
        let made = try FileOutput.make("\(directory)/.ps-samples")
        descriptor = made.0
        unlink(made.1)
        temporary = nil
    }

    deinit {
        if let temporary { unlink(temporary) }
        close(descriptor)
    }

    private static func make(_ stem: String) throws(DatasetError) -> (Int32, String) {
        while true {
            let path = "\(stem).\(String(UInt32.random(in: 0 ... .max), radix: 36))"
            let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            if descriptor >= 0 { return (descriptor, path) }
            if errno != EEXIST && errno != EINTR { throw .system(operation: "create", path: path, code: errno) }
        }
    }

    /// Removes what makers of a file left behind that were killed: what nobody has written to for an hour.
    static func removeRemains(of path: String) {
        let directory = Paths.parent(of: path)
        let prefix = ".\(Paths.name(of: path))."
        for name in (try? LocalFileSystem().list(directory)) ?? [] where name.hasPrefix(prefix) {
            var status = stat()
            guard stat("\(directory)/\(name)", &status) == 0, time(nil) - status.st_mtim.tv_sec > 3600 else { continue }
            unlink("\(directory)/\(name)")
        }
    }

    func write(_ bytes: [UInt8]) throws(DatasetError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written) }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { throw .system(operation: "write", path: path, code: errno) }
            written += count
        }
    }

    /// Gives the file its name, durably.
    func commit() throws(DatasetError) {
        guard let temporary else { preconditionFailure("a file without a name gets none") }
        let descriptor = descriptor
        let path = path
        try onFiles { () throws(StorageError) in
            try Shortcomings.tolerate(.filesAreNotDurable, at: path) { () throws(StorageError) in
                try systemCall("synchronize", path) { fsync(descriptor) }
            }
            try LocalFileSystem().renameDurably(temporary, to: path)
        }
        self.temporary = nil
    }

    /// What was written, for reading. The file goes on as long as that does.
    func reopened() throws(DatasetError) -> FileBytes {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .system(operation: "open", path: path, code: errno) }
        return try FileBytes(descriptor: copy, path: path)
    }
}

enum IndexStore {
    /// An index of samples that is made anew whenever the set is opened.
    ///
    /// It lies in a file without a name, so that it takes no memory and leaves nothing behind.
    static func transient(
        _ make: (FileOutput) throws(DatasetError) -> Void
    ) throws(DatasetError) -> SampleIndex {
        var failure = DatasetError.missing(
            path: "a directory for temporary files", advice: "let TMPDIR name a directory that can be written to")
        for directory in [environment("TMPDIR"), "/var/tmp", "/tmp"].compactMap({ $0 }) {
            let output: FileOutput
            do throws(DatasetError) { output = try FileOutput(unnamedIn: directory) } catch {
                failure = error
                continue
            }
            try make(output)
            return try SampleIndex(try output.reopened())
        }
        throw failure
    }

    /// An index that is kept: the one that is there if it is of this recipe and these files, else a new one.
    ///
    /// - Parameters:
    ///   - directory: of the set; the index is kept in it, or in `cache` where that cannot be written to.
    ///   - make: writes an index; called once, or again when the first place turns out to be full.
    /// - Returns: the index, and what a person should be told about one that could not be used or kept.
    static func kept(
        in directory: String, cache: String? = userCache, form: DatasetForm, split: DatasetSplit, recipe: String,
        files: [IndexedFile], _ make: (FileOutput) throws(DatasetError) -> Void
    ) throws(DatasetError) -> (index: SampleIndex, remarks: [String]) {
        let places = places(of: directory, cache, form, split)
        var remarks: [String] = []
        for path in places where access(path, F_OK) == 0 {
            do throws(DatasetError) {
                let index = try SampleIndex(path: path)
                let tail = index.tail
                if tail.form == form, tail.split == split, tail.recipe == recipe, tail.files == files {
                    return (index, [])
                }
                remarks = ["the index \(path) is older than the files or the settings; it is made anew"]
            } catch {
                remarks = ["\(error); it is made anew"]
            }
        }
        for path in places {
            do throws(DatasetError) {
                // The cache's directory is of our own making, the set's is there.
                if path != places[0] {
                    try onFiles { () throws(StorageError) in
                        try LocalFileSystem().createDirectory(Paths.parent(of: path))
                    }
                }
                FileOutput.removeRemains(of: path)
                let output = try FileOutput(path: path)
                try make(output)
                try output.commit()
                return (try SampleIndex(try output.reopened()), remarks)
            } catch .system(_, let failed, _) where isOfThePlace(failed, path) {
                // No such place to write in, or a full one: the next. What is wrong with the set itself is thrown.
            }
        }
        remarks.append(
            "the index of \(directory) cannot be kept, neither there nor in the user's cache; it is made at every start"
        )
        return (try transient(make), remarks)
    }

    private static func isOfThePlace(_ failed: String, _ path: String) -> Bool {
        let directory = Paths.parent(of: path)
        return failed == path || failed.hasPrefix("\(directory)/.\(Paths.name(of: path)).")
            || directory == failed || directory.hasPrefix(failed + "/")
    }

    /// The directory of the user's cache that is this program's.
    static var userCache: String? {
        let cache = environment("XDG_CACHE_HOME") ?? environment("HOME").map { "\($0)/.cache" }
        return cache.map { "\($0)/inception-parameter-server" }
    }

    private static func places(
        of directory: String, _ cache: String?, _ form: DatasetForm, _ split: DatasetSplit
    ) -> [String] {
        let name = "\(split.rawValue)-\(form.rawValue).samples.index"
        let beside = "\(directory)/.\(name)"
        guard let cache else { return [beside] }
        var hash = SHA256()
        let place = Array((Paths.resolved(directory) ?? Paths.absolute(directory)).utf8)
        place.withUnsafeBytes { hash.update($0) }
        return [beside, "\(cache)/\(hash.hexadecimal().prefix(32))-\(name)"]
    }

    private static func environment(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }
}
