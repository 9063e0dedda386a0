// Entries of directories by the bytes of their names, and which of them are pictures.

import Glibc
import PSFiles

/// Names of directory entries, as bytes: the order of a set is that of bytes, whatever the language.
enum DirectoryEntries {
    enum Kind { case file, directory, link, unknown, other }

    /// Goes through a directory's entries, in no order, without hidden ones. `directory` stays open meanwhile.
    static func each(
        _ path: String,
        _ body: (_ directory: Int32, _ name: UnsafeBufferPointer<UInt8>, Kind) throws(DatasetError) -> Void
    ) throws(DatasetError) {
        guard let directory = opendir(path) else { throw .system(operation: "list", path: path, code: errno) }
        defer { closedir(directory) }
        let place = MemoryLayout<dirent>.offset(of: \dirent.d_name)!
        while true {
            errno = 0
            guard let entry = readdir(directory) else { break }
            let text = (UnsafeRawPointer(entry) + place).assumingMemoryBound(to: UInt8.self)
            if text[0] == UInt8(ascii: ".") { continue }
            let name = UnsafeBufferPointer(
                start: text, count: strlen(UnsafeRawPointer(text).assumingMemoryBound(to: CChar.self)))
            let kind: Kind =
                switch Int(entry.pointee.d_type) {
                case Int(DT_REG): .file
                case Int(DT_DIR): .directory
                case Int(DT_LNK): .link
                case Int(DT_UNKNOWN): .unknown
                default: .other
                }
            try body(dirfd(directory), name, kind)
        }
        if errno != 0 { throw .system(operation: "list", path: path, code: errno) }
    }

    /// What an entry is, links followed, and its size.
    static func status(_ directory: Int32, _ name: UnsafeBufferPointer<UInt8>, in path: String) throws(DatasetError)
        -> stat
    {
        var status = stat()
        let text = UnsafeRawPointer(name.baseAddress!).assumingMemoryBound(to: CChar.self)
        guard fstatat(directory, text, &status, 0) == 0 else {
            let shown = "\(path)/\(String(decoding: name, as: UTF8.self))"
            if errno == ENOENT {
                throw .missing(
                    path: shown,
                    advice: "it is a symbolic link that leads nowhere, or was removed just now; "
                        + "remove the link or bring back what it leads to")
            }
            throw .system(operation: "look at", path: shown, code: errno)
        }
        return status
    }

    /// The name as text.
    ///
    /// - Throws: `damaged` when it is not UTF-8, as names in an index and in messages are.
    static func text(_ name: UnsafeBufferPointer<UInt8>, in path: String) throws(DatasetError) -> String {
        guard let text = String(validating: name, as: UTF8.self) else {
            throw .damaged(
                path: path,
                problem: "has an entry whose name is not UTF-8: \"\(String(decoding: name, as: UTF8.self))\"; rename it"
            )
        }
        return text
    }

    /// Names of all entries that are not hidden, sorted by bytes; directories and what links lead to told apart.
    static func list(_ path: String) throws(DatasetError) -> (files: [String], directories: [String]) {
        var files: [String] = []
        var directories: [String] = []
        try each(path) { (directory, name, kind) throws(DatasetError) in
            var kind = kind
            if kind == .link || kind == .unknown {
                switch try status(directory, name, in: path).st_mode & S_IFMT {
                case S_IFREG: kind = .file
                case S_IFDIR: kind = .directory
                default: kind = .other
                }
            }
            if kind == .file { files.append(try text(name, in: path)) }
            if kind == .directory { directories.append(try text(name, in: path)) }
        }
        return (files.sorted(by: isBefore), directories.sorted(by: isBefore))
    }

    /// The order of bytes. Swift's own order of texts is that of their characters.
    static func isBefore(_ first: String, _ second: String) -> Bool {
        first.utf8.lexicographicallyPrecedes(second.utf8)
    }
}

/// The endings of names that are taken for pictures.
enum PictureName {
    static let endings = ["jpg", "jpeg", "jpe", "png", "webp", "ppm", "pgm", "pnm"]

    /// Whether the ending behind the last dot is one of a picture, in any case.
    static func isPicture(_ name: some RandomAccessCollection<UInt8>) -> Bool {
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")) else { return false }
        let ending = name[name.index(after: dot)...]
        return endings.contains {
            $0.utf8.count == ending.count && $0.utf8.elementsEqual(ending, by: { $0 == lower($1) })
        }
    }

    static func lower(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte + 32 : byte }
}
