// A server's part of a checkpoint: up to three safetensors files.

import PSFiles
import PSParameters

/// One of the values a job keeps for each element of a tensor.
package enum StoredValue: String, Sendable, Hashable, CaseIterable {
    /// The tensor itself.
    case current
    /// Its running average.
    case average
    /// RMSProp's mean square; weights only.
    case meanSquare = "mean_square"
    /// The momentum slot; weights only.
    case momentum

    package var role: Manifest.Role {
        switch self {
        case .current: .weights
        case .average: .average
        case .meanSquare, .momentum: .slots
        }
    }

    /// Whether every tensor has this value, or learned weights only.
    package var coversStatistics: Bool { role != .slots }

    /// What a checkpoint calls this value of a tensor.
    package func name(of tensor: String) -> String { role == .slots ? "\(tensor).\(rawValue)" : tensor }
}

/// Writes the tensors one server holds.
package struct ShardWriter {
    private let directory: String
    private let server: Int
    private let serverCount: Int
    private let layout: ParameterLayout
    private let values: [StoredValue]
    private let files: any FileSystem

    /// - Parameters:
    ///   - directory: the checkpoint's part directory.
    ///   - server: rank, from 0.
    ///   - values: what the optimizer keeps; momentum has no mean square.
    package init(
        directory: String, server: Int, serverCount: Int, layout: ParameterLayout,
        values: [StoredValue] = StoredValue.allCases, in files: any FileSystem = LocalFileSystem()
    ) {
        precondition((0..<serverCount).contains(server))
        self.directory = directory
        self.server = server
        self.serverCount = serverCount
        self.layout = layout
        self.values = values
        self.files = files
    }

    /// Writes the files, durably, and describes them for the manifest. A role without tensors gets no file.
    ///
    /// - Parameters:
    ///   - tensors: indices into the layout.
    ///   - source: hands the float32 bytes of one tensor's value to the closure it is given, in element order, in one
    ///     piece or several (a server's slices, for example); nothing is copied.
    package func write(
        tensors: [Int],
        source: @escaping (StoredValue, Int, EmitBytes) throws(StorageError) -> Void
    ) throws(StorageError) -> [Manifest.File] {
        var written: [Manifest.File] = []
        for role in Manifest.Role.allCases {
            var outgoing: [OutgoingTensor] = []
            for tensor in tensors.sorted() {
                let specification = layout.tensors[tensor]
                for value in values
                where value.role == role && (value.coversStatistics || specification.kind == .weight) {
                    outgoing.append(
                        OutgoingTensor(name: value.name(of: specification.name), shape: specification.shape) {
                            (emit) throws(StorageError) in try source(value, tensor, emit)
                        })
                }
            }
            if outgoing.isEmpty { continue }
            let name = shardFileName(role, server: server, of: serverCount)
            // "format" is what the transformers library insists on.
            let file = try SafetensorsWriter.write(
                path: "\(directory)/\(name)", metadata: ["format": "pt"], tensors: outgoing, in: files)
            written.append(
                Manifest.File(
                    path: name, bytes: file.byteCount, sha256: file.sha256, role: role, server: server))
        }
        return written
    }
}

/// Hugging Face's scheme: model-00001-of-00002.safetensors.
func shardFileName(_ role: Manifest.Role, server: Int, of serverCount: Int) -> String {
    func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
    let prefix = role == .weights ? "model" : role.rawValue
    return "\(prefix)-\(fiveDigits(server + 1))-of-\(fiveDigits(serverCount)).safetensors"
}
