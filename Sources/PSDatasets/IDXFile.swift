// One file of MNIST's format, gzipped or not. Source of the format: http://yann.lecun.com/exdb/mnist.

/// Unsigned bytes in some dimensions, behind a header that gives the extents. Nothing but the header is in memory.
struct IDXFile: Sendable {
    /// The most elements: 43 times Fashion-MNIST's. A small hostile gzip file cannot fill the memory with more.
    static let largest = 2 << 30

    let source: any RandomBytes
    let isGzipped: Bool
    let shape: [Int]
    /// CRC-32 of the whole unpacked file. Of a gzipped one what its end says, which is checked when it is unpacked.
    let checksum: UInt32

    var headSize: Int { 4 + 4 * shape.count }
    var elementCount: Int { shape.reduce(1, *) }

    /// - Parameter dimensions: how many there may be.
    init(_ source: any RandomBytes, dimensions: ClosedRange<Int>) throws(DatasetError) {
        let path = source.path
        self.source = source
        isGzipped = try GzipReader.isGzip(source)
        let longestHead = 4 + 4 * dimensions.upperBound
        let head: [UInt8]
        if isGzipped {
            var reader = GzipReader(source)
            head = try reader.read(longestHead)
        } else {
            head = try source.bytes(at: 0, count: min(longestHead, source.byteCount))
        }
        func word(_ index: Int) -> Int { head[4 * index..<4 * index + 4].reduce(0) { $0 << 8 | Int($1) } }
        guard head.count >= 4 else {
            throw .damaged(path: path, problem: "has \(head.count) bytes, fewer than the 4 of its magic number")
        }
        // Two zeros, the type (8: unsigned byte), the number of dimensions.
        guard word(0) >> 8 == 8, dimensions.contains(word(0) & 255) else {
            throw .damaged(
                path: path,
                problem: "not an IDX file of bytes in \(dimensions.map { String($0) }.joined(separator: " or ")) "
                    + "dimensions: its magic number is 0x\(String(word(0), radix: 16)), not "
                    + dimensions.map { "0x\(String(0x800 | $0, radix: 16))" }.joined(separator: " or "))
        }
        let count = word(0) & 255
        guard head.count >= 4 + 4 * count else {
            throw .damaged(
                path: path, problem: "has \(head.count) bytes, fewer than the \(4 + 4 * count) of its header")
        }
        let shape = (1...count).map(word)
        var size = 1
        for extent in shape {
            let (product, overflow) = size.multipliedReportingOverflow(by: extent)
            guard extent > 0, !overflow, product <= IDXFile.largest else {
                throw .damaged(
                    path: path,
                    problem: "its header gives the impossible extents \(shape) (at most \(IDXFile.largest) bytes)")
            }
            size = product
        }
        let there: Int
        if isGzipped {
            let end = try GzipReader.trailer(source)
            checksum = end.checksum
            there = Int(end.byteCount)
        } else {
            there = source.byteCount
            // After the sizes: a wrong file is not read through.
            checksum = there == size + 4 + 4 * count ? try PSDatasets.checksum(of: source) : 0
        }
        guard there == size + 4 + 4 * count else {
            throw .damaged(
                path: path,
                problem: "its header gives extents \(shape), \(size) bytes, but \(there - 4 - 4 * count) are there")
        }
        self.shape = shape
    }

    /// All elements in memory.
    func elements() throws(DatasetError) -> [UInt8] {
        if !isGzipped { return try source.bytes(at: headSize, count: elementCount) }
        var reader = GzipReader(source)
        _ = try reader.read(headSize)
        let elements = try reader.read(elementCount)
        // One more byte: that the end is reached is what checks the checksum.
        guard elements.count == elementCount, try reader.read(1).isEmpty else {
            throw .damaged(
                path: source.path,
                problem: "its header gives extents \(shape), \(elementCount) bytes, but "
                    + (elements.count == elementCount ? "more" : "\(elements.count)") + " are there")
        }
        return elements
    }
}
