// Going through the pictures of one class folder.

import Glibc
import PSFiles

/// The pictures below one class folder, sorted by the bytes of their names.
struct FolderScan: Sendable {
    /// Folders in folders: deeper ones are taken for a mistake.
    static let deepest = 32

    private(set) var block = SampleBlock()
    /// Files that are no pictures by their names.
    private(set) var leftOut = 0
    /// What could not be looked at and was passed over.
    private(set) var problems: [DatasetError] = []
    private let passesOver: Bool

    /// - Parameters:
    ///   - root: the directory of the class folders.
    ///   - className: the folder in it; empty: `root` itself.
    ///   - passesOver: whether what cannot be looked at is noted and the rest goes on.
    ///   - keep: which pictures belong to the split, by their names from `root` on.
    /// - Throws: when a directory or a link cannot be followed or a name is not UTF-8.
    init(
        root: String, className: String, label: Int, passesOver: Bool = false, keep: (ArraySlice<UInt8>) -> Bool
    ) throws(DatasetError) {
        self.passesOver = passesOver
        var found: [(name: [UInt8], byteCount: Int)] = []
        try scan(root, Array(className.utf8), above: [], &found)
        found.sort { $0.name.lexicographicallyPrecedes($1.name) }
        for picture in found where keep(picture.name[...]) {
            block.append(name: picture.name, byteCount: picture.byteCount, label: label, offset: 0)
        }
    }

    private struct Place: Equatable {
        let device: dev_t
        let node: ino_t
    }

    private mutating func scan(
        _ root: String, _ folder: [UInt8], above: [Place], _ found: inout [(name: [UInt8], byteCount: Int)]
    ) throws(DatasetError) {
        let path = folder.isEmpty ? root : "\(root)/\(String(decoding: folder, as: UTF8.self))"
        let start = folder.isEmpty ? [] : folder + [UInt8(ascii: "/")]
        var folders: [[UInt8]] = []
        var places = above
        var count = 0
        try DirectoryEntries.each(path) { (directory, name, kind) throws(DatasetError) in
            if count == 0 { try FolderScan.enter(directory, path, &places) }
            count += 1
            do throws(DatasetError) {
                var kind = kind
                var status: stat?
                if kind == .link || kind == .unknown {
                    let found = try DirectoryEntries.status(directory, name, in: path)
                    status = found
                    switch found.st_mode & S_IFMT {
                    case S_IFREG: kind = .file
                    case S_IFDIR: kind = .directory
                    default: kind = .other
                    }
                }
                switch kind {
                case .directory:
                    _ = try DirectoryEntries.text(name, in: path)
                    folders.append(start + name)
                case .file where PictureName.isPicture(name):
                    if !name.allSatisfy({ $0 < 0x80 }) { _ = try DirectoryEntries.text(name, in: path) }
                    if status == nil { status = try DirectoryEntries.status(directory, name, in: path) }
                    found.append((start + name, Int(status?.st_size ?? 0)))
                default: leftOut += 1
                }
            } catch { try pass(error) }
        }
        for inner in folders {
            // A failure in it is its own: what was found before stays.
            do throws(DatasetError) { try scan(root, inner, above: places, &found) } catch { try pass(error) }
        }
    }

    private mutating func pass(_ error: DatasetError) throws(DatasetError) {
        guard passesOver else { throw error }
        problems.append(error)
    }

    /// Notes where one is; a directory within itself is a circle of links.
    private static func enter(_ directory: Int32, _ path: String, _ places: inout [Place]) throws(DatasetError) {
        var status = stat()
        guard fstat(directory, &status) == 0 else { throw .system(operation: "look at", path: path, code: errno) }
        let place = Place(device: status.st_dev, node: status.st_ino)
        if places.contains(place) || places.count >= deepest {
            throw .layout(
                path: path,
                problem: places.contains(place)
                    ? "a symbolic link leads back to a folder it lies in; remove the link"
                    : "lies more than \(deepest) folders deep; a class folder is not that deep")
        }
        places.append(place)
    }
}
