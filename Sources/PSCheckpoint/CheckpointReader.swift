// Reading a checkpoint tensor by tensor, whatever number of servers wrote it.

import PSFiles
import PSParameters

/// An open checkpoint: the headers of its files are checked; any part of any value can be read.
package struct CheckpointReader: Sendable {
    private struct Location {
        let file: SafetensorsFile
        let tensor: SafetensorsTensor
    }

    package let directory: String
    package let manifest: Manifest
    private var locations: [StoredValue: [String: Location]] = [:]

    /// How much of a checkpoint is compared with its manifest's hashes before anything of it is used.
    package enum Verification {
        /// Every file, read whole: for whoever uses the values.
        case everything
        /// Sizes and headers now; `verify(tensors:)` reads the files of some tensors later.
        case structure
    }

    /// Opens a complete checkpoint.
    package init(
        _ directory: String, in files: any FileSystem = LocalFileSystem(), verifying: Verification = .everything
    ) throws(StorageError) {
        try self.init(
            directory: directory, manifest: Manifest.read(from: directory, in: files), in: files, verifying: verifying)
    }

    /// Opens a checkpoint whose manifest is not written yet.
    init(
        directory: String, manifest: Manifest, in files: any FileSystem, verifying: Verification
    ) throws(StorageError) {
        self.directory = directory
        self.manifest = manifest
        for file in manifest.files {
            let path = "\(directory)/\(file.path)"
            switch try files.entry(path) {
            case nil: throw .damaged(path: path, problem: "is missing, its manifest lists it")
            case .file(file.bytes)?: break
            case .file(let size)?:
                throw .damaged(path: path, problem: "has \(size) bytes, its manifest says \(file.bytes)")
            case .some: throw .damaged(path: path, problem: "is no regular file")
            }
            let open = try SafetensorsFile(path, in: files)
            for tensor in open.tensors {
                guard let (value, name) = Self.parse(tensor.name, role: file.role) else {
                    throw .damaged(path: path, problem: "tensor \"\(tensor.name)\" is no optimizer slot")
                }
                guard tensor.dataType == .float32 else {
                    throw .damaged(path: path, problem: "tensor \"\(tensor.name)\" is \(tensor.summary), not F32")
                }
                let previous = locations[value, default: [:]].updateValue(
                    Location(file: open, tensor: tensor), forKey: name)
                if let previous {
                    throw .damaged(path: path, problem: "tensor \"\(tensor.name)\" is also in \(previous.file.path)")
                }
            }
            if case .everything = verifying { try CheckpointReader.verify(open, file) }
        }
    }

    private static func verify(_ file: SafetensorsFile, _ listed: Manifest.File) throws(StorageError) {
        let hash = try file.sha256()
        if hash != listed.sha256 {
            throw .damaged(path: file.path, problem: "has SHA-256 \(hash), its manifest says \(listed.sha256)")
        }
    }

    /// Compares the files that hold any value of these tensors with the manifest's hashes.
    package func verify(tensors: Set<String>) throws(StorageError) {
        for listed in manifest.files {
            let held = locations.values.lazy.flatMap { $0 }.first {
                tensors.contains($0.key) && Paths.name(of: $0.value.file.path) == listed.path
            }
            if let held { try CheckpointReader.verify(held.value.file, listed) }
        }
    }

    /// Whether the checkpoint holds this value of any tensor.
    package func holds(_ value: StoredValue) -> Bool { locations[value] != nil }

    /// The file, within the directory, that holds a value of a tensor.
    package func fileName(_ value: StoredValue, tensor: String) -> String? {
        locations[value]?[tensor].map { Paths.name(of: $0.file.path) }
    }

    /// Throws unless the checkpoint is of exactly this model: every tensor has its value and average, every weight the
    /// slots that any weight has, all with the layout's shapes, and nothing else is there.
    package func check(layout: ParameterLayout) throws(StorageError) {
        var problems: [String] = []
        if manifest.layoutDigest != String(layout.digest, radix: 16) {
            problems.append(
                "was written for another model or slice table (layout \(manifest.layoutDigest), "
                    + "this job's is \(String(layout.digest, radix: 16)))")
        }
        for value in StoredValue.allCases where value.coversStatistics || holds(value) {
            let found = locations[value] ?? [:]
            let expected = layout.tensors.filter { value.coversStatistics || $0.kind == .weight }
            for tensor in expected {
                guard let location = found[tensor.name] else {
                    problems.append("\(value.name(of: tensor.name)) is missing from the \(value.role.rawValue) files")
                    continue
                }
                if location.tensor.shape != tensor.shape {
                    problems.append(
                        "\(location.tensor.name) in \(Paths.name(of: location.file.path)) has shape "
                            + "\(location.tensor.shape), the model's is \(tensor.shape)")
                }
            }
            let known = Set(expected.map(\.name))
            for name in found.keys.sorted() where !known.contains(name) {
                problems.append("\(value.name(of: name)) in the \(value.role.rawValue) files is no tensor of the model")
            }
        }
        if !problems.isEmpty { throw .mismatch(path: directory, problems: problems) }
    }

    /// Reads elements of a tensor's value (row-major positions within the tensor) to `output`.
    package func read(
        _ value: StoredValue, tensor: String, elements: Range<Int>, into output: UnsafeMutablePointer<Float>
    ) throws(StorageError) {
        let location = try location(value, tensor: tensor)
        let size = MemoryLayout<Float>.size
        let count = location.tensor.range.count / size
        guard elements.lowerBound >= 0, elements.upperBound <= count else {
            throw .mismatch(
                path: directory,
                problems: ["\(value.name(of: tensor)) has \(count) elements, \(elements) were wanted"])
        }
        if elements.isEmpty { return }
        try location.file.read(
            location.tensor, from: elements.lowerBound * size,
            into: UnsafeMutableRawBufferPointer(start: output, count: elements.count * size))
    }

    /// Calls `body` with all bytes of a tensor's value: little-endian float32.
    package func withBytes<Result>(
        _ value: StoredValue, tensor: String, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Result
    ) throws(StorageError) -> Result {
        let location = try location(value, tensor: tensor)
        return try location.file.withBytes(of: location.tensor, body)
    }

    private func location(_ value: StoredValue, tensor: String) throws(StorageError) -> Location {
        guard let location = locations[value]?[tensor] else {
            throw .mismatch(
                path: directory, problems: ["no \(value.role.rawValue) file holds \(value.name(of: tensor))"])
        }
        return location
    }

    /// The value and the tensor's own name behind a name in a file.
    private static func parse(_ name: String, role: Manifest.Role) -> (StoredValue, String)? {
        switch role {
        case .weights: return (.current, name)
        case .average: return (.average, name)
        case .slots:
            for value in [StoredValue.meanSquare, .momentum] where name.hasSuffix(".\(value.rawValue)") {
                return (value, String(name.dropLast(value.rawValue.count + 1)))
            }
            return nil
        }
    }
}
