// A folder per class, in the manner of torchvision's ImageFolder.

import Glibc
import PSFiles
import PSParameters

/// Where the class folders of a set lie.
enum FolderLayout: Sendable, Hashable {
    /// `train/` and one of `val/`, `validation/`, `test/`.
    case divided(root: String)
    /// The class folders themselves; a share of the pictures is for evaluation.
    case undivided(root: String)

    var root: String {
        switch self {
        case .divided(let root), .undivided(let root): root
        }
    }
}

struct FolderSamples: SampleReader {
    /// The directory that the names of samples start from.
    private let root: String

    /// Lists a split. The pictures of one class at a time are in memory.
    ///
    /// - Parameters:
    ///   - share: of evaluation, where the layout is undivided.
    ///   - progress: called with the classes done and all classes.
    static func open(
        _ layout: FolderLayout, _ split: DatasetSplit, share: Double, progress: @escaping DatasetProgress
    ) throws(DatasetError) -> (index: SampleIndex, reader: FolderSamples) {
        let root: String
        let classNames: [String]
        switch layout {
        case .undivided(let whole):
            root = whole
            classNames = try DirectoryEntries.list(whole).directories
        case .divided(let whole):
            let train = try directory(of: .train, in: whole)
            classNames = try DirectoryEntries.list(train).directories
            root = try split == .train ? train : directory(of: .test, in: whole)
            if split == .test { try check(root, against: classNames, of: train) }
        }
        if classNames.count < 2 {
            throw .layout(
                path: root,
                problem:
                    "has \(classNames.count == 0 ? "no class folder" : "one class folder only, \(classNames[0])"); "
                    + "there must be a folder of pictures for each of two classes at least")
        }
        let divided = layout == .divided(root: layout.root)
        let isForTest = SplitRule(share: share)
        let index = try IndexStore.transient { (output) throws(DatasetError) in
            let writer = try SampleIndexWriter(form: .folder, split: split, to: output)
            var leftOut = 0
            var empty: [String] = []
            var count = 0
            try Threads.inOrder(classNames.count) { (label) throws(DatasetError) in
                let path = "\(root)/\(classNames[label])"
                // A class without pictures for evaluation is allowed to have no folder there.
                if divided, split == .test, access(path, F_OK) != 0 { return FolderScan?.none }
                return try FolderScan(root: root, className: classNames[label], label: label) { name in
                    divided || isForTest.isTest(name) == (split == .test)
                }
            } take: { (label, scan) throws(DatasetError) in
                let rows = scan?.block.rows.count ?? 0
                if rows == 0 { empty.append(classNames[label]) }
                if rows == 0, divided, split == .train {
                    throw .layout(
                        path: "\(root)/\(classNames[label])",
                        problem: "has no pictures (\(PictureName.endings.joined(separator: ", "))); "
                            + "put some in or remove the folder")
                }
                leftOut += scan?.leftOut ?? 0
                count += rows
                if let scan { try writer.append(scan.block, container: 0, of: "\(root)/\(classNames[label])") }
                progress(label + 1, classNames.count)
            }
            if count == 0 {
                throw .layout(
                    path: root,
                    problem: "has no pictures for \(split == .train ? "training" : "evaluation") in its "
                        + "\(classNames.count) class folders")
            }
            try writer.finish(
                recipe: "folder", classNames: classNames, files: [], remarks: remarks(root, split, leftOut, empty))
        }
        return (index, FolderSamples(root: root))
    }

    private static func remarks(
        _ root: String, _ split: DatasetSplit, _ leftOut: Int, _ empty: [String]
    ) -> [String] {
        var remarks: [String] = []
        if leftOut > 0 {
            remarks.append("\(root): \(leftOut) files are left out, as they are no pictures by their names")
        }
        if !empty.isEmpty {
            let names = empty.prefix(5).joined(separator: ", ") + (empty.count > 5 ? ", ..." : "")
            remarks.append(
                "\(root): \(empty.count) \(empty.count == 1 ? "class has" : "classes have") no pictures "
                    + "\(split == .train ? "to train with" : "for evaluation"): \(names)")
        }
        return remarks
    }

    /// The directory of a split.
    static func directory(of split: DatasetSplit, in root: String) throws(DatasetError) -> String {
        for name in split.directoryNames where LocalFileSystem().isDirectory("\(root)/\(name)") {
            return "\(root)/\(name)"
        }
        throw .missing(
            path: "\(root)/\(split.directoryNames[0])",
            advice: split == .train
                ? "a folder of classes has the pictures to train with there"
                : "the pictures for evaluation belong there (or in validation/ or test/), a folder per class as in "
                    + "train/; for a share of one folder, put the class folders into \(root) itself")
    }

    /// - Throws: when the evaluation's directory has a class that training lacks, or pictures outside any class.
    private static func check(
        _ root: String, against classNames: [String], of train: String
    ) throws(DatasetError) {
        let entries = try DirectoryEntries.list(root)
        let known = Set(classNames)
        if let strange = entries.directories.first(where: { !known.contains($0) }) {
            throw .layout(
                path: "\(root)/\(strange)",
                problem: "is a class that \(train) does not have; remove it or add its pictures to train with")
        }
        if entries.directories.isEmpty, let file = entries.files.first {
            throw .layout(
                path: root,
                problem:
                    "has files such as \(file) but no class folders; sort the pictures into folders named as in "
                    + train
            )
        }
    }

    func file(_ entry: SampleEntry, name: String) -> String { "\(root)/\(name)" }

    func read(_ sample: Int, _ entry: SampleEntry, of index: SampleIndex) throws(DatasetError) -> SampleContent {
        let path = "\(root)/\(try index.name(of: sample))"
        let file: FileBytes
        do throws(DatasetError) { file = try FileBytes(path) } catch .system(_, _, ENOENT) {
            throw .changed(path: path, problem: "it was there when the data set was opened and is gone")
        }
        if file.byteCount != entry.byteCount {
            throw .changed(
                path: path,
                problem: "it has \(file.byteCount) bytes, and had \(entry.byteCount) when the data set was opened")
        }
        return .encoded(try file.bytes(at: 0, count: file.byteCount))
    }
}

/// Which pictures of an undivided folder are for evaluation: a pure function of each one's name, so that one that is
/// added moves no other.
struct SplitRule: Sendable {
    private let bound: UInt64

    /// - Parameter share: within 0..<1.
    init(share: Double) { bound = UInt64(share * 0x1p53) }

    /// - Parameter name: from the set's directory on, such as "cat/a.jpg".
    func isTest(_ name: some Collection<UInt8>) -> Bool {
        CounterRandom(key: fnv1a(String(decoding: name, as: UTF8.self))).bits(0) >> 11 < bound
    }
}
