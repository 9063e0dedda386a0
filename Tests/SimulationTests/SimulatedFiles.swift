// The storage of a simulated job: files and directories in memory, seen by each process through a view of its own, with
// the faults that disks and people have.

import Glibc
import PSFiles

/// The shared disk.
final class SimulatedDisk: @unchecked Sendable {
    // Sendable: the simulation has one thread.

    final class File {
        var bytes: [UInt8] = []
        /// Bytes that survive a machine's failure.
        var synced = 0
        /// Who wrote last.
        var writer: Incarnation = 0
    }

    enum Node {
        case directory
        case file(File)
    }

    private(set) var nodes: [String: Node] = ["/": .directory, "/storage": .directory]
    /// Renames that are not durable yet: what undoes them.
    private var undo: [(writer: Incarnation, directory: String, before: [String: Node?])] = []
    var changes = 0

    func node(_ path: String) -> Node? { nodes[path] }

    func file(_ path: String) -> File? {
        if case .file(let file)? = nodes[path] { file } else { nil }
    }

    func names(in directory: String) -> [String] {
        let prefix = directory == "/" ? "/" : directory + "/"
        return nodes.keys.filter {
            $0.hasPrefix(prefix) && $0 != "/" && !$0.utf8.dropFirst(prefix.utf8.count).contains(UInt8(ascii: "/"))
        }
        .map { String($0.utf8.dropFirst(prefix.utf8.count))! }.sorted()
    }

    func set(_ path: String, _ node: Node?) {
        nodes[path] = node
        changes += 1
    }

    func rename(_ old: String, to new: String, by writer: Incarnation) {
        var before: [String: Node?] = [:]
        func put(_ path: String, _ node: Node?) {
            before.updateValue(nodes[path], forKey: path)
            set(path, node)
        }
        for path in nodes.keys where path == new || path.hasPrefix(new + "/") { put(path, nil) }
        for (path, node) in nodes where path == old || path.hasPrefix(old + "/") {
            put(new + path.dropFirst(old.count), node)
            put(path, nil)
        }
        undo.append((writer, Paths.parent(of: new), before))
    }

    func link(_ file: File, as name: String, by writer: Incarnation) {
        undo.append((writer, Paths.parent(of: name), [name: nodes[name]]))
        set(name, .file(file))
    }

    func synchronized(_ directory: String) { undo.removeAll { $0.directory == directory } }

    // MARK: Faults

    /// The machine of a process fails: what it wrote and did not synchronize may be lost, in any order.
    func fail(_ writer: Incarnation, _ chance: inout Chance) {
        for entry in undo.reversed() where entry.writer == writer && chance.happens(0.5) {
            for (path, node) in entry.before { set(path, node) }
        }
        undo.removeAll { $0.writer == writer }
        for path in nodes.keys.sorted() {
            guard let file = file(path), file.writer == writer, file.synced < file.bytes.count else { continue }
            let kept = chance.integer(file.synced...file.bytes.count)
            file.bytes.removeLast(file.bytes.count - kept)
            if kept > file.synced, chance.happens(0.3) {
                // A page in the middle was not written, a later one was.
                let start = chance.integer(file.synced...kept - 1)
                for index in start..<min(kept, start + 24) { file.bytes[index] = 0 }
            }
            file.synced = file.bytes.count
        }
    }

    /// One bit of a file turns, past its header.
    func rot(_ path: String, _ chance: inout Chance) {
        guard let file = file(path), file.bytes.count > 8 else { return }
        file.bytes[chance.integer(file.bytes.count / 2...file.bytes.count - 1)] ^= 4
        changes += 1
    }

    /// A person moves a directory. Files that are open stay open.
    func move(_ old: String, to new: String) {
        rename(old, to: new, by: 0)
        undo.removeAll { $0.writer == 0 }
    }
}

typealias Incarnation = UInt64

/// How one process sees the disk.
final class SimulatedFiles: FileSystem, @unchecked Sendable {
    // Sendable: the simulation has one thread.

    let disk: SimulatedDisk
    let owner: Incarnation
    /// Reads fail while it says so: a stale mount, a file server that is away.
    var readFault: () -> Int32? = { nil }
    /// Called before each change; may end the process in the middle of its work.
    var beforeChange: () throws(StorageError) -> Void = { () throws(StorageError) in }

    init(_ disk: SimulatedDisk, owner: Incarnation) {
        self.disk = disk
        self.owner = owner
    }

    private func checkRead(_ operation: String, _ path: String) throws(StorageError) {
        if let code = readFault() { throw .system(operation: operation, path: path, code: code) }
    }

    private func parentExists(_ operation: String, _ path: String) throws(StorageError) {
        guard case .directory? = disk.node(Paths.parent(of: path)) else {
            throw .system(operation: operation, path: path, code: ENOENT)
        }
    }

