// The files of a set that lies in a few large ones: tar shards, TFRecord files.

import CZlib
import PSFiles

/// Which files a split has, sorted by the bytes of their names.
struct ShardFiles: Sendable, Hashable {
    let root: String
    /// Relative to `root`.
    private let train: [String]
    private let test: [String]

    func names(_ split: DatasetSplit) throws(DatasetError) -> [String] {
        let names = split == .train ? train : test
        if !names.isEmpty { return names }
        throw .missing(
            path: "\(root)/\(split.directoryNames[0])",
            advice: "no file there is for \(split == .train ? "training" : "evaluation"): put such files into "
                + "\(split.directoryNames[0])/, or \"\(split.directoryNames[0])\" into their names")
    }

    /// The files of a form in a directory or in its train/ and val/; nil where there are none.
    static func find(_ form: DatasetForm, in place: Surroundings) throws(DatasetError) -> ShardFiles? {
        var found: [DatasetSplit: [String]] = [:]
        for split in DatasetSplit.allCases {
            guard let directory = place.directory(of: split) else { continue }
            let path = "\(place.root)/\(directory)"
            let files = try DirectoryEntries.list(path).files
            let names = files.filter { isFile($0, of: form) }
            try checkComplete(names, in: path)
            if names.isEmpty, form == .shards, let packed = files.first(where: isCompressed) {
                throw .layout(path: "\(path)/\(packed)", problem: compressed)
            }
            if !names.isEmpty { found[split] = names.map { "\(directory)/\($0)" } }
        }
        if found.isEmpty {
            let names = place.files.filter { isFile($0, of: form) }
            func containing(_ parts: String) -> [String] { names.filter { $0.lowercased().contains(parts) } }
            let train = containing("train")
            let val = containing("val").filter { !train.contains($0) }
            let test = containing("test").filter { !train.contains($0) }
            if let unclear = names.first(where: { !train.contains($0) && !val.contains($0) && !test.contains($0) }) {
                throw .layout(
                    path: "\(place.root)/\(unclear)",
                    problem: "its name does not say whether it is for training or evaluation; put train or val into it")
            }
            try checkComplete(train, in: place.root)
            try checkComplete(val.isEmpty ? test : val, in: place.root)
            found = [.train: train, .test: val.isEmpty ? test : val]
        }
        let files = ShardFiles(root: place.root, train: found[.train] ?? [], test: found[.test] ?? [])
        return files.train.isEmpty && files.test.isEmpty ? nil : files
    }

    /// A tar file that samples cannot be read from the middle of.
    static func isCompressed(_ name: String) -> Bool { name.hasSuffix(".tar.gz") || name.hasSuffix(".tgz") }

    static let compressed =
        "is compressed; unpack it with gunzip, as samples are read from the middle of a tar file (pictures hardly become "
        + "smaller by gzip)"

    private static func isFile(_ name: String, of form: DatasetForm) -> Bool {
        switch form {
        case .shards: name.hasSuffix(".tar")
        case .tfrecord: name.hasSuffix(".tfrecord") || name.hasSuffix(".tfrecords") || numbering(name) != nil
        default: false
        }
    }

    /// The numbers in "train-00017-of-01024".
    private static func numbering(_ name: String) -> (stem: String, number: Int, of: Int)? {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[parts.count - 2] == "of" else { return nil }
        let all = parts[parts.count - 1].prefix { $0 != "." }
        guard all.count <= 9, let count = Int(all), parts[parts.count - 3].count <= 9,
            let number = Int(parts[parts.count - 3])
        else { return nil }
        return (parts[..<(parts.count - 3)].joined(separator: "-"), number, count)
    }

    /// - Throws: when the files say how many they are and are fewer.
    private static func checkComplete(_ names: [String], in path: String) throws(DatasetError) {
        var seen: [String: Set<Int>] = [:]
        for name in names {
            guard let (stem, number, count) = numbering(name) else { continue }
            seen["\(stem)-*-of-\(count)", default: []].insert(number)
        }
        for (pattern, numbers) in seen.sorted(by: { $0.key < $1.key }) {
            let count = Int(pattern.split(separator: "-").last ?? "") ?? 0
            if numbers.count < count, let missing = (0..<count).first(where: { !numbers.contains($0) }) {
                throw .missing(
                    path: "\(path): file \(missing) of \(count)",
                    advice: "only \(numbers.count) files named \(pattern) are there; fetch the others")
            }
        }
    }

    /// The files as they are now.
    func stamped(_ split: DatasetSplit) throws(DatasetError) -> [IndexedFile] {
        var files: [IndexedFile] = []
        for name in try names(split) { files.append(IndexedFile(name: name, stamp: try .of("\(root)/\(name)"))) }
        return files
    }
}

/// Names of classes from a file, one a line.
package enum ClassNameFile {
    static let name = "classes.txt"

    /// The names in a file, a line each.
    package static func read(_ path: String) throws(DatasetError) -> [String] {
        try names(onFiles { () throws(StorageError) in try LocalFileSystem().read(path, atMost: 16 << 20) }, path: path)
    }

    /// The names beside a set, nil where no such file is.
    static func read(in directories: [String], _ name: String = name) throws(DatasetError) -> [String]? {
        for directory in directories {
            let path = "\(directory)/\(name)"
            let files = LocalFileSystem()
            guard files.isRegularFile(path) else { continue }
            let bytes = try onFiles { () throws(StorageError) in try files.read(path, atMost: 16 << 20) }
            return try names(bytes, path: path)
        }
        return nil
    }

    static func names(_ bytes: [UInt8], path: String) throws(DatasetError) -> [String] {
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw .damaged(path: path, problem: "not UTF-8; it must hold the name of a class in every line")
        }
        // Some editors begin a file with a mark that is no text.
        let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        var lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { line in
            String(decoding: line.last == UInt8(ascii: "\r") ? line.dropLast() : line, as: UTF8.self)
        }
        while lines.last == "" { lines.removeLast() }
        if let empty = lines.firstIndex(of: "") {
            throw .damaged(path: path, problem: "line \(empty + 1) is empty; it must hold the name of class \(empty)")
        }
        if lines.count < 2 {
            throw .damaged(path: path, problem: "names \(lines.count) classes; there must be two at least")
        }
        return lines
    }

    /// What an index made with these names depends on.
    static func recipe(_ names: [String]?) -> String {
        guard let names else { return "classes by number" }
        return "classes \(IndexFormat.checksum(Array(names.joined(separator: "\n").utf8))) of \(names.count)"
    }
}
