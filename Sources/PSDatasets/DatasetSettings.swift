// What a person says about a data set: where it lies, and what cannot be seen from its files.

/// How the pictures of a data set are stored.
package enum DatasetForm: String, Sendable, Hashable, Codable, CaseIterable {
    /// A folder of pictures per class.
    case folder
    /// Tar files in the manner of WebDataset.
    case shards
    /// TensorFlow's record files of `Example` messages.
    case tfrecord
    /// The files of MNIST.
    case idx
    /// The binary files of CIFAR-10 and CIFAR-100.
    case cifar
}

package enum DatasetSplit: String, Sendable, Hashable, Codable, CaseIterable {
    case train
    /// What evaluation reads: "val", "validation", "test" or "t10k" in the names of files.
    case test

    /// The names of a split's directory, the preferred one first.
    var directoryNames: [String] { self == .train ? ["train"] : ["val", "validation", "test"] }
}

package struct DatasetSettings: Sendable, Hashable, Codable {
    package enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// Found from the files.
        case auto
        case folder, shards, tfrecord, idx, cifar

        /// nil: to be found.
        package var form: DatasetForm? { DatasetForm(rawValue: rawValue) }
    }

    package var kind = Kind.auto
    /// The directory the data set lies in.
    package var path: String
    /// Of a folder of classes that is not divided into train and val: the share of pictures that evaluation gets.
    package var validationShare = 0.1
    /// What TFRecord files call the first class: 1 in ImageNet's usual lists.
    package var firstLabel = 0

    package init(path: String) { self.path = path }

    package func validate() throws(DatasetError) {
        if path.isEmpty { throw .setting(key: "path", problem: "is empty; it must name a directory") }
        // 1 where all of a folder is to be measured; no job may have it.
        if !(validationShare > 0 && validationShare <= 1) {
            throw .setting(
                key: "validationShare", problem: "is \(validationShare); it must lie between 0 and 1")
        }
        if !(0...1).contains(firstLabel) {
            throw .setting(key: "firstLabel", problem: "is \(firstLabel); it must be 0 or 1")
        }
    }
}
