// A safetensors file open for reading: checked as a whole when opened, its values read when asked for.

import PSFiles

/// A safetensors file. Source of the format: https://huggingface.co/docs/safetensors.
///
/// Everything the header says is checked against the file when it is opened; the values of the tensors are not looked
/// at. Read with system calls: a disk that fails, or a file that is cut while it is open, is an error.
package final class SafetensorsFile: Sendable {
    package static let largestHeader = 100 << 20

    package var path: String { file.path }
    package let metadata: [String: String]
    /// In the order of their data.
    package let tensors: [SafetensorsTensor]
    private let indexOfName: [String: Int]
    private let file: any ReadableFile
    /// First byte of the data within the file.
    private let dataStart: Int

    package init(_ path: String, in files: any FileSystem = LocalFileSystem()) throws(StorageError) {
        file = try files.open(path)
        guard file.byteCount >= 8 else {
            throw .damaged(
                path: path,
                problem: "not a safetensors file: \(file.byteCount) bytes, fewer than the 8 of its header's length")
        }
        if let problem = try PyTorchFile.problem(file) { throw .damaged(path: path, problem: problem) }
        let headerLength = try file.bytes(0..<8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard headerLength <= Self.largestHeader else {
            throw .damaged(
                path: path,
                problem:
                    "not a safetensors file: it declares a header of \(headerLength) bytes, above the limit of 100 MiB")
        }
        guard Int(headerLength) <= file.byteCount - 8 else {
            throw .damaged(
                path: path,
                problem:
                    "truncated or not a safetensors file: its header needs \(headerLength) bytes, \(file.byteCount - 8) follow"
            )
        }
        dataStart = 8 + Int(headerLength)
        let header = try file.bytes(8..<dataStart).withUnsafeBufferPointer { (bytes) throws(StorageError) in
            try SafetensorsHeaderParser(path: path, bytes: bytes)
        }
        metadata = header.metadata
        tensors = header.tensors.sorted {
            ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
        }
        indexOfName = Dictionary(uniqueKeysWithValues: tensors.enumerated().map { ($1.name, $0) })

        var end = 0
        for tensor in tensors {
            if tensor.range.lowerBound < end {
                throw .damaged(path: path, problem: "tensor \"\(tensor.name)\" overlaps the one before it")
            }
            if tensor.range.lowerBound > end {
                throw .damaged(
                    path: path,
                    problem: "a hole of \(tensor.range.lowerBound - end) bytes lies before tensor \"\(tensor.name)\"")
            }
            end = tensor.range.upperBound
        }
        let dataCount = file.byteCount - dataStart
        if end > dataCount {
            throw .damaged(
                path: path,
                problem:
                    "truncated: its tensors need \(end) bytes, \(dataCount) are there; copy or download it again"
            )
        }
        if end < dataCount {
            throw .damaged(path: path, problem: "\(dataCount - end) bytes follow the last tensor")
        }
    }

    package func tensor(named name: String) -> SafetensorsTensor? { indexOfName[name].map { tensors[$0] } }

    /// Reads part of a tensor: little-endian elements in row-major order.
    /// - Parameter offset: bytes from the tensor's first.
    package func read(
        _ tensor: SafetensorsTensor, from offset: Int = 0, into bytes: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        precondition(offset >= 0 && offset + bytes.count <= tensor.range.count, "more than the tensor has")
        try file.read(at: dataStart + tensor.range.lowerBound + offset, into: bytes)
    }

    /// Calls `body` with a tensor's bytes: little-endian elements in row-major order.
    package func withBytes<Result>(
        of tensor: SafetensorsTensor, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: tensor.range.count, alignment: 64)
        defer { bytes.deallocate() }
        try read(tensor, into: bytes)
        return try body(UnsafeRawBufferPointer(bytes))
    }

    /// A tensor's elements as float32: halves and bfloat16 exactly, doubles rounded.
    ///
    /// - Precondition: `tensor.dataType.isFloat`.
    package func floats(of tensor: SafetensorsTensor) throws(StorageError) -> [Float] {
        try withBytes(of: tensor) { (bytes) throws(StorageError) in
            switch tensor.dataType {
            case .float32:
                return bytes.bindMemory(to: UInt32.self).map { Float(bitPattern: UInt32(littleEndian: $0)) }
            case .bfloat16:
                return bytes.bindMemory(to: UInt16.self).map {
                    Float(bitPattern: UInt32(UInt16(littleEndian: $0)) << 16)
                }
            case .float16:
                return bytes.bindMemory(to: UInt16.self).map { SafetensorsFile.half(UInt16(littleEndian: $0)) }
            case .float64:
                return bytes.bindMemory(to: UInt64.self).map { Float(Double(bitPattern: UInt64(littleEndian: $0))) }
            default: preconditionFailure("\(tensor.dataType) is no type of weights")
            }
        }
    }

    /// IEEE 754's binary16: not every processor's Swift has the type.
    private static func half(_ bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let exponent = UInt32(bits >> 10 & 0x1F)
        let fraction = UInt32(bits & 0x3FF)
        if exponent == 0x1F { return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13) }
        if exponent == 0 {
            let value = Float(fraction) * 0x1p-24
            return sign == 0 ? value : -value
        }
        return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }

    /// The SHA-256 of the whole file.
    package func sha256() throws(StorageError) -> String {
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: min(1 << 20, file.byteCount), alignment: 64)
        defer { piece.deallocate() }
        var hash = SHA256()
        var position = 0
        while position < file.byteCount {
            let part = UnsafeMutableRawBufferPointer(
                rebasing: piece[..<min(piece.count, file.byteCount - position)])
            try file.read(at: position, into: part)
            hash.update(UnsafeRawBufferPointer(part))
            position += part.count
        }
        return hash.hexadecimal()
    }
}
