// Writing safetensors files from memory that need not be contiguous.

import PSFiles

/// Receives the next bytes of a tensor.
package typealias EmitBytes = (UnsafeRawBufferPointer) throws(StorageError) -> Void

/// One tensor to write: its description, and a closure that hands over its bytes in order, in any number of pieces.
package struct OutgoingTensor {
    package let name: String
    package let dataType: SafetensorsDataType
    package let shape: [Int]
    package let emitAll: (EmitBytes) throws(StorageError) -> Void

    package init(
        name: String, dataType: SafetensorsDataType = .float32, shape: [Int],
        emitAll: @escaping (EmitBytes) throws(StorageError) -> Void
    ) {
        self.name = name
        self.dataType = dataType
        self.shape = shape
        self.emitAll = emitAll
    }

    package var byteCount: Int { shape.reduce(dataType.byteCount, *) }
}

package enum SafetensorsWriter {
    /// Writes a job's own file under a temporary name, makes it durable and renames it to `path`.
    ///
    /// - Parameter tensors: unique names, written in this order without padding. Put wider elements first if a reader
    ///   wants them aligned.
    @discardableResult
    package static func write(
        path: String, metadata: [String: String], tensors: [OutgoingTensor],
        in files: any FileSystem = LocalFileSystem()
    ) throws(StorageError) -> WrittenFile {
        try AtomicFile.write(path, in: files) { (writer) throws(StorageError) in
            try write(metadata: metadata, tensors: tensors, with: writer)
        }
    }

    /// The same for a file that a person asked for.
    @discardableResult
    package static func write(
        to output: OutputFile, metadata: [String: String], tensors: [OutgoingTensor]
    ) throws(StorageError) -> WrittenFile {
        try output.write { (writer) throws(StorageError) in
            try write(metadata: metadata, tensors: tensors, with: writer)
        }
    }

    private static func write(
        metadata: [String: String], tensors: [OutgoingTensor], with writer: HashingWriter
    ) throws(StorageError) {
        var end = 0
        let described = tensors.map { tensor in
            defer { end += tensor.byteCount }
            return SafetensorsTensor(
                name: tensor.name, dataType: tensor.dataType, shape: tensor.shape, range: end..<end + tensor.byteCount)
        }
        precondition(Set(described.map(\.name)).count == described.count, "two tensors of one name")
        try writer.write(safetensorsHeader(metadata: metadata, tensors: described))
        for tensor in tensors {
            var written = 0
            try tensor.emitAll { (bytes) throws(StorageError) in
                try writer.write(bytes)
                written += bytes.count
            }
            precondition(written == tensor.byteCount, "\(tensor.name) gave \(written) of \(tensor.byteCount) bytes")
        }
    }
}

extension [Float] {
    /// Hands the elements on as bytes, little-endian.
    package func withBytes<Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        try withUnsafeBufferPointer { (values) throws(Failure) in try body(UnsafeRawBufferPointer(values)) }
    }
}

extension OutgoingTensor {
    /// A float32 tensor whose values are at hand.
    package init(name: String, shape: [Int], values: [Float]) {
        self.init(name: name, shape: shape) { (emit) throws(StorageError) in try values.withBytes(emit) }
    }
}
