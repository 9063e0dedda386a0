// Reading a checkpoint tensor by tensor, whatever number of servers wrote it.

import PSParameters

/// An open checkpoint: its files are mapped and their headers checked; any part of any value can be read.
package struct CheckpointReader: Sendable {
    private struct Location {
        let file: SafetensorsFile
        let tensor: SafetensorsTensor
    }

    package let directory: String
    package let manifest: Manifest
    private var locations: [StoredValue: [String: Location]] = [:]

    /// Opens a complete checkpoint.
    ///
    /// - Parameter verify: also compare every file's SHA-256 with the manifest's, which reads all of it.
    package init(_ directory: String, verify: Bool = false) throws(CheckpointError) {
        try self.init(directory: directory, manifest: Manifest.read(from: directory), verify: verify)
    }

    /// Opens a checkpoint whose manifest is not written yet.
    init(directory: String, manifest: Manifest, verify: Bool = false) throws(CheckpointError) {
        self.directory = directory
        self.manifest = manifest
        for file in manifest.files {
            let path = "\(directory)/\(file.path)"
            let size = try FileSystem.size(path)
            if size != file.bytes {
                throw .damaged(path: path, problem: "has \(size) bytes, its manifest says \(file.bytes)")
            }
            let open = try SafetensorsFile(path)
            if verify, case let hash = open.sha256(), hash != file.sha256 {
                throw .damaged(path: path, problem: "has SHA-256 \(hash), its manifest says \(file.sha256)")
            }
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
        }
    }

    /// Whether the checkpoint holds this value of any tensor.
    package func holds(_ value: StoredValue) -> Bool { locations[value] != nil }

    /// The file, within the directory, that holds a value of a tensor.
    package func fileName(_ value: StoredValue, tensor: String) -> String? {
        locations[value]?[tensor].map { FileSystem.name(of: $0.file.path) }
    }

    /// Throws unless the checkpoint is of exactly this model: every tensor has its value and average, every weight the
    /// slots that any weight has, all with the layout's shapes, and nothing else is there.
    package func check(layout: ParameterLayout) throws(CheckpointError) {
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
                        "\(location.tensor.name) in \(FileSystem.name(of: location.file.path)) has shape "
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
    ) throws(CheckpointError) {
        try withBytes(value, tensor: tensor) { (bytes) throws(CheckpointError) in
            let size = MemoryLayout<Float>.size
            guard elements.lowerBound >= 0, elements.upperBound <= bytes.count / size else {
                throw .mismatch(
                    path: directory,
                    problems: ["\(value.name(of: tensor)) has \(bytes.count / size) elements, \(elements) were wanted"])
            }
            if elements.isEmpty { return }
            UnsafeMutableRawPointer(output).copyMemory(
                from: bytes.baseAddress! + elements.lowerBound * size, byteCount: elements.count * size)
        }
    }

    /// Calls `body` with all bytes of a tensor's value: little-endian float32, perhaps unaligned.
    package func withBytes<Result>(
        _ value: StoredValue, tensor: String, _ body: (UnsafeRawBufferPointer) throws(CheckpointError) -> Result
    ) throws(CheckpointError) -> Result {
        guard let location = locations[value]?[tensor] else {
            throw .mismatch(
                path: directory, problems: ["no \(value.role.rawValue) file holds \(value.name(of: tensor))"])
        }
        return try location.file.withBytes(of: location.tensor, body)
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
