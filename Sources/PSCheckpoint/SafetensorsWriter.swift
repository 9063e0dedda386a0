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
    /// Writes a file under a temporary name, makes it durable and renames it to `path`.
    ///
    /// - Parameters:
    ///   - tensors: unique names, written in this order without padding. Put wider elements first if a reader wants them
    ///     aligned.
    ///   - files: where a job's own file is written; nil: it is a person's, an `OutputFile`.
    @discardableResult
    package static func write(
        path: String, metadata: [String: String], tensors: [OutgoingTensor], in files: (any FileSystem)? = nil
    ) throws(StorageError) -> WrittenFile {
        var end = 0
        let described = tensors.map { tensor in
            defer { end += tensor.byteCount }
            return SafetensorsTensor(
                name: tensor.name, dataType: tensor.dataType, shape: tensor.shape, range: end..<end + tensor.byteCount)
        }
        precondition(Set(described.map(\.name)).count == described.count, "two tensors of one name")
        func writeAll(_ writer: HashingWriter) throws(StorageError) {
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
        if let files { return try AtomicFile.write(path, in: files, writeAll) }
        return try OutputFile(path).write(writeAll)
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
