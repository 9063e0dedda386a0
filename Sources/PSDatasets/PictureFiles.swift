// Picture files that a person names, one by one or by the folders they lie in: no classes, no split.

import Glibc
import PSFiles

/// The pictures of some paths, in the order of the paths, those of a folder by the bytes of their names.
package struct PictureFiles: SampleSource {
    /// A picture is read whole; larger files are taken for something else.
    private static let mostBytes = 1 << 30

    package let paths: [String]
    /// Folders, or what is in them, that could not be looked at, and folders without pictures: a text for each.
    package let problems: [String]

    /// - Parameter paths: files, whatever they are called, and folders, of which the files named as pictures are taken,
    ///   however deep.
    ///
    /// That a file is not there is found when it is read.
    package init(_ paths: [String]) {
        var found: [String] = []
        var problems: [String] = []
        for path in paths {
            guard LocalFileSystem().isDirectory(path) else {
                found.append(path)
                continue
            }
            let folder = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
            let scan: FolderScan
            do throws(DatasetError) {
                scan = try FolderScan(root: folder, className: "", label: 0, passesOver: true) { _ in true }
            } catch {
                problems.append("\(error)")
                continue
            }
            problems += scan.problems.map { "\($0)" }
            if scan.block.rows.isEmpty {
                problems.append("\(path) has no pictures (\(PictureName.endings.joined(separator: ", ")))")
            }
            found += scan.block.rows.indices.map {
                "\(folder)/\(String(decoding: scan.block.name($0), as: UTF8.self))"
            }
        }
        self.paths = found
        self.problems = problems
    }

    package var count: Int { paths.count }
    package var classNames: [String] { ["?"] }
    package func label(of sample: Int) -> Int { 0 }
    package func name(of sample: Int) -> String { paths[sample] }
    package func byteCount(of sample: Int) throws(DatasetError) -> Int { try FileBytes(paths[sample]).byteCount }

    package func read(_ sample: Int) throws(DatasetError) -> SampleContent {
        let file = try FileBytes(paths[sample])
        guard file.byteCount <= PictureFiles.mostBytes else {
            throw .damaged(path: file.path, problem: "has \(file.byteCount) bytes, more than any picture; is it one?")
        }
        return .encoded(try file.bytes(at: 0, count: file.byteCount))
    }
}