    func entry(_ path: String) throws(StorageError) -> FileEntry? {
        try checkRead("look at", path)
        switch disk.node(path) {
        case .directory?: return .directory
        case .file(let file)?: return .file(byteCount: file.bytes.count)
        case nil: return nil
        }
    }

    func list(_ path: String) throws(StorageError) -> [String] {
        try checkRead("list", path)
        guard case .directory? = disk.node(path) else { throw .system(operation: "list", path: path, code: ENOENT) }
        return disk.names(in: path)
    }

    func makeDirectory(_ path: String) throws(StorageError) {
        try beforeChange()
        try parentExists("create directory", path)
        if disk.node(path) != nil { throw .system(operation: "create directory", path: path, code: EEXIST) }
        disk.set(path, .directory)
    }

    func remove(_ file: String) throws(StorageError) {
        try beforeChange()
        guard disk.file(file) != nil else { throw .system(operation: "remove", path: file, code: ENOENT) }
        disk.set(file, nil)
    }

    func removeEmptyDirectory(_ path: String) throws(StorageError) {
        try beforeChange()
        guard case .directory? = disk.node(path) else { throw .system(operation: "remove", path: path, code: ENOENT) }
        if !disk.names(in: path).isEmpty { throw .system(operation: "remove", path: path, code: ENOTEMPTY) }
        disk.set(path, nil)
    }

    func rename(_ old: String, to new: String) throws(StorageError) {
        try beforeChange()
        guard disk.node(old) != nil else { throw .system(operation: "rename", path: old, code: ENOENT) }
        disk.rename(old, to: new, by: owner)
    }

    func link(_ file: String, as name: String) throws(StorageError) {
        try beforeChange()
        guard let node = disk.file(file) else { throw .system(operation: "link", path: file, code: ENOENT) }
        try parentExists("link", name)
        disk.link(node, as: name, by: owner)
    }

    func synchronize(directory: String) throws(StorageError) {
        guard case .directory? = disk.node(directory) else {
            throw .system(operation: "open", path: directory, code: ENOENT)
        }
        disk.synchronized(directory)
    }

    func openDirectory(_ path: String) throws(StorageError) -> any OpenDirectory {
        guard case .directory? = disk.node(path) else { throw .system(operation: "open", path: path, code: ENOENT) }
        return Directory(path: path, files: self)
    }

    private final class Directory: OpenDirectory {
        private let path: String
        private let files: SimulatedFiles

        init(path: String, files: SimulatedFiles) {
            self.path = path
            self.files = files
        }

        func renameDurably(_ old: String, to new: String) throws(StorageError) {
            try files.rename("\(path)/\(old)", to: "\(path)/\(new)")
            try files.synchronize(directory: path)
        }
    }

    func open(_ path: String) throws(StorageError) -> any ReadableFile {
        try checkRead("open", path)
        guard let file = disk.file(path) else { throw .system(operation: "open", path: path, code: ENOENT) }
        return Reading(path: path, file: file, files: self)
    }

    func create(_ path: String, keeping kept: Int) throws(StorageError) -> any WritableFile {
        try beforeChange()
        try parentExists("create", path)
        let file = disk.file(path) ?? SimulatedDisk.File()
        file.bytes.removeLast(max(0, file.bytes.count - kept))
        file.synced = min(file.synced, file.bytes.count)
        file.writer = owner
        disk.set(path, .file(file))
        return Writing(file: file, files: self)
    }

    private final class Reading: ReadableFile, @unchecked Sendable {
        let path: String
        let byteCount: Int
        private let file: SimulatedDisk.File
        private let files: SimulatedFiles

        init(path: String, file: SimulatedDisk.File, files: SimulatedFiles) {
            self.path = path
            self.file = file
            self.files = files
            byteCount = file.bytes.count
        }

        func read(at position: Int, into bytes: UnsafeMutableRawBufferPointer) throws(StorageError) {
            try files.checkRead("read", path)
            guard position + bytes.count <= file.bytes.count else {
                throw .damaged(path: path, problem: "became shorter while it was read")
            }
            file.bytes.withUnsafeBytes {
                bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + bytes.count]))
            }
        }
    }

    private final class Writing: WritableFile, @unchecked Sendable {
        private let file: SimulatedDisk.File
        private let files: SimulatedFiles

        init(file: SimulatedDisk.File, files: SimulatedFiles) {
            self.file = file
            self.files = files
        }

        func write(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
            try files.beforeChange()
            file.bytes += bytes
            file.writer = files.owner
        }

        func synchronize() throws(StorageError) {
            file.synced = file.bytes.count
        }
    }
}
