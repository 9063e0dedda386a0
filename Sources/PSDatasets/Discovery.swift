// Which form a data set has, from what lies in its directory.

import PSFiles

/// A data set as it was found, nothing of it read yet.
enum FoundDataset: Sendable, Hashable {
    case folder(FolderLayout)
    case shards(ShardFiles)
    case tfrecord(ShardFiles)
    case idx(directory: String)
    case cifar(CIFARLayout)
}

/// The names in a directory and in its `train/` and evaluation's directory.
struct Surroundings {
    let root: String
    let files: [String]
    let directories: [String]

    init(_ root: String) throws(DatasetError) {
        switch try onFiles({ () throws(StorageError) in try LocalFileSystem().entry(root) }) {
        case .directory?: break
        case nil:
            throw .missing(
                path: root,
                advice: "check the path, or put the data set there "
                    + "(Fashion-MNIST: apt-get install dataset-fashion-mnist)")
        default:
            throw .layout(
                path: root, problem: "is a file; the path of a data set is the directory that its files are in")
        }
        self.root = root
        (files, directories) = try DirectoryEntries.list(root)
    }

    /// The directory of a split, if there is one.
    func directory(of split: DatasetSplit) -> String? { split.directoryNames.first { directories.contains($0) } }
}

enum Discovery {
    static func find(_ settings: DatasetSettings) throws(DatasetError) -> FoundDataset {
        let place = try Surroundings(settings.path)
        if let form = settings.kind.form {
            if let found = try find(form, in: place) { return found }
            throw .layout(path: place.root, problem: "no data set of kind \(form.rawValue): \(wanted(form))")
        }
        var found: [(form: DatasetForm, set: FoundDataset)] = []
        for form in DatasetForm.allCases {
            if let set = try find(form, in: place) { found.append((form, set)) }
        }
        // Folders beside something else are hardly classes, but `train/` and its folders are.
        if found.count > 1, case (.folder, .folder(.undivided))? = found.first { found.removeFirst() }
        if found.count > 1 {
            throw .layout(
                path: place.root,
                problem: "could be a data set of kind "
                    + found.map(\.form.rawValue).joined(separator: " or of kind ") + "; say which as its kind")
        }
        if let only = found.first { return only.set }
        if let mistake = mistake(place) { throw .layout(path: place.root, problem: mistake) }
        throw .layout(
            path: place.root,
            problem: "no data set is there. One of these must be: "
                + DatasetForm.allCases.map { "\($0.rawValue): \(wanted($0))" }.joined(separator: "; "))
    }

    private static func find(_ form: DatasetForm, in place: Surroundings) throws(DatasetError) -> FoundDataset? {
        switch form {
        case .folder: return folder(place).map { .folder($0) }
        case .shards: return try ShardFiles.find(.shards, in: place).map { .shards($0) }
        case .tfrecord: return try ShardFiles.find(.tfrecord, in: place).map { .tfrecord($0) }
        case .idx: return IDXSamples.directory(in: place).map { .idx(directory: $0) }
        case .cifar: return try CIFARLayout.find(in: place).map { .cifar($0) }
        }
    }

    private static func folder(_ place: Surroundings) -> FolderLayout? {
        // Without train/ a directory of evaluation's is no class either.
        if let split = ["train", "val", "validation"].first(where: { place.directories.contains($0) }) {
            // A directory that cannot be listed counts as one with folders: opening it tells why.
            let inner = try? DirectoryEntries.list("\(place.root)/\(split)")
            return inner?.directories.isEmpty == true ? nil : .divided(root: place.root)
        }
        return place.directories.isEmpty ? nil : .undivided(root: place.root)
    }

    private static func wanted(_ form: DatasetForm) -> String {
        switch form {
        case .folder: "train/ and val/ with a folder of pictures per class, or the class folders themselves"
        case .shards: "train/*.tar and val/*.tar, or *train*.tar and *val*.tar"
        case .tfrecord: "train-00000-of-... and validation-00000-of-..., or *.tfrecord in train/ and val/"
        case .idx: "train-images-idx3-ubyte and its three companions, gzipped or not"
        case .cifar: "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or train.bin and test.bin"
        }
    }

    /// What people have instead of a data set that can be read.
    private static func mistake(_ place: Surroundings) -> String? {
        let names = place.files + place.directories
        if let packed = names.first(where: ShardFiles.isCompressed) { return "\(packed) \(ShardFiles.compressed)" }
        if names.contains("data_batch_1") || names.contains("cifar-10-batches-py") || names.contains("cifar-100-python")
        {
            return "has the Python version of CIFAR; get the binary version, whose files end in .bin"
        }
        if let picture = place.files.first(where: { PictureName.isPicture(Array($0.utf8)) }) {
            return "has pictures such as \(picture) but no folders; sort them into a folder per class"
        }
        return nil
    }
}
