// A safetensors file open for reading: checked as a whole when opened, its bytes mapped into memory.

import Glibc

/// A safetensors file. Source of the format: https://huggingface.co/docs/safetensors.
///
/// Everything the header says is checked against the file when it is opened; the values of the tensors are not looked
/// at. The file must not be truncated while it is open (ours never are: they are replaced by renaming).
//
// Unchecked because of the pointer; the mapping is read-only and lives as long as the object.
package final class SafetensorsFile: @unchecked Sendable {
    package static let largestHeader = 100 << 20

    package let path: String
    package let metadata: [String: String]
    /// In the order of their data.
    package let tensors: [SafetensorsTensor]
    private let indexOfName: [String: Int]
    private let mapping: Mapping
    /// First byte of the data within the file.
    private let dataStart: Int

    package init(_ path: String) throws(CheckpointError) {
        self.path = path
        mapping = try Mapping(path)
        let file = mapping.bytes
        guard file.count >= 8 else {
            throw .damaged(
                path: path,
                problem: "not a safetensors file: \(file.count) bytes, fewer than the 8 of its header's length")
        }
        if let problem = PyTorchFile.problem(path: path, bytes: file) { throw .damaged(path: path, problem: problem) }
        let headerLength = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard headerLength <= Self.largestHeader else {
            throw .damaged(
                path: path,
                problem:
                    "not a safetensors file: it declares a header of \(headerLength) bytes, above the limit of 100 MiB")
        }
        guard Int(headerLength) <= file.count - 8 else {
            throw .damaged(
                path: path,
                problem:
                    "truncated or not a safetensors file: its header needs \(headerLength) bytes, \(file.count - 8) follow"
            )
        }
        dataStart = 8 + Int(headerLength)
        let header = try SafetensorsHeaderParser(
            path: path, bytes: UnsafeRawBufferPointer(rebasing: file[8..<dataStart]).assumingMemoryBound(to: UInt8.self)
        )
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
        let dataCount = file.count - dataStart
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

    /// Calls `body` with a tensor's bytes: little-endian elements in row-major order, perhaps unaligned.
    package func withBytes<Result, Failure: Error>(
        of tensor: SafetensorsTensor, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let range = dataStart + tensor.range.lowerBound..<dataStart + tensor.range.upperBound
        precondition(range.upperBound <= mapping.bytes.count, "a tensor of another file")
        defer { withExtendedLifetime(mapping) {} }
        return try body(UnsafeRawBufferPointer(rebasing: mapping.bytes[range]))
    }

    /// The SHA-256 of the whole file.
    package func sha256() -> String {
        defer { withExtendedLifetime(mapping) {} }
        var hash = SHA256()
        hash.update(mapping.bytes)
        return hash.hexadecimal()
    }
}

/// A file's bytes in memory for as long as the object lives.
private final class Mapping {
    let bytes: UnsafeRawBufferPointer

    init(_ path: String) throws(CheckpointError) {
        // Without O_NONBLOCK the opening of a pipe would wait for its writer.
        let descriptor = try Descriptor("open", path, flags: O_RDONLY | O_NONBLOCK)
        var status = stat()
        try systemCall("look at", path) { fstat(descriptor.number, &status) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .damaged(path: path, problem: "not a regular file") }
        let count = Int(status.st_size)
        if count == 0 {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor.number, 0)
        guard let address, address != MAP_FAILED else { throw .system(operation: "map", path: path, code: errno) }
        bytes = UnsafeRawBufferPointer(start: address, count: count)
    }

    deinit {
        if let address = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: address), bytes.count) }
    }
}
