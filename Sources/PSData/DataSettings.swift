// What a person chooses about the training images.

package struct DataSettings: Sendable, Hashable, Codable {
    package enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// Gzipped IDX files under the names MNIST gave them.
        case fashionMNIST = "fashion-mnist"
    }

    /// How an image reaches the size the network wants.
    package enum Fit: String, Sendable, Hashable, Codable, CaseIterable {
        /// Bilinear interpolation, pixel centres at halves.
        case resize
        /// Placed unchanged in the middle of a black frame; an image too large for that is resized.
        case pad
    }

    package var kind = Kind.fashionMNIST
    /// The directory the data set lies in.
    package var path = "/usr/share/datasets/fashion-mnist"
    package var fit = Fit.resize
    /// Whether half of the training images are mirrored left to right.
    package var flip = false
    /// Training images are moved by up to this many pixels, black moving in.
    package var cropPadding = 0

    package init() {}

    package func validate() throws(DataError) {
        if !(0...1024).contains(cropPadding) {
            throw .setting(key: "cropPadding", problem: "is \(cropPadding); it must be between 0 and 1024 pixels")
        }
        if path.isEmpty { throw .setting(key: "path", problem: "is empty; it must name a directory") }
    }

    /// Opens the part of the data set that training or evaluation reads.
    package func open(_ split: DataSplit) throws(DataError) -> any ImageSource {
        try validate()
        switch kind {
        case .fashionMNIST: return try IDXImages(directory: path, split: split)
        }
    }
}

package enum DataSplit: String, Sendable, Hashable, CaseIterable {
    case train
    case test
}
