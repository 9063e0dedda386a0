// The directory of a job's keys, its owner's alone: the coordinator's pair, the list of who may speak, and a join file
// for each key handed out.

import Glibc
import PSFiles
import PSProofs

/// `coordinator.join`, `allowed.json`, `NAME.join` for each name of the list, and `lock`; mode 0700.
///
/// Join files may be moved to those who use them: what counts is the list. A command that changes something holds the
/// lock and can be given again after any failure.
package struct KeyDirectory: Sendable {
    package let path: String

    package init(_ path: String) {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = path.isEmpty ? "." : path
    }

    // MARK: Names

    private static let coordinatorName = "coordinator"
    static let reserved: Set<String> = ["allowed", coordinatorName]

    /// 1 to 64 of letters, digits, '-', '_' and '.', the first no period: never a path.
    static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && !text.hasPrefix(".")
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    /// - Throws: `unusable` where no key handed out may have this name.
    package static func check(name: String) throws(KeyError) {
        guard isName(name) else {
            throw .unusable(
                "\(name.debugDescription) is no name for a key; allowed are 1 to 64 letters, digits, '-', '_' and '.', "
                    + "beginning with no '.'")
        }
        if reserved.contains(name) { throw .unusable("the name '\(name)' is reserved; choose another") }
    }

    /// Where the join file with this name is made.
    package func joinFile(of name: String) -> String { "\(path)/\(Self.joinName(name))" }

    private static func joinName(_ name: String) -> String { "\(name).join" }

    private static let listName = "allowed.json"
    private var list: String { "\(path)/\(Self.listName)" }

    // MARK: Reading

    /// Who may speak, sorted by name. The coordinator is not among them: its key is in its own file.
    package func allowed() throws(KeyError) -> [AllowedKey] { try AllowedKey.readList(list) }

    /// Tells the list that is there from another one; nil where there is none.
    package var listStamp: [Int]? {
        var status = stat()
        guard stat(list, &status) == 0 else { return nil }
        return [
            Int(bitPattern: UInt(status.st_ino)), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec,
        ]
    }

    /// The coordinator's own file.
    package func coordinator() throws(KeyError) -> JoinFile {
        let path = joinFile(of: Self.coordinatorName)
        let file = try JoinFile.read(path)
        guard file.role == .coordinator else {
            throw .refused(path: path, problem: "is the file of a \(file.role.rawValue); put the coordinator's back")
        }
        return file
    }

    /// The public keys with their fingerprints: the coordinator's, then those allowed.
    package var keys: [AllowedKey] {
        get throws(KeyError) {
            let own = try coordinator()
            return [AllowedKey(name: own.name, role: own.role, publicKey: own.keys.publicKey)] + (try allowed())
        }
    }

    // MARK: Changing

    /// Makes a directory that is not there yet, with a new pair for the coordinator and a key for each other role,
    /// named as the role. It is complete or not there.
    ///
    /// - Parameter coordinator: tcp://HOST:PORT for the join files.
    @discardableResult
    package static func create(_ path: String, coordinator: String?) throws(KeyError) -> KeyDirectory {
        let directory = KeyDirectory(path)
        let isThere = KeyError.refused(
            path: directory.path, problem: "is there already; name a directory that is not, or use psctl keys add")
        if try directory.holds(directory.path) { throw isThere }
        let own = try KeyPair.make()
        var files = [
            JoinFile(
                name: coordinatorName, role: .coordinator, coordinatorKey: own.publicKey, keys: own,
                coordinator: coordinator)
        ]
        for role in KeyRole.allCases where role != .coordinator {
            files.append(
                JoinFile(
                    name: role.rawValue, role: role, coordinatorKey: own.publicKey, keys: try .make(),
                    coordinator: coordinator))
        }
        let list = files.dropFirst().map(\.entry)

        let system = LocalFileSystem()
        let parent = Paths.parent(of: directory.path)
        try storing { () throws(StorageError) in try system.createDirectory(parent) }
        let temporary = "\(directory.path).\(String(UInt64.random(in: 0...UInt64.max), radix: 16)).tmp"
        try storing { () throws(StorageError) in
            try systemCall("create directory", directory.path) { mkdir(temporary, 0o700) }
        }
        do throws(KeyError) {
            // The umask may have taken bits away.
            try storing { () throws(StorageError) in
                try systemCall("set the mode of", directory.path) { chmod(temporary, 0o700) }
            }
            try PrivateFile.write(
                [(lockName, [])] + files.map { (joinName($0.name), $0.bytes) }
                    + [(listName, AllowedKey.bytes(ofList: list))], in: temporary, shown: directory.path)
            do throws(StorageError) {
                try system.renameDurably(temporary, to: directory.path)
            } catch .system(_, _, let code) where [EEXIST, ENOTEMPTY, ENOTDIR].contains(code) {
                // Another command was faster.
                throw isThere
            } catch {
                throw .storage(error)
            }
        } catch {
            try? system.removeDirectory(temporary)
            throw error
        }
        return directory
    }

    /// Lets one more speak.
    ///
    /// - Returns: the path of its join file.
    package func add(role: KeyRole, name: String) throws(KeyError) -> String {
        try Self.check(name: name)
        guard role != .coordinator else {
            throw .unusable("a job has one coordinator, whose key is made by create and rotate")
        }
        return try changing { () throws(KeyError) in
            let list = try allowed()
            if list.contains(where: { $0.name == name }) {
                throw .refused(
                    path: self.list,
                    problem: "has a key named \(name); choose another name, or run psctl keys rotate for a new key")
            }
            let path = joinFile(of: name)
            if try holds(path) {
                throw .refused(
                    path: path, problem: "is there, but the list has no such key; psctl keys revoke removes it")
            }
            let file = try newFile(name, role)
            try PrivateFile.write(
                [
                    (Self.joinName(name), file.bytes),
                    (Self.listName, AllowedKey.bytes(ofList: list + [file.entry])),
                ], in: self.path)
            return path
        }
    }

    /// Takes a key out of the list and removes its join file; also a join file that no list has.
    package func revoke(name: String) throws(KeyError) {
        if name == Self.coordinatorName {
            throw .unusable("the coordinator's key cannot be revoked; psctl keys rotate gives it a new one")
        }
        try Self.check(name: name)
        try changing { () throws(KeyError) in
            let list = try allowed()
            let rest = list.filter { $0.name != name }
            let path = joinFile(of: name)
            let hasFile = try holds(path)
            guard rest.count < list.count || hasFile else { throw missing(name) }
            // The list first: from then on the key opens nothing, whatever becomes of the file.
            if rest.count < list.count {
                try PrivateFile.write([(Self.listName, AllowedKey.bytes(ofList: rest))], in: self.path)
            }
            if hasFile {
                try storing { () throws(StorageError) in
                    try LocalFileSystem().remove(path)
                    try LocalFileSystem().synchronize(directory: self.path)
                }
            }
        }
    }

    /// Gives a name a new pair; the old one is out of the list at once. For "coordinator": a new pair of the
    /// coordinator, whose public half goes into every join file that is in the directory.
    ///
    /// - Returns: the path of the join file.
    package func rotate(name: String) throws(KeyError) -> String {
        if name != Self.coordinatorName { try Self.check(name: name) }
        return try changing { () throws(KeyError) in
            let list = try allowed()
            if name == Self.coordinatorName {
                try rotateCoordinator(list)
            } else {
                guard let old = list.first(where: { $0.name == name }) else { throw missing(name) }
                let file = try newFile(name, old.role)
                // The list first: the old key opens nothing any more, whatever becomes of the file.
                try PrivateFile.write(
                    [
                        (Self.listName, AllowedKey.bytes(ofList: list.filter { $0.name != name } + [file.entry])),
                        (Self.joinName(name), file.bytes),
                    ], in: path)
            }
            return joinFile(of: name)
        }
    }

    private func rotateCoordinator(_ list: [AllowedKey]) throws(KeyError) {
        var own = try coordinator()
        own.keys = try .make()
        own.coordinatorKey = own.keys.publicKey
        var files = [(Self.joinName(Self.coordinatorName), own.bytes)]
        for entry in list where try holds(joinFile(of: entry.name)) {
            var file = try JoinFile.read(joinFile(of: entry.name))
            file.coordinatorKey = own.coordinatorKey
            files.append((Self.joinName(entry.name), file.bytes))
        }
        try PrivateFile.write(files, in: path)
    }

    private func newFile(_ name: String, _ role: KeyRole) throws(KeyError) -> JoinFile {
        let own = try coordinator()
        return JoinFile(
            name: name, role: role, coordinatorKey: own.keys.publicKey, keys: try .make(),
            coordinator: own.coordinator)
    }

    private func missing(_ name: String) -> KeyError {
        .refused(path: list, problem: "has no key named \(name); psctl keys list shows those it has")
    }

    /// Whether anything has this path, be it a link to nowhere.
    private func holds(_ path: String) throws(KeyError) -> Bool {
        var status = stat()
        do throws(StorageError) {
            try systemCall("look at", path) { lstat(path, &status) }
            return true
        } catch .system(_, _, let code) where code == ENOENT {
            return false
        } catch {
            throw .storage(error)
        }
    }

    private static let lockName = "lock"

    /// Changes the directory while no other command does: it waits for one that is at it.
    private func changing<Result>(_ body: () throws(KeyError) -> Result) throws(KeyError) -> Result {
        try PrivateFile.checkDirectory(path)
        // A directory that holds no keys gets no lock file.
        _ = try allowed()
        let lock = try storing { () throws(StorageError) in
            try Descriptor("lock", "\(path)/\(Self.lockName)", flags: O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
        }
        defer { flock(lock.number, LOCK_UN) }
        let number = lock.number
        try storing { () throws(StorageError) in
            try Shortcomings.tolerate(.noLocks, at: path) { () throws(StorageError) in
                try systemCall("lock", path) { flock(number, LOCK_EX) }
            }
        }
        return try body()
    }
}

extension JoinFile {
    /// What the list has of it.
    fileprivate var entry: AllowedKey { AllowedKey(name: name, role: role, publicKey: keys.publicKey) }
}
