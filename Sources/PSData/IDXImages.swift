// Fashion-MNIST and other sets in MNIST's format: one IDX file of images, one of labels, both gzipped.

import Glibc

/// A set of grey images of one size, in memory. Source of the format: http://yann.lecun.com/exdb/mnist.
package struct IDXImages: ImageSource {
    package let classNames: [String]
    package let rows: Int
    package let columns: Int
    private let pixels: [UInt8]
    private let labels: [UInt8]

    package static let fashionMNISTClasses = [
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ]

    /// - Parameter directory: holds MNIST's file names, as Debian's `dataset-fashion-mnist` does.
    package init(
        directory: String, split: DataSplit, classNames: [String] = IDXImages.fashionMNISTClasses
    ) throws(DataError) {
        let prefix = split == .train ? "train" : "t10k"
        let imagePath = "\(directory)/\(prefix)-images-idx3-ubyte.gz"
        let labelPath = "\(directory)/\(prefix)-labels-idx1-ubyte.gz"
        for path in [imagePath, labelPath] where access(path, F_OK) != 0 && errno == ENOENT {
            throw .missing(
                path: path,
                advice: "install the data set with: apt-get install dataset-fashion-mnist, or set data.path")
        }
        let (imageShape, pixels) = try readIDX(imagePath, dimensions: 3)
        let (labelShape, labels) = try readIDX(labelPath, dimensions: 1)
        if labelShape[0] != imageShape[0] {
            throw .damaged(
                path: labelPath, problem: "has \(labelShape[0]) labels for the \(imageShape[0]) images of \(imagePath)")
        }
        if let bad = labels.firstIndex(where: { Int($0) >= classNames.count }) {
            throw .damaged(
                path: labelPath,
                problem: "label \(labels[bad]) of sample \(bad) is out of range 0...\(classNames.count - 1)")
        }
        self.classNames = classNames
        rows = imageShape[1]
        columns = imageShape[2]
        self.pixels = pixels
        self.labels = labels
    }

    package var count: Int { labels.count }

    package func label(of sample: Int) -> Int { Int(labels[sample]) }

    package func image(of sample: Int) -> PixelImage {
        let size = rows * columns
        return PixelImage(
            rows: rows, columns: columns, channels: 1, pixels: pixels[sample * size..<(sample + 1) * size])
    }
}

/// The extents and elements of a gzipped IDX file of unsigned bytes; no extent is 0.
private func readIDX(_ path: String, dimensions: Int) throws(DataError) -> (shape: [Int], elements: [UInt8]) {
    let bytes = try readGzip(path, atMost: 1 << 30)
    let head = 4 + 4 * dimensions
    guard bytes.count >= head else {
        throw .damaged(path: path, problem: "has \(bytes.count) bytes, fewer than the \(head) of its header")
    }
    func word(_ index: Int) -> Int { bytes[4 * index..<4 * index + 4].reduce(0) { $0 << 8 | Int($1) } }
    // Two zeros, the type (8: unsigned byte), the number of dimensions.
    let magic = 0x800 | dimensions
    guard word(0) == magic else {
        throw .damaged(
            path: path,
            problem: "not an IDX file of bytes in \(dimensions) dimensions: its magic number is "
                + "0x\(String(word(0), radix: 16)), not 0x\(String(magic, radix: 16))")
    }
    let shape = (1...dimensions).map(word)
    var size = 1
    for extent in shape {
        let (product, overflow) = size.multipliedReportingOverflow(by: extent)
        guard extent > 0, !overflow else {
            throw .damaged(path: path, problem: "its header gives the impossible extents \(shape)")
        }
        size = product
    }
    guard size == bytes.count - head else {
        throw .damaged(
            path: path, problem: "its header gives extents \(shape), \(size) bytes, but \(bytes.count - head) are there"
        )
    }
    return (shape, Array(bytes[head...]))
}
